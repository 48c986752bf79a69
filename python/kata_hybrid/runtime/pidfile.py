"""The pid file that engines wait for: whole or not there."""

from __future__ import annotations

import os

from kata_hybrid.errors import LaunchError


def write_pid_file(path: str, pid: int) -> None:
    """Write ``pid`` in decimal without a newline to ``.<name>`` beside ``path``, then rename it there.

    Raises:
        LaunchError: it could not be written; no temporary file is left.
    """
    directory, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(directory, f".{name}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as err:
        raise LaunchError("write pid file", err.errno, temporary) from err
    try:
        try:
            os.write(fd, str(pid).encode())
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as err:
        os.unlink(temporary)
        raise LaunchError("write pid file", err.errno, path) from err
