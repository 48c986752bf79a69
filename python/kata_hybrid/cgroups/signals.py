"""Signals to every process of a group. Knows pids, not cgroup files."""

from __future__ import annotations

import errno
import os

from kata_hybrid.errors import CgroupError, SignalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def signal_each(pids: Iterable[int], signal: int, *, group: str) -> None:
    """Send ``signal`` to each pid; one that has ended is fine.

    Raises:
        CgroupError: we are in the group ourselves; nothing was sent.
        SignalError: the kernel refused the signal for a process; the others got it.
    """
    targets = list(pids)
    if os.getpid() in targets:
        raise CgroupError("refusing to signal the group that this process is in", path=group)
    refused: list[tuple[int, OSError]] = []
    for pid in targets:
        try:
            os.kill(pid, signal)
        except OSError as err:
            if err.errno != errno.ESRCH:
                refused.append((pid, err))
    if refused:
        pid, first = refused[0]
        raise SignalError(f"signal {signal} to process {pid}", errno=first.errno or 0) from first
