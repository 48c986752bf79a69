//! `Child`, `Reaper` and what concerns adopted processes.

use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::convert::{deadline, os_error, pair, resumed, to_py};
use crate::error::{Error, Named};
use crate::process::Process;
use crate::sys;

/// One process with its pidfd.
#[pyclass(frozen, module = "kata_hybrid._core")]
pub(super) struct Child {
    inner: Arc<Process>,
}

impl From<Arc<Process>> for Child {
    fn from(inner: Arc<Process>) -> Self {
        Self { inner }
    }
}

#[pymethods]
impl Child {
    #[staticmethod]
    fn open(py: Python<'_>, pid: i32, start_time: u64) -> PyResult<Self> {
        let opened = py.detach(|| Process::open(pid, start_time));
        Ok(Self { inner: opened.map_err(|err| os_error(&err))? })
    }

    #[getter]
    fn pid(&self) -> i32 {
        self.inner.pid()
    }

    fn pidfd(&self) -> i32 {
        self.inner.pidfd().as_raw_fd()
    }

    fn fileno(&self) -> i32 {
        self.pidfd()
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<(i32, i32)>> {
        let deadline = deadline(timeout)?;
        let status = resumed(py, || Ok(self.inner.wait(deadline).named("waitid")?))?;
        Ok(status.map(pair))
    }

    fn poll(&self, py: Python<'_>) -> PyResult<Option<(i32, i32)>> {
        let status = resumed(py, || Ok(self.inner.poll().named("waitid")?))?;
        Ok(status.map(pair))
    }

    #[pyo3(signature = (timeout=0.0))]
    fn ended(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = deadline(timeout)?;
        resumed(py, || Ok(self.inner.ended(deadline).named("ppoll")?))
    }

    fn send_signal(&self, sig: i32) -> PyResult<()> {
        self.inner.send_signal(sig).map_err(|err| os_error(&err))
    }

    fn __repr__(&self) -> String {
        format!("<Child pid={}>", self.inner.pid())
    }
}

/// The ends of many children as one descriptor.
#[pyclass(frozen, module = "kata_hybrid._core")]
pub(super) struct Reaper {
    /// `None` once closed.
    inner: Mutex<Option<Arc<crate::reaper::Reaper>>>,
}

impl Reaper {
    fn opened(&self) -> PyResult<Arc<crate::reaper::Reaper>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.as_ref().map(Arc::clone).ok_or_else(|| PyValueError::new_err("the reaper is closed"))
    }
}

#[pymethods]
impl Reaper {
    #[new]
    fn new() -> PyResult<Self> {
        let inner = crate::reaper::Reaper::new().map_err(|err| os_error(&err))?;
        Ok(Self { inner: Mutex::new(Some(Arc::new(inner))) })
    }

    fn add(&self, py: Python<'_>, child: &Child, token: i64) -> PyResult<()> {
        let reaper = self.opened()?;
        py.detach(|| reaper.add(&child.inner, token)).map_err(|err| os_error(&err))
    }

    fn fileno(&self) -> PyResult<i32> {
        Ok(self.opened()?.fd().as_raw_fd())
    }

    fn drain(&self, py: Python<'_>) -> PyResult<Vec<(i64, (i32, i32))>> {
        let reaper = self.opened()?;
        let ended = py.detach(|| reaper.drain()).map_err(|err| os_error(&err))?;
        Ok(ended.into_iter().map(|(token, status)| (token, pair(status))).collect())
    }

    fn close(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Reap dead children that nobody owns.
#[pyfunction]
pub(super) fn reap_orphans(py: Python<'_>, owned: Vec<i32>) -> PyResult<Vec<(i32, i32, i32)>> {
    let reaped = py.detach(|| crate::process::reap_orphans(&owned));
    let reaped = reaped.map_err(|err| os_error(&err))?;
    Ok(reaped.into_iter().map(|(pid, status)| (pid, status.code, status.signal)).collect())
}

/// Adopt orphaned descendants, or stop that.
#[pyfunction]
pub(super) fn set_child_subreaper(py: Python<'_>, on: bool) -> PyResult<()> {
    sys::set_child_subreaper(on).named("prctl").map_err(|err| to_py(py, Error::Sys(err)))
}
