//! createContainer and startContainer hooks, which run in the container's namespaces.
//! Source: runtime-spec config.md#posix-platform-hooks.

use kata_plan::Step;

use crate::context::{reason, Context};
use crate::raw::{self, Errno, Fd, Forked, ECANCELED, EINVAL, ENOSYS, EPERM, ETIMEDOUT};
use crate::text::Buffer;

const SIGCHLD: u64 = 17;
const NOT_EXECUTED: i32 = 127;

/// Run one hook to its end, with the state on stdin and its output captured for the error report.
pub(crate) fn run(context: &mut Context, step: &Step<'static>) -> Result<(), Errno> {
    let Step::Hook { path, args, env, timeout_ms, state, .. } = step else { return Err(EINVAL) };
    let input = raw::memfd(c"hook-state")?;
    write_state(&input, state)?;
    raw::rewind(input.raw())?;
    let output = raw::memfd(c"hook-output")?;
    let pidfd = match raw::fork(0, SIGCHLD)? {
        Forked::Parent { pidfd, .. } => pidfd,
        Forked::Child => {
            let errno = match enter(context, &input, &output) {
                Ok(()) => {
                    let argv = core::iter::once(*path).filter(|_| args.is_empty()).chain(args.clone());
                    raw::execve(path, argv, args.len().max(1), env.clone(), env.len())
                }
                Err(errno) => errno,
            };
            for part in [b"fork/exec ", path.to_bytes(), b": ", reason(errno)] {
                let _ = raw::write(output.raw(), part);
            }
            raw::exit(NOT_EXECUTED)
        }
    };
    let in_time = raw::poll_exit(pidfd.raw(), *timeout_ms)?;
    if !in_time {
        raw::kill_by_pidfd(pidfd.raw())?;
    }
    let (status, signal) = raw::wait_pidfd(pidfd.raw())?;
    if in_time && status == 0 && signal == 0 {
        return Ok(());
    }
    let note = &mut context.note;
    if !in_time {
        note.push(b"hook ran past specified timeout of ");
        note.push_number(*timeout_ms / 1000);
        note.push(b".");
        note.push_number(*timeout_ms % 1000 / 100);
        note.push(b"s");
        return Err(ETIMEDOUT);
    }
    note.push(if signal == 0 { b"exit status " } else { b"signal " });
    note.push_number(i64::from(if signal == 0 { status } else { signal }));
    note.push(b", output: ");
    raw::rewind(output.raw())?;
    let mut text = [0_u8; 3000];
    let len = raw::read(output.raw(), &mut text)?;
    note.push(&text[..len]);
    Err(ECANCELED)
}

/// The child's surroundings: the host's rootfs directory before the root changes, `/` after.
fn enter(context: &Context, input: &Fd, output: &Fd) -> Result<(), Errno> {
    match &context.rootfs {
        Some(rootfs) => {
            raw::umask(0o022);
            raw::fchdir(rootfs.raw())?;
        }
        None => raw::chdir(c"/")?,
    }
    for (from, to) in [(input, 0), (output, 1), (output, 2)] {
        raw::dup_onto(from.raw(), to)?;
    }
    match raw::cloexec_from(3) {
        Ok(()) | Err(ENOSYS | EINVAL | EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// The state with our pid as this pid namespace counts, where the plan could not know it.
fn write_state(file: &Fd, state: &[u8]) -> Result<(), Errno> {
    const UNKNOWN: &[u8] = b"\"pid\":0,";
    // Quotes within texts are escaped, so this is found as a member only.
    let Some(at) = state.windows(UNKNOWN.len()).position(|part| part == UNKNOWN) else {
        return write_all(file, state);
    };
    let zero = at + UNKNOWN.len() - 2;
    let mut pid = Buffer::<24>::new();
    pid.push_number(raw::getpid() as i64);
    for part in [&state[..zero], pid.as_bytes(), &state[zero + 1..]] {
        write_all(file, part)?;
    }
    Ok(())
}

fn write_all(file: &Fd, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        let done = raw::write(file.raw(), data)?;
        data = data.get(done..).unwrap_or_default();
    }
    Ok(())
}
