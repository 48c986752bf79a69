//! Small settings: files of `/proc` while it is the host's, limits, the keyring.

use core::ffi::CStr;

use crate::raw::{self, Errno, AT_FDCWD, EINVAL, ENOSYS, O_NOFOLLOW, O_WRONLY};
use crate::text::Buffer;

/// Write all of `data` with one call, as the kernel's files want it.
pub(crate) fn write_file(path: &CStr, data: &[u8]) -> Result<(), Errno> {
    let file = raw::openat(AT_FDCWD, path, O_WRONLY | O_NOFOLLOW, 0)?;
    raw::write(file.raw(), data).map(drop)
}

pub(crate) fn oom_score_adj(value: i64) -> Result<(), Errno> {
    let mut text = Buffer::<24>::new();
    text.push_number(value);
    write_file(c"/proc/self/oom_score_adj", text.as_bytes())
}

/// The host's procfs shows the namespaces of whoever opens a file below `sys`, so this writes the container's
/// value, and no `/proc` of the container can redirect it (CVE-2025-52881).
pub(crate) fn sysctl(path: &CStr, value: &[u8]) -> Result<(), Errno> {
    let mut full = Buffer::<512>::new();
    full.push(b"/proc/sys/");
    full.push(path.to_bytes());
    write_file(full.as_cstr()?, value)
}

pub(crate) fn rlimit(resource: i64, soft: i64, hard: i64) -> Result<(), Errno> {
    let resource = i32::try_from(resource).map_err(|_| EINVAL)?;
    raw::set_rlimit(resource, soft.cast_unsigned(), hard.cast_unsigned())
}

/// A kernel without keyrings has none to share.
pub(crate) fn session_keyring(name: &CStr) -> Result<(), Errno> {
    match raw::join_session_keyring(name) {
        Err(ENOSYS) => Ok(()),
        other => other,
    }
}
