"""The caller's end of a container's stdin, stdout, stderr or terminal.

A :class:`Stream` owns one non-blocking file descriptor. It reads only when asked (a container without a
reader blocks as on any full pipe), gives EOF only after the last byte, and takes the EIO of a terminal
master, which is what Linux gives once the last slave is closed, for EOF. The threaded and the asyncio
calls share the same descriptor and the same rules; neither reads ahead, so a cancelled or timed-out call
has taken no byte that its caller does not get.

Sources: pipe(7), pty(7), poll(2).
"""

from __future__ import annotations

import errno
import os
import select
import time
from _thread import allocate_lock as Lock  # noqa: N812 - threading itself takes three milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from contextlib import contextmanager
    from typing import Final

    Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]
else:
    from kata_hybrid._light import contextmanager

CHUNK_BYTES: Final = 64 * 1024
"""What one ``read`` asks for when the caller names no size: one pipe's worth."""


class Stream:
    """One end of a pipe, or a terminal master.

    Args:
        fd: owned by this object from here on; made non-blocking.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = Lock()
        self._users = 0
        self._closing = False
        self._wake_fd = -1
        self._waiters: set[Waiter] = set()
        self.written = 0
        """Bytes the kernel has accepted so far: tells after a time-out or a cancellation what went in."""
        os.set_blocking(fd, False)

    def __repr__(self) -> str:
        return f"Stream(fd={self._fd})"

    def __del__(self) -> None:
        self.close()

    def fileno(self) -> int:
        """The descriptor, still owned by the stream; -1 when closed."""
        return self._fd

    @property
    def closed(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Close this end; calls under way in other threads or tasks end with ``ValueError``. Idempotent."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)
            waiters = list(self._waiters)
            if self._users == 0:
                self._release()
        for loop, future in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, future)

    def _release(self) -> None:
        os.close(self._fd)
        self._fd = -1
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1

    @contextmanager
    def _in_use(self) -> Iterator[int]:
        """Keep the descriptor's number ours while a call works with it; the last user does the close."""
        with self._lock:
            if self._closing:
                raise ValueError("stream is closed")
            self._users += 1
        try:
            yield self._fd
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self.closed:
                    self._release()

    # --- threads -------------------------------------------------------------------------------------

    def read(self, n: int = CHUNK_BYTES, timeout: float | None = None) -> bytes:
        """At least one and at most ``n`` bytes; ``b""`` is EOF.

        Args:
            timeout: seconds to wait for the first byte; None waits for ever.

        Raises:
            TimeoutError: nothing came; nothing was taken.
            ValueError: the stream is closed.
        """
        deadline = _deadline(timeout)
        with self._in_use() as fd:
            while True:
                data = _try_read(fd, n)
                if data is not None:
                    return data
                self._poll(fd, select.POLLIN, deadline)

    def read_ready(self, n: int = CHUNK_BYTES) -> bytes | None:
        """As :meth:`read`, but None when there is nothing yet."""
        with self._in_use() as fd:
            return _try_read(fd, n)

    def write(self, data: bytes | bytearray | memoryview, timeout: float | None = None) -> int:
        """Write all of ``data``; gives its length.

        Raises:
            TimeoutError: the reader did not keep up; ``written`` tells how much went in.
            BrokenPipeError: nobody reads any more.
            ValueError: the stream is closed.
        """
        deadline = _deadline(timeout)
        rest = memoryview(data).cast("B")
        total = len(rest)
        with self._in_use() as fd:
            while rest:
                count = _try_write(fd, rest)
                self.written += count
                rest = rest[count:]
                if count == 0:
                    self._poll(fd, select.POLLOUT, deadline)
        return total

    def _poll(self, fd: int, events: int, deadline: float | None) -> None:
        poller = select.poll()
        poller.register(fd, events)
        poller.register(self._waker(), select.POLLIN)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        ready = poller.poll(left)
        if self._closing:
            raise ValueError("stream is closed")
        if not ready:
            raise TimeoutError(errno.ETIMEDOUT, "stream was not ready in time")

    def _waker(self) -> int:
        with self._lock:
            if self._closing:
                raise ValueError("stream is closed")
            if self._wake_fd < 0:
                self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            return self._wake_fd

    # --- asyncio -------------------------------------------------------------------------------------

    async def aread(self, n: int = CHUNK_BYTES) -> bytes:
        """As :meth:`read`, in the running loop. Cancelled while it waits, it has taken nothing."""
        with self._in_use() as fd:
            while True:
                data = _try_read(fd, n)
                if data is not None:
                    return data
                await self._ready(fd, for_write=False)

    async def awrite(self, data: bytes | bytearray | memoryview) -> int:
        """As :meth:`write`, in the running loop. Cancelled, ``written`` tells what went in."""
        rest = memoryview(data).cast("B")
        total = len(rest)
        with self._in_use() as fd:
            while rest:
                count = _try_write(fd, rest)
                self.written += count
                rest = rest[count:]
                if count == 0:
                    await self._ready(fd, for_write=True)
        return total

    async def _ready(self, fd: int, *, for_write: bool) -> None:
        """Wait on a duplicate: one loop takes one callback per number, and ``close`` may come meanwhile."""
        import asyncio  # a program without a loop does not pay for it

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._closing:
                raise ValueError("stream is closed")
            entry = (loop, future)
            self._waiters.add(entry)
        watched = os.dup(fd)
        try:
            if for_write:
                loop.add_writer(watched, _finish, future)
            else:
                loop.add_reader(watched, _finish, future)
            await future
        finally:
            forget = loop.remove_writer if for_write else loop.remove_reader
            forget(watched)
            os.close(watched)
            with self._lock:
                self._waiters.discard(entry)
        if self._closing:
            raise ValueError("stream is closed")


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _try_read(fd: int, n: int) -> bytes | None:
    """Bytes, ``b""`` at the end, None when there is nothing yet."""
    try:
        return os.read(fd, n)
    except BlockingIOError:
        return None
    except OSError as err:
        if err.errno == errno.EIO and os.isatty(fd):
            return b""
        raise


def _try_write(fd: int, data: memoryview) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
