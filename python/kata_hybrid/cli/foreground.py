"""Staying with a process: signals go to it, its terminal is copied, its end is awaited.

Without a terminal the process has our own stdio and nothing is copied. With one, our terminal is put into
raw mode and bytes go both ways until the process has ended and its last output is written.

Sources: termios(3), pty(7), signal(7).
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty

from ..errors import KataHybridError, SignalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any, Self

    from ..runtime import ExitStatus, Process

CHUNK_BYTES = 32768
_OURS = frozenset(
    {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH}
)
_FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
)
FORWARDED = frozenset(s for s in signal.Signals if s not in _OURS | _FAULTS and s < signal.SIGRTMIN)
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
            termios.tcsetattr(0, termios.TCSADRAIN, self._mode)
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
            self._raw()
            self._resize()
            _Copy(process).run()
        elif process.child is not None:
            _readable(process.child.pidfd())
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

    def _raw(self) -> None:
        if os.isatty(0):
            self._mode = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)  # the default would drop what was typed ahead

    def _resize(self) -> None:
        """The process's terminal gets the size of ours."""
        process = self._process
        if process is None or not process.terminal or process.stdout is None or not os.isatty(0):
            return
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        if rows and columns:
            try:
                process.resize(rows, columns)
            except (OSError, KataHybridError):
                return  # the terminal has gone; the copy ends by itself


def _readable(fd: int) -> None:
    """Block until ``fd`` is readable; Python runs signal handlers meanwhile (PEP 475)."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    poller.poll()


class _Copy:
    """Bytes between our stdio and the process's terminal, until it has ended and nothing is left."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        assert process.child is not None
        self._master_fd = process.stdout.fileno()
        self._pidfd = process.child.pidfd()
        self._unsent = b""
        self._stdin_open = True
        self._master_open = True

    def run(self) -> None:
        """Copy until the end; returns after the last byte of output was written."""
        ended = False
        while self._master_open and not ended:
            for fd, events in self._wait():
                if fd == self._pidfd:
                    ended = True
                elif fd == self._master_fd:
                    self._on_master(events)
                else:
                    self._on_stdin()
        while self._master_open and self._output():
            pass  # what was written before the end
        _readable(self._pidfd)

    def _wait(self) -> list[tuple[int, int]]:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        poller.register(self._master_fd, select.POLLIN | (select.POLLOUT if self._unsent else 0))
        if self._stdin_open and not self._unsent:
            poller.register(0, select.POLLIN)
        return poller.poll()

    def _on_master(self, events: int) -> None:
        if events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._output()
        if events & select.POLLOUT:
            self._send()

    def _on_stdin(self) -> None:
        try:
            data = os.read(0, CHUNK_BYTES)
        except OSError:
            data = b""
        if not data:
            self._stdin_open = False
        self._unsent += data
        self._send()

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._master_fd, self._unsent) :]
        except BlockingIOError:
            return  # polled again
        except OSError:
            self._unsent = b""

    def _output(self) -> bool:
        """Copy one chunk; False when there is none now or any more."""
        try:
            data = os.read(self._master_fd, CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # EIO: the last user of the terminal has closed it
        if not data:
            self._master_open = False
            return False
        _write_all(data)
        return True


def _write_all(data: bytes) -> None:
    """Write to our stdout, waiting where it is non-blocking; dropped once nobody reads it."""
    while data:
        try:
            data = data[os.write(1, data) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(1, select.POLLOUT)
            poller.poll()
        except OSError:
            return
