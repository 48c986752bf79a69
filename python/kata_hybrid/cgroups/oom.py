"""Out-of-memory kills: counting them and waiting for them.

Both versions end in one object with a ``fileno()`` that becomes readable, so that ``select``, asyncio and
the core's reaper can wait for it alike. Sources: Documentation/admin-guide/cgroup-v1/memory.rst section 10;
cgroup-v2.rst (memory.events).
"""

from __future__ import annotations

import os
import select

from kata_hybrid.cgroups.files import failure, read_table, write_text
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self
else:
    Protocol = object


class OomWatch(Protocol):
    """A wait for out-of-memory events of one group; owns its descriptors."""

    def fileno(self) -> int:
        """Readable (POLLIN) when ``take`` has something to tell."""

    def take(self) -> int | None:
        """Events since the last call, 0 for a false alarm, None when the group is gone. Never blocks."""

    def close(self) -> None:
        """Stop watching; idempotent."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Watch:
    _fds: list[int]

    def __enter__(self) -> Self:
        return self

    def fileno(self) -> int:
        return self._fds[0]

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class OomWatchV1(_Watch):
    """An eventfd registered on ``memory.oom_control``; the kernel also signals it when the group goes.

    Raises:
        CgroupError: the group has no memory controller or the kernel refused.
    """

    def __init__(self, directory: str) -> None:
        self._control = os.path.join(directory, "memory.oom_control")
        self._fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)]
        try:
            control_fd = _open(self._control)
            try:
                write_text(os.path.join(directory, "cgroup.event_control"), f"{self._fds[0]} {control_fd}")
            finally:
                os.close(control_fd)
        except CgroupError:
            self.close()
            raise

    def take(self) -> int | None:
        """Times the group met its limit with nothing to reclaim (a kill follows unless it is disabled)."""
        try:
            count = os.eventfd_read(self._fds[0])
        except BlockingIOError:
            return 0
        return count if os.path.exists(self._control) else None


class OomWatchV2(_Watch):
    """``memory.events`` inside an epoll: the file itself always polls readable, a change is EPOLLPRI.

    Raises:
        CgroupError: the group has no memory controller.
    """

    def __init__(self, directory: str) -> None:
        self._path = os.path.join(directory, "memory.events")
        events_fd = _open(self._path)
        self._epoll = select.epoll()
        self._fds = [events_fd]
        self._epoll.register(events_fd, select.EPOLLPRI)
        self._seen = self._kills() or 0

    def fileno(self) -> int:
        return self._epoll.fileno()

    def take(self) -> int | None:
        """Processes killed since the last call."""
        kills = self._kills()
        if kills is None:
            return None
        new, self._seen = kills - self._seen, kills
        return new

    def close(self) -> None:
        self._epoll.close()
        super().close()

    def _kills(self) -> int | None:
        """Read through the same descriptor: that is what re-arms the poll."""
        try:
            text = os.pread(self._fds[0], 4096, 0).decode()
        except OSError:
            return None  # ENODEV: the group was removed
        words = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return int(words.get("oom_kill", "0"))


def kill_count(path: str) -> int:
    """``oom_kill`` of ``memory.oom_control`` or ``memory.events``; 0 when the file is missing."""
    return read_table(path).get("oom_kill", 0)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise failure("open", path, err) from err
