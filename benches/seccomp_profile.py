"""The filter that docker gives a container by default, as an OCI profile for this machine's architecture.

What is not named fails with EPERM. Resolved for docker's default capabilities (so ``chroot`` is allowed, and
neither mount, module nor clock calls are), for x86-64 and arm64, on Linux 4.8 or newer. Names that a
runtime's library is too old to know are skipped by all runtimes alike.

Source: Docker documentation, "Seccomp security profiles for Docker", and the profile that it describes.
"""

from __future__ import annotations

import errno
import platform
from typing import Final

from kata_hybrid.oci.config import Seccomp, Syscall, SyscallArg


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FILES: Final = _names("""
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchown fchown32 fchownat fcntl fcntl64
fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr ioctl lchown lchown32 lgetxattr
link linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod
mknodat name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir
sendfile sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync
sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64
utimes vmsplice write writev chroot
""")
EVENTS: Final = _names("""
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit io_uring_enter
io_uring_register io_uring_setup _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select
signalfd signalfd4 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
""")
MEMORY: Final = _names("""
brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
""")
PROCESSES: Final = _names("""
capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid
getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid
getresuid32 getrlimit get_robust_list getrusage getsid get_thread_area gettid getuid getuid32 ioprio_get
ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open
pidfd_send_signal prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam
sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
seccomp setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority
setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
set_robust_list setsid set_thread_area set_tid_address setuid setuid32 sigaltstack sigprocmask sigreturn
tgkill tkill ugetrlimit vfork wait4 waitid waitpid
""")
TIME: Final = _names("""
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
times
""")
TALK: Final = _names("""
accept accept4 bind connect futex futex_time64 futex_waitv getpeername getsockname getsockopt ipc listen
mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
mq_unlink msgctl msgget msgrcv msgsnd recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop
semtimedop semtimedop_time64 send sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown
socketcall socketpair
""")
MACHINE: Final = ("getrandom", "sysinfo", "uname")

NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEW: NS, CGROUP, UTS, IPC, USER, PID, NET
AF_VSOCK: Final = 40
PERSONALITIES: Final = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # Linux, 32 bits, UNAME26, both, query
ALLOW: Final = "SCMP_ACT_ALLOW"
FAIL: Final = "SCMP_ACT_ERRNO"

_ARCHITECTURES = {
    "x86_64": (("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"), ("arch_prctl", "modify_ldt")),
    "aarch64": (
        ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
        (
            "arm_fadvise64_64",
            "arm_sync_file_range",
            "sync_file_range2",
            "breakpoint",
            "cacheflush",
            "set_tls",
        ),
    ),
}


def docker_profile() -> Seccomp:
    """The profile for this machine.

    Raises:
        KeyError: an architecture that no table here knows.
    """
    architectures, more = _ARCHITECTURES[platform.machine()]
    always = (*FILES, *EVENTS, *MEMORY, *PROCESSES, *TIME, *TALK, *MACHINE, *more)
    return Seccomp(
        default_action=FAIL,
        default_errno_ret=errno.EPERM,
        architectures=architectures,
        syscalls=(
            Syscall(tuple(sorted(always)), ALLOW),
            Syscall(("socket",), ALLOW, args=(SyscallArg(0, AF_VSOCK, "SCMP_CMP_NE"),)),
            *(
                Syscall(("personality",), ALLOW, args=(SyscallArg(0, value, "SCMP_CMP_EQ"),))
                for value in PERSONALITIES
            ),
            Syscall(("clone",), ALLOW, args=(SyscallArg(0, NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ", 0),)),
            # Its flags are in memory, where a filter cannot look; ENOSYS makes libc fall back to clone.
            Syscall(("clone3",), FAIL, errno_ret=errno.ENOSYS),
        ),
    )
