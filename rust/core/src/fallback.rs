//! Switches that make the core take its second way, so that tests can walk it on a new kernel.

use std::sync::atomic::{AtomicU32, Ordering};

pub const OPENAT2: &str = "openat2";
pub const CLONE3: &str = "clone3";
pub const MEMFD_EXEC: &str = "memfd_exec";
pub const CLOSE_RANGE: &str = "close_range";
pub const MOUNT_SETATTR: &str = "mount_setattr";

const NAMES: [&str; 5] = [OPENAT2, CLONE3, MEMFD_EXEC, CLOSE_RANGE, MOUNT_SETATTR];

static FORCED: AtomicU32 = AtomicU32::new(0);

/// Forces the fallback of `name`, or stops that. False: there is no such switch.
#[must_use]
pub fn force(name: &str, on: bool) -> bool {
    let Some(bit) = bit(name) else {
        return false;
    };
    if on {
        FORCED.fetch_or(bit, Ordering::Relaxed);
    } else {
        FORCED.fetch_and(!bit, Ordering::Relaxed);
    }
    true
}

/// Whether the first way of `name` is to be taken for missing.
#[must_use]
pub fn is_forced(name: &str) -> bool {
    bit(name).is_some_and(|bit| FORCED.load(Ordering::Relaxed) & bit != 0)
}

fn bit(name: &str) -> Option<u32> {
    NAMES.iter().position(|each| *each == name).map(|place| 1 << place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_switches_are_refused_and_none_is_on() {
        assert!(!force("teleport", true));
        assert!(NAMES.iter().all(|name| !is_forced(name)));
    }
}
