//! A network namespace that is made beside other work: it takes the kernel half a millisecond of a processor,
//! most of it for the registration of a thousand sysctls.
//!
//! A thread of its own unshares, opens what it got and ends; the descriptor keeps the namespace. Only that thread
//! ever is in it. Sources: unshare(2), namespaces(7), proc_pid_ns(5).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rustix::fs::{open, Mode, OFlags};

use crate::child::SignalsBlocked;
use crate::sys;

/// Two system calls need no more.
const STACK_SIZE: usize = 64 * 1024;

/// A namespace under way, or made.
#[derive(Debug)]
pub struct NewNetwork(Mutex<State>);

#[derive(Debug)]
enum State {
    Coming(JoinHandle<io::Result<OwnedFd>>),
    Made(OwnedFd),
    Failed(i32),
}

impl NewNetwork {
    /// Begins to make one.
    ///
    /// # Errors
    /// `EAGAIN`: no thread to be had.
    pub fn start() -> io::Result<Self> {
        // Signals are for the threads that were there before.
        let _blocked = SignalsBlocked::new();
        let thread =
            thread::Builder::new().name("kata-network".to_owned()).stack_size(STACK_SIZE).spawn(make)?;
        Ok(Self(Mutex::new(State::Coming(thread))))
    }

    /// Waits for it; the descriptor is lent.
    ///
    /// # Errors
    /// The errno of unshare(2) or of opening it.
    pub fn fd(&self) -> io::Result<RawFd> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Coming(_) = &*state {
            let failed = State::Failed(libc::EAGAIN);
            if let State::Coming(thread) = std::mem::replace(&mut *state, failed) {
                *state = match thread.join() {
                    Ok(Ok(fd)) => State::Made(fd),
                    Ok(Err(err)) => State::Failed(err.raw_os_error().unwrap_or(libc::EIO)),
                    Err(_) => State::Failed(libc::EIO),
                };
            }
        }
        match &*state {
            State::Made(fd) => Ok(fd.as_raw_fd()),
            State::Failed(errno) => Err(io::Error::from_raw_os_error(*errno)),
            State::Coming(_) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }

    /// Lets it go; whoever joined it keeps it.
    pub fn close(&self) {
        // A thread that is still at it ends by itself, and with it the last descriptor.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Failed(libc::EBADF);
    }
}

fn make() -> io::Result<OwnedFd> {
    sys::unshare(libc::CLONE_NEWNET)?;
    Ok(open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_another_one_than_ours_or_refused() {
        let network = NewNetwork::start().unwrap();
        match network.fd() {
            Ok(fd) => {
                let of = |path: &str| std::fs::read_link(path).unwrap();
                assert_ne!(of(&format!("/proc/self/fd/{fd}")), of("/proc/thread-self/ns/net"));
                assert_eq!(network.fd().unwrap(), fd);
            }
            Err(err) => assert_eq!(err.raw_os_error(), Some(libc::EPERM)),
        }
        network.close();
        assert_eq!(network.fd().unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
