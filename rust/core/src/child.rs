//! The lines between clone3 and execveat, and the way there and back.
//!
//! The child shares the parent's memory (`CLONE_VM`) while the calling thread is stopped (`CLONE_VFORK`).
//! Rules for everything below [`child_main`]:
//! - only raw system calls: a libc wrapper would write the parent's `errno`;
//! - no allocation, formatting, panic, lock, or destructor: the heap and its locks are the parent's, whose
//!   other threads go on running;
//! - all memory was made by the parent before; it is read, and only [`Context::failure`] is written;
//! - it leaves by `execveat` or `exit_group` and never returns.
//!
//! The child has its own descriptor table and signal handlers: changing them is nothing to the parent. All
//! signals are blocked around the clone, so no handler of the parent runs on the shared memory.
//! Sources: clone(2), vfork(2), execveat(2), close_range(2), signal(7); the Linux system call ABI.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_char, CStr};
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::mm::{mmap_anonymous, mprotect, munmap, MapFlags, MprotectFlags, ProtFlags};

/// What the child does with its stack is a few system calls: this is ample.
const STACK_SIZE: usize = 32 * 1024;
/// Below the stack, to make an overflow a fault.
const GUARD_SIZE: usize = 64 * 1024;

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const CLOSE_RANGE_CLOEXEC: usize = 1 << 2;
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
pub(crate) enum Stage {
    JoinCgroup,
    Stdio,
    CloseOnExec,
    Exec,
}

impl Stage {
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
pub(crate) struct Context<'a> {
    /// What becomes 0, 1 and 2; each is its own target or above 2.
    pub(crate) stdio: [RawFd; 3],
    /// kata-init gets these, under the same numbers.
    pub(crate) inherited: &'a [RawFd],
    /// Descriptors from 3 on that stay open for the workload.
    pub(crate) preserve_fds: RawFd,
    pub(crate) image_fd: RawFd,
    /// For a kernel without `CLONE_INTO_CGROUP`: the directory whose `cgroup.procs` is written; -1: none.
    pub(crate) late_cgroup_fd: RawFd,
    pub(crate) argv: &'a [*const c_char],
    pub(crate) use_close_range: bool,
    /// Set by the child before it gives up.
    pub(crate) failure: Cell<Option<(Stage, i32)>>,
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
pub(crate) fn clone_and_exec(
    call: CloneCall,
    flags: u64,
    context: &Context<'_>,
) -> io::Result<(i32, OwnedFd)> {
    let stack = Stack::new()?;
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
            unsafe { arch::clone3(&arguments, size, ptr::from_ref(context).cast()) }
        }
        CloneCall::Clone => {
            let top = stack.bottom() as usize + STACK_SIZE;
            let flags = flags as usize | libc::SIGCHLD as usize;
            // SAFETY: as above; `pidfd` takes the number that CLONE_PIDFD stores.
            unsafe { arch::clone(flags, top, &mut pidfd, ptr::from_ref(context).cast()) }
        }
    };
    restore_signals(mask);
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor there, which nothing else owns.
    Ok((result as i32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// A private mapping with a guard below.
struct Stack {
    base: *mut std::ffi::c_void,
}

impl Stack {
    fn new() -> io::Result<Self> {
        let size = GUARD_SIZE + STACK_SIZE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new anonymous mapping wherever the kernel likes; it replaces nothing.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), size, access, flags) }?;
        let stack = Self { base };
        // SAFETY: the lower part of our own mapping, which nothing points into.
        unsafe { mprotect(base, GUARD_SIZE, MprotectFlags::empty()) }?;
        Ok(stack)
    }

    fn bottom(&self) -> *mut std::ffi::c_void {
        self.base.wrapping_byte_add(GUARD_SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own whole mapping; the child has left it, as clone_and_exec has returned. A failure
        // would leak 96 kB of address space and can only come from wrong arguments.
        let _ = unsafe { munmap(self.base, GUARD_SIZE + STACK_SIZE) };
    }
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
/// `data` is a [`Context`] of the stopped parent thread.
unsafe extern "C" fn child_main(data: *const u8) -> ! {
    // SAFETY: the caller's promise; the parent's thread stands still until we are gone.
    let context = unsafe { &*data.cast::<Context<'_>>() };
    let (stage, errno) = run(context);
    context.failure.set(Some((stage, errno)));
    loop {
        // SAFETY: ends this process; no memory is passed.
        unsafe { arch::syscall(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
    }
}

/// Everything up to `execveat`; returns only what failed.
fn run(context: &Context<'_>) -> (Stage, i32) {
    if let Err(errno) = join_cgroup(context.late_cgroup_fd) {
        return (Stage::JoinCgroup, errno);
    }
    if let Err(errno) = place_stdio(&context.stdio) {
        return (Stage::Stdio, errno);
    }
    if let Err(errno) = close_others_on_exec(context.use_close_range) {
        return (Stage::CloseOnExec, errno);
    }
    keep_open(context);
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

fn place_stdio(sources: &[RawFd; 3]) -> Result<(), i32> {
    for (target, &source) in sources.iter().enumerate() {
        if source as usize == target {
            set_descriptor_flags(target, 0)?;
        } else {
            // SAFETY: integers only.
            unsafe { call(libc::SYS_dup3, [source as usize, target, 0, 0, 0]) }?;
        }
    }
    Ok(())
}

/// Nothing of the parent's gets into the container, whatever it was opened with.
fn close_others_on_exec(use_close_range: bool) -> Result<(), i32> {
    if use_close_range {
        let arguments = [3, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0];
        // SAFETY: integers only.
        match unsafe { call(libc::SYS_close_range, arguments) } {
            // ENOSYS before Linux 5.9, EINVAL before 5.11, EPERM under an old outer filter.
            Err(libc::ENOSYS | libc::EINVAL | libc::EPERM) => {}
            done => return done.map(drop),
        }
    }
    mark_listed()
}

/// Marks what `/proc/self/fd` lists; without /proc, every number up to a limit.
fn mark_listed() -> Result<(), i32> {
    let path = c"/proc/self/fd";
    let flags = (libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC) as usize;
    let arguments = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, 0, 0];
    // SAFETY: a constant C string.
    let Ok(directory) = (unsafe { call(libc::SYS_openat, arguments) }) else {
        for number in 3..65536 {
            let _ = set_descriptor_flags(number, libc::FD_CLOEXEC as usize);
        }
        return Ok(());
    };
    let mut entries = [0_u64; 256];
    loop {
        let (buffer, size) = (entries.as_mut_ptr() as usize, size_of_val(&entries));
        // SAFETY: the kernel writes at most `size` bytes to `entries`.
        let length = unsafe { call(libc::SYS_getdents64, [directory, buffer, size, 0, 0]) }?;
        if length == 0 {
            return Ok(());
        }
        mark_entries(entries.as_ptr().cast(), length);
    }
}

/// Walks one buffer of `struct linux_dirent64`: u64 inode, i64 offset, u16 length, u8 type, name.
fn mark_entries(buffer: *const u8, length: usize) {
    let mut at = 0;
    while at + 19 < length {
        let entry = buffer.wrapping_add(at);
        // SAFETY: `at + 19 < length`: the fixed part lies in the buffer that the kernel filled.
        let size = unsafe { entry.wrapping_add(16).cast::<u16>().read_unaligned() };
        let mut number = 0_usize;
        let mut place = 19;
        let mut is_number = false;
        while at + place < length {
            // SAFETY: in the buffer, as just checked; the name ends with a NUL.
            let byte = unsafe { *entry.wrapping_add(place) };
            if !byte.is_ascii_digit() {
                break;
            }
            is_number = true;
            number = number.wrapping_mul(10).wrapping_add(usize::from(byte - b'0'));
            place += 1;
        }
        if is_number && number > 2 {
            let _ = set_descriptor_flags(number, libc::FD_CLOEXEC as usize);
        }
        if size == 0 {
            return;
        }
        at += usize::from(size);
    }
}

/// What kata-init and the workload are given. Numbers that are not open are nobody's loss.
fn keep_open(context: &Context<'_>) {
    let mut number = 3;
    while number < context.preserve_fds.saturating_add(3) {
        if number != context.image_fd {
            let _ = set_descriptor_flags(number as usize, 0);
        }
        number += 1;
    }
    for &fd in context.inherited {
        let _ = set_descriptor_flags(fd as usize, 0);
    }
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

fn execute(context: &Context<'_>) -> i32 {
    let empty: &CStr = c"";
    let environment: [*const c_char; 1] = [ptr::null()];
    let arguments = [
        context.image_fd as usize,
        empty.as_ptr() as usize,
        context.argv.as_ptr() as usize,
        environment.as_ptr() as usize,
        libc::AT_EMPTY_PATH as usize,
    ];
    // SAFETY: a constant C string and two null-terminated arrays of C strings, made by the parent (or here)
    // and alive until the image is replaced.
    match unsafe { call(libc::SYS_execveat, arguments) } {
        Ok(_) => 0,
        Err(errno) => errno,
    }
}

fn set_descriptor_flags(fd: usize, flags: usize) -> Result<usize, i32> {
    // SAFETY: integers only.
    unsafe { call(libc::SYS_fcntl, [fd, libc::F_SETFD as usize, flags, 0, 0]) }
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

#[cfg(target_arch = "x86_64")]
mod arch {
    use super::{child_main, CloneArgs};
    use std::arch::asm;
    use std::os::fd::RawFd;

    /// # Safety
    /// What the system call asks of its arguments.
    pub(super) unsafe fn syscall(number: libc::c_long, arguments: [usize; 5]) -> isize {
        let [a, b, c, d, e] = arguments;
        let result: isize;
        // SAFETY: the x86-64 system call ABI: number and result in rax, rcx and r11 are clobbered.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number as isize => result,
                in("rdi") a,
                in("rsi") b,
                in("rdx") c,
                in("r10") d,
                in("r8") e,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    /// # Safety
    /// `arguments` names a stack of the child's own and CLONE_VM|CLONE_VFORK; `data` is for [`child_main`].
    pub(super) unsafe fn clone3(arguments: &CloneArgs, size: usize, data: *const u8) -> isize {
        let result: isize;
        // SAFETY: in the parent only rax, rcx and r11 change. The child starts on an empty aligned stack with
        // our registers, and never comes back.
        unsafe {
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r13",
                "call r12",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone3 as isize => result,
                in("rdi") std::ptr::from_ref(arguments),
                in("rsi") size,
                in("r12") child_main as *const (),
                in("r13") data,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        result
    }

    /// # Safety
    /// As for [`clone3`]; `stack_top` is 16-aligned.
    pub(super) unsafe fn clone(flags: usize, stack_top: usize, pidfd: &mut RawFd, data: *const u8) -> isize {
        let result: isize;
        // SAFETY: as above. With CLONE_PIDFD the kernel stores one int at rdx.
        unsafe {
            asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "xor ebp, ebp",
                "mov rdi, r13",
                "call r12",
                "ud2",
                "2:",
                inlateout("rax") libc::SYS_clone as isize => result,
                in("rdi") flags,
                in("rsi") stack_top,
                in("rdx") std::ptr::from_mut(pidfd),
                in("r10") 0,
                in("r8") 0,
                in("r12") child_main as *const (),
                in("r13") data,
                lateout("rcx") _,
                lateout("r11") _,
            );
        }
        result
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use super::{child_main, CloneArgs};
    use std::arch::asm;
    use std::os::fd::RawFd;

    /// # Safety
    /// What the system call asks of its arguments.
    pub(super) unsafe fn syscall(number: libc::c_long, arguments: [usize; 5]) -> isize {
        let [a, b, c, d, e] = arguments;
        let result: isize;
        // SAFETY: the arm64 system call ABI: number in x8, result in x0, all else is kept.
        unsafe {
            asm!(
                "svc #0",
                in("x8") number,
                inlateout("x0") a as isize => result,
                in("x1") b,
                in("x2") c,
                in("x3") d,
                in("x4") e,
                options(nostack),
            );
        }
        result
    }

    /// # Safety
    /// `arguments` names a stack of the child's own and CLONE_VM|CLONE_VFORK; `data` is for [`child_main`].
    pub(super) unsafe fn clone3(arguments: &CloneArgs, size: usize, data: *const u8) -> isize {
        let result: isize;
        // SAFETY: in the parent only x0 changes. The child starts on an empty aligned stack with our
        // registers, and never comes back.
        unsafe {
            asm!(
                "svc #0",
                "cbnz x0, 2f",
                "mov x29, xzr",
                "mov x30, xzr",
                "mov x0, x21",
                "blr x20",
                "brk #1",
                "2:",
                in("x8") libc::SYS_clone3,
                inlateout("x0") std::ptr::from_ref(arguments) as isize => result,
                in("x1") size,
                in("x20") child_main as *const (),
                in("x21") data,
                // Only the child writes it; the parent's stays.
                lateout("x30") _,
            );
        }
        result
    }

    /// # Safety
    /// As for [`clone3`]; `stack_top` is 16-aligned.
    pub(super) unsafe fn clone(flags: usize, stack_top: usize, pidfd: &mut RawFd, data: *const u8) -> isize {
        let result: isize;
        // SAFETY: as above. With CLONE_PIDFD the kernel stores one int at x2.
        unsafe {
            asm!(
                "svc #0",
                "cbnz x0, 2f",
                "mov x29, xzr",
                "mov x30, xzr",
                "mov x0, x21",
                "blr x20",
                "brk #1",
                "2:",
                in("x8") libc::SYS_clone,
                inlateout("x0") flags as isize => result,
                in("x1") stack_top,
                in("x2") std::ptr::from_mut(pidfd),
                in("x3") 0,
                in("x4") 0,
                in("x20") child_main as *const (),
                in("x21") data,
                lateout("x30") _,
            );
        }
        result
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("kata_hybrid runs on x86_64 and aarch64");
