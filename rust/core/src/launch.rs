//! The conversation with kata-init, from the clone to `execve`.
//!
//! When the socket ends, kata-init has executed the workload, waits at the exec fifo, or is dead without a
//! word (killed, mostly for memory). The rule that tells them apart: a process that is ending (`PF_EXITING`,
//! or dead) **and** still bears kata-init's name, or has executed nothing since its clone (`PF_FORKNOEXEC`: our
//! name, not kata-init's), never ran its workload, which is a failure; anything else is a success. A workload that ends at once has its own name, kata-init at the fifo is alive. Signals play
//! no part in the rule: the workload may die of any. Without /proc, an end that is seen is taken for a success.
//! Sources: unix(7), proc_pid_stat(5), Linux `include/linux/sched.h` (PF_EXITING, PF_FORKNOEXEC).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, InitFailure, Named, SysError};
use crate::image;
use crate::message::{Message, GO, MAX_LENGTH};
use crate::process::{pid_of, stat, Process};
use crate::sys::{self, ExitStatus};

const PF_EXITING: u64 = 0x4;
const PF_FORKNOEXEC: u64 = 0x40;

/// How long a process that is ending may take for it.
const END_GRACE: Duration = Duration::from_secs(10);

/// A process on its way to its workload.
#[derive(Debug)]
pub struct Launch {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` once the socket has ended.
    socket: Option<OwnedFd>,
    process: Arc<Process>,
    /// Somebody took the process, or it is gone: dropping the launch leaves it alone.
    released: bool,
}

impl Launch {
    pub(crate) fn new(socket: OwnedFd, process: Arc<Process>) -> Self {
        let state = State { socket: Some(socket), process, released: false };
        Self { state: Mutex::new(state) }
    }

    /// The next sync point, or `None`: the workload runs or waits at the fifo.
    ///
    /// # Errors
    /// [`Error::Init`]: kata-init failed and has been reaped. [`Error::Interrupted`]: call again.
    pub fn next(&self) -> Result<Option<u32>, Error> {
        let mut state = self.lock();
        loop {
            let Some(socket) = state.socket.as_ref() else {
                return Ok(None);
            };
            let mut buffer = vec![0; MAX_LENGTH];
            let (length, fd) = match sys::receive(socket.as_fd(), &mut buffer) {
                // It died with our answer unread.
                Err(err) if err.raw_os_error() == Some(libc::ECONNRESET) => (0, None),
                other => other.named("recvmsg")?,
            };
            if length == 0 {
                state.socket = None;
                return state.ended();
            }
            match Message::decode(&buffer[..length]) {
                Some(Message::Sync(point)) => return Ok(Some(point)),
                Some(Message::Forked(pid)) => state.follow(pid, fd)?,
                Some(Message::Error(failure)) => {
                    state.discard();
                    return Err(failure.into());
                }
                None => {
                    state.discard();
                    return Err(InitFailure::ended("sent an unknown message".to_owned()).into());
                }
            }
        }
    }

    /// Lets kata-init go on from a sync point.
    ///
    /// # Errors
    /// `EPIPE`: it is gone; [`next`](Self::next) tells why.
    pub fn proceed(&self) -> Result<(), Error> {
        let state = self.lock();
        let Some(socket) = state.socket.as_ref() else {
            return Err(SysError::new("send", libc::EPIPE).into());
        };
        Ok(sys::send(socket.as_fd(), GO).named("send")?)
    }

    /// The pid of the process as far as it is known.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.lock().process.pid()
    }

    /// The socket; -1 once it has ended.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.lock().socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    /// The process, which from now on lives without this launch.
    #[must_use]
    pub fn process(&self) -> Arc<Process> {
        let mut state = self.lock();
        state.released = true;
        Arc::clone(&state.process)
    }

    /// Kills and reaps what there is; gives its status.
    ///
    /// # Errors
    /// The errno of the kill or of waitid(2).
    pub fn abort(&self) -> Result<ExitStatus, Error> {
        let mut state = self.lock();
        state.released = true;
        // Before the socket goes: its end is a reason for kata-init to end by itself, with another status.
        let killed = state.process.kill().named("kill");
        state.socket = None;
        Ok(killed?)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        if !self.lock().released {
            // An abandoned launch leaves nothing; a failure to kill cannot be told to anybody.
            let _ = self.abort();
        }
    }
}

impl State {
    /// kata-init goes on in another child of ours; the first one is on its way out.
    fn follow(&mut self, pid: u32, pidfd: Option<OwnedFd>) -> Result<(), Error> {
        let Some(pidfd) = pidfd else {
            self.discard();
            return Err(InitFailure::ended("forked without a pidfd".to_owned()).into());
        };
        let pid = pid_of(pidfd.as_fd()).unwrap_or(pid as i32);
        let first = std::mem::replace(&mut self.process, Process::born(pid, pidfd));
        first.reap().named("waitid")?;
        Ok(())
    }

    /// The socket has ended without an error: see the rule at the top.
    fn ended(&mut self) -> Result<Option<u32>, Error> {
        let Ok(seen) = stat(self.process.pid()) else {
            return Ok(None);
        };
        let ending = seen.flags & PF_EXITING != 0 || matches!(seen.state, 'Z' | 'X');
        let never_ran = seen.flags & PF_FORKNOEXEC != 0 || image::is_own_name(&seen.comm);
        if !(ending && never_ran) {
            return Ok(None);
        }
        let how = match self.end_status().named("waitid")? {
            Some(status) => status.sentence(),
            None => "is ending".to_owned(),
        };
        self.discard();
        Err(InitFailure::ended(how).into())
    }

    fn end_status(&self) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + END_GRACE;
        loop {
            match self.process.wait(Some(deadline)) {
                Err(err) if err.raw_os_error() == Some(libc::EINTR) => {}
                done => return done,
            }
        }
    }

    /// It has failed: nothing of it stays. What cannot be killed is out of our hands.
    fn discard(&mut self) {
        self.socket = None;
        self.released = true;
        let _ = self.process.kill();
    }
}
