//! The ends of many processes as one descriptor: an epoll over their pidfds.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::epoll;
use rustix::event::Timespec;

use crate::process::Process;
use crate::sys::ExitStatus;

const BATCH: usize = 64;

/// Tells which processes have ended. Closing it forgets them; their statuses stay with them.
#[derive(Debug)]
pub struct Reaper {
    epoll: OwnedFd,
    watched: Mutex<HashMap<u64, Watched>>,
}

#[derive(Debug)]
struct Watched {
    process: Arc<Process>,
    tokens: Vec<i64>,
}

impl Reaper {
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, watched: Mutex::new(HashMap::new()) })
    }

    /// Readable when [`drain`](Self::drain) has something to give.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Watches `process`; one that has ended already is reported by the next drain.
    ///
    /// # Errors
    /// `ENOSPC`: over the user's limit of epoll watches; `ENOMEM`.
    pub fn add(&self, process: &Arc<Process>, token: i64) -> io::Result<()> {
        let key = key(process);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = watched.get_mut(&key) {
            entry.tokens.push(token);
            return Ok(());
        }
        let data = epoll::EventData::new_u64(key);
        epoll::add(&self.epoll, process.pidfd(), data, epoll::EventFlags::IN)?;
        watched.insert(key, Watched { process: Arc::clone(process), tokens: vec![token] });
        Ok(())
    }

    /// Those that have ended since the last time, each with its token, no longer watched. Does not wait.
    ///
    /// # Errors
    /// The errno of waitid(2).
    pub fn drain(&self) -> io::Result<Vec<(i64, ExitStatus)>> {
        let mut ended = Vec::new();
        let mut buffer = Vec::with_capacity(BATCH);
        loop {
            let keys = self.ready(&mut buffer)?;
            let count = keys.len();
            let before = ended.len();
            for key in keys {
                self.finish(key, &mut ended)?;
            }
            if count < BATCH || ended.len() == before {
                return Ok(ended);
            }
        }
    }

    fn ready(&self, buffer: &mut Vec<epoll::Event>) -> io::Result<Vec<u64>> {
        let now = Timespec::try_from(Duration::ZERO).unwrap_or_default();
        buffer.clear();
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(buffer), Some(&now)) {
                Err(rustix::io::Errno::INTR) => {}
                done => {
                    done?;
                    return Ok(buffer.iter().map(|event| event.data.u64()).collect());
                }
            }
        }
    }

    fn finish(&self, key: u64, ended: &mut Vec<(i64, ExitStatus)>) -> io::Result<()> {
        let process = {
            let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            // Another thread's drain was quicker.
            let Some(entry) = watched.get(&key) else { return Ok(()) };
            Arc::clone(&entry.process)
        };
        let Some(status) = process.poll()? else { return Ok(()) };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = watched.remove(&key) {
            epoll::delete(&self.epoll, entry.process.pidfd())?;
            ended.extend(entry.tokens.into_iter().map(|token| (token, status)));
        }
        Ok(())
    }
}

/// The pidfd's number, which is the process's alone while we hold it.
fn key(process: &Process) -> u64 {
    process.pidfd().as_raw_fd() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::stat;
    use std::process::Command;

    #[test]
    #[allow(clippy::zombie_processes)] // reaped through the pidfds
    fn every_end_is_reported_once_with_its_token() {
        let reaper = Reaper::new().unwrap();
        let mut processes = Vec::new();
        for code in 0..100 {
            let child = Command::new("/bin/sh").args(["-c", &format!("exit {code}")]).spawn().unwrap();
            let pid = child.id() as i32;
            let process = Process::open(pid, stat(pid).unwrap().start_time).unwrap();
            reaper.add(&process, i64::from(code)).unwrap();
            processes.push(process);
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            crate::sys::poll(reaper.fd(), libc::POLLIN, None).unwrap();
            seen.extend(reaper.drain().unwrap());
        }
        seen.sort_by_key(|(token, _)| *token);
        for (index, (token, status)) in seen.iter().enumerate() {
            assert_eq!(*token, index as i64);
            assert_eq!(*status, ExitStatus { code: index as i32, signal: 0 });
        }
        assert!(reaper.drain().unwrap().is_empty());
    }
}
