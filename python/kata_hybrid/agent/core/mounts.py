"""mount(2) and umount2(2) for the agent's own mounts, and the option words of the protocol.

The C library's wrappers are called without the GIL. Container mounts are not made here: they are steps of
the launch plan.
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MS_RDONLY: Final = 0x1
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MNT_DETACH: Final = 2

FLAGS: Final[dict[str, int]] = {
    "defaults": 0,
    "ro": MS_RDONLY,
    "nosuid": 0x2,
    "nodev": 0x4,
    "noexec": 0x8,
    "sync": 0x10,
    "remount": MS_REMOUNT,
    "mand": 0x40,
    "dirsync": 0x80,
    "noatime": 0x400,
    "nodiratime": 0x800,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
    "silent": 0x8000,
    "acl": 0x10000,
    "unbindable": 0x20000,
    "runbindable": 0x20000 | MS_REC,
    "private": 0x40000,
    "rprivate": 0x40000 | MS_REC,
    "slave": 0x80000,
    "rslave": 0x80000 | MS_REC,
    "shared": 0x100000,
    "rshared": 0x100000 | MS_REC,
    "relatime": 0x200000,
    "iversion": 0x800000,
    "strictatime": 0x1000000,
    "lazytime": 0x2000000,
}


def parse_options(options: Iterable[str]) -> tuple[int, str]:
    """Flags of the words that are flags, and all other words joined by commas as mount data."""
    flags = 0
    data: list[str] = []
    for option in options:
        if option in FLAGS:
            flags |= FLAGS[option]
        elif option:
            data.append(option)
    return flags, ",".join(data)


def mount(source: str, target: str, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2). Blocks.

    Raises:
        OSError: with the target as ``filename``.
    """
    failed = _libc().mount(
        os.fsencode(source), os.fsencode(target), fstype.encode(), ctypes.c_ulong(flags), os.fsencode(data)
    )
    if failed:
        raise _error(target)


def unmount(target: str, flags: int = 0) -> None:
    """umount2(2). Blocks.

    Raises:
        OSError: with the target as ``filename``.
    """
    if _libc().umount2(os.fsencode(target), flags):
        raise _error(target)


def bind(source: str, target: str, flags: int = MS_BIND) -> None:
    """Bind ``source`` on ``target``; flags such as read-only take a second call, as the kernel wants it.

    Raises:
        OSError: nothing is mounted then.
    """
    mount(source, target, "", flags & (MS_BIND | MS_REC))
    rest = flags & ~(MS_BIND | MS_REC)
    if not rest:
        return
    try:
        mount("", target, "", MS_BIND | MS_REMOUNT | rest)
    except OSError:
        unmount(target, MNT_DETACH)
        raise


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _error(target: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), target)
