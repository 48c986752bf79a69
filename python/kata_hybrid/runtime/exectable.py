"""The table of the processes that were started in a container beside its first one."""

from __future__ import annotations

import itertools
from _thread import allocate_lock as Lock  # noqa: N812 - threading itself takes three milliseconds

from kata_hybrid.errors import ProcessExists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import contextmanager
    from dataclasses import dataclass

    from kata_hybrid.runtime.process import Process
else:
    from kata_hybrid._light import contextmanager
    from kata_hybrid._record import dataclass

SETTLE_SECONDS = 2.0


@dataclass
class Slot:
    """A name taken in the table, for the process that is being started under it."""

    exec_id: str
    process: Process | None = None


class ExecTable:
    """The processes that this container object has started, by exec id.

    A named one stays, with its status, until the container is deleted. One whose name was made up is
    forgotten after its end has been seen, lest the table grows for ever.
    """

    def __init__(self, *, container_id: str, init: Process) -> None:
        self._container_id = container_id
        self._lock = Lock()
        self._numbers = itertools.count(1)
        self._reserved: set[str] = {init.exec_id}
        self._named: dict[str, Process] = {init.exec_id: init}
        self._unnamed: dict[str, Process] = {}

    def get(self, exec_id: str) -> Process | None:
        with self._lock:
            return self._named.get(exec_id) or self._unnamed.get(exec_id)

    @contextmanager
    def reserve(self, exec_id: str | None) -> Iterator[Slot]:
        """Take a name; it is free again when the block fails.

        Raises:
            ProcessExists: the name is taken.
        """
        with self._lock:
            self._forget_ended()
            name = exec_id if exec_id is not None else f"exec-{next(self._numbers)}"
            if name in self._reserved:
                raise ProcessExists("process exists", container_id=self._container_id, exec_id=name)
            self._reserved.add(name)
        slot = Slot(name)
        try:
            yield slot
        finally:
            with self._lock:
                if slot.process is None:
                    self._reserved.discard(name)
                else:
                    table = self._unnamed if exec_id is None else self._named
                    table[name] = slot.process

    def remove(self, exec_id: str) -> None:
        """Forget a process that has ended, for callers that give names out again."""
        with self._lock:
            process = self._named.get(exec_id)
            if process is not None and process.poll() is not None:
                del self._named[exec_id]
                self._reserved.discard(exec_id)

    def settle(self) -> None:
        """Reap all that have been killed; called when the container's cgroups are empty."""
        with self._lock:
            processes = [*self._named.values(), *self._unnamed.values()]
        for process in processes:
            if process.child is not None:
                process.child.wait(SETTLE_SECONDS)
                process.poll()

    def _forget_ended(self) -> None:
        for name in [name for name, process in self._unnamed.items() if process.poll() is not None]:
            del self._unnamed[name]
            self._reserved.discard(name)
