"""Process exits as events of an asyncio loop: one epoll over the pidfds that are being waited for."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from kata_hybrid import _core

if TYPE_CHECKING:
    from collections.abc import Callable

    Waiter = asyncio.Future[None]


class ExitWatcher:
    """For one loop at a time. Its descriptor exists only while somebody waits."""

    def __init__(self) -> None:
        self._tokens = itertools.count(1)
        self._waiters: dict[int, list[Waiter]] = {}
        self._calls: dict[int, list[Callable[[], object]]] = {}
        self._token_of: dict[int, int] = {}
        self._children: dict[int, _core.Child] = {}
        self._reaper: _core.Reaper | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def ended(self, child: _core.Child) -> None:
        """Return once ``child`` has ended. Its status is then in ``child.poll()``.

        Raises:
            RuntimeError: another loop is using this watcher.
        """
        loop = asyncio.get_running_loop()
        token = self._watch(loop, child)
        future = loop.create_future()
        self._waiters.setdefault(token, []).append(future)
        try:
            await future
        finally:
            if not future.done() or future.cancelled():
                self._withdraw(token, future)

    def on_end(self, child: _core.Child, call: Callable[[], object]) -> None:
        """Have ``call()`` made in the running loop once ``child`` has ended, before those who wait go on.

        Raises:
            RuntimeError: another loop is using this watcher.
        """
        token = self._watch(asyncio.get_running_loop(), child)
        self._calls.setdefault(token, []).append(call)

    def _watch(self, loop: asyncio.AbstractEventLoop, child: _core.Child) -> int:
        reaper = self._open(loop)
        token = self._token_of.get(id(child))
        if token is None:
            token = next(self._tokens)
            reaper.add(child, token)
            self._token_of[id(child)] = token
            self._children[token] = child
        return token

    def close(self) -> None:
        """Stop watching; those who still wait are cancelled."""
        for waiters in self._waiters.values():
            for future in waiters:
                future.cancel()
        self._waiters.clear()
        self._calls.clear()
        self._token_of.clear()
        self._children.clear()
        self._release()

    def _withdraw(self, token: int, future: Waiter) -> None:
        waiters = self._waiters.get(token, [])
        if future in waiters:
            waiters.remove(future)

    def _open(self, loop: asyncio.AbstractEventLoop) -> _core.Reaper:
        if self._reaper is not None and self._loop is loop:
            return self._reaper
        if self._reaper is not None and self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("this AsyncRuntime belongs to another event loop")
        self._reaper = _core.Reaper()
        self._loop = loop
        loop.add_reader(self._reaper.fileno(), self._drain)
        return self._reaper

    def _drain(self) -> None:
        if self._reaper is None:
            return
        for token, _status in self._reaper.drain():
            child = self._children.pop(token, None)
            if child is not None:
                self._token_of.pop(id(child), None)
            for call in self._calls.pop(token, []):
                call()
            for future in self._waiters.pop(token, []):
                if not future.done():
                    future.set_result(None)
        if not self._children:
            self._release()

    def _release(self) -> None:
        if self._reaper is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._reaper.fileno())
        self._reaper.close()
        self._reaper = None
        self._loop = None
