//! The kata-init program as something that can be executed and never changed.
//!
//! Normally one sealed memfd for the life of this process. Where memfds cannot be executed, an unlinked
//! file, a fresh one for each launch: a container that keeps a handle on its `/proc/self/exe` can then
//! spoil nothing but its own.
//! Sources: memfd_create(2), fcntl(2) F_ADD_SEALS, `Documentation/userspace-api/mfd_noexec.rst`.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{fchmod, open, statvfs, Mode, OFlags, StatVfsMountFlags};

use crate::{fallback, sys};

/// The static program, built by `build.rs`.
static PROGRAM: &[u8] = include_bytes!(env!("KATA_INIT"));

const NAME: &CStr = c"kata-init";
/// Names of a process that is still kata-init, as `comm` shows them: what it calls itself, and what the
/// kernel makes of a memfd (since Linux 6.14) or of an unlinked file. Before, it is the number in `/dev/fd/N`.
const OWN_NAMES: [&str; 2] = ["kata-init", "memfd:kata-init"];

/// Where an unlinked file may live: memory first, so that no disk is written.
const DIRECTORIES: [&str; 5] = ["/dev/shm", "/run", "/tmp", "/var/tmp", "."];

static SEALED: Mutex<Option<Arc<OwnedFd>>> = Mutex::new(None);
static MEMFD_REFUSED: AtomicBool = AtomicBool::new(false);

/// Something to execute; shared, or of one launch.
///
/// # Errors
/// The errno of the last thing tried.
pub fn executable() -> io::Result<Arc<OwnedFd>> {
    if uses_memfd() {
        match sealed() {
            Err(err) if refused(&err) => MEMFD_REFUSED.store(true, Ordering::Relaxed),
            done => return done,
        }
    }
    unlinked().map(Arc::new)
}

/// Whether launches execute the sealed memfd.
#[must_use]
pub fn uses_memfd() -> bool {
    !fallback::is_forced(fallback::MEMFD_EXEC) && !MEMFD_REFUSED.load(Ordering::Relaxed)
}

/// `execveat` of the memfd was refused: launches from now on use files. False when they already do.
#[must_use]
pub fn give_up_memfd() -> bool {
    !MEMFD_REFUSED.swap(true, Ordering::Relaxed)
}

/// Size of the embedded program in bytes.
#[must_use]
pub fn size() -> usize {
    PROGRAM.len()
}

/// Whether a process of this `comm` has not yet executed its workload.
#[must_use]
pub fn is_own_name(comm: &str) -> bool {
    OWN_NAMES.contains(&comm)
        || comm.starts_with('#') // O_TMPFILE: "#<inode>"
        || (!comm.is_empty() && comm.bytes().all(|byte| byte.is_ascii_digit()))
}

fn refused(err: &io::Error) -> bool {
    matches!(err.raw_os_error(), Some(libc::EACCES | libc::EPERM | libc::ENOSYS))
}

fn sealed() -> io::Result<Arc<OwnedFd>> {
    let mut slot = SEALED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(fd) = slot.as_ref() {
        return Ok(Arc::clone(fd));
    }
    let fd = Arc::new(make_sealed()?);
    *slot = Some(Arc::clone(&fd));
    Ok(fd)
}

fn make_sealed() -> io::Result<OwnedFd> {
    let mut file = File::from(sys::memfd_executable(NAME)?);
    file.write_all(PROGRAM)?;
    fchmod(&file, Mode::from_raw_mode(0o555))?;
    sys::seal(file.as_fd())?;
    Ok(file.into())
}

fn unlinked() -> io::Result<OwnedFd> {
    let mut last = io::Error::from_raw_os_error(libc::EACCES);
    for directory in DIRECTORIES {
        match unlinked_in(directory) {
            Err(err) => last = err,
            done => return done,
        }
    }
    Err(last)
}

fn unlinked_in(directory: &str) -> io::Result<OwnedFd> {
    if statvfs(directory)?.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(io::Error::from_raw_os_error(libc::EACCES));
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = File::from(open(directory, flags, Mode::from_raw_mode(0o500))?);
    file.write_all(PROGRAM)?;
    // A file that is open for writing cannot be executed: keep only a read-only handle.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shared_image_is_one_and_sealed() {
        let one = sealed().unwrap();
        let two = sealed().unwrap();
        assert!(Arc::ptr_eq(&one, &two));
        assert!(rustix::io::write(&*one, b"x").is_err());
    }

    #[test]
    fn unlinked_files_are_whole_and_read_only() {
        let fd = unlinked().unwrap();
        let stat = rustix::fs::fstat(&fd).unwrap();
        assert_eq!(stat.st_nlink, 0);
        assert_eq!(stat.st_size as usize, size());
        assert!(rustix::io::write(&fd, b"x").is_err());
    }

    #[test]
    fn names_of_init_are_told_from_workloads() {
        for name in ["kata-init", "memfd:kata-init", "17", "#123"] {
            assert!(is_own_name(name), "{name}");
        }
        for name in ["", "sh", "7z", "kata-agent"] {
            assert!(!is_own_name(name), "{name}");
        }
    }
}
