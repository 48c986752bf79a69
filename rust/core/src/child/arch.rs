//! The system call instruction, and the two clones after which a child begins in [`child_main`].

use super::{child_main, CloneArgs};
use std::arch::asm;
use std::os::fd::RawFd;

/// # Safety
/// What the system call asks of its arguments.
#[cfg(target_arch = "x86_64")]
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
/// `arguments` names a stack of the child's own and CLONE_VM; `data` is for [`child_main`].
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
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

/// # Safety
/// What the system call asks of its arguments.
#[cfg(target_arch = "aarch64")]
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
/// `arguments` names a stack of the child's own and CLONE_VM; `data` is for [`child_main`].
#[cfg(target_arch = "aarch64")]
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
#[cfg(target_arch = "aarch64")]
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

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("kata_hybrid runs on x86_64 and aarch64");
