"""HOME for a process whose configuration sets none: the user's entry in the container's own passwd file.

The file belongs to the container and is not trusted: it is opened below the rootfs, must be a regular
file, and only its beginning is read.
"""

from __future__ import annotations

import os
import stat

from kata_hybrid import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from kata_hybrid.oci.config import Process

PASSWD_BYTES: Final = 1024 * 1024


def home_of(process: Process, root: str) -> str:
    """The home directory of ``process.user``; ``"/"`` when the passwd file does not tell.

    Args:
        root: the rootfs on the host, or ``/proc/<pid>/root`` of the live container.
    """
    if any(entry.startswith("HOME=") and len(entry) > len("HOME=") for entry in process.env):
        return "/"
    return find_home(_read_passwd(root).splitlines(), process.user.uid) or "/"


def find_home(lines: Iterable[bytes], uid: int) -> str | None:
    """The sixth field of the first line whose third is ``uid``. passwd(5)."""
    wanted = str(uid).encode()
    for line in lines:
        fields = line.split(b":")
        if len(fields) >= 6 and fields[2] == wanted and b"\0" not in fields[5]:
            return os.fsdecode(fields[5]) or None
    return None


def _read_passwd(root: str) -> bytes:
    """What is in ``etc/passwd`` below ``root``; nothing when there is no such regular file."""
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        fd = _core.open_in_root(
            root_fd, "etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        )
    except OSError:
        return b""
    finally:
        os.close(root_fd)
    with open(fd, "rb") as file:
        return file.read(PASSWD_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
