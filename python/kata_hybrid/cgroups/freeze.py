"""Freezing and thawing a group of either version, with the waits that each needs.

Sources: Linux Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst, cgroup-v2.rst (cgroup.freeze).
"""

from __future__ import annotations

import errno
import os
import time

from kata_hybrid.cgroups.files import GONE, failure, read_or_none, read_table, read_text, write_text
from kata_hybrid.errors import CgroupError

_V1_TRIES = 1000
_V1_THAW_EACH = 50  # a task that holds up the others goes on when all are thawed for a moment
_V1_THAW_SECONDS = 0.01
_V2_SECONDS = 10.0


def freeze_v1(directory: str) -> None:
    """Write FROZEN until the group is; thaw it again when that does not come about.

    Raises:
        CgroupError: the kernel refused, or tasks could not be stopped.
    """
    path = os.path.join(directory, "freezer.state")
    for attempt in range(1, _V1_TRIES + 1):
        write_text(path, "FROZEN")
        if read_text(path) == "FROZEN":
            return
        if attempt % _V1_THAW_EACH == 0:
            write_text(path, "THAWED")
            time.sleep(_V1_THAW_SECONDS)
        else:
            time.sleep(0.00001 * attempt)
    write_text(path, "THAWED")
    raise CgroupError("unable to freeze", path=path, errno=errno.EBUSY)


def thaw_v1(directory: str) -> None:
    """Write THAWED. A frozen parent keeps the tasks stopped all the same."""
    write_text(os.path.join(directory, "freezer.state"), "THAWED")


def is_frozen_v1(directory: str) -> bool:
    """Whether this group was frozen itself: a frozen parent is no pause of ours."""
    if read_or_none(os.path.join(directory, "freezer.state")) != "FROZEN":
        return False
    return read_or_none(os.path.join(directory, "freezer.self_freezing")) in ("1", None)


def freeze_v2(directory: str) -> None:
    """Write 1 and wait until the kernel tells that all tasks stopped; thaw when that takes over 10 s.

    Raises:
        CgroupError: the kernel refused, or tasks could not be stopped (ETIMEDOUT).
    """
    path = os.path.join(directory, "cgroup.freeze")
    write_text(path, "1")
    try:
        _wait_frozen(directory)
    except CgroupError as err:
        try:
            write_text(path, "0")
        except CgroupError as second:
            err.add_note(f"while thawing again: {second.message}")
        raise


def thaw_v2(directory: str) -> None:
    """Write 0; tasks go on at once."""
    write_text(os.path.join(directory, "cgroup.freeze"), "0")


def is_frozen_v2(directory: str) -> bool:
    """Whether this group was frozen itself and its tasks have stopped."""
    if read_or_none(os.path.join(directory, "cgroup.freeze")) != "1":
        return False
    return read_table(os.path.join(directory, "cgroup.events")).get("frozen") == 1


def _wait_frozen(directory: str) -> None:
    """Wait for ``frozen 1`` in cgroup.events; the file polls as POLLPRI when it changes."""
    import select

    path = os.path.join(directory, "cgroup.events")
    deadline = time.monotonic() + _V2_SECONDS
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise failure("open", path, err) from err
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while b"frozen 1" not in _reread(fd, path):
            left = deadline - time.monotonic()
            if left <= 0:
                raise CgroupError("unable to freeze", path=path, errno=errno.ETIMEDOUT)
            poll.poll(min(left, 0.1) * 1000)
    finally:
        os.close(fd)


def _reread(fd: int, path: str) -> bytes:
    try:
        return os.pread(fd, 4096, 0)
    except OSError as err:
        raise failure("read", path, err) from err


def thaw_quietly(directory: str, *, v1: bool) -> None:
    """Thaw for a kill: a group that is gone or has no freezer needs none."""
    thaw = thaw_v1 if v1 else thaw_v2
    try:
        thaw(directory)
    except CgroupError as err:
        if err.errno not in GONE:
            raise
