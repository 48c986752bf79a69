//! The calls. In the child they run on memory shared with the stopped parent (`CLONE_VM | CLONE_VFORK`): no
//! allocation, no lock; libc wrappers write the parent's `errno`, which nobody there looks at meanwhile.
//! Sources: clone(2), mount(2), pivot_root(2), capabilities(7), seccomp(2), netdevice(7).

#![allow(unsafe_code)]

use std::ffi::{c_void, CStr};
use std::fmt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::Duration;

use crate::script::{Exec, Op, Script};

const STACK_SIZE: usize = 64 * 1024;

/// A line that failed, its place in its part, and why.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.what, std::io::Error::from_raw_os_error(self.errno))
    }
}

pub(crate) fn run_all(ops: &[Op]) -> Result<(), Failure> {
    for op in ops {
        run(op).map_err(|errno| Failure { what: format!("{op:?}"), errno })?;
    }
    Ok(())
}

/// Start the child; returns its pid once it has executed its program.
pub(crate) fn launch(script: &Script) -> Result<i32, Failure> {
    let forked = std::env::var_os("KATA_FLOOR_FORK").is_some();
    let pid = if forked { fork(script) } else { share(script) };
    pid.map_err(|errno| Failure { what: "clone".to_owned(), errno })
}

fn share(script: &Script) -> Result<i32, i32> {
    static STACK: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
    let mut stack = STACK.load(Ordering::Relaxed);
    if stack.is_null() {
        stack = Box::leak(vec![0_u128; STACK_SIZE / 16].into_boxed_slice()).as_mut_ptr().cast();
        STACK.store(stack, Ordering::Relaxed);
    }
    let flags = script.clone_flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = ptr::from_ref(script).cast_mut().cast();
    // SAFETY: CLONE_VFORK stops this, the only thread, until the child has left the stack and the script.
    let pid = unsafe { libc::clone(child_main, stack.wrapping_byte_add(STACK_SIZE), flags, argument) };
    checked(pid)
}

/// For comparison: a copy of this process. The caller does not hear of a child that fails, but by its status.
fn fork(script: &Script) -> Result<i32, i32> {
    let flags = script.clone_flags | libc::SIGCHLD;
    // SAFETY: without CLONE_VM both go on from here with memory of their own.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        child_main(ptr::from_ref(script).cast_mut().cast());
    }
    checked(pid as i32)
}

extern "C" fn child_main(script: *mut c_void) -> i32 {
    // SAFETY: what `share` and `fork` passed, alive as long as the child runs here.
    let script = unsafe { &*script.cast::<Script>() };
    for (index, op) in script.child.iter().enumerate() {
        if run(op).is_err() {
            // SAFETY: ends this process only. The line's place in the part tells which one failed.
            unsafe { libc::_exit(100 + index as i32) };
        }
    }
    // SAFETY: as above; a script without exec.
    unsafe { libc::_exit(99) }
}

pub(crate) fn wait(pid: i32) -> Result<(), Failure> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let done = unsafe { libc::waitpid(pid, &mut status, 0) };
    checked(done).map_err(|errno| Failure { what: "waitpid".to_owned(), errno })?;
    if status == 0 {
        return Ok(());
    }
    // From 100 on the status is the place of the child's line that failed.
    Err(Failure { what: format!("the child ended with wait status {status:#x}"), errno: 0 })
}

/// User and system seconds of this process and its children, and the peak resident set of this process in kB.
pub(crate) fn usage() -> (f64, i64) {
    let parts = [rusage(libc::RUSAGE_SELF), rusage(libc::RUSAGE_CHILDREN)];
    // Not ru_maxrss: that would be the peak of who started us, from before the exec.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kb = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    (cpu_seconds(&parts), peak_kb.unwrap_or(0))
}

pub(crate) fn cpu_seconds(parts: &[libc::rusage]) -> f64 {
    let times = parts.iter().flat_map(|part| [part.ru_utime, part.ru_stime]);
    times
        .map(|time| Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64))
        .sum::<Duration>()
        .as_secs_f64()
}

fn rusage(who: i32) -> libc::rusage {
    // SAFETY: all zeros is a valid rusage.
    let mut found: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    unsafe { libc::getrusage(who, &mut found) };
    found
}

pub(crate) fn checked(result: i32) -> Result<i32, i32> {
    if result >= 0 {
        return Ok(result);
    }
    // SAFETY: the address of this thread's errno.
    Err(unsafe { *libc::__errno_location() })
}

fn pointer<T: AsRef<CStr>>(text: &Option<T>) -> *const libc::c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ref().as_ptr())
}

/// One line. `Err` is the errno.
fn run(op: &Op) -> Result<(), i32> {
    match op {
        Op::LoopbackUp => return loopback_up(),
        Op::PivotRoot => return pivot_root(),
        Op::Write { path, text } => return write_file(path, text),
        Op::Bounding { drop } => return drop_bounding(drop),
        Op::Seccomp { flags, program } => return load_filter(*flags, program),
        Op::Caps { effective, permitted, inheritable } => {
            return set_caps(*effective, *permitted, *inheritable);
        }
        _ => {}
    }
    // SAFETY: every pointer is a C string, or a vector of them with a null behind, that the script owns.
    checked(unsafe { simple(op) }).map(drop)
}

/// The lines that are one system call.
///
/// # Safety
/// The script that `op` belongs to is alive.
#[allow(clippy::multiple_unsafe_ops_per_block)]
unsafe fn simple(op: &Op) -> i32 {
    // SAFETY: the caller's promise; the kernel only reads what the pointers show.
    unsafe {
        match op {
            Op::Mkdir { path, mode } => libc::mkdir(path.as_ptr(), *mode),
            Op::Rmdir { path } => libc::rmdir(path.as_ptr()),
            Op::Unshare { flags } => libc::unshare(*flags),
            Op::Setsid => libc::setsid(),
            Op::Chdir { path } => libc::chdir(path.as_ptr()),
            Op::Mount { source, target, fstype, flags, data } => {
                let (source, fstype) = (pointer(source), pointer(fstype));
                libc::mount(source, target.as_ptr(), fstype, *flags, pointer(data).cast())
            }
            Op::Mknod { path, mode, device } => libc::mknod(path.as_ptr(), *mode, *device),
            Op::Symlink { target, path } => libc::symlink(target.as_ptr(), path.as_ptr()),
            Op::Hostname { name } => libc::sethostname(name.as_ptr(), name.count_bytes()),
            Op::Umask { mask } => libc::umask(*mask) as i32,
            Op::Rlimit { resource, soft, hard } => {
                libc::setrlimit(*resource, &libc::rlimit { rlim_cur: *soft, rlim_max: *hard })
            }
            Op::NoNewPrivs => libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            Op::Ids { uid, gid } => {
                libc::setgroups(0, ptr::null())
                    | libc::setresgid(*gid, *gid, *gid)
                    | libc::setresuid(*uid, *uid, *uid)
            }
            Op::Exec(Exec { path, argv, envp, .. }) => {
                libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr())
            }
            _ => -1,
        }
    }
}

fn write_file(path: &CStr, text: &[u8]) -> Result<(), i32> {
    // SAFETY: a C string.
    let fd = checked(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) })?;
    // SAFETY: reads `text` only.
    let done = checked(unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) } as i32);
    // SAFETY: our own descriptor.
    unsafe { libc::close(fd) };
    done.map(drop)
}

fn loopback_up() -> Result<(), i32> {
    // SAFETY: integers only.
    let fd = checked(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the kernel reads one ifreq.
    let done = checked(unsafe { libc::ioctl(fd, libc::SIOCSIFFLAGS, &request) });
    // SAFETY: our own descriptor.
    unsafe { libc::close(fd) };
    done.map(drop)
}

/// The working directory becomes `/`; the old root goes.
fn pivot_root() -> Result<(), i32> {
    let here = c".".as_ptr();
    // SAFETY: constant C strings.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) } as i32)?;
    // SAFETY: as above. The old root lies on the new one now, and is what "." means.
    checked(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    // SAFETY: as above.
    checked(unsafe { libc::chdir(c"/".as_ptr()) }).map(drop)
}

fn drop_bounding(capabilities: &[u32]) -> Result<(), i32> {
    for capability in capabilities {
        // SAFETY: integers only.
        checked(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) })?;
    }
    Ok(())
}

fn load_filter(flags: u32, program: &[libc::sock_filter]) -> Result<(), i32> {
    let len = program.len() as u16;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel reads the program, which lives through the call.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &filter) };
    checked(done as i32).map(drop)
}

fn set_caps(effective: u64, permitted: u64, inheritable: u64) -> Result<(), i32> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let (low, high) = (|set: u64| set as u32, |set: u64| (set >> 32) as u32);
    let data = [
        [low(effective), low(permitted), low(inheritable)],
        [high(effective), high(permitted), high(inheritable)],
    ];
    // SAFETY: the kernel reads header and data, in the form of capset(2).
    checked(unsafe { libc::syscall(libc::SYS_capset, &header, &data) } as i32).map(drop)
}
