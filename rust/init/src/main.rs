//! kata-init: walks a launch plan inside the new namespaces, then executes the workload.
//!
//! A freestanding static program: no libc, no heap, one thread. argv[1] is the number of a memfd that holds
//! u32 nfds, i32 fd numbers, i32 sync fd and the plan. Whoever starts it has reset the signals. The first step that fails is reported on the sync socket.
//! Build flags are in `rust/core/build.rs`.
//!
//! Only the profile with panic=abort makes that program. Any other (`cargo clippy`, `cargo build --workspace`)
//! makes an ordinary program with std of the same code, so that no tool needs the link flags.
#![cfg_attr(panic = "abort", no_std, no_main)]

mod context;
mod nr;
mod path;
mod raw;
#[cfg(panic = "abort")]
mod start;
mod steps;
mod text;

use core::ffi::CStr;

use context::Context;
use kata_plan::{DecodeError, Plan, Step};
use raw::{Errno, EINVAL};

#[cfg(panic = "unwind")]
fn main() {
    use std::os::unix::ffi::OsStringExt;
    let number = std::env::args_os().nth(1).and_then(|text| std::ffi::CString::new(text.into_vec()).ok());
    launch(number.as_deref())
}

fn launch(argument: Option<&CStr>) -> ! {
    raw::set_name(c"kata-init");
    // Processes that share a namespace may not trace this one (CVE-2016-9962).
    raw::set_dumpable(false);
    raw::umask(0);
    let Ok((mut context, bytes)) = load(argument) else { raw::exit(120) };
    let plan = match Plan::new(bytes) {
        Ok(plan) => plan,
        Err(error) => undecodable(&mut context, 0, error),
    };
    for (index, step) in plan.steps().enumerate() {
        let step = match step {
            Ok(step) => step,
            Err(error) => undecodable(&mut context, index, error),
        };
        if let Err(errno) = steps::run(&mut context, &step) {
            report(&mut context, &step, index, errno);
        }
    }
    context.fail(0, 0, EINVAL, b"", b"the plan ends without execve")
}

/// Descriptors and plan of the memfd that the argument names.
fn load(argument: Option<&CStr>) -> Result<(Context, &'static [u8]), Errno> {
    let number = argument.and_then(|text| text::parse_fd(text.to_bytes())).ok_or(EINVAL)?;
    let bytes: &'static [u8] = raw::map(Some(number), raw::file_len(number)?)?;
    raw::close(number);
    Context::new(bytes).ok_or(EINVAL)
}

fn undecodable(context: &mut Context, index: usize, error: DecodeError) -> ! {
    let mut note = text::Buffer::<120>::new();
    note.push(b"undecodable plan at byte ");
    note.push_number(i64::try_from(error.offset).unwrap_or(i64::MAX));
    note.push(b": expected ");
    note.push(error.expected.as_bytes());
    context.fail(0, index, EINVAL, b"", note.as_bytes())
}

fn report(context: &mut Context, step: &Step<'static>, index: usize, errno: Errno) -> ! {
    let (mut path, object) = steps::subject(step);
    if let (Step::Exec { .. } | Step::FindExecutable { .. }, Some(found)) = (step, context.executable) {
        path = found.to_bytes();
    }
    let mut note = text::Buffer::<4200>::new();
    if let (Step::Hook { kind, index, .. }, true) = (step, context.is_released()) {
        note.push(b"error running ");
        note.push(kind.to_bytes());
        note.push(b" hook #");
        note.push_number(*index);
        note.push(b": ");
    }
    note.push(if context.note.as_bytes().is_empty() { object } else { context.note.as_bytes() });
    context.fail(step.code(), index, errno, path, note.as_bytes())
}
