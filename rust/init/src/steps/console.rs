//! The terminal of the container: a pty of its own devpts, checked to be one (CVE-2025-52565).
//! Sources: pty(7), ioctl_tty(2).

use super::mount::MS_BIND;
use crate::context::Context;
use crate::path;
use crate::raw::{self, Errno, Fd, AT_FDCWD, EEXIST, EINVAL, ELOOP, O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY};
use crate::raw::{O_NOFOLLOW, O_PATH, O_RDWR, O_WRONLY};
use crate::text;

const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
const TIOCSCTTY: usize = 0x540e;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;

/// Open a pty, send its master over descriptor `index`, and take its slave as controlling terminal and stdio.
pub(crate) fn set_up(context: &Context, index: i64, rows: i64, cols: i64, mount: bool) -> Result<(), Errno> {
    let slash = match context.rootfs {
        Some(_) => None,
        None => Some(raw::openat(AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0)?),
    };
    let root = slash.as_ref().map_or_else(|| context.root(), |fd| Ok(fd.raw()))?;
    let (master, slave) = open_pty(root)?;
    if rows > 0 && cols > 0 {
        let size = |value: i64| u16::try_from(value).unwrap_or(u16::MAX);
        raw::ioctl_with(master.raw(), TIOCSWINSZ, &mut [size(rows), size(cols), 0, 0])?;
    }
    if mount {
        let place = make_console(root)?;
        let source = text::fd_path(slave.raw());
        raw::mount(Some(source.as_cstr()?), text::fd_path(place.raw()).as_cstr()?, None, MS_BIND, None)?;
    }
    let receiver = context.fd(index)?;
    raw::send(receiver, b"/dev/ptmx", Some(master.raw()))?;
    // Whoever took the master waits for the end of the connection, which must not come only with execve.
    raw::close(receiver);
    for stream in 0..=2 {
        raw::dup_onto(slave.raw(), stream)?;
    }
    raw::ioctl(0, TIOCSCTTY, 0).map(drop)
}

fn open_pty(root: i32) -> Result<(Fd, Fd), Errno> {
    // Looked at before it is opened: what lies there may be anything, and opening a device can have effects.
    check_ptmx(&path::open_in_root(root, c"dev/pts/ptmx", O_PATH)?)?;
    let master = path::open_in_root(root, c"dev/pts/ptmx", O_RDWR | O_NOCTTY)?;
    check_ptmx(&master)?;
    raw::ioctl_with(master.raw(), TIOCSPTLCK, &mut 0_i32)?;
    let slave = raw::pty_peer(master.raw())?;
    Ok((master, slave))
}

/// The multiplexer of a devpts: number 5:2, inode 2.
fn check_ptmx(file: &Fd) -> Result<(), Errno> {
    let on_devpts = raw::fstatfs(file.raw())?.0 == DEVPTS_SUPER_MAGIC;
    let stat = raw::fstat(file.raw())?;
    if on_devpts && stat.rdev == (5, 2) && stat.ino == 2 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// `/dev/console` to mount on; no symlink there is followed (CVE-2026-88264).
fn make_console(root: i32) -> Result<Fd, Errno> {
    let (parent, name) = path::make_parent(root, c"dev/console")?;
    match raw::openat(parent.raw(), name.as_cstr()?, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o644) {
        Ok(_) | Err(EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = raw::openat(parent.raw(), name.as_cstr()?, O_PATH | O_NOFOLLOW, 0)?;
    if raw::fstat(place.raw())?.is_symlink() {
        return Err(ELOOP);
    }
    Ok(place)
}
