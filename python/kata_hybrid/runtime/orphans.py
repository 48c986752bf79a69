"""Reaping of adopted processes, kept apart from the reaping of our own.

As pid 1 or child subreaper this process inherits every orphan of its containers. They are reaped by
:func:`reap`, and by nothing else; what this process started itself (container inits, exec'd processes,
hooks) is waited for by its owner only. While a launch or a hook is under way there are children whose
pid nobody has noted yet, so reaping waits until :func:`starting` is left.

Sources: waitid(2) WNOWAIT, prctl(2) PR_SET_CHILD_SUBREAPER.
"""

from __future__ import annotations

import os
from _thread import allocate_lock as Lock  # noqa: N812 - threading itself takes three milliseconds

from kata_hybrid import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import contextmanager, suppress
else:
    from kata_hybrid._light import contextmanager, suppress

_lock = Lock()
_starting = 0
_owned: dict[int, int] = {}
_postponed: list[Callable[[], None]] = []


@contextmanager
def starting() -> Iterator[None]:
    """Children come into being here: no orphan is reaped meanwhile."""
    global _starting
    with _lock:
        _starting += 1
    try:
        yield
    finally:
        with _lock:
            _starting -= 1
            again = _postponed[:] if _starting == 0 else []
            if again:
                _postponed.clear()
        for call in again:
            call()


def own(pid: int) -> None:
    """``pid`` has an owner who waits for it."""
    with _lock:
        _owned[pid] = _owned.get(pid, 0) + 1


def disown(pid: int) -> None:
    """``pid`` has been waited for; the number may be anybody's now."""
    with _lock:
        left = _owned.pop(pid, 0) - 1
        if left > 0:
            _owned[pid] = left


def reap(
    *, also_owned: Sequence[int] = (), later: Callable[[], None] | None = None
) -> list[tuple[int, int, int]]:
    """Reap every dead child that nobody owns: ``(pid, exit code, signal)`` of each.

    Args:
        also_owned: pids of children that the caller waits for itself.
        later: called when children are just being started and so nothing was reaped; it is called from
            the starting thread, once the start is over, and should lead to another ``reap``.
    """
    with _lock:
        if _starting:
            if later is not None and later not in _postponed:
                _postponed.append(later)
            return []
        return _core.reap_orphans([*_owned, *also_owned])


def reap_these(pids: Iterable[int]) -> None:
    """Reap those of ``pids`` that are dead children of ours which nobody owns.

    A pid namespace's first process does not end before the dead others in it are reaped, and when it was
    we who adopted them, nobody else will.
    """
    with _lock:
        for pid in pids:
            if pid not in _owned:
                with suppress(ChildProcessError):  # somebody else's child
                    os.waitpid(pid, os.WNOHANG)
