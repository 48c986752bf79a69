//! Masked and read-only paths. Done while `/proc` and `/dev` are still the host's, so that a rootfs cannot
//! offer a `/dev/null` of its own (CVE-2025-31133). Source: runtime-spec config-linux.md#masked-paths.

use core::ffi::CStr;

use super::mount::{self, MS_BIND, MS_RDONLY};
use crate::context::Context;
use crate::path;
use crate::raw::{self, Errno, Fd, AT_FDCWD, EINVAL, ENOENT, ENOTDIR, O_NOFOLLOW, O_PATH};
use crate::text;

fn open_existing(root: i32, path: &CStr) -> Result<Option<Fd>, Errno> {
    match path::open_in_root(root, path, O_PATH) {
        Err(ENOENT | ENOTDIR) => Ok(None),
        other => other.map(Some),
    }
}

/// A file reads as empty, a directory is empty and read-only; what is missing needs no mask.
pub(crate) fn mask(context: &mut Context, path: &CStr) -> Result<(), Errno> {
    let Some(place) = open_existing(context.root()?, path)? else { return Ok(()) };
    let target = text::fd_path(place.raw());
    if raw::fstat(place.raw())?.is_dir() {
        let data = Some(c"nr_blocks=1,nr_inodes=1");
        return raw::mount(Some(c"tmpfs"), target.as_cstr()?, Some(c"tmpfs"), MS_RDONLY, data);
    }
    let null = null_device(context)?;
    raw::mount(Some(text::fd_path(null).as_cstr()?), target.as_cstr()?, None, MS_BIND, None)
}

/// The host's, kept for the next path.
fn null_device(context: &mut Context) -> Result<i32, Errno> {
    if let Some(null) = &context.null {
        return Ok(null.raw());
    }
    let null = raw::openat(AT_FDCWD, c"/dev/null", O_PATH | O_NOFOLLOW, 0)?;
    if !raw::fstat(null.raw())?.is_null_device() {
        return Err(EINVAL);
    }
    let number = null.raw();
    context.null = Some(null);
    Ok(number)
}

/// Bound on itself and made read-only; nosuid, nodev and noexec stay.
pub(crate) fn make_readonly(root: i32, path: &CStr) -> Result<(), Errno> {
    let Some(place) = open_existing(root, path)? else { return Ok(()) };
    let tree = raw::clone_tree_of(place.raw(), true)?;
    // Read-only before anybody can see it, where the kernel can do that.
    if raw::mount_setattr(tree.raw(), MS_RDONLY, 0, false).is_ok() {
        return raw::attach_tree(tree.raw(), place.raw());
    }
    raw::attach_tree(tree.raw(), place.raw())?;
    mount::add_readonly(&tree)
}
