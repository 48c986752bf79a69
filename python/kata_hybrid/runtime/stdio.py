"""What a new process gets as stdin, stdout and stderr.

:class:`Stdio` is a choice, made by the caller and used once or many times; :meth:`Stdio.open` turns it
into the three descriptors for the child and the :class:`~kata_hybrid.runtime.streams.Stream` ends for us.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import ExitStack
    from dataclasses import dataclass
    from enum import Enum

    from kata_hybrid.runtime.streams import Stream
else:
    from kata_hybrid._record import Enum, dataclass


class _Kind(Enum):
    INHERIT = "inherit"
    PIPES = "pipes"
    NULL = "null"
    FDS = "fds"


@dataclass(frozen=True)
class Stdio:
    """Where fds 0, 1 and 2 of a process come from. With ``process.terminal`` the terminal replaces all.

    Make one by :meth:`inherit`, :meth:`pipes`, :meth:`null` or :meth:`fds`.
    """

    kind: _Kind
    numbers: tuple[int, int, int] = (0, 1, 2)
    stdin: bool = True

    @classmethod
    def inherit(cls) -> Stdio:
        """The caller's own 0, 1 and 2."""
        return cls(_Kind.INHERIT)

    @classmethod
    def pipes(cls, *, stdin: bool = True) -> Stdio:
        """Three pipes, read and written through the process's streams; without ``stdin``, two."""
        return cls(_Kind.PIPES, stdin=stdin)

    @classmethod
    def null(cls) -> Stdio:
        """``/dev/null``."""
        return cls(_Kind.NULL)

    @classmethod
    def fds(cls, stdin: int, stdout: int, stderr: int) -> Stdio:
        """Descriptors of the caller, borrowed until the launch returns."""
        return cls(_Kind.FDS, (stdin, stdout, stderr))

    def open(self, child_ends: ExitStack, our_ends: ExitStack, *, terminal: bool = False) -> OpenedStdio:
        """Make the descriptors.

        Args:
            child_ends: closes the child's ends; to be closed as soon as the child has them.
            our_ends: closes our ends; to be closed only when the launch fails.
            terminal: the process gets a terminal: until it has one its fds 0-2 are ``/dev/null``.
        """
        if terminal or self.kind is _Kind.NULL:
            null = _owned(child_ends, os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
            return OpenedStdio((null, null, null))
        if self.kind is _Kind.PIPES:
            return self._open_pipes(child_ends, our_ends)
        return OpenedStdio(self.numbers)

    def _open_pipes(self, child_ends: ExitStack, our_ends: ExitStack) -> OpenedStdio:
        stdin: Stream | None = None
        if self.stdin:
            child_in, our_in = os.pipe2(os.O_CLOEXEC)
            _owned(child_ends, child_in)
            stdin = _stream(our_ends, our_in)
        else:
            child_in = _owned(child_ends, os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        our_out, child_out = os.pipe2(os.O_CLOEXEC)
        _owned(child_ends, child_out)
        stdout = _stream(our_ends, our_out)
        our_err, child_err = os.pipe2(os.O_CLOEXEC)
        _owned(child_ends, child_err)
        stderr = _stream(our_ends, our_err)
        return OpenedStdio((child_in, child_out, child_err), stdin, stdout, stderr)


@dataclass
class OpenedStdio:
    """The child's three numbers, and our ends where there are any."""

    child: tuple[int, int, int]
    stdin: Stream | None = None
    stdout: Stream | None = None
    stderr: Stream | None = None

    def use_master(self, master_fd: int) -> Stream:
        """A terminal: all three are one stream on the master, which this object owns from here on."""
        from kata_hybrid.runtime.streams import Stream

        stream = Stream(master_fd)
        self.stdin = self.stdout = self.stderr = stream
        return stream


def _owned(stack: ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd


def _stream(stack: ExitStack, fd: int) -> Stream:
    from kata_hybrid.runtime.streams import Stream  # a command has none

    stream = Stream(fd)
    stack.callback(stream.close)
    return stream
