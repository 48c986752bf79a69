"""Reading small files by three system calls.

``open()`` builds a buffered text reader, asks for the size, for a terminal and twice for the position: ten
times the cost of the reading where the file is a line of ``/proc`` or of a control group, and a launch
reads a dozen of those.
"""

from __future__ import annotations

import os

_CHUNK = 16 * 1024


def read_bytes(path: str, *, limit: int = -1, flags: int = 0) -> bytes:
    """The file's content.

    Args:
        limit: stop once more than this many bytes are there, so that the caller can refuse them; -1: none.
        flags: more ``O_*`` flags.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: the path holds a NUL.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        data = os.read(fd, _CHUNK)
        if not data:
            return data
        parts = [data]
        total = len(data)
        while limit < 0 or total <= limit:
            data = os.read(fd, _CHUNK)
            if not data:
                break
            parts.append(data)
            total += len(data)
        return b"".join(parts)
    finally:
        os.close(fd)


def read_text(path: str) -> str:
    """The file's content as text; bytes that are no UTF-8 survive as surrogate escapes.

    Raises:
        OSError: it cannot be opened or read.
    """
    return read_bytes(path).decode("utf-8", "surrogateescape")
