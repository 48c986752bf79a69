//! The module as Python sees it: each function converts, lets the interpreter go, calls, converts back.

mod convert;
mod device;
mod files;
mod grpc;
mod json;
mod launch;
mod path;
mod process;
mod seccomp;
mod system;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::convert::InitError;
    #[pymodule_export]
    use super::device::{device_program, device_program_attach, device_program_query};
    #[pymodule_export]
    use super::files::{
        close_files, make_directories, open_files, read_file, remove_directories, write_file_each,
        write_new_file,
    };
    #[pymodule_export]
    use super::grpc::GrpcConnection;
    #[pymodule_export]
    use super::json::{json_dumps, json_loads};
    #[pymodule_export]
    use super::launch::{describe_plan, spawn, Launch};
    #[pymodule_export]
    use super::path::{mkdir_in_root, open_beneath, open_in_root, probe};
    #[pymodule_export]
    use super::process::{reap_orphans, set_child_subreaper, Child, Reaper};
    #[pymodule_export]
    use super::seccomp::seccomp_compile;
    #[pymodule_export]
    use super::system::{build_info, force_fallback, limit_arenas, trim_memory};

    use super::*;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Here, so that the image is not charged to whoever's group happens to launch first. What fails now
        // is told by the first launch.
        let _ = crate::image::executable();
        Ok(())
    }
}
