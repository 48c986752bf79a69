"""CopyFile: a file of the host arrives in pieces and appears below ``/run`` when the last one is there.

Pieces may come in any order. Which bytes have arrived is remembered here and not read off the file's size,
so a piece from the end does not look like the whole. No symlink below ``/run`` is followed. A piece at
offset 0 that was there already starts the file anew: its sender has started anew.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from kata_hybrid import _core
from kata_hybrid.agent.core.errors import InvalidRequest, RequestRefused

if TYPE_CHECKING:
    from dataclasses import dataclass, field

    from kata_hybrid.agent.core.model import FileChunk
else:
    from kata_hybrid._record import dataclass, field

BASE: Final = "/run"
PERMISSIONS: Final = 0o777
MAX_PENDING: Final = 128
"""Unfinished files; the oldest is dropped for one more, so that senders that died cost nothing."""


@dataclass
class _Pending:
    """A file of which some ranges ``(start, end)`` have arrived; sorted and merged."""

    name: str
    size: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    ranges: list[tuple[int, int]] = field(default_factory=list)

    def has(self, offset: int) -> bool:
        return any(start <= offset < end for start, end in self.ranges)

    def add(self, start: int, end: int) -> None:
        merged: list[tuple[int, int]] = []
        for each in sorted([*self.ranges, (start, end)]):
            if merged and each[0] <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], each[1]))
            else:
                merged.append(each)
        self.ranges = merged

    @property
    def complete(self) -> bool:
        return self.size == 0 or self.ranges == [(0, self.size)]


class FileCopies:
    """All copies under way. Blocks on the file system; threads may call at the same time."""

    def __init__(self, base: str = BASE) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}
        self._serial = 0

    def write(self, chunk: FileChunk) -> None:
        """Take one piece; the last one puts the file in place with its mode and owner.

        Raises:
            RequestRefused: the path is not below ``/run``.
            InvalidRequest: impossible numbers.
            OSError: the file system refused; ELOOP for a symlink on the way.
        """
        relative = self._relative(chunk.path)
        _check_numbers(chunk)
        base_fd = os.open(self._base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            directory_fd = _make_parents(base_fd, os.path.dirname(relative), chunk.dir_mode & PERMISSIONS)
            try:
                self._write_at(directory_fd, relative, chunk)
            finally:
                os.close(directory_fd)
        finally:
            os.close(base_fd)

    def _relative(self, path: str) -> str:
        clean = os.path.normpath("/" + path.lstrip("/")) if path else "/"
        if "\0" in clean or not clean.startswith(self._base + "/"):
            raise RequestRefused(f"Only is possible to copy files into the {self._base} directory")
        return clean[len(self._base) + 1 :]

    def _write_at(self, directory_fd: int, relative: str, chunk: FileChunk) -> None:
        pending = self._pending_of(relative, chunk.file_size)
        with pending.lock:
            fresh = not pending.ranges or (chunk.offset == 0 and pending.has(0))
            if fresh:
                pending.ranges = []
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
            file_fd = _core.open_beneath(directory_fd, pending.name, flags, 0o600)
            try:
                _write_all(file_fd, chunk.data, chunk.offset)
                if chunk.data:
                    pending.add(chunk.offset, chunk.offset + len(chunk.data))
                if not pending.complete:
                    return
                os.fchown(file_fd, chunk.uid, chunk.gid)
                os.fchmod(file_fd, chunk.file_mode & PERMISSIONS)
            finally:
                os.close(file_fd)
            self._finish(directory_fd, relative, pending)

    def _pending_of(self, relative: str, size: int) -> _Pending:
        with self._lock:
            pending = self._pending.get(relative)
            if pending is None or pending.size != size:
                self._serial += 1
                name = f".{self._serial}-{os.getpid()}.tmp"
                pending = self._pending[relative] = _Pending(name, size)
                self._drop_oldest()
            return pending

    def _drop_oldest(self) -> None:
        while len(self._pending) > MAX_PENDING:
            relative = next(iter(self._pending))
            dropped = self._pending.pop(relative)
            path = os.path.join(self._base, os.path.dirname(relative), dropped.name)
            try:
                os.unlink(path)
            except FileNotFoundError:  # nothing of it had been written
                continue

    def _finish(self, directory_fd: int, relative: str, pending: _Pending) -> None:
        with self._lock:
            if self._pending.get(relative) is pending:
                del self._pending[relative]
        try:
            name = os.path.basename(relative)
            os.rename(pending.name, name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except OSError:
            os.unlink(pending.name, dir_fd=directory_fd)
            raise


def _check_numbers(chunk: FileChunk) -> None:
    if chunk.file_size < 0 or chunk.offset < 0:
        raise InvalidRequest("file size and offset must not be negative")
    if chunk.offset + len(chunk.data) > chunk.file_size:
        raise InvalidRequest(f"data end after the file's {chunk.file_size} bytes")


def _make_parents(base_fd: int, path: str, mode: int) -> int:
    """An O_PATH descriptor of ``path`` below ``base_fd``; missing directories are made, owned by us."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    current = os.dup(base_fd)
    try:
        for part in path.split("/") if path else []:
            try:
                os.mkdir(part, mode, dir_fd=current)
            except FileExistsError:
                created = False
            else:
                created = True
            following = _core.open_beneath(current, part, flags)
            os.close(current)
            current = following
            if created:
                os.chmod(f"/proc/self/fd/{current}", mode)
    except BaseException:
        os.close(current)
        raise
    return current


def _write_all(fd: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(fd, rest, offset)
        rest = rest[count:]
        offset += count
