"""One process in a container: its init process, or one started by ``exec``.

The process's pidfd lives in a ``_core.Child``, which keeps the exit status for ever: any number of
threads may wait, all get the same answer, and none of them holds a lock that another call needs.
"""

from __future__ import annotations

import errno

from kata_hybrid.errors import ConfigError, SignalError
from kata_hybrid.runtime import orphans

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from dataclasses import dataclass
    from typing import Final

    from kata_hybrid import _core
    from kata_hybrid.runtime.stdio import OpenedStdio
    from kata_hybrid.runtime.streams import Stream
else:
    import _signal  # signal makes enumerations of its numbers

    from kata_hybrid._record import dataclass

UNKNOWN_STATUS: Final = (-1, -1)
"""What ``_core`` gives for a process that was not our child and whose status the kernel has dropped."""
END_OF_INPUT: Final = b"\x04"
"""VEOF of a terminal in its default setting."""


@dataclass(frozen=True)
class ExitStatus:
    """How a process ended: by itself with ``code``, or by ``signal`` (then ``code`` is 0).

    Both are -1 when another process was its parent and took the status.
    """

    code: int = 0
    signal: int = 0

    @property
    def status(self) -> int:
        """One number as shells give it: the code, or 128 plus the signal; 255 when unknown."""
        if self.signal > 0:
            return 128 + self.signal
        return 255 if self.signal < 0 else self.code

    @property
    def known(self) -> bool:
        return self.signal >= 0


def parse_signal(signal: str | int) -> int:
    """A number (0 asks whether the process is there), or a name with or without ``SIG``, in any case.

    Raises:
        ConfigError: no such signal.
    """
    if isinstance(signal, int):
        if 0 <= signal <= _signal.SIGRTMAX:
            return int(signal)
        raise ConfigError("", f"unknown signal {signal}")
    text = signal.strip().upper()
    if text.isdecimal():
        return parse_signal(int(text))
    name = text.removeprefix("SIG")
    known = getattr(_signal, f"SIG{name}", None) if name.isalnum() else None
    number = int(known) if isinstance(known, int) else _realtime(name)
    if number is None:
        raise ConfigError("", f'unknown signal "{signal}"')
    return number


def _realtime(name: str) -> int | None:
    for base, start in (("RTMIN+", int(_signal.SIGRTMIN)), ("RTMAX-", int(_signal.SIGRTMAX))):
        if name.startswith(base) and name[len(base) :].isdecimal():
            offset = int(name[len(base) :])
            number = start + offset if base.endswith("+") else start - offset
            if _signal.SIGRTMIN <= number <= _signal.SIGRTMAX:
                return number
    return None


class Process:
    """A process of a container.

    Args:
        child: its pidfd and status; None for a process that was already gone when it was looked for.
        exec_id: its name in the container; the init process's is the container's id.
        stdio: our ends of its fds 0-2, owned by this object.

    Attributes:
        stdin, stdout, stderr: None when the process has something else there. On a terminal all three
            are one stream, its master.
    """

    def __init__(
        self,
        child: _core.Child | None,
        *,
        container_id: str,
        exec_id: str,
        pid: int = 0,
        stdio: OpenedStdio | None = None,
        terminal: bool = False,
    ) -> None:
        self.child = child
        self.container_id = container_id
        self.exec_id = exec_id
        self.pid = child.pid if child is not None else pid
        self.terminal = terminal
        self.stdin: Stream | None = stdio.stdin if stdio else None
        self.stdout: Stream | None = stdio.stdout if stdio else None
        self.stderr: Stream | None = stdio.stderr if stdio else None
        self._owned = False
        self._status = ExitStatus(*UNKNOWN_STATUS)

    def __repr__(self) -> str:
        return f"Process({self.container_id}/{self.exec_id}, pid={self.pid})"

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """The exit status, once there is one; kept, so that late callers get it too.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TimeoutError: it still runs.
        """
        child = self.child
        if child is None:
            return self._status
        status = child.wait(timeout)
        if status is None:
            raise TimeoutError(errno.ETIMEDOUT, f"process {self.exec_id} still runs")
        return self._ended(status)

    def poll(self) -> ExitStatus | None:
        """The exit status, or None while it runs. Never blocks."""
        child = self.child
        if child is None:
            return self._status
        status = child.poll()
        return None if status is None else self._ended(status)

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether it has ended, not how: to know that of another's child takes until its parent reaps it.

        Args:
            timeout: seconds to wait for it.
        """
        child = self.child
        if child is None:
            return True
        if not self._owned:
            return child.ended(timeout)
        status = child.wait(timeout) if timeout else child.poll()
        if status is not None:
            self._ended(status)
        return status is not None

    def release(self) -> None:
        """Free the pidfd of a process that has ended; its status stays. Does nothing while it runs."""
        status = self.poll()
        if status is not None:
            self._status = status
            self.child = None

    def _ended(self, status: tuple[int, int]) -> ExitStatus:
        if self._owned:
            self._owned = False
            orphans.disown(self.pid)
        return ExitStatus(*status)

    def own(self) -> None:
        """This process is our child: nobody but this object waits for it."""
        self._owned = True
        orphans.own(self.pid)

    def signal(self, signal: str | int) -> None:
        """Send a signal through the pidfd, so that no reused pid can be hit.

        Raises:
            SignalError: ``errno`` ESRCH when the process has ended.
            ConfigError: no such signal.
        """
        number = parse_signal(signal)
        try:
            child = self.child
            if child is None or self.ended():
                raise ProcessLookupError(errno.ESRCH, "process has ended")
            child.send_signal(number)
        except OSError as err:
            raise SignalError(
                f"send signal {number}",
                errno=err.errno or errno.EIO,
                container_id=self.container_id,
                exec_id=self.exec_id,
            ) from err

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size in characters.

        Raises:
            ConfigError: the process has no terminal, or its master is not ours.
        """
        if not self.terminal or self.stdout is None:
            raise ConfigError("", f"process {self.exec_id} has no terminal", container_id=self.container_id)
        from kata_hybrid.runtime.console import set_window_size

        set_window_size(self.stdout.fileno(), rows=rows, columns=columns)

    def close_stdin(self) -> None:
        """Let the process read EOF. A terminal cannot be closed on one side: it gets Ctrl-D instead."""
        if self.stdin is None or self.stdin.closed:
            return
        if self.terminal:
            self.stdin.write(END_OF_INPUT, timeout=1.0)
        else:
            self.stdin.close()

    def close_streams(self) -> None:
        """Close our ends of all three. Idempotent."""
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
