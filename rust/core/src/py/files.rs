//! Bulk file operations for Python.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::errno_text;
use crate::files::Unread;
use crate::{files, sys};

/// The errno and place of the value that could not be written; the place is -1 for the opening.
type Refused = (i64, i32);

fn c_path(path: OsString) -> PyResult<CString> {
    CString::new(path.into_vec()).map_err(|_| PyValueError::new_err("embedded null byte"))
}

fn c_paths(paths: Vec<OsString>) -> PyResult<Vec<CString>> {
    paths.into_iter().map(c_path).collect()
}

fn failed(errno: Errno, path: OsString) -> PyErr {
    let errno = errno.raw_os_error();
    PyOSError::new_err((errno, errno_text(errno), path))
}

#[pyfunction]
#[pyo3(signature = (path, *, flags = 0, limit = None, regular = false))]
pub(super) fn read_file<'py>(
    py: Python<'py>,
    path: OsString,
    flags: u32,
    limit: Option<usize>,
    regular: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let name = c_path(path.clone())?;
    let flags = OFlags::from_bits_retain(flags);
    loop {
        match py.detach(|| files::read(&name, flags, limit, regular)) {
            Ok(data) => return Ok(PyBytes::new(py, &data)),
            Err(Unread::Failed(Errno::INTR)) => py.check_signals()?,
            Err(Unread::Failed(errno)) => return Err(failed(errno, path)),
            Err(Unread::NotRegular) => return Err(PyValueError::new_err("not a regular file")),
        }
    }
}

#[pyfunction]
pub(super) fn write_file_each(
    py: Python<'_>,
    path: OsString,
    values: Vec<PyBackedBytes>,
) -> PyResult<Option<Refused>> {
    let name = c_path(path)?;
    let refused = py.detach(|| files::write_each(&name, &values)).err();
    Ok(refused.map(|(place, errno)| (place.map_or(-1, |place| place as i64), errno.raw_os_error())))
}

#[pyfunction]
pub(super) fn write_new_file(py: Python<'_>, path: OsString, data: PyBackedBytes) -> PyResult<()> {
    let name = c_path(path.clone())?;
    py.detach(|| files::write_new(&name, &data)).map_err(|errno| failed(errno, path))
}

#[pyfunction]
pub(super) fn make_directories(py: Python<'_>, paths: Vec<OsString>, mode: u32) -> PyResult<Vec<i32>> {
    let names = c_paths(paths)?;
    Ok(py.detach(|| files::make_directories(&names, Mode::from_bits_retain(mode))))
}

#[pyfunction]
pub(super) fn remove_directories(py: Python<'_>, paths: Vec<OsString>) -> PyResult<Vec<i32>> {
    let names = c_paths(paths)?;
    Ok(py.detach(|| files::remove_directories(&names)))
}

#[pyfunction]
pub(super) fn open_files(py: Python<'_>, paths: Vec<OsString>, flags: u32) -> PyResult<Vec<i32>> {
    let names = c_paths(paths)?;
    Ok(py.detach(|| files::open_each(&names, OFlags::from_bits_retain(flags))))
}

#[pyfunction]
pub(super) fn close_files(py: Python<'_>, fds: Vec<i32>) {
    py.detach(|| fds.into_iter().for_each(sys::close));
}
