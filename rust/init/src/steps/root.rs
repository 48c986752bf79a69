//! The root file system: made ready, then made `/`. Sources: pivot_root(2), mount_namespaces(7).

use core::ffi::CStr;

use super::mount::{self, MS_BIND, MS_MOVE, MS_REC, MS_SLAVE};
use crate::context::Context;
use crate::path::{self, Leaf};
use crate::raw::{self, Errno, EFBIG, EINVAL, ENOENT, O_DIRECTORY, O_PATH};
use crate::text::Buffer;

const PIVOT_ROOT: i64 = 0;
const PIVOT_MOVE: i64 = 1;
const PIVOT_CHROOT: i64 = 2;

/// Cut the rootfs off from the host's propagation, make it a mount of its own and keep it open.
pub(crate) fn prepare(context: &mut Context, rootfs: &'static CStr, propagation: u64) -> Result<(), Errno> {
    isolate(rootfs, propagation)?;
    raw::mount(Some(rootfs), rootfs, None, MS_BIND | MS_REC, None)?;
    context.rootfs_path = rootfs;
    context.rootfs = Some(raw::openat(raw::AT_FDCWD, rootfs, O_PATH | O_DIRECTORY, 0)?);
    Ok(())
}

/// The nearest mount at or above `rootfs` gets `propagation`; EINVAL says that a directory is no mount.
fn isolate(rootfs: &CStr, propagation: u64) -> Result<(), Errno> {
    let mut bytes = rootfs.to_bytes();
    loop {
        let mut path = Buffer::<4096>::new();
        path.push(if bytes.is_empty() { b"/" } else { bytes });
        match raw::mount(None, path.as_cstr()?, None, propagation, None) {
            Err(EINVAL) if !bytes.is_empty() => {}
            other => return other,
        }
        bytes = &bytes[..bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0)];
    }
}

/// The mount of the rootfs; what is mounted below it stays as it is.
pub(crate) fn make_readonly(context: &Context) -> Result<(), Errno> {
    mount::add_readonly(context.rootfs.as_ref().ok_or(EINVAL)?)
}

/// The working directory exists before the root may become read-only.
pub(crate) fn make_cwd(root: i32, cwd: &CStr) -> Result<(), Errno> {
    path::make_in_root(root, cwd, Leaf::Directory).map(drop)
}

/// Make the rootfs `/`. The host's descriptor directory stays open for the exec fifo.
pub(crate) fn change(context: &mut Context, mode: i64) -> Result<(), Errno> {
    context.host_fds = raw::openat(raw::AT_FDCWD, c"/proc/self/fd", O_PATH | O_DIRECTORY, 0).ok();
    let rootfs = context.rootfs.take().ok_or(EINVAL)?;
    context.null = None;
    match mode {
        PIVOT_ROOT => pivot(rootfs.raw())?,
        PIVOT_MOVE => move_root(rootfs.raw(), context.rootfs_path)?,
        PIVOT_CHROOT => {
            raw::fchdir(rootfs.raw())?;
            raw::chroot(c".")?;
        }
        _ => return Err(EINVAL),
    }
    raw::chdir(c"/")
}

/// Both roots on one place: no directory for the old one is needed, and it is gone at once.
fn pivot(rootfs: i32) -> Result<(), Errno> {
    let old = raw::openat(raw::AT_FDCWD, c"/", O_PATH | O_DIRECTORY, 0)?;
    raw::fchdir(rootfs)?;
    raw::pivot_root(c".", c".")?;
    raw::fchdir(old.raw())?;
    raw::mount(None, c".", None, MS_SLAVE | MS_REC, None)?;
    raw::umount_detach(c".")
}

/// For a root that cannot be pivoted (initramfs). A full procfs or sysfs of the host would stay reachable by
/// whoever may mount, so they go first. Source: runc's security advice for --no-pivot.
fn move_root(rootfs: i32, rootfs_path: &CStr) -> Result<(), Errno> {
    let table = mount_table()?;
    for line in table.split(|byte| *byte == b'\n') {
        let Some(place) = full_kernel_view(line) else { continue };
        let below = place.strip_prefix(rootfs_path.to_bytes());
        if below.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
            continue;
        }
        let mut path = Buffer::<4096>::new();
        path.push(place);
        match raw::umount_detach(path.as_cstr()?) {
            Ok(()) | Err(ENOENT) => {}
            // A user namespace locks what it inherited: cover it.
            Err(_) => raw::mount(Some(c"tmpfs"), path.as_cstr()?, Some(c"tmpfs"), 0, None)?,
        }
    }
    raw::fchdir(rootfs)?;
    raw::mount(Some(c"."), c"/", None, MS_MOVE, None)?;
    raw::chroot(c".")
}

/// `/proc/self/mountinfo`, read before anything of it is taken away.
fn mount_table() -> Result<&'static [u8], Errno> {
    const LIMIT: usize = 4 << 20;
    let file = raw::openat(raw::AT_FDCWD, c"/proc/self/mountinfo", 0, 0)?;
    let memory = raw::map(None, LIMIT)?;
    let mut len = 0;
    while len < memory.len() {
        match raw::read(file.raw(), &mut memory[len..])? {
            0 => return Ok(&memory[..len]),
            more => len += more,
        }
    }
    Err(EFBIG)
}

/// The place of a procfs or sysfs that is mounted from its root, by a line of mountinfo. Places with escaped
/// characters are not looked at. Source: proc_pid_mountinfo(5).
fn full_kernel_view(line: &[u8]) -> Option<&[u8]> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, place) = (fields.nth(3)?, fields.next()?);
    fields.find(|field| *field == b"-")?;
    let fstype = fields.next()?;
    (root == b"/" && (fstype == b"proc" || fstype == b"sysfs")).then_some(place)
}
