//! The steps: which function does which, and what an error report calls its object.

mod console;
mod device;
mod exec;
mod hook;
mod identity;
mod mask;
mod mount;
mod namespace;
mod root;
mod system;

use core::ffi::CStr;

use kata_plan::Step;

use crate::context::{self, Context};
use crate::raw::{self, Errno};

/// Do one step.
pub(crate) fn run(context: &mut Context, step: &Step<'static>) -> Result<(), Errno> {
    if !keeps_directory(step) {
        context.directory.forget();
    }
    match step {
        Step::Sync { point } => context.sync(*point),
        Step::JoinCgroup { fd } => raw::write(context.fd(*fd)?, b"0").map(drop),
        Step::OomScoreAdj { value } => system::oom_score_adj(*value),
        Step::Setns { fd, flags, .. } => raw::setns(context.fd(*fd)?, bits(*flags)),
        Step::Unshare { flags } => raw::unshare(bits(*flags)),
        Step::TimeOffsets { data } => system::write_own(c"/proc/self/timens_offsets", data),
        Step::Fork { flags } => namespace::fork(context, bits(*flags)),
        Step::BecomeRoot {} => namespace::become_root(),
        Step::Setsid {} => raw::setsid(),
        Step::LoopbackUp {} => namespace::loopback_up(),
        Step::RootPropagation { flags } => raw::mount(None, c"/", None, bits(*flags), None),
        Step::PrepareRootfs { path, propagation_flags } => {
            root::prepare(context, path, bits(*propagation_flags))
        }
        Step::MountFs { .. } | Step::BindMount { .. } => mount::mount(context, step),
        Step::Remount { target, flags } => mount::remount(context.root()?, target, bits(*flags)),
        Step::Symlink { target, path, replace } => device::symlink(context, target, path, *replace != 0),
        Step::Device { .. } => device::create(context, step),
        Step::MaskPath { path } => mask::mask(context, path),
        Step::ReadonlyPath { path } => mask::make_readonly(context.root()?, path),
        Step::Sysctl { path, value } => system::sysctl(path, value.to_bytes()),
        Step::MakeCwd { path } => root::make_cwd(context.root()?, path),
        Step::Pivot { mode } => root::change(context, *mode),
        Step::RootfsReadonly {} => root::make_readonly(context),
        Step::Hostname { name } => raw::sethostname(name),
        Step::Domainname { name } => raw::setdomainname(name),
        Step::Rlimit { resource, soft, hard } => system::rlimit(*resource, *soft, *hard),
        Step::NoNewPrivs {} => identity::no_new_privs(),
        Step::Seccomp { flags, bpf } => raw::seccomp_filter(bits(*flags), bpf),
        Step::BoundingCaps { mask } => identity::bounding_caps(bits(*mask)),
        Step::User { uid, gid, groups, setgroups } => identity::user(*uid, *gid, groups, *setgroups != 0),
        Step::Caps { effective, permitted, inheritable, ambient } => {
            identity::caps(bits(*effective), bits(*permitted), bits(*inheritable), bits(*ambient))
        }
        Step::Umask { mask } => {
            raw::umask((*mask & 0o777) as u32);
            Ok(())
        }
        Step::Chdir { path } => exec::chdir(context, path),
        Step::Console { fd, rows, cols, mount } => console::set_up(context, *fd, *rows, *cols, *mount != 0),
        Step::ChownStdio { uid } => identity::chown_stdio(*uid),
        Step::StdioNull {} => device::reopen_null(),
        Step::FindExecutable { candidates } => exec::find(context, candidates.clone()),
        Step::ExecFifo { fd } => {
            let fifo = context.fd(*fd)?;
            context::wait_at_fifo(context, fifo)
        }
        Step::Hook { .. } => hook::run(context, step),
        Step::Exec { args, env, preserve } => exec::exec(context, args, env, *preserve),
        Step::Personality { domain } => raw::personality(bits(*domain)),
        Step::IOPriority { ioclass, priority } => {
            raw::set_io_priority(bits(*ioclass) << 13 | bits(*priority))
        }
        Step::Scheduler { attr } => raw::set_scheduler(attr),
        Step::SessionKeyring { name, .. } => system::session_keyring(name),
    }
}

/// Whether the directory that is remembered leads on to the same place after the step. Replacing a link could
/// change that, as could a mask over it, or whatever others do while this process waits for them.
fn keeps_directory(step: &Step<'static>) -> bool {
    match step {
        Step::MountFs { .. } | Step::BindMount { .. } | Step::Device { .. } => true,
        Step::Symlink { replace, .. } => *replace == 0,
        _ => false,
    }
}

/// A field that is a bit mask.
fn bits(value: i64) -> u64 {
    value as u64
}

/// The path a step works on, and what else names its object.
pub(crate) fn subject(step: &Step<'static>) -> (&'static [u8], &'static [u8]) {
    const NONE: &CStr = c"";
    let (path, object): (&CStr, &CStr) = match step {
        Step::Setns { path, .. }
        | Step::PrepareRootfs { path, .. }
        | Step::Device { path, .. }
        | Step::MaskPath { path }
        | Step::ReadonlyPath { path }
        | Step::MakeCwd { path }
        | Step::Chdir { path } => (path, NONE),
        Step::MountFs { target, fstype, .. } => (target, fstype),
        Step::BindMount { target, source, .. } => (target, source),
        Step::Remount { target, .. } => (target, NONE),
        Step::Symlink { path, target, .. } => (path, target),
        Step::Sysctl { path, value } => (path, value),
        Step::Hook { path, kind, .. } => (path, kind),
        Step::FindExecutable { candidates } => (candidates.clone().next().unwrap_or(NONE), NONE),
        Step::Exec { args, .. } => (args.clone().next().unwrap_or(NONE), NONE),
        Step::Hostname { name } | Step::Domainname { name } => (NONE, name),
        _ => (NONE, NONE),
    };
    (path.to_bytes(), object.to_bytes())
}
