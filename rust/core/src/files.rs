//! Several small file operations for one release of the interpreter.
//!
//! A launch makes some hundred system calls of a few microseconds each on cgroup files. Called one by one from
//! Python each lets the interpreter go and takes it back, and with a second thread every one of those is a
//! change of threads. Nothing here knows what a file means; each failure is given back where it belongs.
//! Sources: open(2), read(2), write(2), mkdir(2), rmdir(2).

use std::ffi::CStr;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, Result};

const CHUNK: usize = 16 * 1024;

fn open(path: &CStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    rustix::io::retry_on_intr(|| rustix::fs::open(path, flags | OFlags::CLOEXEC, mode))
}

/// Why there is no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// A FIFO, a directory, a device or a socket.
    NotRegular,
    Failed(Errno),
}

impl From<Errno> for Unread {
    fn from(errno: Errno) -> Self {
        Self::Failed(errno)
    }
}

/// The file's content; with a limit, no more than a chunk beyond it. `regular` refuses what is no regular
/// file, without waiting for anybody.
///
/// # Errors
/// As open(2) and read(2), and so `EINTR`: either may wait for ever on a FIFO, and only the caller can ask
/// whether the signal was to end it.
pub fn read(
    path: &CStr,
    flags: OFlags,
    limit: Option<usize>,
    regular: bool,
) -> std::result::Result<Vec<u8>, Unread> {
    let wait = if regular { OFlags::NONBLOCK } else { OFlags::empty() };
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | flags | wait, Mode::empty())?;
    if regular && FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Unread::NotRegular);
    }
    let mut data = Vec::new();
    loop {
        let start = data.len();
        data.resize(start + CHUNK, 0);
        let count = rustix::io::read(&file, &mut data[start..])?;
        data.truncate(start + count);
        if count == 0 || limit.is_some_and(|limit| data.len() > limit) {
            return Ok(data);
        }
    }
}

/// Opens a file that is there and writes each value by one write(2). A failure has the value's place, or
/// `None` for the opening; what stands before it is written.
///
/// # Errors
/// As open(2) and write(2).
pub fn write_each(
    path: &CStr,
    values: &[impl AsRef<[u8]>],
) -> std::result::Result<(), (Option<usize>, Errno)> {
    let flags = OFlags::WRONLY | OFlags::TRUNC;
    let file = open(path, flags, Mode::empty()).map_err(|errno| (None, errno))?;
    for (place, value) in values.iter().enumerate() {
        rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_ref()))
            .map_err(|errno| (Some(place), errno))?;
    }
    Ok(())
}

/// A new file with this content, mode 0600. On failure it is gone.
///
/// # Errors
/// As open(2) and write(2); `EEXIST` when the name is taken.
pub fn write_new(path: &CStr, data: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
    let mut left = data;
    while !left.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(&file, left)) {
            Ok(count) => left = &left[count..],
            Err(errno) => {
                let _ = rustix::fs::unlink(path);
                return Err(errno);
            }
        }
    }
    Ok(())
}

/// mkdir(2) of each; 0 or the errno.
pub fn make_directories(paths: &[impl AsRef<CStr>], mode: Mode) -> Vec<i32> {
    each(paths, |path| rustix::fs::mkdir(path, mode))
}

/// rmdir(2) of each; 0 or the errno.
pub fn remove_directories(paths: &[impl AsRef<CStr>]) -> Vec<i32> {
    each(paths, |path| rustix::fs::rmdir(path))
}

/// open(2) of each: a descriptor that the caller closes, or the errno below zero.
pub fn open_each(paths: &[impl AsRef<CStr>], flags: OFlags) -> Vec<RawFd> {
    let open_one = |path: &CStr| match open(path, flags, Mode::empty()) {
        Ok(fd) => fd.into_raw_fd(),
        Err(errno) => -errno.raw_os_error(),
    };
    paths.iter().map(|path| open_one(path.as_ref())).collect()
}

fn each(paths: &[impl AsRef<CStr>], call: impl Fn(&CStr) -> Result<()>) -> Vec<i32> {
    paths.iter().map(|path| call(path.as_ref()).err().map_or(0, Errno::raw_os_error)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;

    fn place(name: &str) -> (std::path::PathBuf, CString) {
        let path = std::env::temp_dir().join(format!("kata-files-{}-{name}", std::process::id()));
        let text = CString::new(path.to_str().unwrap()).unwrap();
        (path, text)
    }

    #[test]
    fn a_file_is_read_to_its_end_or_just_past_the_limit() {
        let (path, name) = place("read");
        std::fs::write(&path, vec![7; 3 * CHUNK + 5]).unwrap();
        assert_eq!(read(&name, OFlags::empty(), None, true).unwrap().len(), 3 * CHUNK + 5);
        let some = read(&name, OFlags::empty(), Some(CHUNK), false).unwrap().len();
        assert!(some > CHUNK && some <= 2 * CHUNK);
        std::fs::remove_file(path).unwrap();
        let missing = read(&name, OFlags::empty(), None, true).unwrap_err();
        assert_eq!(missing, Unread::Failed(Errno::NOENT));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_where_that_is_asked() {
        for path in [c"/", c"/dev/null"] {
            assert_eq!(read(path, OFlags::empty(), None, true), Err(Unread::NotRegular));
        }
        assert_eq!(read(c"/dev/null", OFlags::empty(), None, false), Ok(Vec::new()));
        assert_eq!(read(c"/", OFlags::empty(), None, false), Err(Unread::Failed(Errno::ISDIR)));
    }

    #[test]
    fn a_new_file_is_private_and_takes_nobodys_place() {
        use std::os::unix::fs::PermissionsExt;
        let (path, name) = place("new");
        write_new(&name, b"first").unwrap();
        assert_eq!(write_new(&name, b"second").unwrap_err(), Errno::EXIST);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_failed_write_tells_which_value() {
        let full = CString::new("/dev/full").unwrap();
        assert_eq!(write_each(&full, &[b"x"]), Err((Some(0), Errno::NOSPC)));
        let (_, missing) = place("missing");
        assert_eq!(write_each(&missing, &[b""]), Err((None, Errno::NOENT)));
    }

    #[test]
    fn directories_are_told_apart() {
        let (path, name) = place("directory");
        let names = [name.clone(), name];
        assert_eq!(make_directories(&names, Mode::RWXU), [0, libc::EEXIST]);
        assert!(open_each(&names[..1], OFlags::WRONLY)[0] < 0);
        assert_eq!(remove_directories(&names), [0, libc::ENOENT]);
        assert!(!path.exists());
    }
}
