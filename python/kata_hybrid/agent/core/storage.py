"""Storages: what must be mounted or made in the guest before a container can use it.

``bind`` belongs to one container and goes with it. ``ephemeral`` and ``local`` belong to the sandbox: they
are made for the first container that names their mount point and live until the sandbox ends, so that the
data outlive a container that is made anew. Drivers that need a device of the VM are refused by name.

Source: Kata 1.x storage drivers (behaviour).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from typing import TYPE_CHECKING

from kata_hybrid.agent.core import mounts
from kata_hybrid.agent.core.errors import InvalidRequest, NotSupported, RequestRefused, StorageError
from kata_hybrid.runtime.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import dataclass, field

    from kata_hybrid.agent.core.model import Storage
    from kata_hybrid.agent.core.policy import VersionPolicy
else:
    from kata_hybrid._record import dataclass, field

SHARED_DRIVERS = frozenset({"ephemeral", "local"})


@dataclass
class _Shared:
    """A storage of the sandbox; ``count`` users, ``ready`` once it has been made."""

    storage: Storage
    lock: threading.Lock = field(default_factory=threading.Lock)
    count: int = 0
    ready: bool = False


class Storages:
    """The storages of one sandbox. Calls block on the file system; threads may call at the same time."""

    def __init__(self, policy: VersionPolicy) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._shared: dict[str, _Shared] = {}

    def check(self, storages: Iterable[Storage]) -> None:
        """Find what is wrong before anything is touched.

        Raises:
            InvalidRequest: an unknown driver, or a mount point that is no clean absolute path.
            NotSupported: a driver that needs a device.
            RequestRefused: an empty part.
        """
        for storage in storages:
            if storage.driver not in self._policy.storage_drivers:
                raise InvalidRequest(f'Unknown storage driver "{storage.driver}"')
            if storage.driver not in SHARED_DRIVERS | {"bind"}:
                raise NotSupported(f'storage driver "{storage.driver}"')
            if storage.fstype == "hugetlbfs":
                raise NotSupported("storage of huge pages")
            _check_parts(storage)

    def attach(self, storages: Iterable[Storage]) -> list[str]:
        """Set up in order; when one fails those before it are taken down again.

        Returns:
            Mount points that belong to the caller, the newest first.

        Raises:
            StorageError: with the driver's text.
        """
        mounted: list[str] = []
        with Undo() as undo:
            for storage in storages:
                if storage.driver in SHARED_DRIVERS:
                    self._use_shared(storage)
                    undo.add(self._release_shared, storage.mount_point)
                else:
                    _mount_bind(storage)
                    undo.add(mounts.unmount, storage.mount_point)
                    mounted.insert(0, storage.mount_point)
            undo.pop_all()
        return mounted

    def detach(self, mounted: list[str]) -> None:
        """Unmount in the given order; those that are gone are taken off the list.

        Raises:
            StorageError: a mount is busy; it and those after it stay on the list.
        """
        while mounted:
            try:
                mounts.unmount(mounted[0])
            except OSError as err:
                if err.errno not in (errno.EINVAL, errno.ENOENT):  # not mounted any more
                    raise StorageError(f"Could not unmount {mounted[0]}: {_text(err)}") from err
            mounted.pop(0)

    def forget_container(self, storages: Iterable[Storage]) -> None:
        """Count a failed container's shared storages down again; the last user takes them down.

        Raises:
            StorageError: the storage could not be removed.
        """
        for storage in storages:
            if storage.driver in SHARED_DRIVERS:
                self._release_shared(storage.mount_point)

    def close(self) -> None:
        """The sandbox ends: take down everything shared. Goes on after an error and raises the first.

        Raises:
            StorageError: a storage could not be removed; it stays known.
        """
        first: StorageError | None = None
        with self._lock:
            paths = list(self._shared)
        for path in reversed(paths):
            try:
                self._remove_shared(path)
            except StorageError as err:
                first = first or err
        if first is not None:
            raise first

    def _use_shared(self, storage: Storage) -> None:
        with self._lock:
            entry = self._shared.setdefault(storage.mount_point, _Shared(storage))
            entry.count += 1
        with entry.lock:
            if entry.ready:
                return
            try:
                _make_shared(storage)
            except BaseException:
                with self._lock:
                    entry.count -= 1
                    if entry.count == 0:
                        self._shared.pop(storage.mount_point, None)
                raise
            entry.ready = True

    def _release_shared(self, path: str) -> None:
        with self._lock:
            entry = self._shared.get(path)
            if entry is None:
                raise StorageError(f"Sandbox storage with path {path} not found")
            entry.count -= 1
            last = entry.count <= 0
        if last:
            self._remove_shared(path)

    def _remove_shared(self, path: str) -> None:
        with self._lock:
            entry = self._shared.get(path)
        if entry is None:
            return
        with entry.lock:
            _unmake_shared(entry.storage)
            entry.ready = False
            with self._lock:
                self._shared.pop(path, None)


def _check_parts(storage: Storage) -> None:
    if storage.driver == "bind" and not storage.source:
        raise RequestRefused("need mount source")
    if not storage.mount_point:
        raise RequestRefused("need mount destination")
    if storage.driver == "ephemeral" and not storage.fstype:
        raise RequestRefused("need mount FS type")
    path = storage.mount_point
    if not path.startswith("/") or ".." in path.split("/") or os.path.normpath(path) == "/":
        raise InvalidRequest(f"mount point {path!r} must be an absolute path without '..'")


def _mount_bind(storage: Storage) -> None:
    flags, _ = mounts.parse_options(storage.options)
    try:
        source = os.path.realpath(storage.source, strict=True)
    except OSError as err:
        raise StorageError(f"Could not resolve symlink for source {storage.source}") from err
    try:
        _make_mount_point(source, storage.mount_point)
    except OSError as err:
        message = f"Could not create destination mount point: {storage.mount_point}: {_text(err)}"
        raise StorageError(message) from err
    try:
        mounts.bind(source, storage.mount_point, flags | mounts.MS_BIND)
    except OSError as err:
        raise StorageError(f"Could not mount {source} to {storage.mount_point}: {_text(err)}") from err


def _make_mount_point(source: str, target: str) -> None:
    """A directory for a directory, an empty file for anything else."""
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(target, 0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    os.close(os.open(target, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644))


def _make_shared(storage: Storage) -> None:
    path = storage.mount_point
    try:
        if storage.driver == "local":
            mode = _mode_option(storage.options)
            os.makedirs(path, mode, exist_ok=True)
            os.chmod(path, mode)
            return
        os.makedirs(path, 0o777, exist_ok=True)
    except OSError as err:
        raise StorageError(f"Could not create {path}: {_text(err)}") from err
    flags, data = mounts.parse_options(storage.options)
    try:
        mounts.mount(storage.source or storage.fstype, path, storage.fstype, flags, data)
    except OSError as err:
        raise StorageError(f"Could not mount {storage.source} to {path}: {_text(err)}") from err


def _unmake_shared(storage: Storage) -> None:
    path = storage.mount_point
    if storage.driver == "ephemeral":
        try:
            mounts.unmount(path)
        except OSError as err:
            if err.errno not in (errno.EINVAL, errno.ENOENT):
                raise StorageError(f"Unable to unmount sandbox storage path {path}: {_text(err)}") from err
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as err:
        raise StorageError(f"Unable to delete sandbox storage path {path}: {_text(err)}") from err


def _mode_option(options: Iterable[str]) -> int:
    """``mode=<octal>``, 0777 without.

    Raises:
        StorageError: no octal number.
    """
    for option in options:
        name, _, value = option.partition("=")
        if name == "mode":
            try:
                return int(value, 8) & 0o7777
            except ValueError:
                raise StorageError(f"invalid mode {value!r}") from None
    return 0o777


def _text(err: OSError) -> str:
    return (err.strerror or str(err)).lower()
