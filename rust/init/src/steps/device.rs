//! Device nodes and symlinks, made on an open directory of the rootfs. Sources: mknod(2), runtime-spec
//! config-linux.md#devices.

use core::ffi::CStr;

use kata_plan::Step;

use crate::context::Context;
use crate::path;
use crate::raw::{
    self, Errno, Fd, AT_FDCWD, EEXIST, EINVAL, ENOENT, EPERM, O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH, O_RDWR,
    O_WRONLY,
};
use crate::text;

/// `Step::Device`.
pub(crate) fn create(context: &Context, step: &Step<'static>) -> Result<(), Errno> {
    let Step::Device { path, kind, major, minor, mode, uid, gid } = step else { return Err(EINVAL) };
    let (parent, name) = path::make_parent(context.root()?, path)?;
    let name = name.as_cstr()?;
    let format = match u8::try_from(*kind) {
        Ok(b'c' | b'u') => 0o020_000,
        Ok(b'b') => 0o060_000,
        Ok(b'p') => 0o010_000,
        _ => return Err(EINVAL),
    };
    let number = |value: &i64| u32::try_from(*value).map_err(|_| EINVAL);
    let rdev = if format == 0o010_000 { (0, 0) } else { (number(major)?, number(minor)?) };
    match raw::mknodat(parent.raw(), name, format | 0o600, rdev.0, rdev.1) {
        Ok(()) | Err(EEXIST) => {}
        Err(EPERM) => return bind_from_host(&parent, name, path, format, rdev),
        Err(errno) => return Err(errno),
    }
    let node = raw::openat(parent.raw(), name, O_PATH | O_NOFOLLOW, 0)?;
    let made = raw::fstat(node.raw())?;
    if made.is_regular() {
        // What another user namespace's launch left to bind on.
        return bind_from_host(&parent, name, path, format, rdev);
    }
    if made.mode & 0o170_000 != format || made.rdev != rdev {
        return Err(EEXIST);
    }
    raw::chmod(text::fd_path(node.raw()).as_cstr()?, number(mode)? & 0o7777)?;
    raw::fchownat_empty(node.raw(), number(uid)?, number(gid)?)
}

/// Where mknod is not allowed (a user namespace), the host's node of the same path and numbers is bound.
fn bind_from_host(parent: &Fd, name: &CStr, path: &CStr, format: u32, rdev: (u32, u32)) -> Result<(), Errno> {
    let tree = raw::clone_tree(path, false)?;
    let node = raw::fstat(tree.raw())?;
    if node.mode & 0o170_000 != format || node.rdev != rdev {
        return Err(EPERM);
    }
    match raw::openat(parent.raw(), name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o644) {
        Ok(_) | Err(EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = raw::openat(parent.raw(), name, O_PATH | O_NOFOLLOW, 0)?;
    raw::attach_tree(tree.raw(), place.raw())
}

/// `path` in the rootfs becomes a link to `target`; one that exists is left, or replaced when asked for.
pub(crate) fn symlink(root: i32, target: &CStr, path: &CStr, replace: bool) -> Result<(), Errno> {
    let (parent, name) = path::make_parent(root, path)?;
    let name = name.as_cstr()?;
    if replace {
        match raw::unlinkat(parent.raw(), name) {
            Ok(()) | Err(ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    match raw::symlinkat(target, parent.raw(), name) {
        Err(EEXIST) => Ok(()),
        other => other,
    }
}

/// Standard streams that are the host's `/dev/null` become the container's, if it has one.
pub(crate) fn reopen_null() -> Result<(), Errno> {
    for stream in 0..=2 {
        if !raw::fstat(stream).is_ok_and(|stat| stat.is_null_device()) {
            continue;
        }
        // Looked at before it is opened: opening another device can have effects.
        let found = raw::openat(AT_FDCWD, c"/dev/null", O_PATH | O_NOFOLLOW, 0);
        if !found.and_then(|place| raw::fstat(place.raw())).is_ok_and(|stat| stat.is_null_device()) {
            continue;
        }
        let null = raw::openat(AT_FDCWD, c"/dev/null", O_RDWR | O_NOFOLLOW, 0)?;
        if raw::fstat(null.raw())?.is_null_device() {
            raw::dup_onto(null.raw(), stream)?;
        }
    }
    Ok(())
}
