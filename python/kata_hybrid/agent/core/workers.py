"""Threads for what blocks, with the results brought back to the event loop.

Less than ``run_in_executor`` does: a job is never withdrawn, one wake-up of the loop brings its result, and
no future of a second kind is in between. Threads are started when a job finds none idle, and stay.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[Any, BaseException | None], None]
    Job = tuple[Callable[..., Any], tuple[Any, ...], Done, Callable[[], None] | None]

log = logging.getLogger(__name__)

T = TypeVar("T")

LIMIT: Final = 16
"""So many calls may block at a time; the others take their turn."""


class Workers:
    """For one event loop; every method is called in it."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._all_done: asyncio.Future[None] | None = None

    async def run(self, call: Callable[..., T], *args: Any, then: Callable[[T], None] | None = None) -> T:
        """``call(*args)`` in a thread, to its end even when the caller is cancelled.

        Args:
            then: called in the loop with the result, whether the caller is still there or not.

        Raises:
            Exception: what ``call`` raises.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if error is None and then is not None:
                try:
                    then(result)
                except Exception as err:  # noqa: BLE001 - told to the caller
                    error = err
            if future.done():  # the caller was cancelled
                if error is not None:
                    log.debug("call failed: %s", error)
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.start(call, *args, done=done)
        return await future

    def start(
        self,
        call: Callable[..., Any],
        *args: Any,
        done: Done,
        at_once: Callable[[], None] | None = None,
    ) -> None:
        """``call(*args)`` in a thread.

        Args:
            done: called in the loop with the result, or with the error.
            at_once: called in the thread when the call has succeeded, before the loop is woken up.
        """
        self._under_way += 1
        if self._under_way > len(self._threads) and len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name=f"agent-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((call, args, done, at_once))

    async def close(self) -> None:
        """Wait for calls under way."""
        while self._under_way:
            self._all_done = self._loop.create_future()
            await self._all_done
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, args, done, at_once = job
            try:
                result, error = call(*args), None
                if at_once is not None:
                    at_once()
            except BaseException as err:  # noqa: BLE001 - told to whoever waits
                result, error = None, err
            self._loop.call_soon_threadsafe(self._done, done, result, error)
            del job, call, args, done, at_once, result, error  # nothing is kept alive while there is no work

    def _done(self, done: Done, result: Any, error: BaseException | None) -> None:
        self._under_way -= 1
        if self._under_way == 0 and self._all_done is not None and not self._all_done.done():
            self._all_done.set_result(None)
        done(result, error)
