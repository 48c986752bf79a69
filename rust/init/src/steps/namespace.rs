//! Going on in a new sibling, and the first things to do in new namespaces.

use crate::context::Context;
use crate::raw::{self, Errno, Forked};

const CLONE_PARENT: u64 = 0x8000;

/// The rest of the plan is done by a sibling: a direct child of our parent, which gets its pidfd.
pub(crate) fn fork(context: &Context, flags: u64) -> Result<(), Errno> {
    let (word, speaker) = raw::pipe()?;
    match raw::fork(CLONE_PARENT | flags, 0)? {
        Forked::Child => {
            // The parent must know this process before it hears from it.
            drop(speaker);
            match raw::read(word.raw(), &mut [0_u8; 1])? {
                1 => Ok(()),
                _ => raw::exit(1),
            }
        }
        Forked::Parent { pid, pidfd } => {
            if let Err(errno) =
                context.send_forked(pid, &pidfd).and_then(|()| raw::write(speaker.raw(), b"g"))
            {
                // Nobody else knows the sibling yet: it must not be left behind.
                let _ = raw::kill_by_pidfd(pidfd.raw());
                return Err(errno);
            }
            raw::exit(0)
        }
    }
}

/// Ids 0 of the new user namespace.
pub(crate) fn become_root() -> Result<(), Errno> {
    raw::setresgid(0)?;
    raw::setresuid(0)
}

/// `lo` of a new network namespace is down, and has no other flags that could be set. Source: netdevice(7).
pub(crate) fn loopback_up() -> Result<(), Errno> {
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u8 = 1;
    const FLAGS_AT: usize = 16;
    let socket = raw::datagram_socket()?;
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[FLAGS_AT] = IFF_UP;
    raw::ioctl_with(socket.raw(), SIOCSIFFLAGS, &mut request).map(drop)
}
