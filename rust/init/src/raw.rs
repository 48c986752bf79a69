//! Every system call of kata-init, as safe functions over C strings, slices and descriptors.
//!
//! `unsafe` is allowed here and in `start.rs` only. Invariants: pointers handed to the kernel come from live
//! borrows or locals and outlive the call; lengths are those of the borrow; nothing here is kept by the kernel
//! after the call but file descriptors and the seccomp filter, which it copies. EINTR is retried here.
#![allow(unsafe_code)]

use core::ffi::CStr;
use core::mem::{size_of, size_of_val};
use core::ptr;

use crate::nr;

/// An errno value.
pub(crate) type Errno = i32;

pub(crate) const EPERM: Errno = 1;
pub(crate) const ENOENT: Errno = 2;
const EINTR: Errno = 4;
pub(crate) const EAGAIN: Errno = 11;
pub(crate) const EACCES: Errno = 13;
pub(crate) const EEXIST: Errno = 17;
pub(crate) const ENOTDIR: Errno = 20;
pub(crate) const EISDIR: Errno = 21;
pub(crate) const EINVAL: Errno = 22;
pub(crate) const EFBIG: Errno = 27;
pub(crate) const EROFS: Errno = 30;
pub(crate) const ENAMETOOLONG: Errno = 36;
pub(crate) const ENOSYS: Errno = 38;
pub(crate) const ELOOP: Errno = 40;
pub(crate) const ETIMEDOUT: Errno = 110;
pub(crate) const ECANCELED: Errno = 125;

pub(crate) const AT_FDCWD: i32 = -100;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
pub(crate) const AT_RECURSIVE: u32 = 0x8000;
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(crate) const O_WRONLY: u32 = 1;
pub(crate) const O_RDWR: u32 = 2;
pub(crate) const O_CREAT: u32 = 0o100;
pub(crate) const O_EXCL: u32 = 0o200;
pub(crate) const O_NOCTTY: u32 = 0o400;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: u32 = 0o200_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: u32 = 0o40_000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: u32 = 0o400_000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: u32 = 0o100_000;
pub(crate) const O_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const O_PATH: u32 = 0o10_000_000;

/// A descriptor that is closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(i32);

impl Fd {
    pub(crate) fn raw(&self) -> i32 {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        close(self.0);
    }
}

#[cfg(target_arch = "x86_64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the wrappers below pass only pointers into live borrows; the kernel clobbers rcx and r11.
    unsafe {
        core::arch::asm!("syscall", inlateout("rax") number => result, in("rdi") a[0], in("rsi") a[1],
            in("rdx") a[2], in("r10") a[3], in("r8") a[4], in("r9") a[5], lateout("rcx") _, lateout("r11") _,
            options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
fn call(number: usize, a: [usize; 6]) -> isize {
    let result: isize;
    // SAFETY: the wrappers below pass only pointers into live borrows; svc keeps all other registers.
    unsafe {
        core::arch::asm!("svc 0", in("x8") number, inlateout("x0") a[0] => result, in("x1") a[1],
            in("x2") a[2], in("x3") a[3], in("x4") a[4], in("x5") a[5], options(nostack));
    }
    result
}

fn sys(number: usize, args: [usize; 6]) -> Result<usize, Errno> {
    loop {
        let result = call(number, args);
        if result >= 0 {
            return Ok(result.unsigned_abs());
        }
        let errno = i32::try_from(result.unsigned_abs()).unwrap_or(EINVAL);
        if errno != EINTR {
            return Err(errno);
        }
    }
}

/// A possibly negative number as a register.
fn int(value: i32) -> usize {
    value as isize as usize
}

fn cstr(text: &CStr) -> usize {
    text.as_ptr() as usize
}

fn opt(text: Option<&CStr>) -> usize {
    text.map_or(0, cstr)
}

fn addr<T: ?Sized>(value: &T) -> usize {
    ptr::from_ref(value).cast::<u8>() as usize
}

fn addr_mut<T: ?Sized>(value: &mut T) -> usize {
    ptr::from_mut(value).cast::<u8>() as usize
}

fn fd(result: usize) -> Fd {
    Fd(i32::try_from(result).unwrap_or(-1))
}

macro_rules! sys {
    ($number:ident $(, $arg:expr)* $(,)?) => {{
        let given = [$($arg),*];
        let mut args = [0_usize; 6];
        args[..given.len()].copy_from_slice(&given);
        sys(nr::$number, args)
    }};
}

pub(crate) fn close(fd: i32) {
    // The descriptor is gone whatever close reports, and nothing written through it is still pending.
    let _ = call(nr::CLOSE, [int(fd), 0, 0, 0, 0, 0]);
}

pub(crate) fn read(fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
    sys!(READ, int(fd), out.as_mut_ptr() as usize, out.len())
}

pub(crate) fn write(fd: i32, data: &[u8]) -> Result<usize, Errno> {
    sys!(WRITE, int(fd), data.as_ptr() as usize, data.len())
}

pub(crate) fn rewind(fd: i32) -> Result<(), Errno> {
    sys!(LSEEK, int(fd), 0, 0).map(drop)
}

/// Mark one descriptor close-on-exec.
pub(crate) fn set_cloexec(fd: i32) -> Result<(), Errno> {
    const F_SETFD: usize = 2;
    const FD_CLOEXEC: usize = 1;
    sys!(FCNTL, int(fd), F_SETFD, FD_CLOEXEC).map(drop)
}

/// One message; 0 is the end of the peer.
pub(crate) fn receive(fd: i32, out: &mut [u8]) -> Result<usize, Errno> {
    sys!(RECVFROM, int(fd), out.as_mut_ptr() as usize, out.len(), 0, 0, 0)
}

#[repr(C)]
struct IoVec {
    base: usize,
    len: usize,
}

#[repr(C)]
struct MsgHdr {
    name: usize,
    name_len: u32,
    iov: usize,
    iov_len: usize,
    control: usize,
    control_len: usize,
    flags: i32,
}

#[repr(C, align(8))]
struct FdMessage {
    len: usize,
    level: i32,
    kind: i32,
    fd: i32,
    pad: i32,
}

/// Send `data`, and `passed` along with it by SCM_RIGHTS when given.
pub(crate) fn send(socket: i32, data: &[u8], passed: Option<i32>) -> Result<(), Errno> {
    let iov = IoVec { base: data.as_ptr() as usize, len: data.len() };
    let rights = FdMessage { len: 20, level: 1, kind: 1, fd: passed.unwrap_or(-1), pad: 0 };
    let (control, control_len) =
        if passed.is_some() { (addr(&rights), size_of_val(&rights)) } else { (0, 0) };
    let header = MsgHdr { name: 0, name_len: 0, iov: addr(&iov), iov_len: 1, control, control_len, flags: 0 };
    const MSG_NOSIGNAL: usize = 0x4000;
    sys!(SENDMSG, int(socket), addr(&header), MSG_NOSIGNAL).map(drop)
}

pub(crate) fn openat(dir: i32, path: &CStr, flags: u32, mode: u32) -> Result<Fd, Errno> {
    sys!(OPENAT, int(dir), cstr(path), (flags | O_CLOEXEC) as usize, mode as usize).map(fd)
}

/// openat2(2) with `resolve` (RESOLVE_*).
pub(crate) fn openat2(dir: i32, path: &CStr, flags: u32, resolve: u64) -> Result<Fd, Errno> {
    let how = [u64::from(flags | O_CLOEXEC), 0, resolve];
    sys!(OPENAT2, int(dir), cstr(path), addr(&how), size_of_val(&how)).map(fd)
}

/// What statx(2) tells, as far as it is used here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// 0 before Linux 5.8.
    pub(crate) mount_id: u64,
    pub(crate) rdev: (u32, u32),
}

impl Stat {
    pub(crate) fn is_dir(&self) -> bool {
        self.mode & 0o170_000 == 0o40_000
    }

    pub(crate) fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }

    pub(crate) fn is_regular(&self) -> bool {
        self.mode & 0o170_000 == 0o100_000
    }

    pub(crate) fn is_null_device(&self) -> bool {
        self.mode & 0o170_000 == 0o20_000 && self.rdev == (1, 3)
    }
}

fn statx(dir: i32, path: &CStr, flags: u32) -> Result<Stat, Errno> {
    const BASIC_AND_MOUNT_ID: usize = 0x17ff;
    let mut out = [0_u64; 32];
    sys!(STATX, int(dir), cstr(path), flags as usize, BASIC_AND_MOUNT_ID, addr_mut(&mut out))?;
    // struct statx: uid at byte 20, gid at 24, mode (u16) at 28, ino at 32, rdev at 128 and 132, dev at 136,
    // mnt_id at 144.
    Ok(Stat {
        mode: (out[3] >> 32) as u32 & 0xffff,
        uid: (out[2] >> 32) as u32,
        gid: out[3] as u32,
        dev: out[17],
        ino: out[4],
        mount_id: out[18],
        rdev: (out[16] as u32, (out[16] >> 32) as u32),
    })
}

pub(crate) fn stat(path: &CStr) -> Result<Stat, Errno> {
    statx(AT_FDCWD, path, 0)
}

pub(crate) fn fstat(fd: i32) -> Result<Stat, Errno> {
    statx(fd, c"", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)
}

/// What `name` in `dir` is; a symlink is not followed.
pub(crate) fn stat_at(dir: i32, name: &CStr) -> Result<Stat, Errno> {
    statx(dir, name, AT_SYMLINK_NOFOLLOW)
}

/// Filesystem magic and ST_* flags.
pub(crate) fn fstatfs(fd: i32) -> Result<(u64, u64), Errno> {
    let mut out = [0_u64; 15];
    sys!(FSTATFS, int(fd), addr_mut(&mut out))?;
    Ok((out[0], out[10]))
}

pub(crate) fn mkdirat(dir: i32, path: &CStr, mode: u32) -> Result<(), Errno> {
    sys!(MKDIRAT, int(dir), cstr(path), mode as usize).map(drop)
}

pub(crate) fn mknodat(dir: i32, path: &CStr, mode: u32, major: u32, minor: u32) -> Result<(), Errno> {
    let dev = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    sys!(MKNODAT, int(dir), cstr(path), mode as usize, dev as usize).map(drop)
}

pub(crate) fn symlinkat(target: &CStr, dir: i32, path: &CStr) -> Result<(), Errno> {
    sys!(SYMLINKAT, cstr(target), int(dir), cstr(path)).map(drop)
}

pub(crate) fn unlinkat(dir: i32, path: &CStr) -> Result<(), Errno> {
    sys!(UNLINKAT, int(dir), cstr(path), 0).map(drop)
}

pub(crate) fn chmod(path: &CStr, mode: u32) -> Result<(), Errno> {
    sys!(FCHMODAT, int(AT_FDCWD), cstr(path), mode as usize).map(drop)
}

/// fchown(2) of an open file; `gid` -1 leaves the group.
pub(crate) fn fchown(fd: i32, uid: u32, gid: i32) -> Result<(), Errno> {
    sys!(FCHOWN, int(fd), uid as usize, int(gid)).map(drop)
}

/// fchownat(2) of what an O_PATH descriptor refers to.
pub(crate) fn fchownat_empty(fd: i32, uid: u32, gid: u32) -> Result<(), Errno> {
    let flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    sys!(FCHOWNAT, int(fd), cstr(c""), uid as usize, gid as usize, flags as usize).map(drop)
}

/// Whether the effective ids may execute `path`.
pub(crate) fn may_execute(path: &CStr) -> Result<(), Errno> {
    const X_OK: usize = 1;
    const AT_EACCESS: usize = 0x200;
    sys!(FACCESSAT2, int(AT_FDCWD), cstr(path), X_OK, AT_EACCESS).map(drop)
}

pub(crate) fn mount(
    source: Option<&CStr>,
    target: &CStr,
    fstype: Option<&CStr>,
    flags: u64,
    data: Option<&CStr>,
) -> Result<(), Errno> {
    sys!(MOUNT, opt(source), cstr(target), opt(fstype), flags as usize, opt(data)).map(drop)
}

pub(crate) fn umount_detach(path: &CStr) -> Result<(), Errno> {
    const MNT_DETACH: usize = 2;
    sys!(UMOUNT2, cstr(path), MNT_DETACH).map(drop)
}

/// open_tree(2) with OPEN_TREE_CLONE.
pub(crate) fn clone_tree(path: &CStr, recursive: bool) -> Result<Fd, Errno> {
    const OPEN_TREE_CLONE: u32 = 1;
    let flags = OPEN_TREE_CLONE | O_CLOEXEC | if recursive { AT_RECURSIVE } else { 0 };
    sys!(OPEN_TREE, int(AT_FDCWD), cstr(path), flags as usize).map(fd)
}

/// The same of what an O_PATH descriptor refers to.
pub(crate) fn clone_tree_of(fd_: i32, recursive: bool) -> Result<Fd, Errno> {
    const OPEN_TREE_CLONE: u32 = 1;
    let flags = OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    sys!(OPEN_TREE, int(fd_), cstr(c""), flags as usize).map(fd)
}

/// Attach a detached tree on the file that `target` refers to.
pub(crate) fn attach_tree(tree: i32, target: i32) -> Result<(), Errno> {
    const BOTH_EMPTY_PATHS: usize = 0x44;
    sys!(MOVE_MOUNT, int(tree), cstr(c""), int(target), cstr(c""), BOTH_EMPTY_PATHS).map(drop)
}

pub(crate) fn mount_setattr(mount: i32, set: u64, clear: u64, recursive: bool) -> Result<(), Errno> {
    let attr = [set, clear, 0, 0];
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    sys!(MOUNT_SETATTR, int(mount), cstr(c""), flags as usize, addr(&attr), size_of_val(&attr)).map(drop)
}

pub(crate) fn pivot_root(new: &CStr, old: &CStr) -> Result<(), Errno> {
    sys!(PIVOT_ROOT, cstr(new), cstr(old)).map(drop)
}

pub(crate) fn chroot(path: &CStr) -> Result<(), Errno> {
    sys!(CHROOT, cstr(path)).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    sys!(CHDIR, cstr(path)).map(drop)
}

pub(crate) fn fchdir(dir: i32) -> Result<(), Errno> {
    sys!(FCHDIR, int(dir)).map(drop)
}

/// Whether the working directory is reachable from the root.
pub(crate) fn cwd_is_reachable() -> Result<bool, Errno> {
    let mut path = [0_u8; 4096];
    sys!(GETCWD, addr_mut(&mut path), path.len())?;
    Ok(path[0] == b'/')
}

pub(crate) fn setns(fd: i32, flags: u64) -> Result<(), Errno> {
    sys!(SETNS, int(fd), flags as usize).map(drop)
}

pub(crate) fn unshare(flags: u64) -> Result<(), Errno> {
    sys!(UNSHARE, flags as usize).map(drop)
}

/// What a process is after `fork`.
pub(crate) enum Forked {
    Parent { pid: u32, pidfd: Fd },
    Child,
}

/// clone3(2) without shared memory: the caller goes on twice. `exit_signal` 0 with CLONE_PARENT.
pub(crate) fn fork(flags: u64, exit_signal: u64) -> Result<Forked, Errno> {
    const CLONE_PIDFD: u64 = 0x1000;
    let mut pidfd: i32 = -1;
    let pidfd_at = addr_mut(&mut pidfd) as u64;
    let args: [u64; 11] = [flags | CLONE_PIDFD, pidfd_at, 0, 0, exit_signal, 0, 0, 0, 0, 0, 0];
    let forked = match sys!(CLONE3, addr(&args), size_of_val(&args)) {
        // An outer seccomp filter cannot look into clone3's arguments and often hides it.
        Err(ENOSYS) => sys!(CLONE, (flags | CLONE_PIDFD | exit_signal) as usize, 0, pidfd_at as usize, 0, 0)?,
        other => other?,
    };
    match forked {
        0 => Ok(Forked::Child),
        pid => {
            // SAFETY: the kernel stored the new descriptor there; read it anew, for the call took its address as
            // a number and the compiler does not know that the local changed.
            let pidfd = unsafe { ptr::read_volatile(&raw const pidfd) };
            Ok(Forked::Parent { pid: u32::try_from(pid).unwrap_or(0), pidfd: Fd(pidfd) })
        }
    }
}

pub(crate) fn kill_by_pidfd(pidfd: i32) -> Result<(), Errno> {
    const SIGKILL: usize = 9;
    sys!(PIDFD_SEND_SIGNAL, int(pidfd), SIGKILL, 0, 0).map(drop)
}

/// Wait until `pidfd` is readable, at most `timeout_ms` (0: for ever); false is the time-out.
pub(crate) fn poll_exit(pidfd: i32, timeout_ms: i64) -> Result<bool, Errno> {
    const POLLIN: u64 = 1;
    let mut entry: u64 = u64::from(pidfd.unsigned_abs()) | POLLIN << 32;
    let time = [timeout_ms / 1000, timeout_ms % 1000 * 1_000_000];
    let limit = if timeout_ms > 0 { addr(&time) } else { 0 };
    sys!(PPOLL, addr_mut(&mut entry), 1, limit, 0, 8).map(|ready| ready > 0)
}

/// How a child ended: (exit status, signal).
pub(crate) fn wait_pidfd(pidfd: i32) -> Result<(i32, i32), Errno> {
    const P_PIDFD: usize = 3;
    const WEXITED: usize = 4;
    const CLD_EXITED: i32 = 1;
    let mut info = [0_i32; 32];
    sys!(WAITID, P_PIDFD, int(pidfd), addr_mut(&mut info), WEXITED, 0)?;
    // siginfo_t: si_code is the third int, si_status the seventh (after pid and uid).
    Ok(if info[2] == CLD_EXITED { (info[6], 0) } else { (0, info[6]) })
}

pub(crate) fn prctl(option: usize, a: usize, b: usize) -> Result<usize, Errno> {
    sys!(PRCTL, option, a, b, 0, 0)
}

pub(crate) fn set_name(name: &CStr) {
    const PR_SET_NAME: usize = 15;
    // A name is a courtesy to ps: not worth failing for.
    let _ = sys!(PRCTL, PR_SET_NAME, cstr(name));
}

pub(crate) fn setsid() -> Result<(), Errno> {
    sys!(SETSID).map(drop)
}

pub(crate) fn setresuid(uid: u32) -> Result<(), Errno> {
    sys!(SETRESUID, uid as usize, uid as usize, uid as usize).map(drop)
}

pub(crate) fn setresgid(gid: u32) -> Result<(), Errno> {
    sys!(SETRESGID, gid as usize, gid as usize, gid as usize).map(drop)
}

/// Packed little-endian u32 ids, as the kernel reads them on both architectures.
pub(crate) fn setgroups(packed: &[u8]) -> Result<(), Errno> {
    sys!(SETGROUPS, packed.len() / 4, packed.as_ptr() as usize).map(drop)
}

pub(crate) fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let low = |mask: u64| mask as u32;
    let high = |mask: u64| (mask >> 32) as u32;
    let data = [
        low(effective),
        low(permitted),
        low(inheritable),
        high(effective),
        high(permitted),
        high(inheritable),
    ];
    sys!(CAPSET, addr(&header), addr(&data)).map(drop)
}

pub(crate) fn set_rlimit(resource: i32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    sys!(PRLIMIT64, 0, int(resource), addr(&limit), 0).map(drop)
}

/// seccomp(SECCOMP_SET_MODE_FILTER); `bpf` is an array of struct sock_filter.
pub(crate) fn seccomp_filter(flags: u64, bpf: &[u8]) -> Result<(), Errno> {
    #[repr(C)]
    struct Program {
        len: u16,
        filter: usize,
    }
    const SET_MODE_FILTER: usize = 1;
    let len = u16::try_from(bpf.len() / 8).map_err(|_| EINVAL)?;
    let program = Program { len, filter: bpf.as_ptr() as usize };
    sys!(SECCOMP, SET_MODE_FILTER, flags as usize, addr(&program)).map(drop)
}

/// As our own pid namespace counts.
pub(crate) fn getpid() -> usize {
    sys!(GETPID).unwrap_or(0) // it cannot fail
}

/// Whether others may trace this process, and its user open what is in its `/proc` directory.
pub(crate) fn set_dumpable(on: bool) {
    const PR_SET_DUMPABLE: usize = 4;
    let _ = prctl(PR_SET_DUMPABLE, usize::from(on), 0); // it cannot fail for 0 and 1
}

pub(crate) fn umask(mask: u32) {
    let _ = call(nr::UMASK, [mask as usize, 0, 0, 0, 0, 0]); // it cannot fail
}

pub(crate) fn ioctl(fd: i32, request: usize, arg: usize) -> Result<usize, Errno> {
    sys!(IOCTL, int(fd), request, arg)
}

pub(crate) fn ioctl_with<T>(fd: i32, request: usize, arg: &mut T) -> Result<usize, Errno> {
    sys!(IOCTL, int(fd), request, addr_mut(arg))
}

/// TIOCGPTPEER: the slave of a pty master, without a path.
pub(crate) fn pty_peer(master: i32) -> Result<Fd, Errno> {
    ioctl(master, 0x5441, (O_RDWR | O_NOCTTY | O_CLOEXEC) as usize).map(fd)
}

pub(crate) fn datagram_socket() -> Result<Fd, Errno> {
    const AF_INET: usize = 2;
    const DGRAM_CLOEXEC: usize = 0o2_000_002;
    sys!(SOCKET, AF_INET, DGRAM_CLOEXEC, 0).map(fd)
}

pub(crate) fn sethostname(name: &CStr) -> Result<(), Errno> {
    sys!(SETHOSTNAME, cstr(name), name.count_bytes()).map(drop)
}

pub(crate) fn setdomainname(name: &CStr) -> Result<(), Errno> {
    sys!(SETDOMAINNAME, cstr(name), name.count_bytes()).map(drop)
}

/// Mark everything from `first` on close-on-exec.
pub(crate) fn cloexec_from(first: u32) -> Result<(), Errno> {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    sys!(CLOSE_RANGE, first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC).map(drop)
}

/// dup2 that does not mark the new descriptor close-on-exec.
pub(crate) fn dup_onto(from: i32, to: i32) -> Result<(), Errno> {
    sys!(DUP3, int(from), int(to), 0).map(drop)
}

/// The reading and the writing end of a pipe.
pub(crate) fn pipe() -> Result<(Fd, Fd), Errno> {
    let mut ends = [-1_i32; 2];
    sys!(PIPE2, addr_mut(&mut ends), O_CLOEXEC as usize)?;
    Ok((Fd(ends[0]), Fd(ends[1])))
}

/// An anonymous file for a hook's input or output.
pub(crate) fn memfd(name: &CStr) -> Result<Fd, Errno> {
    const MFD_CLOEXEC: usize = 1;
    const MFD_NOEXEC_SEAL: usize = 8;
    // vm.memfd_noexec=2 allows only files that cannot be executed; before Linux 6.3 there is no such flag.
    match sys!(MEMFD_CREATE, cstr(name), MFD_CLOEXEC | MFD_NOEXEC_SEAL) {
        Err(EINVAL) => sys!(MEMFD_CREATE, cstr(name), MFD_CLOEXEC).map(fd),
        other => other.map(fd),
    }
}

pub(crate) fn personality(domain: u64) -> Result<(), Errno> {
    sys!(PERSONALITY, domain as usize).map(drop)
}

pub(crate) fn set_io_priority(value: u64) -> Result<(), Errno> {
    const WHO_PROCESS: usize = 1;
    sys!(IOPRIO_SET, WHO_PROCESS, 0, value as usize).map(drop)
}

pub(crate) fn set_scheduler(attr: &[u8]) -> Result<(), Errno> {
    sys!(SCHED_SETATTR, 0, attr.as_ptr() as usize, 0).map(drop)
}

pub(crate) fn join_session_keyring(name: &CStr) -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: usize = 1;
    sys!(KEYCTL, JOIN_SESSION_KEYRING, cstr(name)).map(drop)
}

/// Private memory: of a file from its start, or anonymous when `file` is none. Never unmapped.
pub(crate) fn map(file: Option<i32>, len: usize) -> Result<&'static mut [u8], Errno> {
    const READ_WRITE: usize = 3;
    const MAP_PRIVATE: usize = 2;
    const MAP_ANONYMOUS: usize = 0x20;
    let flags = MAP_PRIVATE | if file.is_none() { MAP_ANONYMOUS } else { 0 };
    let at = sys!(MMAP, 0, len, READ_WRITE, flags, int(file.unwrap_or(-1)), 0)?;
    // SAFETY: a fresh private mapping of `len` bytes that nobody else refers to and that is never unmapped.
    Ok(unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) })
}

/// Length of an open file.
pub(crate) fn file_len(file: i32) -> Result<usize, Errno> {
    const SEEK_END: usize = 2;
    sys!(LSEEK, int(file), 0, SEEK_END)
}

/// Pointers of two lists that fit on the stack; more of them get memory of their own.
const FEW_POINTERS: usize = 256;

/// Replace this process. Returns only the reason why not.
pub(crate) fn execve<'a>(
    path: &CStr,
    args: impl Iterator<Item = &'a CStr>,
    arg_count: usize,
    env: impl Iterator<Item = &'a CStr>,
    env_count: usize,
) -> Errno {
    let exec = || {
        let mut few = [0_usize; FEW_POINTERS];
        let count = arg_count + env_count + 2;
        let pointers = if count <= few.len() { &mut few[..count] } else { map_words(count)? };
        // Two NULL-terminated arrays in zeroed memory.
        let (argv, envp) = pointers.split_at_mut(arg_count + 1);
        for (slot, text) in argv[..arg_count].iter_mut().zip(args) {
            *slot = cstr(text);
        }
        for (slot, text) in envp[..env_count].iter_mut().zip(env) {
            *slot = cstr(text);
        }
        sys!(EXECVE, cstr(path), addr(argv), addr(envp))
    };
    exec().err().unwrap_or(EINVAL)
}

/// Zeroed words. Never unmapped.
fn map_words(count: usize) -> Result<&'static mut [usize], Errno> {
    let bytes = map(None, count * size_of::<usize>())?;
    // SAFETY: every bit pattern is a number, and a mapping begins at a page, which is aligned for all of them.
    let (_, words, _) = unsafe { bytes.align_to_mut() };
    Ok(words)
}

pub(crate) fn exit(status: i32) -> ! {
    loop {
        let _ = call(nr::EXIT_GROUP, [int(status), 0, 0, 0, 0, 0]);
    }
}
