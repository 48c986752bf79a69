"""Staying with a process: signals go to it, its terminal is copied, its end is awaited.

Without a terminal the process has our own stdio and nothing is copied. With one, our terminal is put into
raw mode and bytes go both ways until the process has ended and its last output is written.

Sources: termios(3), pty(7), signal(7).
"""

from __future__ import annotations

import os

from ..errors import KataHybridError, SignalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import FrameType, TracebackType
    from typing import Any, Self

    from ..runtime import ExitStatus, Process
else:
    import _signal as signal  # signal makes enumerations of its numbers

_OURS = (signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH)
_FAULTS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP)
_LAST_CLASSIC = 31  # the C library keeps the next two for itself
FORWARDED = frozenset(number for number in range(1, _LAST_CLASSIC + 1) if number not in _OURS + _FAULTS)
"""All that others send and that we may catch; faults are our own."""


class Foreground:
    """Takes over signals on entry and gives them back, with the terminal's mode, on exit.

    Signals that arrive before there is a process are kept and delivered once there is one.
    """

    def __init__(self) -> None:
        self._process: Process | None = None
        self._pending: list[int] = []
        self._previous: dict[int, Any] = {}
        self._mode: list[Any] | None = None

    def __enter__(self) -> Self:
        for number in (*FORWARDED, signal.SIGWINCH):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mode is not None:
            from .terminal import restore

            restore(0, self._mode)
            self._mode = None
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._previous.clear()

    def attend(self, process: Process) -> ExitStatus:
        """Stay until ``process`` has ended; gives how it ended."""
        self._process = process
        for number in self._pending:
            self._pass_on(number)
        self._pending.clear()
        if process.terminal and process.stdout is not None:
            from .terminal import copy, raw

            self._mode = raw(0)
            self._resize()
            copy(process)
        elif process.child is not None:
            _until_ended(process.child.pidfd())
        return process.wait()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._process is None:
            self._pending.append(number)
        else:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGWINCH:
            self._resize()
            return
        try:
            if self._process is not None:
                self._process.signal(number)
        except SignalError:
            return  # it has just ended, which the wait sees

    def _resize(self) -> None:
        """The process's terminal gets the size of ours."""
        process = self._process
        if process is None or not process.terminal or process.stdout is None or not os.isatty(0):
            return
        from .terminal import window_size

        rows, columns = window_size(0)
        if rows and columns:
            try:
                process.resize(rows, columns)
            except (OSError, KataHybridError):
                return  # the terminal has gone; the copy ends by itself


def _until_ended(pidfd: int) -> None:
    """Block until our child has ended, and leave its status; signal handlers run meanwhile (PEP 475)."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    except ChildProcessError:  # SIGCHLD is ignored, which we inherited: the kernel kept no status
        return
