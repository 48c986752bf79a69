//! Paths inside the rootfs: resolved by the kernel with RESOLVE_IN_ROOT, never by string.
//!
//! Without openat2 (Linux 5.6, or an outer filter) a path is walked component by component and a symlink in it
//! is refused: slower and stricter, never less safe. Source: openat2(2).

use core::ffi::CStr;

use crate::raw::{
    self, Errno, Fd, EAGAIN, EEXIST, ELOOP, ENOENT, ENOSYS, EPERM, O_CREAT, O_DIRECTORY, O_EXCL,
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
                create(&at, component(part).as_cstr()?, if last { leaf } else { Leaf::Directory })?
            }
            other => other?,
        };
    }
    Ok((at, false))
}

fn create(parent: &Fd, name: &CStr, leaf: Leaf) -> Result<Fd, Errno> {
    if leaf == Leaf::File {
        raw::openat(parent.raw(), name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o644)?;
        return raw::openat(parent.raw(), name, O_PATH | O_NOFOLLOW, 0);
    }
    match raw::mkdirat(parent.raw(), name, 0o755) {
        Ok(()) | Err(EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    raw::openat(parent.raw(), name, O_PATH | O_NOFOLLOW | O_DIRECTORY, 0)
}

/// The parent directory of `path`, made if missing, and the last component's name.
pub(crate) fn make_parent(root: i32, path: &CStr) -> Result<(Fd, Buffer<257>), Errno> {
    let bytes = path.to_bytes();
    let trimmed = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let split = bytes[..trimmed].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
    let mut parent = Buffer::<4096>::new();
    parent.push(b"./");
    parent.push(&bytes[..split]);
    let (directory, _) = make_in_root(root, parent.as_cstr()?, Leaf::Directory)?;
    Ok((directory, component(&bytes[split..trimmed])))
}
