"""Cgroup v1, and hybrid: v1 for every controller with the v2 tree beside it for ``cgroup.kill``.

Sources: cgroups(7); Linux Documentation/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

import errno
import os

from kata_hybrid import _core
from kata_hybrid.cgroups import freeze
from kata_hybrid.cgroups.files import (
    ancestors,
    failure,
    make_directories,
    read_int,
    read_or_none,
    read_text,
    remove_made,
    write_text,
)
from kata_hybrid.cgroups.layout import UNIFIED
from kata_hybrid.cgroups.manager import JoinFds
from kata_hybrid.cgroups.tree import pids_of, refuse_in_use, remove_all
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from functools import partial
    from signal import SIGKILL
    from types import MappingProxyType

    from kata_hybrid.cgroups.oom import OomWatch
    from kata_hybrid.cgroups.settings import Setting
    from kata_hybrid.cgroups.stats import Stats
    from kata_hybrid.oci.config import Resources
else:
    from _functools import partial  # without functools and its collections
    from _signal import SIGKILL  # signal makes enumerations of them

    MappingProxyType = type(object.__dict__)

_NO_RIGHTS = (errno.EPERM, errno.EACCES, errno.EROFS)
_SIGNAL_ROUNDS = 10
# Where processes are listed: the hierarchies that a container's own init leaves alone come first.
_PID_LISTS = ("devices", "freezer", "pids", "cpu", "memory")


class V1Manager:
    """One directory in each v1 hierarchy, and in the v2 one when it is mounted too. See ``Manager``."""

    def __init__(self, paths: Mapping[str, str], mounts: Mapping[str, str], *, lenient: bool = False) -> None:
        self._paths = dict(paths)
        self._mounts = dict(mounts)
        self._lenient = lenient

    @property
    def paths(self) -> Mapping[str, str]:
        return MappingProxyType(self._paths)

    @property
    def _directories(self) -> list[str]:
        """Each directory once: joined controllers share one."""
        return list(dict.fromkeys(self._paths.values()))

    def exists(self) -> bool:
        return any(os.path.isdir(each) for each in self._directories)

    def create(self) -> None:
        made: list[str] = []
        try:
            self._create_new(made)
            for key, path in list(self._paths.items()):
                if path not in made:
                    self._create_one(key, path, made)
            if "cpuset" in self._paths:
                fill_cpuset(self._paths["cpuset"], self._mount_of("cpuset"))
        except CgroupError as err:
            for problem in remove_made(made):
                err.add_note(f"while undoing: {problem}")
            raise

    def open_join(self, *, beside: int | None = None) -> JoinFds:
        unified = self._paths.get(UNIFIED)
        tasks = [os.path.join(path, "tasks") for path in self._directories if path != unified]
        opened = _core.open_files(tasks, os.O_WRONLY)
        join = JoinFds(tuple(fd for fd in opened if fd >= 0))
        try:
            for path, fd in zip(tasks, opened, strict=True):
                if fd < 0:
                    raise CgroupError("open", path=path, errno=-fd)
            if unified is not None:
                join.cgroup_fd = _open(unified, os.O_RDONLY | os.O_DIRECTORY)
        except CgroupError:
            join.close()
            raise
        return join

    def apply(self, resources: Resources, *, update: bool = False, skip_devices: bool = False) -> None:
        self.prepare(resources, update=update, skip_devices=skip_devices)()

    def prepare(
        self, resources: Resources, *, update: bool = False, skip_devices: bool = False
    ) -> Callable[[], None]:
        from kata_hybrid.cgroups import devices, resources_v1

        current = self._memory_limit() if resources.memory else None
        settings = resources_v1.settings(resources, memory_limit=current)
        then = None
        if not skip_devices and "devices" in self._paths:
            wanted = devices.wanted_list([*resources.devices, *devices.DEFAULT_RULES])
            then = devices.prepare_v1(self._paths["devices"], wanted)
        return partial(self._write, settings, rollback=update, then=then)

    def _write(self, settings: list[Setting], *, rollback: bool, then: Callable[[], None] | None) -> None:
        from kata_hybrid.cgroups.settings import write_settings

        try:
            write_settings(settings, self._paths, rollback=rollback, then=then)
        except CgroupError as err:
            raise self._explained(err) from err

    def freeze(self) -> None:
        if "freezer" in self._paths:
            freeze.freeze_v1(self._paths["freezer"])
        elif UNIFIED in self._paths:
            freeze.freeze_v2(self._paths[UNIFIED])
        else:
            raise CgroupError("no freezer to pause the container with", path="")

    def thaw(self) -> None:
        if "freezer" in self._paths:
            freeze.thaw_v1(self._paths["freezer"])
        elif UNIFIED in self._paths:
            freeze.thaw_v2(self._paths[UNIFIED])

    def is_frozen(self) -> bool:
        if "freezer" in self._paths:
            return freeze.is_frozen_v1(self._paths["freezer"])
        return UNIFIED in self._paths and freeze.is_frozen_v2(self._paths[UNIFIED])

    def pids(self, recursive: bool = True) -> list[int]:
        key = next((key for key in (*_PID_LISTS, *self._paths) if key in self._paths), None)
        return pids_of(self._paths[key], recursive=recursive) if key is not None else []

    def kill_all(self, signal: int) -> None:
        was_frozen = self.is_frozen()
        if not was_frozen:
            self._freeze_if_possible()
        try:
            self._signal_tree(signal)
        finally:
            if not was_frozen or signal == SIGKILL:
                self._thaw_if_there()
        if signal == SIGKILL:
            self._kill_unified()

    def stats(self) -> Stats:
        from kata_hybrid.cgroups.stats_v1 import read_stats

        return read_stats(self._paths)

    def watch_oom(self) -> OomWatch:
        from kata_hybrid.cgroups.oom import OomWatchV1

        return OomWatchV1(self._memory())

    def memory_oom_count(self) -> int:
        from kata_hybrid.cgroups import oom

        directory = self._paths.get("memory")
        return oom.kill_count(os.path.join(directory, "memory.oom_control")) if directory else 0

    def delete(self) -> None:
        remove_all(self._directories)

    def _create_new(self, made: list[str]) -> None:
        """All at once what is neither there nor refused nor without its parent."""
        directories = self._directories
        numbers = _core.make_directories(directories, 0o755)
        made += [path for path, number in zip(directories, numbers, strict=True) if number == 0]

    def _create_one(self, key: str, path: str, made: list[str]) -> None:
        try:
            is_new = make_directories(path, below=self._mount_of(key), made=made)
        except CgroupError as err:
            if not (self._lenient and err.errno in _NO_RIGHTS):
                raise
            del self._paths[key]
            return
        if not is_new and path not in made:  # joined controllers come here once for each name
            frozen = key == "freezer" and read_or_none(os.path.join(path, "freezer.state")) != "THAWED"
            refuse_in_use(path, frozen=frozen or (key == UNIFIED and freeze.is_frozen_v2(path)))

    def _mount_of(self, key: str) -> str:
        if key in self._mounts:
            return self._mounts[key]
        return os.path.dirname(self._paths[key])

    def _memory(self) -> str:
        if "memory" not in self._paths:
            raise CgroupError("the container has no memory cgroup", path="", errno=errno.ENOENT)
        return self._paths["memory"]

    def _memory_limit(self) -> int | None:
        from kata_hybrid.cgroups.resources_v1 import MEMORY_LIMIT

        directory = self._paths.get("memory")
        return None if directory is None else read_int(os.path.join(directory, MEMORY_LIMIT), -1)

    def _explained(self, err: CgroupError) -> CgroupError:
        """A memory limit below what cannot be reclaimed is EBUSY; say how much is in use."""
        from kata_hybrid.cgroups.resources_v1 import MEMORY_LIMIT, MEMSW_LIMIT

        name = os.path.basename(err.path)
        if err.errno != errno.EBUSY or name not in (MEMORY_LIMIT, MEMSW_LIMIT):
            return err
        memory = self.stats().memory.usage
        better = CgroupError(
            f"{err.message}: unable to set memory limit (current usage: {memory.usage}, "
            f"peak usage: {memory.max_usage})",
            path=err.path,
            errno=err.errno,
        )
        for note in getattr(err, "__notes__", ()):
            better.add_note(note)
        return better

    def _signal_tree(self, signal: int) -> None:
        """Signal until nobody new shows up: at once in a frozen group, soon in one that forks."""
        from kata_hybrid.cgroups.signals import signal_each

        group = next(iter(self._paths.values()), "")
        seen: set[int] = set()
        for _ in range(_SIGNAL_ROUNDS):
            new = [pid for pid in self.pids() if pid not in seen]
            if not new:
                return
            signal_each(new, signal, group=group)
            seen.update(new)

    def _freeze_if_possible(self) -> None:
        """Freezing closes the race with fork, but a signal must go out even where it fails."""
        directory = self._paths.get("freezer")
        if directory is None or not os.path.isdir(directory) or os.getpid() in self.pids():
            return
        try:
            freeze.freeze_v1(directory)
        except CgroupError:
            self._thaw_if_there()

    def _thaw_if_there(self) -> None:
        if "freezer" in self._paths:
            freeze.thaw_quietly(self._paths["freezer"], v1=True)
        elif UNIFIED in self._paths:
            freeze.thaw_quietly(self._paths[UNIFIED], v1=False)

    def _kill_unified(self) -> None:
        """What slipped out of the v1 lists is still born in our v2 group; the kernel kills that at once."""
        directory = self._paths.get(UNIFIED)
        if directory is None:
            return
        path = os.path.join(directory, "cgroup.kill")
        left = pids_of(directory, recursive=True)
        if left and os.getpid() not in left and os.path.exists(path):
            write_text(path, "1")


def fill_cpuset(directory: str, mount: str) -> None:
    """Give ``directory`` and its ancestors CPUs and memory nodes where they have none: an empty group
    takes no process. Values come from the parent.

    Raises:
        CgroupError: a file cannot be read or written.
    """
    for group in [*ancestors(directory, mount), directory]:
        for name in ("cpuset.cpus", "cpuset.mems"):
            path = os.path.join(group, name)
            if read_text(path):
                continue
            value = read_text(os.path.join(os.path.dirname(group), name))
            if value:
                write_text(path, value)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as err:
        raise failure("open", path, err) from err
