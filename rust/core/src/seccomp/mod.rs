//! Seccomp filters: the rules of an OCI profile, compiled to classic BPF.
//!
//! Nothing here makes a system call or knows JSON: [`compile`] turns numbers and names into the bytes that
//! `seccomp(SECCOMP_SET_MODE_FILTER)` takes, one `struct sock_filter` after another.
//!
//! What a rule means follows libseccomp and runc, because profiles are written against them:
//!
//! - A name that an architecture does not have is no rule there. An action equal to the default is no rule.
//! - Conditions of one rule all have to hold; when two of them look at the same argument, each condition
//!   of that rule becomes a rule of its own.
//! - A rule without conditions decides its syscall alone, wherever it stands; of two such, the first.
//!   Otherwise the first rule whose conditions hold decides, and the default when there is none.
//! - Arguments are compared as 64-bit numbers without sign; on 32-bit architectures, and on x32, only the
//!   low half is looked at, of the argument and of the value.
//! - When the default action refuses, syscalls numbered above the newest one that the profile names (with
//!   whatever action) get `ENOSYS`: a libc then tries the older call instead of giving up on `EPERM`.
//! - A call of another architecture, or of x32 where the profile does not list it, kills the process.
//! - `socket`, `shmat` and their like also exist behind `socketcall` and `ipc` on x86. A rule without
//!   conditions covers those as well; conditions cannot be carried over, since the arguments are in memory.
//!
//! Sources: seccomp(2), seccomp_rule_add(3); Linux `Documentation/userspace-api/seccomp_filter.rst`.

mod compile;
mod tables;
#[cfg(test)]
mod tests;

pub use compile::{compile, CompileError, Condition, Op, Rule, MAX_INSTRUCTIONS};
