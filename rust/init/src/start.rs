//! Entry without libc: the first instruction, the memory functions that the compiler calls, and panics.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::ffi::{c_char, CStr};

#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {entry}", "ud2",
    entry = sym entry);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x29, #0", "mov x30, #0", "mov x0, sp", "bl {entry}", "brk #1",
    entry = sym entry);

/// `stack` is what the kernel left there: argc, then the argv pointers.
extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: the kernel put argc and the argv pointers on the initial stack (execve(2), System V ABI).
    let argument = unsafe {
        if *stack > 1 {
            Some(CStr::from_ptr(*stack.add(2) as *const c_char))
        } else {
            None
        }
    };
    crate::launch(argument)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::raw::exit(134)
}

/// # Safety
/// As memcpy(3).
#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise of two valid, disjoint ranges of `len` bytes is all that a forward copy needs.
    unsafe { copy_forward(to, from, len) };
    to
}

/// # Safety
/// As memmove(3).
#[no_mangle]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: `to` is not inside the source's range, so a forward copy reads each byte before it is overwritten.
        unsafe { copy_forward(to, from, len) };
    } else {
        for index in (0..len).rev() {
            // SAFETY: both ranges are valid for `len` bytes; from the end, no byte is overwritten before it is read.
            unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
        }
    }
    to
}

/// # Safety
/// As memset(3).
#[no_mangle]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise of `len` writable bytes.
    unsafe { fill(to, byte as u8, len) };
    to
}

/// # Safety
/// As memcmp(3).
#[no_mangle]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    for index in 0..len {
        // SAFETY: the caller promises `len` readable bytes at both.
        let (a, b) = unsafe { (one.add(index).read_volatile(), other.add(index).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// # Safety
/// As bcmp(3).
#[no_mangle]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, len: usize) -> i32 {
    // SAFETY: the same promise as memcmp's.
    unsafe { memcmp(one, other, len) }
}

/// # Safety
/// As strlen(3).
#[no_mangle]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut len = 0;
    // SAFETY: the caller promises a NUL-terminated text.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}

/// # Safety
/// Both ranges valid for `len` bytes, `to` not inside the source's range.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as promised; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// Both ranges valid for `len` bytes, `to` not inside the source's range.
#[cfg(target_arch = "aarch64")]
unsafe fn copy_forward(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: as promised; a post-indexed byte copy that ends when the count is down to nothing.
    unsafe {
        asm!("cbz {n}, 2f", "1:", "ldrb {t:w}, [{s}], #1", "strb {t:w}, [{d}], #1", "subs {n}, {n}, #1",
            "b.ne 1b", "2:", n = inout(reg) len => _, s = inout(reg) from => _, d = inout(reg) to => _,
            t = out(reg) _, options(nostack));
    }
}

/// # Safety
/// `len` writable bytes.
#[cfg(target_arch = "x86_64")]
unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    // SAFETY: as promised; the direction flag is clear by the ABI.
    unsafe {
        asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") byte,
            options(nostack, preserves_flags));
    }
}

/// # Safety
/// `len` writable bytes.
#[cfg(target_arch = "aarch64")]
unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    let words = u64::from(byte) * 0x0101_0101_0101_0101;
    // SAFETY: as promised; words of eight while there are that many (normal memory may be unaligned), then bytes.
    unsafe {
        asm!("1:", "subs {n}, {n}, #8", "b.lo 2f", "str {w}, [{d}], #8", "b 1b", "2:", "adds {n}, {n}, #8",
            "b.eq 4f", "3:", "strb {w:w}, [{d}], #1", "subs {n}, {n}, #1", "b.ne 3b", "4:",
            n = inout(reg) len => _, d = inout(reg) to => _, w = in(reg) words, options(nostack));
    }
}
