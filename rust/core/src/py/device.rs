//! `device_program`, `device_program_attach`, `device_program_query`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::convert::os_error;
use crate::device_bpf::{self, Rule};
use crate::sys;

/// The device program of some rules.
#[pyfunction]
pub(super) fn device_program<'py>(
    py: Python<'py>,
    rules: Vec<(bool, String, i64, i64, String)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let rules: Result<Vec<Rule>, String> = rules
        .iter()
        .map(|(allow, kind, major, minor, access)| Rule::parse(*allow, kind, *major, *minor, access))
        .collect();
    let program = device_bpf::assemble(&rules.map_err(PyValueError::new_err)?);
    Ok(PyBytes::new(py, &device_bpf::to_bytes(&program)))
}

/// Put a device program in the place of those attached to a group.
#[pyfunction]
pub(super) fn device_program_attach(py: Python<'_>, cgroup_fd: i32, insns: &[u8]) -> PyResult<()> {
    py.detach(|| device_bpf::attach(sys::borrow(cgroup_fd)?, insns)).map_err(|err| os_error(&err))
}

/// How many device programs are attached to a group.
#[pyfunction]
pub(super) fn device_program_query(py: Python<'_>, cgroup_fd: i32) -> PyResult<u32> {
    py.detach(|| device_bpf::query(sys::borrow(cgroup_fd)?)).map_err(|err| os_error(&err))
}
