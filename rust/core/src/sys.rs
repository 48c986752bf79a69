//! The system calls that rustix has no wrapper for, each as a small safe function.
//!
//! Invariants: memory handed to the kernel is borrowed for the whole call; descriptors that the kernel
//! returns are owned at once; errno is read directly after the failing call.
//! Sources: waitid(2), pidfd_open(2), pidfd_send_signal(2), memfd_create(2), fcntl(2), recvmsg(2), unix(7);
//! Linux `include/uapi/linux/{pidfd,fcntl,memfd}.h`.

#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, MaybeUninit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Linux 6.3: the memfd may be executed, whatever `vm.memfd_noexec` says below 2.
const MFD_EXEC: libc::c_uint = 0x10;
/// Linux 6.3: the executable bits are fixed.
const F_SEAL_EXEC: libc::c_int = 0x20;
/// `_IOWR(0xff, 11, struct pidfd_info)` with the structure's first size, Linux 6.13.
const PIDFD_GET_INFO: u64 = 0xc040_ff0b;
/// The exit status is asked for, or present. Linux 6.15.
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended: `(exit code, 0)` or `(0, signal)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    pub code: i32,
    pub signal: i32,
}

impl ExitStatus {
    /// The process was not our child and the kernel keeps no status of it.
    pub const UNKNOWN: Self = Self { code: -1, signal: -1 };

    /// From the word that wait(2) gives.
    #[must_use]
    pub fn from_wait_word(word: i32) -> Self {
        match word & 0x7f {
            0 => Self { code: word >> 8 & 0xff, signal: 0 },
            signal => Self { code: 0, signal },
        }
    }

    /// From `si_code` and `si_status` of waitid(2).
    fn from_siginfo(code: i32, status: i32) -> Self {
        if code == libc::CLD_EXITED {
            Self { code: status & 0xff, signal: 0 }
        } else {
            Self { code: 0, signal: status }
        }
    }

    /// "exited with status 3", "was killed by signal 9".
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::UNKNOWN => "ended".to_owned(),
            Self { code, signal: 0 } => format!("exited with status {code}"),
            Self { signal, .. } => format!("was killed by signal {signal}"),
        }
    }
}

/// Whom [`wait_no_hang`] looks at.
#[derive(Clone, Copy, Debug)]
pub enum WaitFor<'a> {
    Pidfd(BorrowedFd<'a>),
    Pid(i32),
    /// Any child. Only ever with `keep`, to look.
    Any,
}

/// A dead child, if there is one: its pid and status. With `keep` it stays a zombie.
///
/// # Errors
/// `ECHILD`: no such child of ours; `EINVAL`: the kernel has no `P_PIDFD` (before Linux 5.4).
pub fn wait_no_hang(whom: WaitFor<'_>, keep: bool) -> io::Result<Option<(i32, ExitStatus)>> {
    let (kind, id) = match whom {
        WaitFor::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd() as libc::id_t),
        WaitFor::Pid(pid) => (libc::P_PID, pid as libc::id_t),
        WaitFor::Any => (libc::P_ALL, 0),
    };
    // __WALL: also children that end with another signal than SIGCHLD.
    let flags = libc::WEXITED | libc::WNOHANG | libc::__WALL | if keep { libc::WNOWAIT } else { 0 };
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the kernel writes at most one siginfo_t to `info`, which lives through the call.
        let result = unsafe { libc::waitid(kind, id, info.as_mut_ptr(), flags) };
        if result != 0 {
            match io::Error::last_os_error() {
                err if err.raw_os_error() == Some(libc::EINTR) => continue,
                err => return Err(err),
            }
        }
        // SAFETY: zeroed above, and every bit pattern is a siginfo_t.
        let info = unsafe { info.assume_init() };
        // SAFETY: waitid fills the SIGCHLD members, or leaves the zeros when nothing has ended.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        return Ok((pid != 0).then(|| (pid, ExitStatus::from_siginfo(info.si_code, status))));
    }
}

/// What a pidfd tells about a process that somebody else has waited for. Linux 6.15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignStatus {
    Known(ExitStatus),
    /// Not yet reaped by its parent.
    NotYet,
    /// This kernel keeps no status.
    Never,
}

#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// The status that the kernel keeps for holders of a pidfd.
#[must_use]
pub fn foreign_status(pidfd: BorrowedFd<'_>) -> ForeignStatus {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number says that the kernel reads and writes 64 bytes at `info`, which is a
    // `repr(C)` structure of that size and lives through the call.
    let result =
        unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as _, std::ptr::from_mut(&mut info)) };
    if result != 0 {
        return ForeignStatus::Never;
    }
    if info.mask & PIDFD_INFO_EXIT != 0 {
        return ForeignStatus::Known(ExitStatus::from_wait_word(info.exit_code));
    }
    ForeignStatus::NotYet
}

/// A pidfd of `pid`, close-on-exec.
///
/// # Errors
/// The errno of pidfd_open(2).
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    own(result)
}

/// Sends `signal`; 0 only asks whether the process is there (a zombie is).
///
/// # Errors
/// `ESRCH`: it has been waited for; `EINVAL`: no such signal; `EPERM`.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null siginfo is allowed and no other memory is passed.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    check(result).map(drop)
}

/// Waits until `fd` has one of `events` (or an error or hang-up). `None`: for ever.
///
/// Gives the events, 0 at the deadline.
///
/// # Errors
/// `EINTR` when a signal came: the caller decides whether to go on.
pub fn poll(fd: BorrowedFd<'_>, events: i16, deadline: Option<Instant>) -> io::Result<i16> {
    let mut item = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let time = left.map(timespec);
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: one pollfd, borrowed mutably through the call; `time` is null or points to a timespec that
    // lives through it; a null mask changes no signal mask.
    let result = unsafe { libc::ppoll(&mut item, 1, time, std::ptr::null()) };
    check(result.into())?;
    Ok(item.revents)
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// An empty memfd, executable where the kernel asks for that to be said.
///
/// # Errors
/// The errno of memfd_create(2); `EACCES` under `vm.memfd_noexec=2`.
pub fn memfd_executable(name: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    match memfd(name, flags | MFD_EXEC) {
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) => memfd(name, flags),
        done => done,
    }
}

/// An empty memfd for data.
///
/// # Errors
/// The errno of memfd_create(2).
pub fn memfd_data(name: &CStr) -> io::Result<OwnedFd> {
    memfd(name, libc::MFD_CLOEXEC)
}

fn memfd(name: &CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string that lives through the call.
    let result = unsafe { libc::memfd_create(name.as_ptr(), flags) };
    own(result.into())
}

/// Forbids every further change of a memfd's bytes, size, seals and (Linux 6.3) executable bits.
///
/// # Errors
/// `EBUSY`: somebody has it mapped for writing.
pub fn seal(fd: BorrowedFd<'_>) -> io::Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    match add_seals(fd, seals | F_SEAL_EXEC) {
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) => add_seals(fd, seals),
        done => done,
    }
}

fn add_seals(fd: BorrowedFd<'_>, seals: libc::c_int) -> io::Result<()> {
    // SAFETY: an integer argument; no memory is passed.
    let result = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) };
    check(result.into()).map(drop)
}

/// A close-on-exec duplicate whose number is at least `lowest`. `fd` need not be ours.
///
/// # Errors
/// `EBADF`: not open; `EMFILE`; `EINVAL`: `lowest` is beyond the limit of open files.
pub fn duplicate_from(fd: RawFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: integers only; a bad `fd` gives EBADF.
    let result = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) };
    own(result.into())
}

/// Whether `fd` is open at all.
///
/// # Errors
/// `EBADF`.
pub fn check_open(fd: RawFd) -> io::Result<()> {
    // SAFETY: integers only; a bad `fd` gives EBADF.
    let result = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    check(result.into()).map(drop)
}

/// Two connected ends that keep message boundaries, close-on-exec.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn message_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two ints to `ends`, which lives through the call.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    check(result.into())?;
    Ok((own(ends[0].into())?, own(ends[1].into())?))
}

/// Sends one message without raising SIGPIPE.
///
/// # Errors
/// `EPIPE`, `ECONNRESET`: the other end is gone.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    loop {
        // SAFETY: the kernel reads `bytes.len()` bytes at `bytes`, borrowed through the call.
        let result =
            unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        match check(result as libc::c_long) {
            Err(err) if err.raw_os_error() == Some(libc::EINTR) => {}
            done => return done.map(drop),
        }
    }
}

/// Control data for up to a few descriptors, aligned as `cmsghdr` asks.
#[repr(C, align(8))]
struct ControlBuffer([u8; 64]);

/// Receives one message and the descriptor that came with it; length 0 is the end.
///
/// # Errors
/// `EINTR` when a signal came: the caller decides whether to go on.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = ControlBuffer([0; 64]);
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all-zero is a valid msghdr (null pointers, zero lengths).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = size_of::<ControlBuffer>() as _;
    // SAFETY: `message` names `buffer` and `control` with their true sizes; both live through the call.
    let result = unsafe { libc::recvmsg(fd.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) };
    let length = check(result as libc::c_long)? as usize;
    Ok((length, take_descriptors(&message)))
}

/// The first descriptor of the control data; further ones are closed.
fn take_descriptors(message: &libc::msghdr) -> Option<OwnedFd> {
    let mut found = None;
    // SAFETY: `message` was filled by recvmsg and its control buffer is alive in the caller.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: a non-null header from CMSG_* lies inside the control buffer.
        let this = unsafe { *header };
        if this.cmsg_level == libc::SOL_SOCKET && this.cmsg_type == libc::SCM_RIGHTS {
            // SAFETY: pure arithmetic on a constant.
            let overhead = unsafe { libc::CMSG_LEN(0) } as usize;
            // SAFETY: the data of a header inside the control buffer.
            let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
            for index in 0..(this.cmsg_len as usize - overhead) / size_of::<RawFd>() {
                // SAFETY: `cmsg_len` covers this element; the data may be unaligned.
                let number = unsafe { data.add(index).read_unaligned() };
                // SAFETY: the kernel has just installed this descriptor for us; nobody else owns it.
                let owned = unsafe { OwnedFd::from_raw_fd(number) };
                found.get_or_insert(owned);
            }
        }
        // SAFETY: as for CMSG_FIRSTHDR; gives null behind the last header.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    found
}

/// Makes this process adopt orphaned descendants, or stops that.
///
/// # Errors
/// `EINVAL`: Linux before 3.4.
pub fn set_child_subreaper(on: bool) -> io::Result<()> {
    // SAFETY: integers only.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(on), 0, 0, 0) };
    check(result.into()).map(drop)
}

/// A borrowed view of a number from outside, for the time of one call.
///
/// # Errors
/// `EBADF`: negative, or not open.
pub fn borrow<'a>(fd: RawFd) -> io::Result<BorrowedFd<'a>> {
    check_open(fd)?;
    // SAFETY: it is open and not -1; the Python caller lends it for the duration of the call, which is
    // the documented rule of every function that takes a descriptor.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn own(result: libc::c_long) -> io::Result<OwnedFd> {
    let fd = check(result)? as RawFd;
    // SAFETY: every caller passes the result of a call that returns a new descriptor, once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes a descriptor that the caller has as a number. What close(2) reports is of no use: it is closed.
pub fn close(fd: RawFd) {
    // SAFETY: a number and no memory; the caller owns it.
    unsafe { libc::close(fd) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn wait_words_map_to_code_or_signal() {
        assert_eq!(ExitStatus::from_wait_word(0), ExitStatus { code: 0, signal: 0 });
        assert_eq!(ExitStatus::from_wait_word(3 << 8), ExitStatus { code: 3, signal: 0 });
        assert_eq!(ExitStatus::from_wait_word(255 << 8), ExitStatus { code: 255, signal: 0 });
        assert_eq!(ExitStatus::from_wait_word(9), ExitStatus { code: 0, signal: 9 });
        assert_eq!(ExitStatus::from_wait_word(11 | 0x80), ExitStatus { code: 0, signal: 11 });
    }

    #[test]
    fn siginfo_maps_to_code_or_signal() {
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_EXITED, 7), ExitStatus { code: 7, signal: 0 });
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_KILLED, 9), ExitStatus { code: 0, signal: 9 });
        assert_eq!(ExitStatus::from_siginfo(libc::CLD_DUMPED, 11), ExitStatus { code: 0, signal: 11 });
    }

    #[test]
    fn sentences_say_how_it_ended() {
        assert_eq!(ExitStatus { code: 3, signal: 0 }.sentence(), "exited with status 3");
        assert_eq!(ExitStatus { code: 0, signal: 9 }.sentence(), "was killed by signal 9");
        assert_eq!(ExitStatus::UNKNOWN.sentence(), "ended");
    }

    #[test]
    fn messages_keep_their_boundaries_and_end_with_zero() {
        let (ours, theirs) = message_pair().unwrap();
        send(theirs.as_fd(), b"one").unwrap();
        send(theirs.as_fd(), b"two").unwrap();
        drop(theirs);
        let mut buffer = [0; 16];
        assert_eq!(receive(ours.as_fd(), &mut buffer).unwrap().0, 3);
        assert_eq!(&buffer[..3], b"one");
        assert_eq!(receive(ours.as_fd(), &mut buffer).unwrap().0, 3);
        assert_eq!(receive(ours.as_fd(), &mut buffer).unwrap().0, 0);
        assert_eq!(send(ours.as_fd(), b"g").unwrap_err().raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn a_sealed_memfd_takes_no_more_bytes() {
        let fd = memfd_executable(c"test").unwrap();
        rustix::io::write(&fd, b"x").unwrap();
        seal(fd.as_fd()).unwrap();
        assert!(rustix::io::write(&fd, b"y").is_err());
    }

    #[test]
    fn a_duplicate_starts_at_the_lowest_number() {
        let (one, _other) = message_pair().unwrap();
        assert!(duplicate_from(one.as_raw_fd(), 100).unwrap().as_raw_fd() >= 100);
        assert_eq!(duplicate_from(-1, 3).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }

    #[test]
    fn poll_gives_nothing_at_the_deadline() {
        let (one, _other) = message_pair().unwrap();
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(poll(one.as_fd(), libc::POLLIN, Some(deadline)).unwrap(), 0);
    }
}
