"""The sandbox's persistent namespaces: ipc and uts for all its containers, a pid namespace if asked for.

No thread of the agent enters another namespace. A kata-init is started into new ones with a plan that only
waits for a go-ahead; its ``/proc/<pid>/ns`` files are bound to files of ours and it is ended. With a shared
pid namespace it stays: the namespace lives as long as its first process.

Source: namespaces(7); Kata 1.x persistent namespaces (behaviour).
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from kata_hybrid import _core
from kata_hybrid.agent.core import mounts
from kata_hybrid.agent.core.errors import GuestError
from kata_hybrid.oci.config import NamespaceType
from kata_hybrid.plan import steps
from kata_hybrid.plan.encode import encode
from kata_hybrid.plan.namespaces import CLONE_FLAGS
from kata_hybrid.runtime import orphans
from kata_hybrid.runtime.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Mapping

PERSISTENT = (NamespaceType.IPC, NamespaceType.UTS)


class SandboxNamespaces:
    """Made by :meth:`make`, ended by :meth:`close`.

    Attributes:
        paths: namespace type to a file that ``setns`` takes.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._pause: _core.Launch | None = None
        self.paths: Mapping[NamespaceType, str] = {}

    def make(self, *, shared_pid: bool) -> None:
        """Make ipc and uts, and with ``shared_pid`` a pid namespace. Blocks.

        Raises:
            GuestError: the kernel refused; nothing is left.
        """
        try:
            with Undo() as undo:
                self._make(undo, shared_pid=shared_pid)
                undo.pop_all()
        except (OSError, _core.InitError) as err:
            raise GuestError(f"failed to create namespace: {err}") from err

    def _make(self, undo: Undo, *, shared_pid: bool) -> None:
        os.makedirs(self._directory, 0o755, exist_ok=True)
        undo.add(_remove_directory, self._directory)
        wanted = [*PERSISTENT, NamespaceType.PID] if shared_pid else list(PERSISTENT)
        pause = _start_pause(sum(CLONE_FLAGS[kind] for kind in wanted))
        undo.add(_end, pause)
        paths: dict[NamespaceType, str] = {}
        for kind in PERSISTENT:
            target = os.path.join(self._directory, kind.value)
            _discard_old(target)
            os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o444))
            undo.add(os.unlink, target)
            mounts.bind(f"/proc/{pause.pid}/ns/{kind.value}", target)
            undo.add(mounts.unmount, target, mounts.MNT_DETACH)
            paths[kind] = target
        if shared_pid:
            paths[NamespaceType.PID] = f"/proc/{pause.pid}/ns/pid"
            self._pause = pause
        else:
            _end(pause)
        self.paths = paths

    def close(self) -> None:
        """End the pause process and let go of the namespaces. Idempotent.

        Raises:
            OSError: a file could not be removed.
        """
        if self._pause is not None:
            _end(self._pause)
            self._pause = None
        for kind in PERSISTENT:
            if kind in self.paths:
                _discard_old(self.paths[kind])
        self.paths = {}
        _remove_directory(self._directory)


def _start_pause(clone_flags: int) -> _core.Launch:
    """A process in new namespaces that waits for a word that never comes, and ends when the agent does."""
    plan = encode((steps.Setsid(), steps.Sync(steps.SYNC_READY), steps.Exec(("pause",), (), 0)))
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        with orphans.starting():
            started = _core.spawn(plan, stdio=(null_fd, null_fd, null_fd), clone_flags=clone_flags)
            orphans.own(started.pid)
            try:
                if started.next() != steps.SYNC_READY:
                    raise OSError(errno.ESRCH, "the process that holds the namespaces has ended")
            except BaseException:
                _end(started)
                raise
    finally:
        os.close(null_fd)
    return started


def _end(pause: _core.Launch) -> None:
    pause.abort()
    orphans.disown(pause.pid)


def _discard_old(path: str) -> None:
    """Unmount and remove a namespace file, also one that a dead agent left."""
    if not os.path.exists(path):
        return
    while os.path.ismount(path) or _is_namespace_file(path):
        mounts.unmount(path, mounts.MNT_DETACH)
    os.unlink(path)


def _is_namespace_file(path: str) -> bool:
    return os.stat(path).st_dev != os.stat(os.path.dirname(path)).st_dev


def _remove_directory(path: str) -> None:
    """Remove our directory, and the one above when it has become empty."""
    for each in (path, os.path.dirname(path)):
        try:
            os.rmdir(each)
        except OSError:  # used by another sandbox, or gone
            return
