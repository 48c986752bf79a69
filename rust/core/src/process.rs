//! One process, held by its pidfd; its exit status is taken once and kept.
//!
//! Nothing here waits for anything but its own pidfd, so other parts of the interpreter (subprocess,
//! asyncio) keep their children to themselves.
//! Sources: pidfd_open(2), waitid(2) P_PIDFD, ioctl_pidfd(2), proc_pid_stat(5).

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use crate::sys::{self, ExitStatus, ForeignStatus, WaitFor};

/// How long we wait for a foreign parent to reap, which is when the kernel tells the status to us.
const FOREIGN_GRACE: Duration = Duration::from_millis(100);

/// Pauses between looks at our other processes while one is waited for.
const FIRST_SWEEP: Duration = Duration::from_millis(5);
const LAST_SWEEP: Duration = Duration::from_millis(200);

/// Read-held while a process is made, write-held while orphans are looked for.
pub static SPAWNING: RwLock<()> = RwLock::new(());

/// Every process that somebody here holds and that is not yet waited for, by pid.
static OWNED: Mutex<Option<HashMap<i32, Weak<Process>>>> = Mutex::new(None);

/// A process and, once it has ended, its status for ever.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    pidfd: OwnedFd,
    status: Mutex<Option<ExitStatus>>,
}

impl Process {
    /// One that was cloned just now, together with its pidfd.
    #[must_use]
    pub fn born(pid: i32, pidfd: OwnedFd) -> Arc<Self> {
        let process = Arc::new(Self { pid, pidfd, status: Mutex::new(None) });
        locked(&OWNED).get_or_insert_default().insert(pid, Arc::downgrade(&process));
        process
    }

    /// The running (or dead, but not yet reaped) process `pid` that started at `start_time`.
    ///
    /// # Errors
    /// `ESRCH`: there is no such process now.
    pub fn open(pid: i32, start_time: u64) -> io::Result<Arc<Self>> {
        if let Some(process) = owned(pid) {
            if process.peek().is_none() && stat(pid)?.start_time == start_time {
                return Ok(process);
            }
        }
        if pid <= 0 {
            return Err(no_process());
        }
        let pidfd = sys::pidfd_open(pid)?;
        let seen = stat(pid)?;
        // Still there: so the pid was not given to another one between the two looks.
        match sys::pidfd_send_signal(pidfd.as_fd(), 0) {
            Err(err) if err.raw_os_error() != Some(libc::EPERM) => return Err(err),
            _ => {}
        }
        if seen.start_time != start_time {
            return Err(no_process());
        }
        Ok(Arc::new(Self { pid, pidfd, status: Mutex::new(None) }))
    }

    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The status if it has ended; takes it from the kernel the first time.
    ///
    /// # Errors
    /// The errno of waitid(2).
    pub fn poll(&self) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.peek() {
            return Ok(Some(status));
        }
        if self.events(Some(Instant::now()))? == 0 {
            return Ok(None);
        }
        self.settle()
    }

    /// Waits for the end; `None` at the deadline.
    ///
    /// # Errors
    /// `EINTR` when a signal came; the errno of waitid(2).
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        let mut pause = FIRST_SWEEP;
        loop {
            if let Some(status) = self.peek() {
                return Ok(Some(status));
            }
            let sweep = Instant::now() + pause;
            let events = self.events(Some(deadline.map_or(sweep, |at| at.min(sweep))))?;
            if events != 0 {
                if let Some(status) = self.settle()? {
                    return Ok(Some(status));
                }
            }
            settle_others(self)?;
            pause = (pause * 2).min(LAST_SWEEP);
            if deadline.is_some_and(|at| Instant::now() >= at) {
                return Ok(None);
            }
        }
    }

    /// Whether it has ended, by `deadline` at the latest; `None` waits for it.
    ///
    /// Does not ask how: the kernel tells that of another's child only once it has been reaped.
    ///
    /// # Errors
    /// `EINTR`.
    pub fn ended(&self, deadline: Option<Instant>) -> io::Result<bool> {
        Ok(self.peek().is_some() || self.events(deadline)? & libc::POLLIN != 0)
    }

    /// Waits for the end without regard to signals.
    ///
    /// # Errors
    /// The errno of waitid(2).
    pub fn reap(&self) -> io::Result<ExitStatus> {
        loop {
            match self.wait(None) {
                Ok(Some(status)) => return Ok(status),
                Err(err) if err.raw_os_error() != Some(libc::EINTR) => return Err(err),
                _ => {}
            }
        }
    }

    /// Ends it and takes its status.
    ///
    /// # Errors
    /// `EPERM`; the errno of waitid(2).
    pub fn kill(&self) -> io::Result<ExitStatus> {
        if let Some(status) = self.poll()? {
            return Ok(status);
        }
        match self.send_signal(libc::SIGKILL) {
            Err(err) if err.raw_os_error() != Some(libc::ESRCH) => Err(err),
            _ => self.reap(),
        }
    }

    /// # Errors
    /// `ESRCH`: it has been waited for; `EPERM`; `EINVAL`.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        if self.peek().is_some() {
            return Err(no_process());
        }
        sys::pidfd_send_signal(self.pidfd.as_fd(), signal)
    }

    /// The status as far as it is known here.
    fn peek(&self) -> Option<ExitStatus> {
        *locked(&self.status)
    }

    fn events(&self, deadline: Option<Instant>) -> io::Result<i16> {
        sys::poll(self.pidfd.as_fd(), libc::POLLIN, deadline)
    }

    /// The pidfd says that it has ended: take the status, exactly once.
    fn settle(&self) -> io::Result<Option<ExitStatus>> {
        let mut status = locked(&self.status);
        if status.is_some() {
            return Ok(*status);
        }
        let found = match sys::wait_no_hang(WaitFor::Pidfd(self.pidfd.as_fd()), false) {
            Ok(found) => found.map(|(_, status)| status),
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => Some(self.foreign_status()),
            // Linux 5.3 has pidfds that waitid does not take.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => {
                match sys::wait_no_hang(WaitFor::Pid(self.pid), false) {
                    Ok(found) => found.map(|(_, status)| status),
                    Err(_) => Some(ExitStatus::UNKNOWN),
                }
            }
            Err(err) => return Err(err),
        };
        if found.is_some() {
            *status = found;
            drop(status);
            forget(self.pid, self);
        }
        Ok(found)
    }

    /// Not our child: what the kernel keeps, which is there once its parent has reaped it.
    fn foreign_status(&self) -> ExitStatus {
        let deadline = Instant::now() + FOREIGN_GRACE;
        loop {
            match sys::foreign_status(self.pidfd.as_fd()) {
                ForeignStatus::Known(status) => return status,
                ForeignStatus::Never => return ExitStatus::UNKNOWN,
                ForeignStatus::NotYet if Instant::now() >= deadline => return ExitStatus::UNKNOWN,
                // Without wanted events only the hang-up is reported: it has been reaped.
                ForeignStatus::NotYet => {
                    let _ = sys::poll(self.pidfd.as_fd(), 0, Some(deadline));
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        forget(self.pid, self);
        // Nobody will ask any more: do not leave a zombie if it is one already.
        if self.peek().is_none() {
            let _ = sys::wait_no_hang(WaitFor::Pidfd(self.pidfd.as_fd()), false);
        }
    }
}

/// The process of this pid that somebody here holds and nobody has waited for.
fn owned(pid: i32) -> Option<Arc<Process>> {
    locked(&OWNED).as_ref()?.get(&pid)?.upgrade()
}

fn forget(pid: i32, process: &Process) {
    let mut table = locked(&OWNED);
    let Some(table) = table.as_mut() else { return };
    // The pid may be another's already.
    if table.get(&pid).is_some_and(|entry| std::ptr::eq(entry.as_ptr(), process)) {
        table.remove(&pid);
    }
}

/// Takes the statuses of all others that have ended; they are kept for whoever asks.
///
/// The first process of a pid namespace does not end before every member is reaped, also one that we
/// started there: whoever waits for the first would wait for ever for the second to be asked after.
fn settle_others(waiting: &Process) -> io::Result<()> {
    let others: Vec<Arc<Process>> = locked(&OWNED)
        .iter()
        .flat_map(HashMap::values)
        .filter_map(Weak::upgrade)
        .filter(|process| !std::ptr::eq(&raw const **process, waiting))
        .collect();
    for process in others {
        process.poll()?;
    }
    Ok(())
}

/// Reaps every dead child that nobody here holds and that is not in `also_owned`.
///
/// # Errors
/// The errno of waitid(2).
pub fn reap_orphans(also_owned: &[i32]) -> io::Result<Vec<(i32, ExitStatus)>> {
    let _guard = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
    let mut owned: HashSet<i32> = also_owned.iter().copied().collect();
    owned.extend(locked(&OWNED).iter().flat_map(|table| table.keys()));
    let is_owned = |pid: i32| owned.contains(&pid);
    let mut reaped = Vec::new();
    loop {
        let first = match sys::wait_no_hang(WaitFor::Any, true) {
            Err(err) if err.raw_os_error() == Some(libc::ECHILD) => return Ok(reaped),
            other => other?,
        };
        match first {
            None => return Ok(reaped),
            Some((pid, _)) if is_owned(pid) => break,
            Some((pid, _)) => reap_one(pid, &mut reaped),
        }
    }
    // An owned one stands first in the kernel's list and hides the rest: go through them by name.
    for pid in children()? {
        if !is_owned(pid) {
            reap_one(pid, &mut reaped);
        }
    }
    Ok(reaped)
}

fn reap_one(pid: i32, reaped: &mut Vec<(i32, ExitStatus)>) {
    if let Ok(Some((pid, status))) = sys::wait_no_hang(WaitFor::Pid(pid), false) {
        reaped.push((pid, status));
    }
}

/// Our children, from every thread's list or else from all of /proc.
fn children() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    let mut listed = false;
    for task in fs::read_dir("/proc/self/task")? {
        if let Ok(text) = fs::read_to_string(task?.path().join("children")) {
            listed = true;
            found.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
        }
    }
    if listed {
        return Ok(found);
    }
    let parent = std::process::id() as i32;
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        found.extend(pid.filter(|pid| stat(*pid).is_ok_and(|stat| stat.parent == parent)));
    }
    Ok(found)
}

/// The fields of `/proc/<pid>/stat` that are needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub comm: String,
    pub state: char,
    pub parent: i32,
    /// `PF_*`.
    pub flags: u64,
    /// Clock ticks after boot.
    pub start_time: u64,
}

/// # Errors
/// `ESRCH`: no such process; `EIO`: unreadable form.
pub fn stat(pid: i32) -> io::Result<Stat> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => parse_stat(&String::from_utf8_lossy(&bytes))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EIO)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Err(no_process()),
        Err(err) => Err(err),
    }
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name may hold anything, so it ends at the last parenthesis.
    let (head, tail) = text.rsplit_once(')')?;
    let comm = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    // The first field behind the name is number 3.
    let field = |number: usize| fields.get(number - 3).copied();
    Some(Stat {
        comm,
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        flags: field(9)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
    })
}

/// The pid behind a pidfd, as our /proc counts.
#[must_use]
pub fn pid_of(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let number: RawFd = pidfd.as_raw_fd();
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    parse_fdinfo(&text)
}

fn parse_fdinfo(text: &str) -> Option<i32> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    line.trim().parse().ok().filter(|pid| *pid > 0)
}

fn no_process() -> io::Error {
    io::Error::from_raw_os_error(libc::ESRCH)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The values are whole at every moment: a panic elsewhere does not spoil them.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn stat_names_may_hold_parentheses_and_spaces() {
        let text = "42 (a) b) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat.comm, "a) b");
        assert_eq!((stat.state, stat.parent), ('S', 7));
        assert_eq!((stat.flags, stat.start_time), (4_194_560, 12345));
        assert_eq!(parse_stat("42 (sh"), None);
    }

    #[test]
    fn fdinfo_gives_a_living_pid_only() {
        assert_eq!(parse_fdinfo("pos:\t0\nPid:\t17\nNSpid:\t17\n"), Some(17));
        assert_eq!(parse_fdinfo("Pid:\t-1\n"), None);
        assert_eq!(parse_fdinfo("pos:\t0\n"), None);
    }

    #[test]
    #[allow(clippy::zombie_processes)] // reaped through the pidfd
    fn a_status_is_kept_for_every_asker() {
        let child = Command::new("/bin/sh").args(["-c", "exit 5"]).spawn().unwrap();
        let pid = child.id() as i32;
        let process = Process::open(pid, stat(pid).unwrap().start_time).unwrap();
        let wanted = ExitStatus { code: 5, signal: 0 };
        assert_eq!(process.reap().unwrap(), wanted);
        assert_eq!(process.poll().unwrap(), Some(wanted));
        assert_eq!(process.send_signal(15).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_wrong_start_time_is_no_such_process() {
        let pid = std::process::id() as i32;
        let start_time = stat(pid).unwrap().start_time;
        assert!(Process::open(pid, start_time).is_ok());
        let err = Process::open(pid, start_time + 1).unwrap_err();
        assert_eq!(err.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_deadline_passes_without_a_status() {
        let pid = std::process::id() as i32;
        let process = Process::open(pid, stat(pid).unwrap().start_time).unwrap();
        assert_eq!(process.poll().unwrap(), None);
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(process.wait(Some(deadline)).unwrap(), None);
    }
}
