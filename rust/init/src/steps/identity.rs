//! Who the workload is and what it may do. Sources: capabilities(7), credentials(7), prctl(2).

use crate::raw::{self, Errno, EINVAL, EPERM, EROFS};

const PR_SET_KEEPCAPS: usize = 8;
const PR_CAPBSET_READ: usize = 23;
const PR_CAPBSET_DROP: usize = 24;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const PR_CAP_AMBIENT: usize = 47;
const CAP_AMBIENT_RAISE: usize = 2;
const CAP_AMBIENT_CLEAR_ALL: usize = 4;

pub(crate) fn no_new_privs() -> Result<(), Errno> {
    raw::prctl(PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Drop what `mask` does not hold; EINVAL marks the first capability that the kernel does not know.
pub(crate) fn bounding_caps(mask: u64) -> Result<(), Errno> {
    for cap in (0..64).filter(|cap| mask >> cap & 1 == 0) {
        match raw::prctl(PR_CAPBSET_DROP, cap, 0) {
            Ok(_) => {}
            Err(EINVAL) => break,
            // Whoever may not drop anything need not, where there is nothing to drop.
            Err(EPERM) if raw::prctl(PR_CAPBSET_READ, cap, 0)? == 0 => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Groups, gid, uid; permitted capabilities are kept across the change, for `caps` to narrow.
pub(crate) fn user(uid: i64, gid: i64, groups: &[u8], setgroups: bool) -> Result<(), Errno> {
    raw::prctl(PR_SET_KEEPCAPS, 1, 0)?;
    if setgroups {
        raw::setgroups(groups)?;
    }
    raw::setresgid(u32::try_from(gid).map_err(|_| EINVAL)?)?;
    raw::setresuid(u32::try_from(uid).map_err(|_| EINVAL)?)?;
    raw::prctl(PR_SET_KEEPCAPS, 0, 0).map(drop)
}

/// The four sets of the thread. An ambient capability that is not permitted and inheritable is not raised.
pub(crate) fn caps(effective: u64, permitted: u64, inheritable: u64, ambient: u64) -> Result<(), Errno> {
    raw::capset(effective, permitted, inheritable)?;
    raw::prctl(PR_CAP_AMBIENT, CAP_AMBIENT_CLEAR_ALL, 0)?;
    let raised = ambient & permitted & inheritable;
    for cap in (0..64).filter(|cap| raised >> cap & 1 == 1) {
        raw::prctl(PR_CAP_AMBIENT, CAP_AMBIENT_RAISE, cap)?;
    }
    Ok(())
}

/// The workload can reopen its streams by path. Files that cannot be chowned stay as they are.
pub(crate) fn chown_stdio(uid: i64) -> Result<(), Errno> {
    let uid = u32::try_from(uid).map_err(|_| EINVAL)?;
    for stream in 0..=2 {
        let Ok(stat) = raw::fstat(stream) else { continue };
        if stat.uid == uid || stat.is_null_device() {
            continue;
        }
        match raw::fchown(stream, uid, -1) {
            Ok(()) | Err(EINVAL | EPERM | EROFS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
