//! From the working directory to execve(2).

use core::ffi::CStr;

use kata_plan::List;

use crate::context::Context;
use crate::raw::{self, Errno, EACCES, EISDIR, ENOENT, ENOSYS, ENOTDIR};

/// A working directory that the root does not reach would be a way out (CVE-2024-21626).
pub(crate) fn chdir(context: &mut Context, path: &CStr) -> Result<(), Errno> {
    raw::chdir(path)?;
    if raw::cwd_is_reachable()? {
        return Ok(());
    }
    context.note.push(b"current working directory is outside of container mount namespace root");
    Err(ENOENT)
}

/// Keep the first candidate that can be executed; otherwise the last that exists, for the report.
pub(crate) fn find(context: &mut Context, candidates: List<'static>) -> Result<(), Errno> {
    let mut reason = ENOENT;
    context.executable = None;
    for candidate in candidates {
        match check(candidate) {
            Ok(()) => {
                context.executable = Some(candidate);
                return Ok(());
            }
            Err(ENOENT | ENOTDIR) => {}
            Err(errno) => {
                reason = errno;
                context.executable = Some(candidate);
            }
        }
    }
    Err(reason)
}

fn check(candidate: &CStr) -> Result<(), Errno> {
    let stat = raw::stat(candidate)?;
    if stat.is_dir() {
        return Err(EISDIR);
    }
    if !stat.is_regular() {
        return Err(EACCES);
    }
    match raw::may_execute(candidate) {
        Err(ENOSYS) => {
            if stat.mode & 0o111 == 0 {
                Err(EACCES)
            } else {
                Ok(())
            }
        }
        other => other,
    }
}

/// Execute what `find` found. Nothing above the preserved descriptors goes along: they were opened
/// close-on-exec or marked so at the start, and are marked once more where kernel and filters let us.
pub(crate) fn exec(
    context: &Context,
    args: &List<'static>,
    env: &List<'static>,
    preserve: i64,
) -> Result<(), Errno> {
    let first = u32::try_from(preserve).unwrap_or(0).saturating_add(3);
    match raw::cloexec_from(first) {
        Ok(()) | Err(ENOSYS | raw::EINVAL | raw::EPERM) => {}
        Err(errno) => return Err(errno),
    }
    let path = context.executable.ok_or(ENOENT)?;
    Err(raw::execve(path, args.clone(), args.len(), env.clone(), env.len()))
}
