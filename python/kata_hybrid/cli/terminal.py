"""Copying between our stdio and the terminal of a process in the foreground.

Sources: termios(3), pty(7).
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..runtime import Process

CHUNK_BYTES = 32768


def copy(process: Process) -> None:
    """Copy until the process has ended and the last byte of its output is written."""
    _Copy(process).run()


def raw(fd: int) -> list[Any] | None:
    """Put the terminal behind ``fd`` into raw mode; gives the mode it had, None when it is no terminal."""
    if not os.isatty(fd):
        return None
    mode = termios.tcgetattr(fd)
    tty.setraw(fd, termios.TCSANOW)  # the default would drop what was typed ahead
    return mode


def restore(fd: int, mode: list[Any]) -> None:
    """Give the terminal its mode back, once all output is out."""
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)


def window_size(fd: int) -> tuple[int, int]:
    """Rows and columns of the terminal behind ``fd``."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    return rows, columns


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
