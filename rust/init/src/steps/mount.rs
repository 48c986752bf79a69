//! Mounts below the rootfs: the target is an open file, so nothing in the rootfs can redirect them.
//!
//! Sources: mount(2), open_tree(2), move_mount(2), mount_setattr(2); runtime-spec config.md#mounts.

use core::ffi::CStr;

use kata_plan::Step;

use crate::context::Context;
use crate::path::{self, Leaf, Place};
use crate::raw::{self, Errno, Fd, Stat, EINVAL, ELOOP, ENOSYS, ENOTDIR, EPERM, O_DIRECTORY, O_PATH};
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
const MS_STRICTATIME: u64 = 1 << 24;
const MS_NOSYMFOLLOW: u64 = 0x100;
pub(crate) const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// The only files of a procfs that may be covered (lxcfs does so).
const COVERABLE: [&[u8]; 10] = [
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
];

/// `MountFs` or `BindMount`, then what applies to the mount that is there now.
pub(crate) fn mount(context: &mut Context, step: &Step<'static>) -> Result<(), Errno> {
    match step {
        Step::MountFs { source, target, fstype, flags, data, propagation, set_attr, clr_attr, rec } => {
            let made = new_filesystem(context, source, target, fstype, super::bits(*flags), data)?;
            let (set, clear) = (super::bits(*set_attr), super::bits(*clr_attr));
            if propagation.is_empty() && set == 0 && clear == 0 {
                return made.check(context);
            }
            let top = made.open(context)?;
            propagate(&top, propagation)?;
            set_attributes(context, &top, set, clear, *rec != 0)
        }
        Step::BindMount { source, target, flags, cleared, propagation, set_attr, clr_attr, rec_attr } => {
            let tree = bind(context, source, target, super::bits(*flags), super::bits(*cleared))?;
            propagate(&tree, propagation)?;
            set_attributes(context, &tree, super::bits(*set_attr), super::bits(*clr_attr), *rec_attr != 0)
        }
        _ => Err(EINVAL),
    }
}

/// A mount just made: where, and what is below it.
struct Made {
    place: Place,
    target: &'static CStr,
    below: Stat,
}

impl Made {
    /// Whether the mount is what `target` leads to.
    fn check(&self, context: &mut Context) -> Result<(), Errno> {
        match &self.place.entry {
            Some((directory, name)) => self.compare(context, raw::stat_at(*directory, name.as_cstr()?)?),
            None => self.open(context).map(drop),
        }
    }

    /// The mount that `target` leads to, if it is the one just made.
    fn open(&self, context: &mut Context) -> Result<Fd, Errno> {
        let top = match &self.place.entry {
            Some((directory, name)) => path::open_plain(*directory, name.as_cstr()?, O_PATH)?,
            None => path::open_in_root(context.root()?, self.target, O_PATH)?,
        };
        let above = raw::fstat(top.raw())?;
        self.compare(context, above).map(|()| top)
    }

    fn compare(&self, context: &mut Context, above: Stat) -> Result<(), Errno> {
        if above.mount_id == self.below.mount_id && above.mount_id != 0 {
            // Somebody with access to the rootfs swapped the target: nothing more is done to what is there now.
            context.note.push(b"mount target changed while it was mounted on");
            return Err(EINVAL);
        }
        Ok(())
    }
}

fn new_filesystem(
    context: &mut Context,
    source: &CStr,
    target: &'static CStr,
    fstype: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<Made, Errno> {
    let place = path::make_place(context, target, Leaf::Directory)?;
    let below = raw::fstat(place.fd.raw())?;
    let kernel_view = fstype == c"proc" || fstype == c"sysfs";
    if kernel_view && !(place.is_plain && below.is_dir()) {
        // A symlink here could aim the kernel's own files at another place (CVE-2019-19921, CVE-2023-27561).
        let plain = path::open_plain(context.root()?, target, O_PATH | O_DIRECTORY);
        plain.map_err(|errno| match errno {
            ELOOP | ENOTDIR => {
                context.note.push(b"filesystem must be mounted on ordinary directory");
                ENOTDIR
            }
            other => other,
        })?;
    }
    check_place(context, &place.fd, &below, target, || Ok(fstype == c"proc"))?;
    let mut options = Buffer::<4096>::new();
    if place.existed && fstype == c"tmpfs" {
        // Comes first, so that an explicit mode wins.
        options.push(b"mode=");
        push_octal(&mut options, below.mode & 0o7777);
        if !data.is_empty() {
            options.push(b",");
        }
    }
    options.push(data.to_bytes());
    raw::mount(
        Some(source),
        text::fd_path(place.fd.raw()).as_cstr()?,
        Some(fstype),
        flags,
        Some(options.as_cstr()?),
    )?;
    Ok(Made { place, target, below })
}

fn push_octal(out: &mut Buffer<4096>, mode: u32) {
    for shift in [9, 6, 3, 0] {
        out.push(&[b'0' + (mode >> shift & 7) as u8]);
    }
}

/// A copy of `source` on `target`, with the flags that were asked for before anybody can see it.
fn bind(
    context: &mut Context,
    source: &CStr,
    target: &'static CStr,
    flags: u64,
    cleared: u64,
) -> Result<Fd, Errno> {
    let tree = raw::clone_tree(source, flags & MS_REC != 0).inspect_err(|_| {
        context.note.push(b"source ");
        context.note.push(source.to_bytes());
    })?;
    let leaf = if raw::fstat(tree.raw())?.is_dir() { Leaf::Directory } else { Leaf::File };
    let place = path::make_place(context, target, leaf)?;
    let here = raw::fstat(place.fd.raw())?;
    check_place(context, &place.fd, &here, target, || Ok(raw::fstatfs(tree.raw())?.0 == PROC_SUPER_MAGIC))?;
    let wanted = flags & !(MS_BIND | MS_REC | MS_REMOUNT);
    let changed = wanted != 0 || cleared != 0;
    let early = changed && set_flags(tree.raw(), wanted).is_ok();
    raw::attach_tree(tree.raw(), place.fd.raw())?;
    if changed && !early {
        remount_fd(&tree, wanted, cleared)?;
    }
    Ok(tree)
}

/// Just `flags` for a tree that is nowhere yet, as a bind remount would set them: access times stay as they are
/// unless the flags speak of them. What may not be changed (a user namespace locked it) fails as a whole.
fn set_flags(tree: i32, flags: u64) -> Result<(), Errno> {
    const ATIME_MASK: u64 = 0x70;
    const ACCESS: u64 = 0x20_0000 | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    let times = flags & (MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME) != 0;
    let known = if times { ACCESS | ATIME_MASK | 0x80 } else { ACCESS };
    let mut set = flags & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    for (bit, flag) in ATTRIBUTES {
        if flags & flag != 0 {
            set |= bit;
        }
    }
    if flags & MS_STRICTATIME != 0 {
        set &= !0x10;
    }
    // The field of access times is one number, so that all of it has to be cleared.
    raw::mount_setattr(tree, set, known & !(set & !ATIME_MASK), false)
}

/// Not on the rootfs itself, and nothing that is no procfs over one but for the files above. `here` is what `place`
/// refers to.
fn check_place(
    context: &mut Context,
    place: &Fd,
    here: &Stat,
    target: &CStr,
    is_procfs: impl FnOnce() -> Result<bool, Errno>,
) -> Result<(), Errno> {
    let top = context.root_stat()?;
    if (here.dev, here.ino, here.mount_id) == (top.dev, top.ino, top.mount_id) {
        context.note.push(b"mountpoint is on the top of rootfs");
        return Err(EINVAL);
    }
    if on_procfs(context, place, here)? && !COVERABLE.contains(&target.to_bytes()) && !is_procfs()? {
        context.note.push(target.to_bytes());
        context.note.push(b" cannot be mounted because it is inside /proc");
        return Err(EPERM);
    }
    Ok(())
}

/// A filesystem keeps its device number for as long as it is mounted, and nothing that is below the rootfs goes.
fn on_procfs(context: &mut Context, place: &Fd, here: &Stat) -> Result<bool, Errno> {
    if context.other_device == Some(here.dev) {
        return Ok(false);
    }
    let is_procfs = raw::fstatfs(place.raw())?.0 == PROC_SUPER_MAGIC;
    if !is_procfs {
        context.other_device = Some(here.dev);
    }
    Ok(is_procfs)
}

fn propagate(mount: &Fd, packed: &[u8]) -> Result<(), Errno> {
    for flag in packed.chunks_exact(4) {
        let flag = u32::from_le_bytes(flag.try_into().map_err(|_| EINVAL)?);
        raw::mount(None, text::fd_path(mount.raw()).as_cstr()?, None, u64::from(flag), None)?;
    }
    Ok(())
}

fn set_attributes(
    context: &mut Context,
    mount: &Fd,
    set: u64,
    clear: u64,
    recursive: bool,
) -> Result<(), Errno> {
    if set == 0 && clear == 0 {
        return Ok(());
    }
    match raw::mount_setattr(mount.raw(), set, clear, recursive) {
        Err(ENOSYS) if recursive => {
            context.note.push(b"recursive mount attributes need Linux 5.12");
            Err(ENOSYS)
        }
        Err(ENOSYS) => {
            let kept = mount_flags(raw::fstatfs(mount.raw())?.1) & !attribute_flags(clear);
            remount_fd(mount, kept | attribute_flags(set), 0)
        }
        other => other,
    }
}

/// MOUNT_ATTR_* and the MS_* that mean the same: the access bits have the same numbers, these have not.
const ATTRIBUTES: [(u64, u64); 4] =
    [(0x10, MS_NOATIME), (0x20, MS_STRICTATIME), (0x80, MS_NODIRATIME), (0x20_0000, MS_NOSYMFOLLOW)];

fn attribute_flags(attributes: u64) -> u64 {
    let same = attributes & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
    ATTRIBUTES.iter().filter(|(bit, _)| attributes & bit != 0).fold(same, |flags, (_, flag)| flags | flag)
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

/// Read-only, with the rest of what it has. Before Linux 5.12, or under an old outer filter, by a remount.
pub(crate) fn add_readonly(mount: &Fd) -> Result<(), Errno> {
    match raw::mount_setattr(mount.raw(), MS_RDONLY, 0, false) {
        Err(ENOSYS | EPERM | EINVAL) => {
            let kept = mount_flags(raw::fstatfs(mount.raw())?.1) & (MS_NOSUID | MS_NODEV | MS_NOEXEC);
            remount_fd(mount, MS_RDONLY | kept, 0)
        }
        other => other,
    }
}

/// ST_* of statfs as MS_*: the same numbers but for two.
pub(crate) fn mount_flags(statfs: u64) -> u64 {
    const MOVED: [(u64, u64); 2] = [(0x1000, MS_RELATIME), (0x2000, MS_NOSYMFOLLOW)];
    let same = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME;
    MOVED.iter().filter(|(bit, _)| statfs & bit != 0).fold(statfs & same, |flags, (_, flag)| flags | flag)
}
