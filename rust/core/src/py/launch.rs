//! `spawn`, `Launch`, `describe_plan`.

use kata_plan::Plan;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::convert::{pair, resumed, to_py};
use super::process::Child;
use crate::spawn::Request;

/// Start kata-init on a plan.
#[pyfunction]
#[pyo3(
    signature = (plan, *, fds=Vec::new(), stdio=(0, 1, 2), clone_flags=0, cgroup_fd=-1, preserve_fds=0),
    text_signature = "(plan, *, fds=(), stdio=(0, 1, 2), clone_flags=0, cgroup_fd=-1, preserve_fds=0)"
)]
pub(super) fn spawn(
    py: Python<'_>,
    plan: &[u8],
    fds: Vec<i32>,
    stdio: (i32, i32, i32),
    clone_flags: u64,
    cgroup_fd: i32,
    preserve_fds: i32,
) -> PyResult<Launch> {
    let request = Request { plan, fds: &fds, stdio: stdio.into(), clone_flags, cgroup_fd, preserve_fds };
    let inner = py.detach(|| crate::spawn::spawn(&request)).map_err(|err| to_py(py, err))?;
    Ok(Launch { inner })
}

/// A process on its way to its workload.
#[pyclass(frozen, module = "kata_hybrid._core")]
pub(super) struct Launch {
    inner: crate::launch::Launch,
}

#[pymethods]
impl Launch {
    #[getter]
    fn pid(&self, py: Python<'_>) -> i32 {
        // Detached: another thread may be waiting in `next` and hold the launch.
        py.detach(|| self.inner.pid())
    }

    fn fileno(&self, py: Python<'_>) -> i32 {
        py.detach(|| self.inner.fd())
    }

    fn next(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        resumed(py, || self.inner.next())
    }

    fn proceed(&self, py: Python<'_>) -> PyResult<()> {
        resumed(py, || self.inner.proceed())
    }

    fn child(&self, py: Python<'_>) -> Child {
        py.detach(|| self.inner.process()).into()
    }

    fn abort(&self, py: Python<'_>) -> PyResult<Option<(i32, i32)>> {
        resumed(py, || self.inner.abort()).map(pair).map(Some)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Launch pid={}>", self.pid(py))
    }
}

/// The steps of an encoded plan as text.
#[pyfunction]
pub(super) fn describe_plan(plan: &[u8]) -> PyResult<Vec<String>> {
    let wrong = |err: kata_plan::DecodeError| PyValueError::new_err(err.to_string());
    let plan = Plan::new(plan).map_err(wrong)?;
    plan.steps().map(|step| step.map(|step| format!("{step:?}")).map_err(wrong)).collect()
}
