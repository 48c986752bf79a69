"""The one interface of both cgroup versions, and the choice between them.

A manager knows directories, never containers. Its ``paths`` are what ``state.json`` keeps, and ``from_paths``
makes an equal manager of them in another process.
"""

from __future__ import annotations

import os

from kata_hybrid import _core
from kata_hybrid.cgroups.layout import UNIFIED
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass
    from types import TracebackType
    from typing import Protocol, Self

    from kata_hybrid.cgroups.layout import Layout
    from kata_hybrid.cgroups.oom import OomWatch
    from kata_hybrid.cgroups.stats import Stats
    from kata_hybrid.oci.config import Resources
else:
    from kata_hybrid._record import dataclass

    Protocol = object


@dataclass(slots=True)
class JoinFds:
    """What a child needs to be born in, or to move itself into, the groups; owned by the caller.

    Attributes:
        tasks: write-only descriptors of ``tasks`` files, one for each v1 hierarchy: the single-threaded
            child writes ``0`` to each. ``cgroup.procs`` would take the thread-group lock.
        cgroup_fd: the v2 directory for ``CLONE_INTO_CGROUP``, or -1.
    """

    tasks: tuple[int, ...] = ()
    cgroup_fd: int = -1

    def close(self) -> None:
        """Close all; idempotent."""
        fds, self.tasks = self.tasks, ()
        cgroup_fd, self.cgroup_fd = self.cgroup_fd, -1
        _core.close_files([fd for fd in (*fds, cgroup_fd) if fd >= 0])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Manager(Protocol):
    """The groups of one container, one directory in each hierarchy. Everything blocks on cgroup files."""

    @property
    def paths(self) -> Mapping[str, str]:
        """Controller -> absolute directory, as ``cgroup_paths`` of state.json; ``""`` is the v2 one."""

    def exists(self) -> bool:
        """Whether any of the directories is there."""

    def create(self) -> None:
        """Make the directories, ready for limits and processes; undo all of it on failure.

        A directory that is there already is used, and left alone by the undo.

        Raises:
            CgroupError: a directory could not be made, or a group of this name has processes or is frozen.
        """

    def open_join(self, *, beside: int | None = None) -> JoinFds:
        """Descriptors that put a new process into the groups.

        Args:
            beside: a process of the container. On v2 the new one joins its group, which may be below
                ours when the container made groups itself.

        Raises:
            CgroupError: a group is gone or may not be written.
        """

    def prepare(
        self, resources: Resources, *, update: bool = False, skip_devices: bool = False
    ) -> Callable[[], None]:
        """Work out what :meth:`apply` would write; the returned function writes it, once and soon.

        Raises:
            ConfigError, UnsupportedError, CgroupError: as :meth:`apply`, which tells what is raised when.
        """

    def apply(self, resources: Resources, *, update: bool = False, skip_devices: bool = False) -> None:
        """Set limits; what is None in ``resources`` keeps its value.

        Args:
            resources: bytes, microseconds, shares as in the specification.
            update: put every value back when one is refused. Without it the caller deletes the group.
            skip_devices: leave the device rules as they are.

        Raises:
            ConfigError: values contradict each other; nothing was written.
            UnsupportedError: a controller or file that a limit needs is missing here.
            CgroupError: the kernel refused a value (``path``, ``errno``).
        """

    def freeze(self) -> None:
        """Stop all tasks and wait until they have stopped (at most 10 s)."""

    def thaw(self) -> None:
        """Let them go on."""

    def is_frozen(self) -> bool:
        """Whether ``freeze`` holds; a frozen parent does not count."""

    def pids(self, recursive: bool = True) -> list[int]:
        """Processes in the group, and in groups below it; ascending. Empty when the group is gone."""

    def kill_all(self, signal: int) -> None:
        """Signal every process of the group and of those below it, catching forks in between.

        SIGKILL also ends a frozen group; other signals leave a frozen group frozen.

        Raises:
            CgroupError: this process is in the group, or a file failed.
            SignalError: a process may not be signalled.
        """

    def stats(self) -> Stats:
        """The counters now; zeroes for controllers that are missing."""

    def watch_oom(self) -> OomWatch:
        """Start watching for out-of-memory events; the caller closes the watch."""

    def memory_oom_count(self) -> int:
        """Processes that the out-of-memory killer ended in this group; 0 when unknown."""

    def delete(self) -> None:
        """Remove the groups and those below them. Kills nothing; missing ones are fine.

        Raises:
            CgroupError: one is still in use after a second. The others are removed all the same.
        """


def make_manager(
    layout: Layout, cgroups_path: str, container_id: str, *, may_lack_rights: bool = False
) -> Manager:
    """The manager of a container to be made.

    Args:
        layout: of ``detect``.
        cgroups_path: ``linux.cgroupsPath``, may be empty.
        container_id: the name of the group when the path is empty.
        may_lack_rights: rootless: ``create`` leaves out hierarchies that may not be written, as long as
            no path was asked for.

    Raises:
        ConfigError: the path is wrong.
        UnsupportedError: the path has the systemd form.
    """
    paths = layout.container_paths(cgroups_path, container_id)
    lenient = may_lack_rights and not cgroups_path
    if layout.mode == "v2":
        from kata_hybrid.cgroups.v2 import V2Manager

        return V2Manager(paths[UNIFIED], layout.mounts[UNIFIED], lenient=lenient)
    from kata_hybrid.cgroups.v1 import V1Manager

    return V1Manager(paths, layout.mounts, lenient=lenient)


def from_paths(paths: Mapping[str, str]) -> Manager:
    """The manager of groups that exist, from ``cgroup_paths`` of state.json.

    Only the key ``""`` means v2; anything else is v1 or hybrid. No paths at all is a container without
    groups: every call does nothing or gives zeroes.

    Raises:
        CgroupError: a path is not absolute and clean.
    """
    for path in paths.values():
        if not path.startswith("/") or os.path.normpath(path) != path or path == "/":
            raise CgroupError("not the absolute path of a cgroup", path=path)
    if set(paths) == {UNIFIED}:
        from kata_hybrid.cgroups.v2 import V2Manager, mount_above

        return V2Manager(paths[UNIFIED], mount_above(paths[UNIFIED]))
    from kata_hybrid.cgroups.v1 import V1Manager

    return V1Manager(paths, {})
