//! Device nodes and symlinks, made on an open directory of the rootfs. Sources: mknod(2), runtime-spec
//! config-linux.md#devices.

use core::ffi::CStr;

use kata_plan::Step;

use crate::context::Context;
use crate::path;
use crate::raw::{
    self, Errno, Fd, Stat, AT_FDCWD, EEXIST, EINVAL, ENOENT, EPERM, O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH,
    O_RDWR, O_WRONLY,
};
use crate::text;

/// `Step::Device`.
pub(crate) fn create(context: &mut Context, step: &Step<'static>) -> Result<(), Errno> {
    let Step::Device { path, kind, major, minor, mode, uid, gid } = step else { return Err(EINVAL) };
    let (parent, name) = path::parent_of(context, path)?;
    let name = name.as_cstr()?;
    let format = match u8::try_from(*kind) {
        Ok(b'c' | b'u') => 0o020_000,
        Ok(b'b') => 0o060_000,
        Ok(b'p') => 0o010_000,
        _ => return Err(EINVAL),
    };
    let number = |value: &i64| u32::try_from(*value).map_err(|_| EINVAL);
    let rdev = if format == 0o010_000 { (0, 0) } else { (number(major)?, number(minor)?) };
    let (mode, uid, gid) = (format | number(mode)? & 0o7777, number(uid)?, number(gid)?);
    // Ours from birth, unless it is to belong to somebody else: then nobody may use it before.
    let at_birth = if (uid, gid) == (0, 0) { mode } else { format | 0o600 };
    match raw::mknodat(parent, name, at_birth, rdev.0, rdev.1) {
        Ok(()) | Err(EEXIST) => {}
        Err(EPERM) => return bind_from_host(parent, name, path, format, rdev),
        Err(errno) => return Err(errno),
    }
    let is_right = |found: &Stat| (found.mode, found.rdev, found.uid, found.gid) == (mode, rdev, uid, gid);
    if is_right(&raw::stat_at(parent, name)?) {
        return Ok(());
    }
    let node = raw::openat(parent, name, O_PATH | O_NOFOLLOW, 0)?;
    let made = raw::fstat(node.raw())?;
    if made.is_regular() {
        // What another user namespace's launch left to bind on.
        return bind_from_host(parent, name, path, format, rdev);
    }
    if made.mode & 0o170_000 != format || made.rdev != rdev {
        return Err(EEXIST);
    }
    raw::chmod(text::fd_path(node.raw()).as_cstr()?, mode & 0o7777)?;
    raw::fchownat_empty(node.raw(), uid, gid)
}

/// Where mknod is not allowed (a user namespace), the host's node of the same path and numbers is bound.
fn bind_from_host(parent: i32, name: &CStr, path: &CStr, format: u32, rdev: (u32, u32)) -> Result<(), Errno> {
    let tree = raw::clone_tree(path, false)?;
    let node = raw::fstat(tree.raw())?;
    if node.mode & 0o170_000 != format || node.rdev != rdev {
        return Err(EPERM);
    }
    match raw::openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o644) {
        Ok(_) | Err(EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = raw::openat(parent, name, O_PATH | O_NOFOLLOW, 0)?;
    raw::attach_tree(tree.raw(), place.raw())
}

/// `path` in the rootfs becomes a link to `target`; one that exists is left, or replaced when asked for.
pub(crate) fn symlink(
    context: &mut Context,
    target: &CStr,
    path: &'static CStr,
    replace: bool,
) -> Result<(), Errno> {
    let (parent, name) = path::parent_of(context, path)?;
    let name = name.as_cstr()?;
    if replace {
        match raw::unlinkat(parent, name) {
            Ok(()) | Err(ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    match raw::symlinkat(target, parent, name) {
        Err(EEXIST) => Ok(()),
        other => other,
    }
}

/// Standard streams that are the host's `/dev/null` become the container's, if it has one.
pub(crate) fn reopen_null() -> Result<(), Errno> {
    let is_null = |stream: i32| raw::fstat(stream).is_ok_and(|stat| stat.is_null_device());
    let mut opened = None;
    for stream in (0..=2).filter(|stream| is_null(*stream)) {
        if opened.is_none() {
            opened = open_null()?;
        }
        let Some(null) = &opened else { return Ok(()) };
        raw::dup_onto(null.raw(), stream)?;
    }
    Ok(())
}

/// The container's `/dev/null`, if that is what lies there.
fn open_null() -> Result<Option<Fd>, Errno> {
    // Looked at before it is opened: opening another device can have effects.
    if !raw::stat_at(AT_FDCWD, c"/dev/null").is_ok_and(|stat| stat.is_null_device()) {
        return Ok(None);
    }
    let null = raw::openat(AT_FDCWD, c"/dev/null", O_RDWR | O_NOFOLLOW, 0)?;
    Ok(raw::fstat(null.raw())?.is_null_device().then_some(null))
}
