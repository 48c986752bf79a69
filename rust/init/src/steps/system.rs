//! Small settings: files of `/proc` while it is the host's, limits, the keyring.

use core::ffi::CStr;

use crate::path;
use crate::raw::{self, Errno, AT_FDCWD, EINVAL, ENOSYS, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_WRONLY};
use crate::text::Buffer;

use super::mount::PROC_SUPER_MAGIC;

/// Write all of `data` with one call, as the kernel's files want it. The files of a process that is not dumpable
/// belong to root, so for this moment it is: no other namespace has been joined yet.
pub(crate) fn write_own(path: &CStr, data: &[u8]) -> Result<(), Errno> {
    raw::set_dumpable(true);
    let file = raw::openat(AT_FDCWD, path, O_WRONLY | O_NOFOLLOW, 0);
    raw::set_dumpable(false);
    raw::write(file?.raw(), data).map(drop)
}

pub(crate) fn oom_score_adj(value: i64) -> Result<(), Errno> {
    let mut text = Buffer::<24>::new();
    text.push_number(value);
    write_own(c"/proc/self/oom_score_adj", text.as_bytes())
}

/// The host's procfs shows the namespaces of whoever opens a file below `sys`, so this writes the container's
/// value, and no `/proc` of the container can redirect it (CVE-2025-52881).
pub(crate) fn sysctl(path: &CStr, value: &[u8]) -> Result<(), Errno> {
    let tree = raw::openat(AT_FDCWD, c"/proc/sys", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
    if raw::fstatfs(tree.raw())?.0 != PROC_SUPER_MAGIC {
        return Err(EINVAL);
    }
    let file = path::open_plain(tree.raw(), path, O_WRONLY)?;
    raw::write(file.raw(), value).map(drop)
}

pub(crate) fn rlimit(resource: i64, soft: i64, hard: i64) -> Result<(), Errno> {
    let resource = i32::try_from(resource).map_err(|_| EINVAL)?;
    raw::set_rlimit(resource, soft as u64, hard as u64)
}

/// A kernel without keyrings has none to share.
pub(crate) fn session_keyring(name: &CStr) -> Result<(), Errno> {
    match raw::join_session_keyring(name) {
        Err(ENOSYS) => Ok(()),
        other => other,
    }
}
