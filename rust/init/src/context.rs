//! What the steps share, and the messages to the parent.

use core::ffi::CStr;

use crate::path::Directory;
use crate::raw::{self, Errno, Fd, Stat, AT_FDCWD, ECANCELED, EINVAL, ETIMEDOUT, O_DIRECTORY, O_PATH};
use crate::text::{self, Buffer};

const SYNC_USERMAP: u32 = 1;
const MESSAGE_SYNC: u32 = 1;
const MESSAGE_FORKED: u32 = 2;
const MESSAGE_ERROR: u32 = 3;

/// State between the steps.
pub(crate) struct Context {
    fds: &'static [u8],
    sync: Option<i32>,
    /// Host path of the root file system, from `PrepareRootfs` on.
    pub(crate) rootfs_path: &'static CStr,
    /// The root file system, from `PrepareRootfs` until `Pivot`.
    pub(crate) rootfs: Option<Fd>,
    /// What the root file system is, once somebody has asked.
    rootfs_stat: Option<Stat>,
    /// The directory of the rootfs that was worked in last.
    pub(crate) directory: Directory,
    /// The last device number that was found to be no procfs.
    pub(crate) other_device: Option<u64>,
    /// The host's `/dev/null`, looked at, while `/dev` is the host's.
    pub(crate) null: Option<Fd>,
    /// The host's `/proc/self/fd`, from `Pivot` until the exec fifo is opened.
    pub(crate) host_fds: Option<Fd>,
    pub(crate) executable: Option<&'static CStr>,
    /// More about a failure than the step's fields say.
    pub(crate) note: Buffer<4000>,
}

impl Context {
    /// Split the memfd's content into descriptors and plan.
    pub(crate) fn new(bytes: &'static [u8]) -> Option<(Self, &'static [u8])> {
        let count = number(bytes.get(..4)?)?;
        let end = usize::try_from(count).ok()?.checked_mul(4)?.checked_add(4)?;
        let fds = bytes.get(4..end)?;
        let sync = number(bytes.get(end..end + 4)?)?;
        let context = Self {
            fds,
            sync: Some(sync),
            rootfs_path: c"/",
            rootfs: None,
            rootfs_stat: None,
            directory: Directory::none(),
            other_device: None,
            null: None,
            host_fds: None,
            executable: None,
            note: Buffer::new(),
        };
        // They came in through execve, so they are open across it: no workload and no hook may have them. What the
        // workload keeps has lower numbers than all of these.
        let numbers = || fds.chunks_exact(4).filter_map(number).chain([sync]).filter(|fd| *fd >= 0);
        let lowest = numbers().min().and_then(|fd| u32::try_from(fd).ok())?;
        if raw::cloexec_from(lowest).is_err() {
            for descriptor in numbers() {
                raw::set_cloexec(descriptor).ok()?;
            }
        }
        Some((context, bytes.get(end + 4..)?))
    }

    /// The descriptor behind a plan's fd field.
    pub(crate) fn fd(&self, index: i64) -> Result<i32, Errno> {
        let at = usize::try_from(index).map_err(|_| EINVAL)?.checked_mul(4).ok_or(EINVAL)?;
        self.fds.get(at..at + 4).and_then(number).ok_or(EINVAL)
    }

    /// The rootfs descriptor.
    pub(crate) fn root(&self) -> Result<i32, Errno> {
        self.rootfs.as_ref().map(Fd::raw).ok_or(EINVAL)
    }

    /// What the rootfs descriptor refers to.
    pub(crate) fn root_stat(&mut self) -> Result<Stat, Errno> {
        match self.rootfs_stat {
            Some(known) => Ok(known),
            None => {
                let found = raw::fstat(self.root()?)?;
                self.rootfs_stat = Some(found);
                Ok(found)
            }
        }
    }

    /// Say that `point` is reached and wait for the parent; without a parent there is nothing to go on for.
    pub(crate) fn sync(&mut self, point: i64) -> Result<(), Errno> {
        let socket = self.sync.ok_or(EINVAL)?;
        let point = u32::try_from(point).map_err(|_| EINVAL)?;
        let mut message = [0; 8];
        message[..4].copy_from_slice(&MESSAGE_SYNC.to_le_bytes());
        message[4..].copy_from_slice(&point.to_le_bytes());
        // An unprivileged parent may write the id maps of a dumpable process only.
        raw::set_dumpable(point == SYNC_USERMAP);
        raw::send(socket, &message, None)?;
        let mut answer = [0_u8; 1];
        let received = raw::receive(socket, &mut answer);
        raw::set_dumpable(false);
        match received? {
            1 if answer[0] == b'g' => Ok(()),
            _ => Err(ECANCELED),
        }
    }

    /// Hand the next stage's pid and pidfd to the parent.
    pub(crate) fn send_forked(&self, pid: u32, pidfd: &Fd) -> Result<(), Errno> {
        let mut message = [0; 8];
        message[..4].copy_from_slice(&MESSAGE_FORKED.to_le_bytes());
        message[4..].copy_from_slice(&pid.to_le_bytes());
        raw::send(self.sync.ok_or(EINVAL)?, &message, Some(pidfd.raw()))
    }

    /// The parent has been let go: it waits at the fifo and hears of nothing any more.
    pub(crate) fn is_released(&self) -> bool {
        self.sync.is_none()
    }

    /// Nothing more to tell the parent: it sees the end of the socket.
    pub(crate) fn close_sync(&mut self) {
        if let Some(socket) = self.sync.take() {
            raw::close(socket);
        }
    }

    /// Report the failure to the parent, or on stderr when the parent has been let go, and end.
    pub(crate) fn fail(&mut self, code: u32, index: usize, errno: Errno, path: &[u8], detail: &[u8]) -> ! {
        match self.sync {
            Some(socket) => {
                let mut message = Buffer::<8400>::new();
                message.push(&MESSAGE_ERROR.to_le_bytes());
                message.push(&code.to_le_bytes());
                message.push(&u32::try_from(index).unwrap_or(u32::MAX).to_le_bytes());
                message.push(&errno.to_le_bytes());
                message.push(path);
                message.push(b"\0");
                message.push(detail);
                // If the parent is gone there is nobody to tell; it ends all the same.
                let _ = raw::send(socket, message.as_bytes(), None);
                raw::exit(1)
            }
            None => self.fail_on_stderr(errno, path, detail),
        }
    }

    fn fail_on_stderr(&self, errno: Errno, path: &[u8], detail: &[u8]) -> ! {
        let mut line = Buffer::<4600>::new();
        if detail.is_empty() {
            line.push(b"exec ");
            line.push(path);
        } else {
            line.push(detail);
        }
        if errno != ECANCELED && errno != ETIMEDOUT {
            line.push(b": ");
            line.push(reason(errno));
        }
        line.push(b"\n");
        let _ = raw::write(2, line.as_bytes());
        raw::exit(255)
    }
}

fn number(bytes: &[u8]) -> Option<i32> {
    bytes.try_into().ok().map(i32::from_le_bytes)
}

/// The texts that people know, for what can happen once the parent has been let go.
pub(crate) fn reason(errno: Errno) -> &'static [u8] {
    match errno {
        raw::EPERM => b"operation not permitted",
        raw::ENOENT => b"no such file or directory",
        raw::EACCES => b"permission denied",
        7 => b"argument list too long",
        8 => b"exec format error",
        12 => b"cannot allocate memory",
        26 => b"text file busy",
        raw::ELOOP => b"too many levels of symbolic links",
        _ => b"failed",
    }
}

/// Open the exec fifo for writing, which waits for `start`, and tell it that this process goes on.
pub(crate) fn wait_at_fifo(context: &mut Context, fifo: i32) -> Result<(), Errno> {
    let host_fds = match context.host_fds.take() {
        Some(held) => held,
        None => raw::openat(AT_FDCWD, c"/proc/self/fd", O_PATH | O_DIRECTORY, 0)?,
    };
    context.close_sync();
    let writer = raw::openat(host_fds.raw(), text::numbered(b"", fifo).as_cstr()?, raw::O_WRONLY, 0)?;
    raw::write(writer.raw(), b"0").map(drop)
}
