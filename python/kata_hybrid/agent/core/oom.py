"""Out-of-memory events of all containers as one queue.

Watches are descriptors in the event loop; no thread waits. One event goes to one caller, and a caller that
leaves takes none with it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from kata_hybrid.errors import CgroupError

if TYPE_CHECKING:
    from kata_hybrid.cgroups import Manager, OomWatch

log = logging.getLogger(__name__)


class OomEvents:
    """For one event loop; every method is called in it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._watches: dict[str, OomWatch] = {}

    async def next(self) -> str:
        """The container of the next event; waits for one."""
        return await self._queue.get()

    def watch(self, container_id: str, manager: Manager) -> None:
        """Follow a container. Without a memory controller there is nothing to follow."""
        if container_id in self._watches:
            return
        try:
            watch = manager.watch_oom()
        except CgroupError as err:
            log.warning("no out-of-memory events for container %s: %s", container_id, err)
            return
        self._watches[container_id] = watch
        asyncio.get_running_loop().add_reader(watch.fileno(), self._take, container_id)

    def forget(self, container_id: str) -> None:
        """Stop following. Idempotent."""
        watch = self._watches.pop(container_id, None)
        if watch is not None:
            asyncio.get_running_loop().remove_reader(watch.fileno())
            watch.close()

    def close(self) -> None:
        """Stop following all."""
        for container_id in list(self._watches):
            self.forget(container_id)

    def _take(self, container_id: str) -> None:
        count = self._watches[container_id].take()
        if count is None:
            self.forget(container_id)
            return
        for _ in range(count):
            self._queue.put_nowait(container_id)
