"""Reading, writing and closing a process's streams as the protocol wants it, in the event loop.

Nothing is read before somebody asks, and what has been read for a caller that went away is put back in
front. The end comes only after the last byte, whether the process has been waited for or not. A terminal
also ends when its process has exited and nothing is left on it, though children may still hold it.
CloseStdin never waits: the pipe closes once the write under way is through.

Source: Kata 1.x streams (behaviour), with its known defects not repeated.
"""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Final

from kata_hybrid.agent.core.errors import NoTerminal, RequestRefused, StdinClosed, StreamEnded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kata_hybrid.runtime import Process, Stream

MAX_READ_BYTES: Final = 4 * 1024 * 1024 - 1024
"""A reply stays below the peer's usual message limit, whatever length it asked for."""
BUSY_READ_BYTES: Final = 32 * 1024
BUSY_PIPE_BYTES: Final = 256 * 1024
"""A pipe from which that much was read at once gets this capacity: writer and reader wake each other less
often, and a reply carries more. Quiet processes keep the kernel's 64 KiB."""
SETTLE_SECONDS: Final = 0.05
"""What a dead process wrote to its terminal reaches the master through a kernel work queue."""


class OutputStream:
    """One of stdout and stderr, for one event loop.

    Args:
        stream: None when the process has no such stream.
        exited: returns once the process has ended.
        terminal: the stream is a terminal's master.
    """

    def __init__(
        self, stream: Stream | None, *, exited: Callable[[], Awaitable[object]], terminal: bool = False
    ) -> None:
        self._stream = stream
        self._exited = exited
        self._terminal = terminal
        self._returned = bytearray()
        self._ended = stream is None
        self._widened = terminal

    @property
    def ended(self) -> bool:
        """The descriptor is free; unread output may be kept all the same."""
        return self._ended

    async def read(self, length: int) -> bytes:
        """At least one byte and at most ``length`` (and :data:`MAX_READ_BYTES`); none if ``length`` is 0.

        Readers at the same time share the data. Cancelled, it has taken nothing.

        Raises:
            StreamEnded: all has been read, or the stream was closed with its container.
        """
        wanted = min(length, MAX_READ_BYTES)
        if wanted <= 0:
            return b""
        data = self._take_returned(wanted)
        if not data:
            # What was left may have been taken in while this read was parked.
            data = await self._read_new(wanted) or self._take_returned(wanted)
        if not data:
            raise StreamEnded("EOF")
        return data

    def read_ready(self, length: int) -> bytes | None:
        """As :meth:`read`, but None when it would have to wait.

        Raises:
            StreamEnded: as there.
        """
        wanted = min(length, MAX_READ_BYTES)
        if wanted <= 0:
            return b""
        if self._returned:
            return self._take_returned(wanted)
        if self._terminal:
            return None
        if self._ended or self._stream is None:
            raise StreamEnded("EOF")
        try:
            data = self._stream.read_ready(wanted)
        except ValueError:  # closed meanwhile
            data = b""
        if data is None:
            return None
        if not data:
            self._end()
            raise StreamEnded("EOF")
        self._widen_if_busy(self._stream, data)
        return data

    def give_back(self, data: bytes) -> None:
        """The caller could not deliver what it read: the next reader gets it first."""
        self._returned[:0] = data

    def take_in(self) -> None:
        """The process has ended: keep what it left unread, at most a pipe's worth, and free the descriptor.

        While a child of the process still holds the other end nothing is over, and all stays as it is.
        """
        if self._ended or self._stream is None or self._stream.closed:
            return
        left = bytearray()
        while True:
            try:
                data = os.read(self._stream.fileno(), MAX_READ_BYTES)
            except BlockingIOError:
                self._returned += left
                return
            except OSError as err:
                if err.errno != errno.EIO:  # a master whose slave is closed
                    raise
                data = b""
            if not data:
                break
            left += data
        self._returned += left
        self._end()

    def close(self) -> None:
        """Drop what is left; parked readers end. Idempotent."""
        self._returned.clear()
        self._end()

    def _take_returned(self, length: int) -> bytes:
        data = bytes(self._returned[:length])
        del self._returned[:length]
        return data

    async def _read_new(self, length: int) -> bytes:
        if self._ended or self._stream is None:
            return b""
        try:
            if self._terminal:
                data = await self._read_terminal(self._stream, length)
            else:
                data = await self._stream.aread(length)
        except ValueError:  # closed meanwhile
            return b""
        if not data and not self._terminal:
            self._end()
        self._widen_if_busy(self._stream, data)
        return data

    def _widen_if_busy(self, stream: Stream, data: bytes) -> None:
        if not self._widened and len(data) >= BUSY_READ_BYTES:
            self._widened = True
            stream.widen(BUSY_PIPE_BYTES)

    async def _read_terminal(self, stream: Stream, length: int) -> bytes:
        reading = asyncio.ensure_future(stream.aread(length))
        exiting = asyncio.ensure_future(_settled(self._exited))
        try:
            await asyncio.wait((reading, exiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            exiting.cancel()
            if not reading.done():
                reading.cancel()
            elif _being_cancelled():
                self._keep(reading)
        return reading.result() if reading.done() and not reading.cancelled() else b""

    def _keep(self, reading: asyncio.Future[bytes]) -> None:
        """The read was through when its caller went away."""
        if not reading.cancelled() and reading.exception() is None:
            self.give_back(reading.result())

    def _end(self) -> None:
        self._ended = True
        if self._stream is not None:
            self._stream.close()


async def _settled(exited: Callable[[], Awaitable[object]]) -> None:
    await exited()
    await asyncio.sleep(SETTLE_SECONDS)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class InputStream:
    """stdin, for one event loop."""

    def __init__(self, stream: Stream | None, *, terminal: bool = False) -> None:
        self._stream = stream
        self._terminal = terminal
        self._order = asyncio.Lock()
        self._writers = 0
        self._closing = stream is None

    async def write(self, data: bytes) -> int:
        """Write all of ``data``; the bytes written, 0 after :meth:`close`. Writers take turns.

        Raises:
            RequestRefused: nobody reads any more.
        """
        if self._closing or self._stream is None:
            return 0
        self._writers += 1
        try:
            async with self._order:
                return await self._write_now(self._stream, data)
        finally:
            self._writers -= 1
            self._close_if_idle()

    async def _write_now(self, stream: Stream, data: bytes) -> int:
        before = stream.written
        try:
            return await stream.awrite(data)
        except (BrokenPipeError, OSError) as err:
            where = "/dev/ptmx" if self._terminal else "|1"
            raise RequestRefused(f"write {where}: {(err.strerror or str(err)).lower()}") from err
        except ValueError:  # the container was removed meanwhile
            return stream.written - before

    def close(self) -> None:
        """No more input: EOF after what is being written. A terminal has no such thing and stays as it is.

        Raises:
            StdinClosed: it has been closed before.
        """
        if self._terminal:
            return
        if self._closing:
            raise StdinClosed("stdin is closed")
        self._closing = True
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._closing and self._stream is not None and self._writers == 0:
            self._stream.close()

    def drop(self) -> None:
        """The container goes: close now. Idempotent."""
        self._closing = True
        if self._stream is not None:
            self._stream.close()


class ProcessStreams:
    """All three of one process."""

    def __init__(self, process: Process, exited: Callable[[], Awaitable[object]]) -> None:
        self._process = process
        self.stdin = InputStream(process.stdin, terminal=process.terminal)
        self.stdout = OutputStream(process.stdout, exited=exited, terminal=process.terminal)
        if process.terminal:
            self.stderr = self.stdout
        else:
            self.stderr = OutputStream(process.stderr, exited=exited)

    def resize(self, rows: int, columns: int) -> None:
        """Characters; only the low 16 bits count.

        Raises:
            NoTerminal: the process has none.
        """
        if not self._process.terminal:
            raise NoTerminal("no terminal")
        self._process.resize(rows & 0xFFFF, columns & 0xFFFF)

    def take_in(self) -> None:
        """The process has ended and its status was told: free the descriptors, keep the unread output."""
        self.stdout.take_in()
        self.stderr.take_in()
        if self.stdout.ended and self.stderr.ended:
            self.stdin.drop()

    def close(self) -> None:
        """Close everything. Idempotent."""
        self.stdin.drop()
        self.stdout.close()
        self.stderr.close()
