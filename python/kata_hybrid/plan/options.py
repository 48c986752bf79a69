"""Mount option words to flags, propagation, recursive attributes and data.

Sources: mount(2), mount_setattr(2), mount_namespaces(7); runtime-spec, config.md#mounts.
"""

from __future__ import annotations

import struct

from ..errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import dataclass
else:
    from kata_hybrid._record import dataclass

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70  # the whole field: relatime is its zero value
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

SET_FLAGS: dict[str, int] = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "sync": MS_SYNCHRONOUS,
    "dirsync": MS_DIRSYNC,
    "remount": MS_REMOUNT,
    "mand": MS_MANDLOCK,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
    "strictatime": MS_STRICTATIME,
    "silent": MS_SILENT,
    "iversion": MS_I_VERSION,
    "lazytime": MS_LAZYTIME,
    "nosymfollow": MS_NOSYMFOLLOW,
    "bind": MS_BIND,
    "rbind": MS_BIND | MS_REC,
}

CLEAR_FLAGS: dict[str, int] = {
    "rw": MS_RDONLY,
    "suid": MS_NOSUID,
    "dev": MS_NODEV,
    "exec": MS_NOEXEC,
    "async": MS_SYNCHRONOUS,
    "nomand": MS_MANDLOCK,
    "atime": MS_NOATIME,
    "diratime": MS_NODIRATIME,
    "norelatime": MS_RELATIME,
    "nostrictatime": MS_STRICTATIME,
    "loud": MS_SILENT,
    "noiversion": MS_I_VERSION,
    "nolazytime": MS_LAZYTIME,
    "symfollow": MS_NOSYMFOLLOW,
}

PROPAGATION: dict[str, int] = {
    "private": MS_PRIVATE,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
    "rprivate": MS_PRIVATE | MS_REC,
    "rshared": MS_SHARED | MS_REC,
    "rslave": MS_SLAVE | MS_REC,
    "runbindable": MS_UNBINDABLE | MS_REC,
}

RECURSIVE_SET: dict[str, int] = {
    "rro": MOUNT_ATTR_RDONLY,
    "rnosuid": MOUNT_ATTR_NOSUID,
    "rnodev": MOUNT_ATTR_NODEV,
    "rnoexec": MOUNT_ATTR_NOEXEC,
    "rnodiratime": MOUNT_ATTR_NODIRATIME,
    "rnosymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}

RECURSIVE_CLEAR: dict[str, int] = {
    "rrw": MOUNT_ATTR_RDONLY,
    "rsuid": MOUNT_ATTR_NOSUID,
    "rdev": MOUNT_ATTR_NODEV,
    "rexec": MOUNT_ATTR_NOEXEC,
    "rdiratime": MOUNT_ATTR_NODIRATIME,
    "rsymfollow": MOUNT_ATTR_NOSYMFOLLOW,
}

RECURSIVE_ATIME: dict[str, int] = {
    "rrelatime": MOUNT_ATTR_RELATIME,
    "rnoatime": MOUNT_ATTR_NOATIME,
    "rstrictatime": MOUNT_ATTR_STRICTATIME,
    # taking one mode away leaves the default, relatime
    "ratime": MOUNT_ATTR_RELATIME,
    "rnorelatime": MOUNT_ATTR_STRICTATIME,
    "rnostrictatime": MOUNT_ATTR_RELATIME,
}

EMPTY_WORDS = frozenset({"defaults", ""})

UNSUPPORTED: dict[str, str] = {
    "idmap": "a build with idmapped mounts",
    "ridmap": "a build with idmapped mounts",
    "tmpcopyup": "a build with tmpfs copy-up",
}
"""Known words that change what a mount shows; refused and never taken for filesystem data."""

KNOWN: frozenset[str] = frozenset(
    {"defaults", *SET_FLAGS, *CLEAR_FLAGS, *PROPAGATION, *RECURSIVE_SET, *RECURSIVE_CLEAR, *RECURSIVE_ATIME}
)
"""Every option word that is applied here; what is not known goes to the filesystem as data."""


@dataclass(frozen=True)
class Folded:
    """The options of one mount, folded: for a flag named twice the last word wins.

    Attributes:
        flags: MS_* for mount(2).
        cleared: MS_* that a word took away by name; a bind removes them from what it inherits.
        propagation: MS_* of each later propagation call, in order.
        set_attr: MOUNT_ATTR_* set on the whole tree, last.
        clr_attr: MOUNT_ATTR_* cleared on the whole tree, last.
        data: comma-joined rest for the filesystem.
    """

    flags: int = 0
    cleared: int = 0
    propagation: tuple[int, ...] = ()
    set_attr: int = 0
    clr_attr: int = 0
    data: str = ""

    @property
    def packed_propagation(self) -> bytes:
        """``propagation`` as u32 LE numbers in a row."""
        return struct.pack(f"<{len(self.propagation)}I", *self.propagation)


def fold_options(words: Iterable[str], at: str = "mount") -> Folded:
    """Fold option words.

    Args:
        words: as in ``mounts[].options``.
        at: JSON path of the mount, for errors.

    Raises:
        UnsupportedError: an option of ``UNSUPPORTED``.
        ConfigError: a NUL byte in an option.
    """
    flags = cleared = set_attr = clr_attr = 0
    propagation: list[int] = []
    data: list[str] = []
    for word in words:
        if word in EMPTY_WORDS:
            continue
        refuse_option(word, at)
        if word in SET_FLAGS:
            flags, cleared = flags | SET_FLAGS[word], cleared & ~SET_FLAGS[word]
        elif word in CLEAR_FLAGS:
            flags, cleared = flags & ~CLEAR_FLAGS[word], cleared | CLEAR_FLAGS[word]
        elif word in PROPAGATION:
            propagation.append(PROPAGATION[word])
        elif word in _RECURSIVE:
            mask, value = _RECURSIVE[word]
            set_attr, clr_attr = _recursive(set_attr, clr_attr, mask, value)
        else:
            data.append(word)
    return Folded(flags, cleared, tuple(propagation), set_attr, clr_attr, ",".join(data))


_RECURSIVE: dict[str, tuple[int, int]] = {
    **{word: (bit, bit) for word, bit in RECURSIVE_SET.items()},
    **{word: (bit, 0) for word, bit in RECURSIVE_CLEAR.items()},
    **{word: (MOUNT_ATTR_ATIME, mode) for word, mode in RECURSIVE_ATIME.items()},
}
"""Word: (field mask, value in the field)."""


def _recursive(set_attr: int, clr_attr: int, mask: int, value: int) -> tuple[int, int]:
    """Put ``value`` into the field ``mask``; the atime field must be cleared whole whenever it is touched."""
    clear = mask if mask == MOUNT_ATTR_ATIME else mask & ~value
    return set_attr & ~mask | value, clr_attr & ~mask | clear


def refuse_option(word: str, at: str) -> None:
    """Raise for an option that cannot be applied.

    Raises:
        UnsupportedError: the word, or its ``idmap=...`` form, is in ``UNSUPPORTED``.
        ConfigError: it holds a NUL byte.
    """
    if "\0" in word:
        raise ConfigError(at, "mount field contains null byte")
    name = word.partition("=")[0]
    if name in UNSUPPORTED:
        raise UnsupportedError(f"mount option {name}", UNSUPPORTED[name])
