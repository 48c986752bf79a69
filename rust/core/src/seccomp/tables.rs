//! Which number a syscall name has on which architecture.

#![forbid(unsafe_code)]

use std::str::FromStr;

use syscalls::{aarch64, arm, x86, x86_64};

/// Set in the number of every x32 call; the kernel reports them as x86_64.
pub(super) const X32_BIT: u32 = 0x4000_0000;
/// The first number of the calls that only ARM has; they lie far above the common ones.
pub(super) const ARM_PRIVATE: u32 = 0x000f_0000;

/// An instruction set together with its way of calling the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Abi {
    X86_64,
    X32,
    X86,
    Aarch64,
    Arm,
}

impl Abi {
    /// `AUDIT_ARCH_*`: the machine number of ELF, with bits for 64-bit and little endian.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether conditions compare all 64 bits.
    pub(super) fn is_64_bit(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// The number of a syscall as the kernel gives it to a filter.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let id = match self {
            Self::X86_64 => x86_64::Sysno::from_str(name).ok()?.id(),
            Self::X32 => return x32_number(name),
            Self::X86 => x86::Sysno::from_str(name).ok()?.id(),
            Self::Aarch64 => aarch64::Sysno::from_str(name).ok()?.id(),
            Self::Arm => match ARM_PRIVATE_CALLS.iter().find(|call| call.0 == name) {
                Some(call) => return Some(ARM_PRIVATE + call.1),
                None => arm::Sysno::from_str(name).ok()?.id(),
            },
        };
        u32::try_from(id).ok()
    }

    /// The call that also does the work of `name`, and the first argument that selects it.
    pub(super) fn multiplexed(self, name: &str) -> Option<(u32, u32)> {
        if self != Self::X86 {
            return None;
        }
        let (multiplexer, table): (_, &[(&str, u32)]) = if SOCKETCALL.iter().any(|call| call.0 == name) {
            ("socketcall", SOCKETCALL)
        } else {
            ("ipc", IPC)
        };
        let selector = table.iter().find(|call| call.0 == name)?.1;
        Some((self.number(multiplexer)?, selector))
    }
}

fn x32_number(name: &str) -> Option<u32> {
    if let Some(index) = X32_CALLS.iter().position(|call| *call == name) {
        return Some(X32_BIT | (X32_FIRST + u32::try_from(index).ok()?));
    }
    let id = x86_64::Sysno::from_str(name).ok()?.id();
    Some(X32_BIT | u32::try_from(id).ok()?)
}

/// Calls whose x32 form differs from the one of x86_64 are numbered from here on, in the order below.
const X32_FIRST: u32 = 512;

#[rustfmt::skip]
const X32_CALLS: [&str; 36] = [
    "rt_sigaction", "rt_sigreturn", "ioctl", "readv", "writev", "recvfrom", "sendmsg", "recvmsg", "execve",
    "ptrace", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "sigaltstack", "timer_create",
    "mq_notify", "kexec_load", "waitid", "set_robust_list", "get_robust_list", "vmsplice", "move_pages",
    "preadv", "pwritev", "rt_tgsigqueueinfo", "recvmmsg", "sendmmsg", "process_vm_readv",
    "process_vm_writev", "setsockopt", "getsockopt", "io_setup", "io_submit", "execveat", "preadv2",
    "pwritev2",
];

const ARM_PRIVATE_CALLS: [(&str, u32); 6] =
    [("breakpoint", 1), ("cacheflush", 2), ("usr26", 3), ("usr32", 4), ("set_tls", 5), ("get_tls", 6)];

/// Numbers of `include/uapi/linux/net.h`.
#[rustfmt::skip]
const SOCKETCALL: &[(&str, u32)] = &[
    ("socket", 1), ("bind", 2), ("connect", 3), ("listen", 4), ("accept", 5), ("getsockname", 6),
    ("getpeername", 7), ("socketpair", 8), ("send", 9), ("recv", 10), ("sendto", 11), ("recvfrom", 12),
    ("shutdown", 13), ("setsockopt", 14), ("getsockopt", 15), ("sendmsg", 16), ("recvmsg", 17),
    ("accept4", 18), ("recvmmsg", 19), ("sendmmsg", 20),
];

/// Numbers of `include/uapi/linux/ipc.h`.
#[rustfmt::skip]
const IPC: &[(&str, u32)] = &[
    ("semop", 1), ("semget", 2), ("semctl", 3), ("semtimedop", 4), ("msgsnd", 11), ("msgrcv", 12),
    ("msgget", 13), ("msgctl", 14), ("shmat", 21), ("shmdt", 22), ("shmget", 23), ("shmctl", 24),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel_headers() {
        for (abi, name, number) in [
            (Abi::X86_64, "read", Some(0)),
            (Abi::X86_64, "openat2", Some(437)),
            (Abi::X86_64, "socketcall", None),
            (Abi::X32, "read", Some(X32_BIT)),
            (Abi::X32, "execve", Some(X32_BIT | 520)),
            (Abi::X32, "pwritev2", Some(X32_BIT | 547)),
            (Abi::X86, "socketcall", Some(102)),
            (Abi::X86, "_llseek", Some(140)),
            (Abi::X86, "openat2", Some(437)),
            (Abi::Aarch64, "read", Some(63)),
            (Abi::Aarch64, "open", None),
            (Abi::Arm, "arm_fadvise64_64", Some(270)),
            (Abi::Arm, "set_tls", Some(0x000f_0005)),
            (Abi::Arm, "no_such_call", None),
        ] {
            assert_eq!(abi.number(name), number, "{name} on {abi:?}");
        }
    }

    #[test]
    fn sockets_and_sysv_ipc_of_x86_have_a_second_entrance() {
        assert_eq!(Abi::X86.multiplexed("socket"), Some((102, 1)));
        assert_eq!(Abi::X86.multiplexed("shmctl"), Some((117, 24)));
        assert_eq!(Abi::X86.multiplexed("read"), None);
        assert_eq!(Abi::X86_64.multiplexed("socket"), None);
        assert_eq!(Abi::Arm.multiplexed("socket"), None);
    }
}
