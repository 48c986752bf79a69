//! `seccomp_compile`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::seccomp::{compile, CompileError, Condition, Rule};

type Comparison = (u32, u64, u64, String);

/// The filter of a profile for this machine.
#[pyfunction]
pub(super) fn seccomp_compile<'py>(
    py: Python<'py>,
    default_action: u32,
    architectures: Vec<String>,
    syscalls: Vec<(Vec<String>, u32, Vec<Comparison>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let program = py.detach(|| {
        let architectures: Vec<&str> = architectures.iter().map(String::as_str).collect();
        let rules: Result<Vec<Rule>, CompileError> = syscalls.into_iter().map(rule).collect();
        compile(default_action, &architectures, &rules?)
    });
    let program = program.map_err(|err| PyValueError::new_err(err.to_string()))?;
    Ok(PyBytes::new(py, &program))
}

fn rule((names, action, comparisons): (Vec<String>, u32, Vec<Comparison>)) -> Result<Rule, CompileError> {
    let conditions: Result<_, CompileError> = comparisons.into_iter().map(condition).collect();
    Ok(Rule { names, action, conditions: conditions? })
}

fn condition((index, value, value_two, op): Comparison) -> Result<Condition, CompileError> {
    Ok(Condition { index, value, value_two, op: op.parse()? })
}
