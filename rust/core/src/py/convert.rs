//! Errors and texts on their way to Python.

use std::io;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyOSError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::error::{errno_text, Error, InitFailure};
use crate::sys::ExitStatus;

pyo3::create_exception!(
    kata_hybrid._core,
    InitError,
    PyException,
    "kata-init failed at a step of the plan, or ended before execve."
);

/// The one way of core errors to Python.
pub(super) fn to_py(py: Python<'_>, err: Error) -> PyErr {
    match err {
        Error::Sys(err) => PyOSError::new_err((err.errno, err.to_string())),
        Error::Init(failure) => init_error(py, failure).unwrap_or_else(|err| err),
        Error::Interrupted => os_error(&io::Error::from_raw_os_error(libc::EINTR)),
        Error::Value(text) => PyValueError::new_err(text),
    }
}

/// `OSError` with its errno, so that Python picks the subclass.
pub(super) fn os_error(err: &io::Error) -> PyErr {
    match err.raw_os_error() {
        Some(errno) => PyOSError::new_err((errno, errno_text(errno))),
        None => PyOSError::new_err(err.to_string()),
    }
}

fn init_error(py: Python<'_>, failure: InitFailure) -> PyResult<PyErr> {
    let err = InitError::new_err(failure.to_string());
    let value = err.value(py);
    value.setattr("step", failure.step)?;
    value.setattr("index", failure.index)?;
    value.setattr("errno", failure.errno)?;
    value.setattr("path", text(py, &failure.path)?)?;
    value.setattr("detail", text(py, &failure.detail)?)?;
    Ok(err)
}

/// Bytes of the system as Python text, undecodable ones as surrogates.
fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    PyString::from_encoded_object(&PyBytes::new(py, bytes), Some(c"utf-8"), Some(c"surrogateescape"))
}

/// Runs `call` with the interpreter released, again after each signal whose handler raised nothing.
pub(super) fn resumed<T: Send>(
    py: Python<'_>,
    call: impl Fn() -> Result<T, Error> + Send + Sync,
) -> PyResult<T> {
    loop {
        match py.detach(&call) {
            Err(Error::Interrupted) => py.check_signals()?,
            done => return done.map_err(|err| to_py(py, err)),
        }
    }
}

/// When a number of seconds from now will have passed; `None` is never.
pub(super) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let Some(seconds) = timeout else { return Ok(None) };
    if seconds.is_nan() {
        return Err(PyValueError::new_err("timeout is not a number"));
    }
    let duration = Duration::try_from_secs_f64(seconds.max(0.0))
        .map_err(|_| PyOverflowError::new_err("timeout is too large"))?;
    Ok(Instant::now().checked_add(duration))
}

pub(super) fn pair(status: ExitStatus) -> (i32, i32) {
    (status.code, status.signal)
}
