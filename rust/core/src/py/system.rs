//! `build_info`, `force_fallback`, and the allocator's habits.

use std::collections::BTreeMap;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::{fallback, image, memory};

/// What this extension was built from and for.
#[pyfunction]
pub(super) fn build_info() -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("profile", if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned()),
        ("target", env!("KATA_TARGET").to_owned()),
        ("init_bytes", image::size().to_string()),
    ])
}

/// Force a fallback, or stop that.
#[pyfunction]
pub(super) fn force_fallback(name: &str, on: bool) -> PyResult<()> {
    if fallback::force(name, on) {
        return Ok(());
    }
    Err(PyValueError::new_err(format!("there is no fallback named {name:?}")))
}

/// Let threads share that many heaps.
#[pyfunction]
pub(super) fn limit_arenas(count: i32) {
    memory::limit_arenas(count);
}

/// Give free heap memory back to the kernel.
#[pyfunction]
pub(super) fn trim_memory(py: Python<'_>) {
    py.detach(memory::trim);
}
