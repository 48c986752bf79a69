//! Mounts below the rootfs: the target is an open file, so nothing in the rootfs can redirect them.
//!
//! Sources: mount(2), open_tree(2), move_mount(2), mount_setattr(2); runtime-spec config.md#mounts.

use core::ffi::CStr;

use kata_plan::Step;

use crate::context::Context;
use crate::path::{self, Leaf};
use crate::raw::{self, Errno, Fd, EINVAL, ELOOP, ENOTDIR, EPERM, O_DIRECTORY, O_PATH};
use crate::text::{self, Buffer};

pub(crate) const MS_RDONLY: u64 = 1;
pub(crate) const MS_NOSUID: u64 = 2;
pub(crate) const MS_NODEV: u64 = 4;
pub(crate) const MS_NOEXEC: u64 = 8;
pub(crate) const MS_REMOUNT: u64 = 0x20;
const MS_NOATIME: u64 = 0x400;
const MS_NODIRATIME: u64 = 0x800;
pub(crate) const MS_BIND: u64 = 0x1000;
pub(crate) const MS_MOVE: u64 = 0x2000;
pub(crate) const MS_REC: u64 = 0x4000;
pub(crate) const MS_SLAVE: u64 = 1 << 19;
const MS_RELATIME: u64 = 1 << 21;
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The only files of a procfs that may be covered (lxcfs does so).
const COVERABLE: [&[u8]; 11] = [
    b"/proc/cpuinfo",
    b"/proc/diskstats",
    b"/proc/meminfo",
    b"/proc/stat",
    b"/proc/swaps",
    b"/proc/uptime",
    b"/proc/loadavg",
    b"/proc/slabinfo",
    b"/proc/sys/kernel/ns_last_pid",
    b"/proc/sys/crypto/fips_enabled",
    b"/proc",
];

/// `MountFs` or `BindMount`, then what applies to the mount that is there now.
pub(crate) fn mount(context: &mut Context, step: &Step<'static>) -> Result<(), Errno> {
    match step {
        Step::MountFs { source, target, fstype, flags, data, propagation, set_attr, clr_attr, rec } => {
            let top = new_filesystem(context, source, target, fstype, super::bits(*flags), data)?;
            propagate(&top, propagation)?;
            set_attributes(&top, super::bits(*set_attr), super::bits(*clr_attr), *rec != 0)
        }
        Step::BindMount { source, target, flags, cleared, propagation, set_attr, clr_attr, rec_attr } => {
            let (flags, cleared) = (super::bits(*flags), super::bits(*cleared));
            let tree = bind(context, source, target, flags)?;
            let wanted = flags & !(MS_BIND | MS_REC | MS_REMOUNT);
            if wanted != 0 || cleared != 0 {
                remount_fd(&tree, wanted, cleared)?;
            }
            propagate(&tree, propagation)?;
            set_attributes(&tree, super::bits(*set_attr), super::bits(*clr_attr), *rec_attr != 0)
        }
        _ => Err(EINVAL),
    }
}

fn new_filesystem(
    context: &mut Context,
    source: &CStr,
    target: &CStr,
    fstype: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<Fd, Errno> {
    let root = context.root()?;
    let (place, existed) = path::make_in_root(root, target, Leaf::Directory)?;
    let kernel_view = fstype == c"proc" || fstype == c"sysfs";
    if kernel_view {
        // A symlink here could aim the kernel's own files at another place (CVE-2019-19921, CVE-2023-27561).
        path::open_plain(root, target, O_PATH | O_DIRECTORY).map_err(|errno| match errno {
            ELOOP | ENOTDIR => {
                context.note.push(b"filesystem must be mounted on ordinary directory");
                ENOTDIR
            }
            other => other,
        })?;
    }
    check_place(context, root, &place, target, fstype == c"proc")?;
    let mut options = Buffer::<4096>::new();
    if existed && fstype == c"tmpfs" {
        // Comes first, so that an explicit mode wins.
        options.push(b"mode=");
        push_octal(&mut options, raw::fstat(place.raw())?.mode & 0o7777);
        if !data.is_empty() {
            options.push(b",");
        }
    }
    options.push(data.to_bytes());
    raw::mount(
        Some(source),
        text::fd_path(place.raw()).as_cstr()?,
        Some(fstype),
        flags,
        Some(options.as_cstr()?),
    )?;
    path::open_in_root(root, target, O_PATH)
}

fn push_octal(out: &mut Buffer<4096>, mode: u32) {
    for shift in [9, 6, 3, 0] {
        out.push(&[b'0' + (mode >> shift & 7) as u8]);
    }
}

fn bind(context: &mut Context, source: &CStr, target: &CStr, flags: u64) -> Result<Fd, Errno> {
    let root = context.root()?;
    let tree = raw::clone_tree(source, flags & MS_REC != 0).inspect_err(|_| {
        context.note.push(b"source ");
        context.note.push(source.to_bytes());
    })?;
    let leaf = if raw::fstat(tree.raw())?.is_dir() { Leaf::Directory } else { Leaf::File };
    let (place, _) = path::make_in_root(root, target, leaf)?;
    let procfs = raw::fstatfs(tree.raw())?.0 == PROC_SUPER_MAGIC;
    check_place(context, root, &place, target, procfs)?;
    raw::attach_tree(tree.raw(), place.raw())?;
    Ok(tree)
}

/// Not on the rootfs itself, and nothing that is no procfs over one but for the files above.
fn check_place(
    context: &mut Context,
    root: i32,
    place: &Fd,
    target: &CStr,
    is_procfs: bool,
) -> Result<(), Errno> {
    let (here, top) = (raw::fstat(place.raw())?, raw::fstat(root)?);
    if (here.ino, here.mount_id) == (top.ino, top.mount_id) {
        context.note.push(b"mountpoint is on the top of rootfs");
        return Err(EINVAL);
    }
    let on_procfs = raw::fstatfs(place.raw())?.0 == PROC_SUPER_MAGIC;
    if on_procfs && !is_procfs && !COVERABLE[..10].contains(&target.to_bytes()) {
        context.note.push(target.to_bytes());
        context.note.push(b" cannot be mounted because it is inside /proc");
        return Err(EPERM);
    }
    Ok(())
}

fn propagate(mount: &Fd, packed: &[u8]) -> Result<(), Errno> {
    for flag in packed.chunks_exact(4) {
        let flag = u32::from_le_bytes(flag.try_into().map_err(|_| EINVAL)?);
        raw::mount(None, text::fd_path(mount.raw()).as_cstr()?, None, u64::from(flag), None)?;
    }
    Ok(())
}

fn set_attributes(mount: &Fd, set: u64, clear: u64, recursive: bool) -> Result<(), Errno> {
    if set == 0 && clear == 0 {
        return Ok(());
    }
    raw::mount_setattr(mount.raw(), set, clear, recursive)
}

/// Change the flags of the mount at `target` in the rootfs.
pub(crate) fn remount(root: i32, target: &CStr, flags: u64) -> Result<(), Errno> {
    remount_fd(&path::open_in_root(root, target, O_PATH)?, flags, 0)
}

/// A bind remount with just `flags`. Flags that a user namespace locked may not go: then they stay, unless the
/// caller asked to clear one. Source: mount_namespaces(7), "restrictions".
pub(crate) fn remount_fd(mount: &Fd, flags: u64, cleared: u64) -> Result<(), Errno> {
    let path = text::fd_path(mount.raw());
    let all = MS_BIND | MS_REMOUNT | flags;
    match raw::mount(None, path.as_cstr()?, None, all, None) {
        Err(EPERM) => {
            let locked = mount_flags(raw::fstatfs(mount.raw())?.1);
            if locked & cleared != 0 {
                return Err(EPERM);
            }
            raw::mount(None, path.as_cstr()?, None, all | locked, None)
        }
        other => other,
    }
}

/// ST_* of statfs as MS_*: the same numbers but for relatime.
pub(crate) fn mount_flags(statfs: u64) -> u64 {
    const ST_RELATIME: u64 = 0x1000;
    let same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME;
    statfs & same | if statfs & ST_RELATIME != 0 { MS_RELATIME } else { 0 }
}
