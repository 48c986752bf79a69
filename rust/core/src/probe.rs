//! What this kernel has, asked by the system call itself and without an effect.
#![forbid(unsafe_code)]

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, CWD};
use rustix::io::Errno;
use rustix::process;

/// Feature and whether it is there. Each entry has a fallback or a clear refusal somewhere in this package.
#[must_use]
pub fn probe() -> Vec<(&'static str, bool)> {
    let openat2 = fs::openat2(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT);
    let pidfd = process::pidfd_open(process::getpid(), process::PidfdFlags::empty());
    let memfd = fs::memfd_create("probe", fs::MemfdFlags::CLOEXEC | fs::MemfdFlags::ALLOW_SEALING);
    let sealed = memfd.is_ok_and(|fd| fs::fcntl_add_seals(&fd, fs::SealFlags::SHRINK).is_ok());
    let mounts = fs::accessat(CWD, "/proc/self/mountinfo", fs::Access::READ_OK, AtFlags::empty());
    vec![
        ("openat2", openat2.is_ok()),
        ("pidfd_open", pidfd.is_ok()),
        ("memfd_sealing", sealed),
        ("mountinfo", mounts.is_ok()),
        ("cgroup_namespace", exists("/proc/self/ns/cgroup")),
        ("time_namespace", exists("/proc/self/ns/time")),
        ("user_namespace", exists("/proc/self/ns/user")),
        ("seccomp_filter", exists("/proc/sys/kernel/seccomp/actions_avail")),
    ]
}

fn exists(path: &str) -> bool {
    fs::accessat(CWD, path, fs::Access::EXISTS, AtFlags::empty()) != Err(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_named_once() {
        let names: std::collections::BTreeSet<_> = probe().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), probe().len());
    }
}
