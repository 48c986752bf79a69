"""Ending every process of a container, and removing what a killed runtime left half made."""

from __future__ import annotations

import time

from kata_hybrid.errors import ContainerNotStopped
from kata_hybrid.runtime import orphans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIGKILL
    from typing import Final

    from kata_hybrid import _core
    from kata_hybrid.cgroups import Manager
    from kata_hybrid.runtime.process import Process
else:
    from _signal import SIGKILL  # signal makes enumerations of them

SETTLE_SECONDS: Final = 2.0
KILL_TIMEOUT_SECONDS: Final = 10.0
"""As long as runc waits (100 times 100 ms)."""
LOOK_AGAIN_SECONDS: Final = 0.1


def kill_everything(manager: Manager, init: Process | None) -> None:
    """SIGKILL the init process and all of the container's cgroups, thawed, until nobody is left.

    Raises:
        ContainerNotStopped: something will not die, for example in an uninterruptible sleep.
    """
    deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
    pause = 0.001
    seen: set[int] = set()
    while True:
        orphans.reap_these(seen)
        alive = init is not None and not init.ended()
        left = manager.pids()
        if not alive and not left:
            return
        if time.monotonic() > deadline:
            who = f"container init still running, pids {left[:5]}"
            raise ContainerNotStopped(
                who, status="running", verb="delete", container_id=init.container_id if init else None
            )
        seen.update(left)
        if init is not None:
            seen.discard(init.pid)  # its status belongs to its waiters
        _kill_once(manager, init if alive else None)
        if init is not None and alive:
            init.ended(LOOK_AGAIN_SECONDS)
        else:
            time.sleep(pause)
            pause = min(pause * 2, LOOK_AGAIN_SECONDS)


def _kill_once(manager: Manager, init: Process | None) -> None:
    """Signal first, thaw after: a frozen process then wakes up only to die."""
    if init is not None and init.child is not None:
        try:
            init.child.send_signal(SIGKILL)
        except ProcessLookupError:  # it died between the look and the signal
            return
    manager.kill_all(SIGKILL)
    if manager.is_frozen():
        manager.thaw()


def kill_and_reap(child: _core.Child) -> None:
    """End a process of ours that nobody has got yet."""
    if child.poll() is None:
        child.send_signal(SIGKILL)
        child.wait(SETTLE_SECONDS)
