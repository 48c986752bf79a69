//! Safe paths and kernel features for Python.

use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use rustix::fs::{Mode, OFlags};
use std::os::unix::ffi::OsStrExt;

use super::convert::os_error;
use crate::error::errno_text;
use crate::{path, probe as probes, sys};

type Opened = rustix::io::Result<OwnedFd>;

fn answer(py: Python<'_>, path: &Path, open: impl FnOnce(&[u8]) -> Opened + Send) -> PyResult<i32> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.contains(&0) {
        return Err(PyValueError::new_err("the path contains a NUL byte"));
    }
    match py.detach(|| open(bytes)) {
        Ok(fd) => Ok(fd.into_raw_fd()),
        Err(err) => {
            // As str: for a Path, PyO3 would import pathlib, six milliseconds of a launch.
            let name = path.as_os_str().to_os_string();
            Err(PyOSError::new_err((err.raw_os_error(), errno_text(err.raw_os_error()), name)))
        }
    }
}

fn borrowed(fd: i32) -> PyResult<BorrowedFd<'static>> {
    sys::borrow(fd).map_err(|err| os_error(&err))
}

#[pyfunction]
#[pyo3(signature = (root_fd, path, flags, mode = 0))]
pub(super) fn open_in_root(
    py: Python<'_>,
    root_fd: i32,
    path: PathBuf,
    flags: u32,
    mode: u32,
) -> PyResult<i32> {
    let root = borrowed(root_fd)?;
    let (flags, mode) = (OFlags::from_bits_retain(flags), Mode::from_bits_retain(mode));
    answer(py, &path, |bytes| path::open_in_root(root, bytes, flags, mode))
}

#[pyfunction]
pub(super) fn mkdir_in_root(py: Python<'_>, root_fd: i32, path: PathBuf, mode: u32) -> PyResult<i32> {
    let root = borrowed(root_fd)?;
    answer(py, &path, |bytes| path::mkdir_in_root(root, bytes, Mode::from_bits_retain(mode)))
}

#[pyfunction]
#[pyo3(signature = (dir_fd, path, flags, mode = 0, *, no_symlinks = true))]
pub(super) fn open_beneath(
    py: Python<'_>,
    dir_fd: i32,
    path: PathBuf,
    flags: u32,
    mode: u32,
    no_symlinks: bool,
) -> PyResult<i32> {
    let directory = borrowed(dir_fd)?;
    let (flags, mode) = (OFlags::from_bits_retain(flags), Mode::from_bits_retain(mode));
    answer(py, &path, |bytes| path::open_beneath(directory, bytes, flags, mode, no_symlinks))
}

#[pyfunction]
pub(super) fn probe(py: Python<'_>) -> std::collections::BTreeMap<&'static str, bool> {
    py.detach(|| probes::probe().into_iter().collect())
}
