//! The child's descriptors, under the rules of the parent module. Sources: close_range(2), proc_pid_fd(5).

use std::mem::size_of_val;
use std::os::fd::RawFd;

use super::{call, Context};

const CLOSE_RANGE_CLOEXEC: usize = 1 << 2;

pub(super) fn place_stdio(sources: &[RawFd; 3]) -> Result<(), i32> {
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
pub(super) fn close_others_on_exec(use_close_range: bool) -> Result<(), i32> {
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
pub(super) fn keep_open(context: &Context) {
    let mut number = 3;
    while number < context.preserve_fds.saturating_add(3) {
        if number != context.image_fd {
            let _ = set_descriptor_flags(number as usize, 0);
        }
        number += 1;
    }
    for &fd in &context.inherited {
        let _ = set_descriptor_flags(fd as usize, 0);
    }
}

fn set_descriptor_flags(fd: usize, flags: usize) -> Result<usize, i32> {
    // SAFETY: integers only.
    unsafe { call(libc::SYS_fcntl, [fd, libc::F_SETFD as usize, flags, 0, 0]) }
}
