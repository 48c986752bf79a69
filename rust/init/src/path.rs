//! Paths inside the rootfs: resolved by the kernel with RESOLVE_IN_ROOT, never by string.
//!
//! Without openat2 (Linux 5.6, or an outer filter) a path is walked component by component and a symlink in it
//! is refused: slower and stricter, never less safe. Source: openat2(2).

use core::ffi::CStr;

use crate::context::Context;
use crate::raw::{
    self, Errno, Fd, EAGAIN, EEXIST, EINVAL, ELOOP, ENOENT, ENOSYS, EPERM, O_CREAT, O_DIRECTORY, O_EXCL,
};
use crate::raw::{O_NOFOLLOW, O_PATH, O_WRONLY};
use crate::text::Buffer;

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_IN_ROOT: u64 = 0x10;
const ATTEMPTS: u32 = 128;

/// What a missing last component becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaf {
    Directory,
    File,
}

/// Open `path` below `root`; symlinks are followed, and stay inside.
pub(crate) fn open_in_root(root: i32, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    resolve(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

/// The same for a path that must not have a symlink anywhere.
pub(crate) fn open_plain(root: i32, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    resolve(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
}

fn resolve(root: i32, path: &CStr, flags: u32, how: u64) -> Result<Fd, Errno> {
    for _ in 0..ATTEMPTS {
        match raw::openat2(root, path, flags, how) {
            Err(EAGAIN) => {} // a rename raced with a "..": ask again
            Err(ENOSYS | EPERM) => return walk(root, path, flags),
            other => return other,
        }
    }
    Err(EAGAIN)
}

fn walk(root: i32, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    let mut at = raw::openat(root, c".", O_PATH | O_DIRECTORY, 0)?;
    let mut parts = path.to_bytes().split(|byte| *byte == b'/').filter(|part| !part.is_empty()).peekable();
    if parts.peek().is_none() && flags & O_PATH == 0 {
        return raw::openat(root, c".", flags, 0);
    }
    while let Some(part) = parts.next() {
        if part == b".." {
            return Err(ELOOP);
        }
        let last = parts.peek().is_none();
        let wanted = if last { flags | O_NOFOLLOW } else { O_PATH | O_DIRECTORY | O_NOFOLLOW };
        at = raw::openat(at.raw(), component(part).as_cstr()?, wanted, 0)?;
        if last && raw::fstat(at.raw())?.mode & 0o170_000 == 0o120_000 {
            return Err(ELOOP);
        }
    }
    Ok(at)
}

fn component(part: &[u8]) -> Buffer<257> {
    let mut name = Buffer::new();
    name.push(part);
    name
}

/// Open `path` below `root` as O_PATH and create what is missing of it: directories 0755, a last file 0644.
/// The flag says whether the last component was there before.
pub(crate) fn make_in_root(root: i32, path: &CStr, leaf: Leaf) -> Result<(Fd, bool), Errno> {
    match open_in_root(root, path, O_PATH) {
        Err(ENOENT) => {}
        other => return other.map(|fd| (fd, true)),
    }
    let bytes = path.to_bytes();
    let mut at = raw::openat(root, c".", O_PATH | O_DIRECTORY, 0)?;
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|byte| *byte == b'/').map_or(bytes.len(), |len| start + len);
        let part = &bytes[start..end];
        start = end + 1;
        if part.is_empty() || part == b"." {
            continue;
        }
        let last = bytes.get(start..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'/'));
        let mut prefix = Buffer::<4096>::new();
        prefix.push(&bytes[..end]);
        at = match open_in_root(root, prefix.as_cstr()?, O_PATH) {
            Err(ENOENT) => {
                create(at.raw(), component(part).as_cstr()?, if last { leaf } else { Leaf::Directory })?
            }
            other => other?,
        };
    }
    Ok((at, false))
}

fn create(parent: i32, name: &CStr, leaf: Leaf) -> Result<Fd, Errno> {
    if leaf == Leaf::File {
        raw::openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o644)?;
        return raw::openat(parent, name, O_PATH | O_NOFOLLOW, 0);
    }
    match raw::mkdirat(parent, name, 0o755) {
        Ok(()) | Err(EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    raw::openat(parent, name, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0)
}

/// The parent directory of `path`, made if missing, and the last component's name.
pub(crate) fn make_parent(root: i32, path: &'static CStr) -> Result<(Fd, Buffer<257>), Errno> {
    let (parent, name) = split(path).ok_or(EINVAL)?;
    Ok((make_directory(root, parent)?, component(name)))
}

fn make_directory(root: i32, path: &[u8]) -> Result<Fd, Errno> {
    let mut below = Buffer::<4096>::new();
    below.push(b"./");
    below.push(path);
    make_in_root(root, below.as_cstr()?, Leaf::Directory).map(|(directory, _)| directory)
}

/// The text before the last component, and that; none when the last one is no name.
fn split(path: &'static CStr) -> Option<(&'static [u8], &'static [u8])> {
    let bytes = trimmed(path.to_bytes());
    let start = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let (parent, name) = bytes.split_at(start);
    let is_name = !matches!(name, b"" | b"." | b"..");
    is_name.then_some((trimmed(parent), name))
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1)]
}

/// A directory of the rootfs that stays open, because the next step mostly works beside the last one.
///
/// It is known by the text that led there. Nothing may have changed since where that leads: whoever mounts on
/// anything but a child of it, or lets anybody else run, calls [`Directory::forget`]. The rootfs itself is always
/// open and never remembered.
pub(crate) struct Directory {
    path: &'static [u8],
    fd: Option<Fd>,
}

impl Directory {
    pub(crate) fn none() -> Self {
        Self { path: b"", fd: None }
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::none();
    }
}

/// Where a step works: an open file, and how it was found.
pub(crate) struct Place {
    pub(crate) fd: Fd,
    pub(crate) existed: bool,
    /// Its directory and its name there, if the name itself is no symlink.
    pub(crate) entry: Option<(i32, Buffer<257>)>,
    /// No component was a symlink for sure.
    pub(crate) is_plain: bool,
}

/// The directory that has `path` in it, made if missing, and the name there. All that is remembered then is this
/// directory.
pub(crate) fn parent_of(context: &mut Context, path: &'static CStr) -> Result<(i32, Buffer<257>), Errno> {
    let (parent, name) = split(path).ok_or(EINVAL)?;
    Ok((open_parent(context, parent)?, component(name)))
}

fn open_parent(context: &mut Context, parent: &'static [u8]) -> Result<i32, Errno> {
    let root = context.root()?;
    if parent.is_empty() {
        context.directory.forget();
        return Ok(root);
    }
    match &context.directory.fd {
        Some(fd) if context.directory.path == parent => Ok(fd.raw()),
        _ => {
            context.directory.forget();
            let fd = make_directory(root, parent)?;
            let number = fd.raw();
            context.directory = Directory { path: parent, fd: Some(fd) };
            Ok(number)
        }
    }
}

/// As [`make_in_root`], by way of the directory that is remembered. If `path` leads elsewhere than to an entry of
/// its directory, none is remembered then: what comes next may change where it is.
pub(crate) fn make_place(context: &mut Context, path: &'static CStr, leaf: Leaf) -> Result<Place, Errno> {
    if let Some((parent, name)) = split(path) {
        let directory = open_parent(context, parent)?;
        let name = component(name);
        let found = match open_plain(directory, name.as_cstr()?, O_PATH) {
            Err(ENOENT) => create(directory, name.as_cstr()?, leaf).map(|fd| (fd, false)),
            other => other.map(|fd| (fd, true)),
        };
        match found {
            Err(ELOOP) => {}
            Err(errno) => return Err(errno),
            Ok((fd, existed)) => {
                return Ok(Place { fd, existed, entry: Some((directory, name)), is_plain: parent.is_empty() })
            }
        }
    }
    context.directory.forget();
    let (fd, existed) = make_in_root(context.root()?, path, leaf)?;
    Ok(Place { fd, existed, entry: None, is_plain: false })
}
