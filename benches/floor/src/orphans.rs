//! Waiting for commands, and adopting what they leave behind: a container that runs on is an orphan once its
//! command has ended, and commands that look at it later expect its parent to reap it at once, as a shim or a
//! good pid 1 does. Sources: PR_SET_CHILD_SUBREAPER(2const), wait4(2), ppoll(2).

#![allow(unsafe_code)]

use std::mem::zeroed;
use std::ptr;

use crate::system::{checked, cpu_seconds, Failure};

/// Become the parent of orphaned descendants.
pub(crate) fn adopt() {
    let handler: extern "C" fn(libc::c_int) = woken;
    // SAFETY: all zeros is a valid sigaction: no flags, so that system calls are interrupted.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: the kernel reads the structure; the handler does nothing.
    unsafe { libc::sigaction(libc::SIGCHLD, &action, ptr::null_mut()) };
    // SAFETY: integers only.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

extern "C" fn woken(_: libc::c_int) {}

/// Wait until stdin has something to read; orphans that end meanwhile are reaped.
pub(crate) fn await_input() {
    let mut child_signal = empty_set();
    // SAFETY: a valid signal set and number.
    unsafe { libc::sigaddset(&mut child_signal, libc::SIGCHLD) };
    // SAFETY: reads the set. Blocked here, let in by ppoll alone: none is missed.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &child_signal, ptr::null_mut()) };
    let let_in = empty_set();
    loop {
        reap_dead();
        let mut stdin = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd and one signal set, both alive through the call.
        if unsafe { libc::ppoll(&mut stdin, 1, ptr::null(), &let_in) } > 0 {
            break;
        }
    }
    // Commands inherit the mask: it is to be as they would have it.
    // SAFETY: as above.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &child_signal, ptr::null_mut()) };
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: all zeros is the empty set on Linux.
    unsafe { zeroed() }
}

fn reap_dead() {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// The wait status of a command, its user and system seconds and its peak resident set in kB, with those of
/// what it has waited for. Orphans that end meanwhile are reaped.
pub(crate) fn wait_usage(pid: i32) -> Result<(i32, f64, i64), Failure> {
    loop {
        let mut status = 0;
        // SAFETY: all zeros is a valid rusage.
        let mut used: libc::rusage = unsafe { zeroed() };
        // SAFETY: the kernel writes one int and one rusage.
        match checked(unsafe { libc::wait4(-1, &mut status, 0, &mut used) }) {
            Ok(found) if found == pid => return Ok((status, cpu_seconds(&[used]), used.ru_maxrss)),
            Ok(_) | Err(libc::EINTR) => {}
            Err(errno) => return Err(Failure { what: "wait4".to_owned(), errno }),
        }
    }
}
