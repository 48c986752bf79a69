//! What this kernel has, asked by the system call itself and without an effect.
//!
//! Most calls get arguments that they refuse: which error comes back tells a call that is missing (`ENOSYS`)
//! or filtered (`EPERM`) from one that looked at its arguments. Nothing is mounted, forked or installed.

// The calls are not in rustix, or not with the arguments that are refused. Invariants here: every call fails
// before it changes anything; no pointer is passed but null and one to a live array that is only read.
#![allow(unsafe_code)]

use std::mem::size_of_val;

use libc::{c_long, syscall};
use rustix::fs::{self, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags, CWD};
use rustix::io::Errno;
use rustix::process;

/// As wide as a register, which a plain 0 need not be among variadic arguments.
const NULL: c_long = 0;
/// Any flag that exists or may ever, so that flags are what is refused.
const ALL_FLAGS: c_long = 0xffff_ffff;

/// Feature and whether it is there. Each entry has a fallback or a clear refusal somewhere in this package.
#[must_use]
pub fn probe() -> Vec<(&'static str, bool)> {
    vec![
        ("clone3", has_clone3()),
        ("clone_into_cgroup", has_clone_into_cgroup()),
        ("pidfd", process::pidfd_open(process::getpid(), process::PidfdFlags::empty()).is_ok()),
        ("openat2", has_openat2()),
        ("fsopen", has_fsopen()),
        ("open_tree", has_open_tree()),
        ("mount_setattr", has_mount_setattr()),
        ("close_range", has_close_range()),
        ("memfd_exec", has_memfd_exec()),
        ("memfd_sealing", has_memfd_sealing()),
        ("user_namespace", exists("/proc/self/ns/user")),
        ("cgroup_namespace", exists("/proc/self/ns/cgroup")),
        ("time_namespace", exists("/proc/self/ns/time")),
        ("seccomp_filter", has_seccomp_filter(0)),
        ("seccomp_spec_allow", has_seccomp_filter(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW as c_long)),
    ]
}

fn has_openat2() -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    fs::openat2(CWD, "/", flags, Mode::empty(), ResolveFlags::IN_ROOT).is_ok()
}

/// Linux 5.3. A size below that of the first version is refused.
fn has_clone3() -> bool {
    // SAFETY: with size 0 the kernel does not look at the null pointer.
    let result = unsafe { syscall(libc::SYS_clone3, NULL, NULL) };
    failed_with(result, &[Errno::INVAL])
}

/// Linux 5.7. Older kernels refuse the length of the arguments (`E2BIG`) before the impossible exit signal.
fn has_clone_into_cgroup() -> bool {
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
    // set_tid_size, cgroup.
    let mut arguments = [0_u64; 11];
    arguments[4] = u64::MAX;
    arguments[10] = 1;
    // SAFETY: the kernel reads the array, of which this is the size; the exit signal is refused before
    // there is a child.
    let result = unsafe { syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    failed_with(result, &[Errno::INVAL])
}

/// Linux 5.2. Without privilege it says `EPERM` before it looks at anything; in a user namespace it may work.
fn has_fsopen() -> bool {
    // SAFETY: flags that do not exist are refused; the null name would be an error, too.
    let result = unsafe { syscall(libc::SYS_fsopen, NULL, ALL_FLAGS) };
    failed_with(result, &[Errno::INVAL, Errno::FAULT, Errno::PERM])
}

/// Linux 5.2.
fn has_open_tree() -> bool {
    // SAFETY: flags that do not exist are refused; the null path would be an error, too.
    let result = unsafe { syscall(libc::SYS_open_tree, -1, NULL, ALL_FLAGS) };
    failed_with(result, &[Errno::INVAL])
}

/// Linux 5.12.
fn has_mount_setattr() -> bool {
    // SAFETY: flags that do not exist are refused; the null path and size 0 would be errors, too.
    let result = unsafe { syscall(libc::SYS_mount_setattr, -1, NULL, ALL_FLAGS, NULL, NULL) };
    failed_with(result, &[Errno::INVAL])
}

/// Linux 5.9; with the flag for close-on-exec 5.11.
fn has_close_range() -> bool {
    const CLOSE_RANGE_CLOEXEC: c_long = 4;
    // One number that no process can have open: `RLIMIT_NOFILE` stays far below.
    let unused = c_long::from(i32::MAX);
    // SAFETY: the range holds no open descriptor, and would only be marked.
    let result = unsafe { syscall(libc::SYS_close_range, unused, unused, CLOSE_RANGE_CLOEXEC) };
    result == 0
}

/// Whether a memfd may be executed: `vm.memfd_noexec` can forbid it (Linux 6.3); before, all could.
fn has_memfd_exec() -> bool {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match fs::memfd_create("probe", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => fs::memfd_create("probe", flags).is_ok(),
        answer => answer.is_ok(),
    }
}

fn has_memfd_sealing() -> bool {
    let memfd = fs::memfd_create("probe", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    memfd.is_ok_and(|fd| fs::fcntl_add_seals(&fd, SealFlags::SHRINK).is_ok())
}

/// Filters, with this flag. The program is a null pointer, which is refused after the flags.
fn has_seccomp_filter(flags: c_long) -> bool {
    // SAFETY: the kernel fails to read the program at the null pointer; no filter is installed.
    let result = unsafe { syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, NULL) };
    failed_with(result, &[Errno::FAULT])
}

/// Whether a call got as far as to say one of these.
fn failed_with(result: c_long, errors: &[Errno]) -> bool {
    let error = std::io::Error::last_os_error();
    result == -1 && errors.iter().any(|each| Some(each.raw_os_error()) == error.raw_os_error())
}

fn exists(path: &str) -> bool {
    fs::access(path, fs::Access::EXISTS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_named_once() {
        let names: std::collections::BTreeSet<_> = probe().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), probe().len());
    }

    #[test]
    fn a_new_kernel_has_what_came_before() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let major: u32 = release.split('.').next().and_then(|text| text.parse().ok()).unwrap();
        let found = probe();
        let has = |name: &str| found.iter().any(|(each, there)| *each == name && *there);
        if major >= 6 && has("clone3") {
            for name in ["pidfd", "openat2", "open_tree", "mount_setattr", "close_range", "clone_into_cgroup"]
            {
                assert!(has(name), "{name} on {release}");
            }
        }
    }

    #[test]
    fn a_call_that_does_not_exist_is_not_found() {
        // SAFETY: there is no call of this number.
        let result = unsafe { syscall(100_000, NULL, NULL) };
        assert!(!failed_with(result, &[Errno::INVAL, Errno::FAULT, Errno::PERM]));
    }
}
