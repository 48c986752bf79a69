//! The lines between clone3 and execveat, and the way there and back.
//!
//! The child shares the parent's memory (`CLONE_VM`) while the calling thread is stopped (`CLONE_VFORK`). Running
//! on beside it was tried: it gains little, and the kernel spares a process from being killed for the memory of
//! its child's group only while it knows that the child is in the middle of a vfork (`in_vfork`, mm/oom_kill.c).
//! Rules for everything below [`child_main`]:
//! - only raw system calls: a libc wrapper would write the `errno` of the thread that cloned;
//! - no allocation, formatting, panic, lock, or destructor: the heap and its locks are the parent's, whose
//!   threads go on running;
//! - all memory was made by the parent before; it is read, and only [`Context::failure`] is written;
//! - it leaves by `execveat` or `exit_group` and never returns.
//!
//! The child has its own descriptor table and signal handlers: changing them is nothing to the parent. All
//! signals are blocked around the clone, so no handler of the parent runs in the child.
//! Sources: clone(2), vfork(2), execveat(2), close_range(2), signal(7); the Linux system call ABI.

#![allow(unsafe_code)]

use std::ffi::{c_char, CStr, CString};
use std::io;
use std::mem::size_of;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

mod arch;
mod files;
mod stack;

use stack::{Stack, STACK_SIZE};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Highest signal number plus one.
const SIGNAL_COUNT: usize = 65;
/// Bytes of the kernel's signal set.
const SIGSET_SIZE: usize = 8;

/// `struct clone_args`, its Linux 5.7 form.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stage {
    JoinCgroup = 1,
    Stdio,
    CloseOnExec,
    Exec,
}

impl Stage {
    fn from_number(number: u32) -> Option<Self> {
        [Self::JoinCgroup, Self::Stdio, Self::CloseOnExec, Self::Exec]
            .into_iter()
            .find(|stage| *stage as u32 == number)
    }

    pub(crate) fn call(self) -> &'static str {
        match self {
            Self::JoinCgroup => "join cgroup",
            Self::Stdio => "dup3 of stdio",
            Self::CloseOnExec => "close_range",
            Self::Exec => "execveat of kata-init",
        }
    }
}

/// Everything that the child needs, made before the clone.
#[derive(Debug)]
pub(crate) struct Context {
    /// What becomes 0, 1 and 2; each is its own target or above 2.
    pub(crate) stdio: [RawFd; 3],
    /// kata-init gets these, under the same numbers.
    pub(crate) inherited: Vec<RawFd>,
    /// Descriptors from 3 on that stay open for the workload.
    pub(crate) preserve_fds: RawFd,
    pub(crate) image_fd: RawFd,
    /// For a kernel without `CLONE_INTO_CGROUP`: the directory whose `cgroup.procs` is written; -1: none.
    pub(crate) late_cgroup_fd: RawFd,
    /// kata-init's one argument.
    pub(crate) argument: CString,
    pub(crate) use_close_range: bool,
    /// Stage and errno, set by the child before it gives up; 0: none.
    failure: AtomicU64,
}

impl Context {
    /// Descriptors have their final numbers; see the fields.
    pub(crate) fn new(
        stdio: [RawFd; 3],
        inherited: Vec<RawFd>,
        preserve_fds: RawFd,
        argument: CString,
    ) -> Self {
        Self {
            stdio,
            inherited,
            preserve_fds,
            image_fd: -1,
            late_cgroup_fd: -1,
            argument,
            use_close_range: true,
            failure: AtomicU64::new(0),
        }
    }

    /// What the child could not do, once it has left this memory.
    pub(crate) fn failure(&self) -> Option<(Stage, i32)> {
        let failure = self.failure.load(Ordering::Acquire);
        Some((Stage::from_number((failure >> 32) as u32)?, failure as u32 as i32))
    }
}

/// Which system call makes the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloneCall {
    Clone3 {
        /// A v2 group to be born in; -1: none.
        cgroup_fd: RawFd,
    },
    /// For kernels and filters without clone3.
    Clone,
}

/// Runs [`child_main`] in a new process; returns when that has executed the image or ended.
///
/// # Errors
/// The clone's errno.
pub(crate) fn clone_and_exec(call: CloneCall, flags: u64, context: &Context) -> io::Result<(i32, OwnedFd)> {
    let stack = Stack::new()?;
    let data: *const u8 = ptr::from_ref(context).cast();
    let mut pidfd: RawFd = -1;
    let flags = flags | (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;
    let mask = block_all_signals();
    let result = match call {
        CloneCall::Clone3 { cgroup_fd } => {
            let into_cgroup = if cgroup_fd >= 0 { CLONE_INTO_CGROUP } else { 0 };
            let arguments = CloneArgs {
                flags: flags | into_cgroup,
                pidfd: ptr::from_mut(&mut pidfd) as u64,
                exit_signal: libc::SIGCHLD as u64,
                stack: stack.bottom() as u64,
                stack_size: STACK_SIZE as u64,
                cgroup: u64::try_from(cgroup_fd).unwrap_or(0),
                ..CloneArgs::default()
            };
            // Without a group the first form does, which Linux 5.3 knows.
            let size = if cgroup_fd >= 0 { size_of::<CloneArgs>() } else { 64 };
            // SAFETY: `arguments` describes a private stack that outlives the child's use of it, because
            // CLONE_VFORK holds us here until the child has left this memory; `context` lives as long.
            unsafe { arch::clone3(&arguments, size, data) }
        }
        CloneCall::Clone => {
            let top = stack.bottom() as usize + STACK_SIZE;
            let flags = flags as usize | libc::SIGCHLD as usize;
            // SAFETY: as above; `pidfd` takes the number that CLONE_PIDFD stores.
            unsafe { arch::clone(flags, top, &mut pidfd, data) }
        }
    };
    restore_signals(mask);
    stack.keep();
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor there, which nothing else owns.
    Ok((result as i32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Blocks every signal, also those that libc keeps for itself; gives the mask before.
fn block_all_signals() -> u64 {
    let all = u64::MAX;
    let mut old = 0_u64;
    let arguments = [
        libc::SIG_SETMASK as usize,
        ptr::from_ref(&all) as usize,
        ptr::from_mut(&mut old) as usize,
        SIGSET_SIZE,
        0,
    ];
    // SAFETY: the kernel reads 8 bytes at `all` and writes 8 at `old`; both live through the call.
    unsafe { arch::syscall(libc::SYS_rt_sigprocmask, arguments) };
    old
}

fn restore_signals(mask: u64) {
    let arguments = [libc::SIG_SETMASK as usize, ptr::from_ref(&mask) as usize, 0, SIGSET_SIZE, 0];
    // SAFETY: the kernel reads 8 bytes at `mask`, which lives through the call; null old mask is allowed.
    unsafe { arch::syscall(libc::SYS_rt_sigprocmask, arguments) };
}

/// Where the child begins, on its own stack.
///
/// # Safety
/// `data` is a [`Context`] that lives until the child has left this memory.
unsafe extern "C" fn child_main(data: *const u8) -> ! {
    // SAFETY: the caller's promise.
    let context = unsafe { &*data.cast::<Context>() };
    let (stage, errno) = run(context);
    context.failure.store(u64::from(stage as u32) << 32 | u64::from(errno as u32), Ordering::Release);
    loop {
        // SAFETY: ends this process; no memory is passed.
        unsafe { arch::syscall(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
    }
}

/// Everything up to `execveat`; returns only what failed.
fn run(context: &Context) -> (Stage, i32) {
    if let Err(errno) = join_cgroup(context.late_cgroup_fd) {
        return (Stage::JoinCgroup, errno);
    }
    if let Err(errno) = files::place_stdio(&context.stdio) {
        return (Stage::Stdio, errno);
    }
    if let Err(errno) = files::close_others_on_exec(context.use_close_range) {
        return (Stage::CloseOnExec, errno);
    }
    files::keep_open(context);
    reset_signals();
    (Stage::Exec, execute(context))
}

fn join_cgroup(directory: RawFd) -> Result<(), i32> {
    if directory < 0 {
        return Ok(());
    }
    let name = c"cgroup.procs";
    let flags = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
    // SAFETY: a constant C string.
    let fd = unsafe { call(libc::SYS_openat, [directory as usize, name.as_ptr() as usize, flags, 0, 0]) }?;
    let zero = b"0";
    // SAFETY: one constant byte is read. The descriptor closes on exec.
    unsafe { call(libc::SYS_write, [fd, zero.as_ptr() as usize, 1, 0, 0]) }.map(drop)
}

/// Default handlers (also for what the parent ignores) and an empty mask.
fn reset_signals() {
    // struct sigaction of the kernel, all zero: SIG_DFL, no flags, empty mask.
    let default = [0_u64; 4];
    let mut signal = 1;
    while signal < SIGNAL_COUNT {
        let arguments = [signal, default.as_ptr() as usize, 0, SIGSET_SIZE, 0];
        // SAFETY: the kernel reads at most 32 bytes at `default`. SIGKILL and SIGSTOP refuse, as they may.
        let _ = unsafe { call(libc::SYS_rt_sigaction, arguments) };
        signal += 1;
    }
    restore_signals(0);
}

fn execute(context: &Context) -> i32 {
    let empty: &CStr = c"";
    let argv: [*const c_char; 3] = [c"kata-init".as_ptr(), context.argument.as_ptr(), ptr::null()];
    let environment: [*const c_char; 1] = [ptr::null()];
    let arguments = [
        context.image_fd as usize,
        empty.as_ptr() as usize,
        argv.as_ptr() as usize,
        environment.as_ptr() as usize,
        libc::AT_EMPTY_PATH as usize,
    ];
    // SAFETY: constant C strings, and two null-terminated arrays of C strings, made here or by the parent and
    // alive until the image is replaced.
    match unsafe { call(libc::SYS_execveat, arguments) } {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

/// A system call whose errno comes back as a value.
///
/// # Safety
/// What the system call asks of its arguments.
unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<usize, i32> {
    // SAFETY: passed on.
    let result = unsafe { arch::syscall(number, arguments) };
    if (-4095..0).contains(&result) {
        Err(-result as i32)
    } else {
        Ok(result as usize)
    }
}
