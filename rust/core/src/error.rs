//! What can go wrong in the core: a failed system call, or a step that kata-init reports.

use std::fmt;
use std::io;

/// One failed system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SysError {
    /// What was being done, mostly the call's name; may be empty.
    pub call: &'static str,
    pub errno: i32,
}

impl SysError {
    #[must_use]
    pub fn new(call: &'static str, errno: i32) -> Self {
        Self { call, errno }
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = errno_text(self.errno);
        if self.call.is_empty() {
            f.write_str(&text)
        } else {
            write!(f, "{}: {text}", self.call)
        }
    }
}

/// Adds the call's name to an [`io::Error`].
pub trait Named<T> {
    /// # Errors
    /// The same failure, with its name.
    fn named(self, call: &'static str) -> Result<T, SysError>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, call: &'static str) -> Result<T, SysError> {
        // Errors of our own calls always bear an errno.
        self.map_err(|err| SysError::new(call, err.raw_os_error().unwrap_or(libc::EIO)))
    }
}

impl<T> Named<T> for rustix::io::Result<T> {
    fn named(self, call: &'static str) -> Result<T, SysError> {
        self.map_err(|err| SysError::new(call, err.raw_os_error()))
    }
}

/// The C library's sentence for an errno.
#[must_use]
pub fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// A step of the plan that failed in kata-init, or its end without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitFailure {
    /// What was being done, in words.
    pub step: &'static str,
    /// Place of the step in the plan; -1 when no step was under way.
    pub index: i64,
    /// 0 when no system call failed.
    pub errno: i32,
    pub path: Vec<u8>,
    pub detail: Vec<u8>,
}

impl InitFailure {
    /// kata-init ended before `execve` and has not said why.
    #[must_use]
    pub fn ended(how: String) -> Self {
        Self { step: "init", index: -1, errno: 0, path: Vec::new(), detail: how.into_bytes() }
    }
}

impl fmt::Display for InitFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.step)?;
        if !self.path.is_empty() {
            write!(f, " '{}'", String::from_utf8_lossy(&self.path))?;
        }
        if self.errno != 0 {
            write!(f, ": {}", errno_text(self.errno))?;
        }
        if !self.detail.is_empty() {
            write!(f, ": {}", String::from_utf8_lossy(&self.detail))?;
        }
        Ok(())
    }
}

/// Everything that the launch half can fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    Sys(SysError),
    Init(InitFailure),
    /// A signal came; the Python side runs its handlers and calls again.
    Interrupted,
    /// The caller's argument makes no sense.
    Value(String),
}

impl From<SysError> for Error {
    fn from(err: SysError) -> Self {
        if err.errno == libc::EINTR {
            return Self::Interrupted;
        }
        Self::Sys(err)
    }
}

impl From<InitFailure> for Error {
    fn from(err: InitFailure) -> Self {
        Self::Init(err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_names_its_call() {
        let err = SysError::new("clone3", libc::EPERM);
        assert_eq!(err.to_string(), "clone3: Operation not permitted");
    }

    #[test]
    fn a_failed_step_is_a_sentence() {
        let failure = InitFailure {
            step: "mount",
            index: 3,
            errno: libc::ENODEV,
            path: b"/proc".to_vec(),
            detail: Vec::new(),
        };
        assert_eq!(failure.to_string(), "mount '/proc': No such device");
    }

    #[test]
    fn an_interrupted_call_is_no_failure() {
        assert_eq!(Error::from(SysError::new("recvmsg", libc::EINTR)), Error::Interrupted);
    }
}
