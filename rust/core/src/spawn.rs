//! The parent's half of a launch: descriptors are put in place, then one clone, and kata-init runs.
//!
//! Never decides what the process will be: that is in the plan's bytes, which are passed on unread.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, PoisonError};

use crate::child::{clone_and_exec, CloneCall, Context, Stage};
use crate::error::{Error, Named, SysError};
use crate::launch::Launch;
use crate::process::{Process, SPAWNING};
use crate::{fallback, image, sys};

/// What a launch is given; descriptors are borrowed until [`spawn`] returns.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub plan: &'a [u8],
    /// Files that the plan's `fd` fields count.
    pub fds: &'a [RawFd],
    /// The child's 0, 1 and 2.
    pub stdio: [RawFd; 3],
    /// `CLONE_NEW*`.
    pub clone_flags: u64,
    /// cgroup v2 directory to be born in; -1: none.
    pub cgroup_fd: RawFd,
    /// How many descriptors from 3 on the workload keeps.
    pub preserve_fds: RawFd,
}

/// Namespaces that a clone may make.
const NAMESPACES: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP) as u64;

/// No process has more descriptors than this by default (`fs.nr_open`).
const PRESERVE_LIMIT: RawFd = 1 << 20;

/// Starts kata-init on the plan.
///
/// # Errors
/// [`Error::Sys`] with the call that failed; nothing is left behind. [`Error::Value`] for flags that are no
/// namespaces (a user namespace takes a `Fork` step) or a bad number of descriptors.
pub fn spawn(request: &Request<'_>) -> Result<Launch, Error> {
    if request.clone_flags & !NAMESPACES != 0 {
        let bad = request.clone_flags & !NAMESPACES;
        return Err(Error::Value(format!("clone_flags: {bad:#x} is not for the first clone")));
    }
    if !(0..PRESERVE_LIMIT).contains(&request.preserve_fds) {
        return Err(Error::Value(format!("preserve_fds: {} is out of range", request.preserve_fds)));
    }
    let (ours, theirs) = sys::message_pair().named("socketpair")?;
    // Our end must not lie where the workload's descriptors are.
    let ours = above(ours, 3 + request.preserve_fds)?;
    let files = Files::prepare(request, theirs)?;
    let process = start(request, &files)?;
    Ok(Launch::new(ours, process))
}

/// The clone, with a second try where the memfd may not be executed.
fn start(request: &Request<'_>, files: &Files) -> Result<Arc<Process>, Error> {
    match start_once(request, files) {
        Err(Failure::Exec(libc::EACCES | libc::EPERM)) if image::uses_memfd() && image::give_up_memfd() => {
            start_once(request, files).map_err(Failure::into_error)
        }
        done => done.map_err(Failure::into_error),
    }
}

/// Why a start failed: `execveat` is told from the rest, because there is a second way.
enum Failure {
    Exec(i32),
    Other(SysError),
}

impl Failure {
    fn into_error(self) -> Error {
        Error::Sys(match self {
            Self::Exec(errno) => SysError::new(Stage::Exec.call(), errno),
            Self::Other(err) => err,
        })
    }
}

fn start_once(request: &Request<'_>, files: &Files) -> Result<Arc<Process>, Failure> {
    let image_fd = image::executable().named("make the image of kata-init").map_err(Failure::Other)?;
    let argument = CString::new(files.plan_fd.as_raw_fd().to_string()).unwrap_or_default();
    let mut context = Context::new(files.stdio, files.inherited.clone(), request.preserve_fds, argument);
    context.image_fd = image_fd.as_raw_fd();
    context.use_close_range = !fallback::is_forced(fallback::CLOSE_RANGE);
    // Until the process is entered in the table of owned ones, nobody may take it for an orphan.
    let guard = SPAWNING.read().unwrap_or_else(PoisonError::into_inner);
    let (pid, pidfd) = make_process(request, &mut context).named("clone").map_err(Failure::Other)?;
    let process = Process::born(pid, pidfd);
    drop(guard);
    match context.failure() {
        None => Ok(process),
        Some((stage, errno)) => {
            // It is on its way out; what it wanted to do is the news, not its status.
            let _ = process.reap();
            Err(match stage {
                Stage::Exec => Failure::Exec(errno),
                other => Failure::Other(SysError::new(other.call(), errno)),
            })
        }
    }
}

fn make_process(request: &Request<'_>, context: &mut Context) -> io::Result<(i32, OwnedFd)> {
    if !fallback::is_forced(fallback::CLONE3) {
        let call = CloneCall::Clone3 { cgroup_fd: request.cgroup_fd };
        match clone_and_exec(call, request.clone_flags, context) {
            // EPERM: an outer filter, or a true refusal, which clone then repeats. E2BIG: Linux before
            // 5.7 does not know the field for the group.
            Err(err) if matches!(err.raw_os_error(), Some(libc::ENOSYS | libc::EPERM | libc::E2BIG)) => {}
            done => return done,
        }
    }
    context.late_cgroup_fd = request.cgroup_fd;
    clone_and_exec(CloneCall::Clone, request.clone_flags, context)
}

/// Descriptors of one launch, none in the way of another.
struct Files {
    stdio: [RawFd; 3],
    plan_fd: OwnedFd,
    /// Numbers that kata-init gets: files of the plan, the socket, the plan.
    inherited: Vec<RawFd>,
    /// Keeps the duplicates open until the child has its own.
    _moved: Vec<OwnedFd>,
}

impl Files {
    fn prepare(request: &Request<'_>, sync: OwnedFd) -> Result<Self, SysError> {
        let lowest = 3 + request.preserve_fds;
        let mut moved = Vec::new();
        let sync = above(sync, lowest)?;
        let sync_fd = sync.as_raw_fd();
        moved.push(sync);
        let mut stdio = request.stdio;
        for (target, source) in stdio.iter_mut().enumerate() {
            let stays = *source as usize == target || *source > 2;
            *source = if stays {
                sys::check_open(*source).named("stdio")?;
                *source
            } else {
                keep(&mut moved, *source, lowest, "stdio")?
            };
        }
        let mut inherited = Vec::with_capacity(request.fds.len() + 2);
        for &fd in request.fds {
            inherited.push(if fd >= lowest {
                sys::check_open(fd).named("fds")?;
                fd
            } else if fd >= 0 {
                keep(&mut moved, fd, lowest, "fds")?
            } else {
                -1
            });
        }
        let plan_fd = write_plan(request.plan, &inherited, sync_fd, lowest)?;
        inherited.retain(|fd| *fd >= 0);
        inherited.push(sync_fd);
        inherited.push(plan_fd.as_raw_fd());
        Ok(Self { stdio, plan_fd, inherited, _moved: moved })
    }
}

/// A duplicate of `fd` from `lowest` on, kept open in `moved`.
fn keep(moved: &mut Vec<OwnedFd>, fd: RawFd, lowest: RawFd, what: &'static str) -> Result<RawFd, SysError> {
    let copy = sys::duplicate_from(fd, lowest).named(what)?;
    let number = copy.as_raw_fd();
    moved.push(copy);
    Ok(number)
}

/// The same file under a number of at least `lowest`.
fn above(fd: OwnedFd, lowest: RawFd) -> Result<OwnedFd, SysError> {
    if fd.as_raw_fd() >= lowest {
        return Ok(fd);
    }
    sys::duplicate_from(fd.as_raw_fd(), lowest).named("fcntl")
}

/// A memfd with u32 count, i32 numbers, i32 socket, plan; all little endian.
fn write_plan(plan: &[u8], fds: &[RawFd], sync_fd: RawFd, lowest: RawFd) -> Result<OwnedFd, SysError> {
    let bytes = plan_file(plan, fds, sync_fd);
    let memfd = sys::memfd_data(c"kata-plan").named("memfd_create")?;
    let file = above(memfd, lowest)?;
    let mut left = bytes.as_slice();
    let mut offset = 0_u64;
    while !left.is_empty() {
        let written = rustix::io::pwrite(file.as_fd(), left, offset).named("write the plan")?;
        left = &left[written..];
        offset += written as u64;
    }
    Ok(file)
}

fn plan_file(plan: &[u8], fds: &[RawFd], sync_fd: RawFd) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * (fds.len() + 2) + plan.len());
    bytes.extend_from_slice(&(fds.len() as u32).to_le_bytes());
    for fd in fds.iter().chain([&sync_fd]) {
        bytes.extend_from_slice(&fd.to_le_bytes());
    }
    bytes.extend_from_slice(plan);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_file_has_count_numbers_socket_and_plan() {
        let bytes = plan_file(b"KHP1", &[7, -1], 9);
        let mut wanted = vec![2, 0, 0, 0, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 9, 0, 0, 0];
        wanted.extend_from_slice(b"KHP1");
        assert_eq!(bytes, wanted);
    }

    fn request() -> Request<'static> {
        Request { plan: b"", fds: &[], stdio: [0, 1, 2], clone_flags: 0, cgroup_fd: -1, preserve_fds: 0 }
    }

    #[test]
    fn a_user_namespace_is_not_for_the_first_clone() {
        let request = Request { clone_flags: libc::CLONE_NEWUSER as u64, ..request() };
        assert!(matches!(spawn(&request), Err(Error::Value(_))));
    }

    #[test]
    fn closed_descriptors_are_refused_before_the_clone() {
        let request = Request { fds: &[999_999], ..request() };
        let Err(Error::Sys(err)) = spawn(&request) else { panic!("no error") };
        assert_eq!(err, SysError::new("fds", libc::EBADF));
    }

    #[test]
    fn crossed_stdio_is_moved_out_of_the_way() {
        let (_ours, theirs) = sys::message_pair().unwrap();
        let request = Request { stdio: [1, 0, 2], preserve_fds: 2, ..request() };
        let files = Files::prepare(&request, theirs).unwrap();
        assert!(files.stdio[0] > 2 && files.stdio[1] > 2 && files.stdio[2] == 2);
        assert!(files.inherited.iter().all(|fd| *fd >= 5));
    }
}
