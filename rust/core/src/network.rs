//! A network namespace that is made beside other work: it takes the kernel half a millisecond of a processor,
//! most of it for the registration of a thousand sysctls.
//!
//! A thread of its own unshares, opens what it got and ends; the descriptor keeps the namespace. Where no
//! processor had time for that thread until the descriptor is asked for, the asking one does it itself and goes
//! back: on a busy machine a wait would take milliseconds. Sources: unshare(2), setns(2), proc_pid_ns(5).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Whoever sets the flag does it.
    Coming(JoinHandle<io::Result<OwnedFd>>, Arc<AtomicBool>),
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
        let taken = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&taken);
        let thread = thread::Builder::new().name("kata-network".to_owned()).stack_size(STACK_SIZE).spawn(
            move || {
                if seen.swap(true, Ordering::AcqRel) {
                    return Err(io::Error::from_raw_os_error(libc::ECANCELED));
                }
                make()
            },
        )?;
        Ok(Self(Mutex::new(State::Coming(thread, taken))))
    }

    /// Waits for it; the descriptor is lent.
    ///
    /// # Errors
    /// The errno of unshare(2) or of opening it.
    pub fn fd(&self) -> io::Result<RawFd> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Coming(..) = &*state {
            let failed = State::Failed(libc::EAGAIN);
            if let State::Coming(thread, taken) = std::mem::replace(&mut *state, failed) {
                let made = if taken.swap(true, Ordering::AcqRel) {
                    thread.join().unwrap_or_else(|_| Err(io::Error::from_raw_os_error(libc::EIO)))
                } else {
                    make_and_return()
                };
                *state = match made {
                    Ok(fd) => State::Made(fd),
                    Err(err) => State::Failed(err.raw_os_error().unwrap_or(libc::EIO)),
                };
            }
        }
        match &*state {
            State::Made(fd) => Ok(fd.as_raw_fd()),
            State::Failed(errno) => Err(io::Error::from_raw_os_error(*errno)),
            State::Coming(..) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
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
    own()
}

fn own() -> io::Result<OwnedFd> {
    Ok(open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// As [`make`], in a thread that has other work to do in its own namespace.
fn make_and_return() -> io::Result<OwnedFd> {
    let before = own()?;
    let made = make()?;
    if sys::join_namespace(before.as_fd(), libc::CLONE_NEWNET).is_err() {
        // Only a kernel without memory refuses this; nothing that goes on in here is what its caller means.
        std::process::abort();
    }
    Ok(made)
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

    #[test]
    fn who_makes_one_itself_is_back_where_it_was() {
        let of = |path: &str| std::fs::read_link(path).unwrap();
        let before = of("/proc/thread-self/ns/net");
        match make_and_return() {
            Ok(fd) => assert_ne!(of(&format!("/proc/self/fd/{}", fd.as_raw_fd())), before),
            Err(err) => assert_eq!(err.raw_os_error(), Some(libc::EPERM)),
        }
        assert_eq!(of("/proc/thread-self/ns/net"), before);
    }
}
