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
else:
    from kata_hybrid._light import contextmanager

CHUNK_BYTES: Final = 64 * 1024
"""What one ``read`` asks for when the caller names no size: one pipe's worth."""
_F_SETPIPE_SZ: Final = 1031  # fcntl(2)


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
        self._parked: dict[tuple[asyncio.AbstractEventLoop, bool], _Parked] = {}
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
            parked = [(each.loop, future) for each in self._parked.values() for future in each.waiting]
            if self._users == 0:
                self._release()
        for loop, future in parked:
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
        fd = self._enter()
        try:
            yield fd
        finally:
            self._leave()

    def _enter(self) -> int:
        with self._lock:
            if self._closing:
                raise ValueError("stream is closed")
            self._users += 1
        return self._fd

    def _leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self.closed:
                self._release()

    def widen(self, size: int) -> None:
        """Let a pipe hold ``size`` bytes, so that its two sides meet less often; what cannot stays as it is.

        Raises:
            ValueError: the stream is closed.
        """
        import fcntl

        with self._in_use() as fd:
            try:
                fcntl.fcntl(fd, _F_SETPIPE_SZ, size)
            except OSError:  # no pipe, or more than the system gives one user
                return

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
        fd = self._enter()
        try:
            return _try_read(fd, n)
        finally:
            self._leave()

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
        """Wait for our turn; ``close`` may come meanwhile. The caller is a user, so the number stays ours."""
        import asyncio  # a program without a loop does not pay for it

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        key = (loop, for_write)
        with self._lock:
            if self._closing:
                raise ValueError("stream is closed")
            parked = self._parked.get(key)
            if parked is None:
                parked = self._parked[key] = _Parked(loop, fd, for_write=for_write)
            parked.waiting.append(future)
        parked.watch()
        try:
            await future
        finally:
            with self._lock:
                if future in parked.waiting:
                    parked.waiting.remove(future)
                if not parked.waiting:
                    self._parked.pop(key, None)
            parked.watch()
        if self._closing:
            raise ValueError("stream is closed")


class _Parked:
    """Those of one loop who wait to read, or to write. They are woken one by one, in their order.

    All but ``waiting`` belongs to the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, *, for_write: bool) -> None:
        self.loop = loop
        self.waiting: list[asyncio.Future[None]] = []
        self._fd = fd
        self._for_write = for_write
        self._watching = False

    def watch(self) -> None:
        """Watch the descriptor exactly while somebody waits."""
        if not self.waiting:
            self._stop()
        elif not self._watching:
            self._watching = True
            (self.loop.add_writer if self._for_write else self.loop.add_reader)(self._fd, self._wake)

    def _stop(self) -> None:
        if self._watching:
            self._watching = False
            (self.loop.remove_writer if self._for_write else self.loop.remove_reader)(self._fd)

    def _wake(self) -> None:
        """The first takes what there is; when it goes on it sees to the others."""
        self._stop()
        _finish(self.waiting.pop(0))


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
