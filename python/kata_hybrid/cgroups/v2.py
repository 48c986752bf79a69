"""Cgroup v2. Source: Linux Documentation/admin-guide/cgroup-v2.rst; cgroups(7)."""

from __future__ import annotations

import errno
import os

from kata_hybrid.cgroups import freeze
from kata_hybrid.cgroups.controllers import Enabled, enable
from kata_hybrid.cgroups.files import (
    failure,
    make_directories,
    read_int,
    read_or_none,
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

    from kata_hybrid.cgroups.oom import OomWatch
    from kata_hybrid.cgroups.resources_v2 import Present
    from kata_hybrid.cgroups.stats import Stats
    from kata_hybrid.oci.config import Resources
else:
    from _functools import partial  # without functools and its collections
    from _signal import SIGKILL  # signal makes enumerations of them

_NO_RIGHTS = (errno.EPERM, errno.EACCES, errno.EROFS)
# Wanted for every container, for its counters; others are enabled when a limit asks for them.
_COUNTED = ("cpu", "memory", "pids", "io", "cpuset")


class V2Manager:
    """One directory in the one hierarchy. See ``Manager``.

    Args:
        directory: the group, absolute.
        mount: the mount point it is below.
        lenient: ``create`` without rights leaves the container without a group (rootless).
    """

    def __init__(self, directory: str, mount: str, *, lenient: bool = False) -> None:
        self._directory: str | None = directory
        self._mount = mount
        self._lenient = lenient

    @property
    def paths(self) -> Mapping[str, str]:
        return {} if self._directory is None else {UNIFIED: self._directory}

    def exists(self) -> bool:
        return self._directory is not None and os.path.isdir(self._directory)

    def create(self) -> None:
        directory = self._need()
        if os.path.isdir(directory):
            refuse_in_use(directory, frozen=read_or_none(self._file("cgroup.freeze")) == "1")
        made: list[str] = []
        enabled: list[Enabled] = []
        try:
            make_directories(directory, below=self._mount, made=made)
            enable(directory, self._mount, _COUNTED, enabled)
            self._refuse_invalid()
        except CgroupError as err:
            for problem in [*remove_made(made), *(each.undo() for each in reversed(enabled))]:
                if problem:
                    err.add_note(f"while undoing: {problem}")
            if not (self._lenient and err.errno in _NO_RIGHTS):
                raise
            self._directory = None

    def open_join(self, *, beside: int | None = None) -> JoinFds:
        if self._directory is None:
            return JoinFds()
        directory = self._directory if beside is None else self._group_of(beside)
        try:
            return JoinFds(cgroup_fd=os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as err:
            raise failure("open", directory, err) from err

    def apply(self, resources: Resources, *, update: bool = False, skip_devices: bool = False) -> None:
        self.prepare(resources, update=update, skip_devices=skip_devices)()

    def prepare(
        self, resources: Resources, *, update: bool = False, skip_devices: bool = False
    ) -> Callable[[], None]:
        from kata_hybrid.cgroups import devices, resources_v2
        from kata_hybrid.cgroups.settings import write_settings

        settings = resources_v2.settings(resources, self._present())
        if not skip_devices:
            for index, rule in enumerate(resources.devices):
                devices.check_rule(rule, f"linux.resources.devices[{index}]")
        enabled: list[Enabled] = []
        directories: dict[str, str] = {}
        if self._directory is not None:
            names = dict.fromkeys(each.controller for each in settings if each.controller)
            enable(self._directory, self._mount, tuple(names), enabled)
            directories = dict.fromkeys([*names, ""], self._directory)
        then = None
        if not skip_devices and self._directory is not None:
            then = partial(devices.apply_v2, self._directory, resources.devices)
        return partial(write_settings, settings, directories, rollback=update, then=then)

    def freeze(self) -> None:
        freeze.freeze_v2(self._need())

    def thaw(self) -> None:
        freeze.thaw_v2(self._need())

    def is_frozen(self) -> bool:
        return self._directory is not None and freeze.is_frozen_v2(self._directory)

    def pids(self, recursive: bool = True) -> list[int]:
        return [] if self._directory is None else pids_of(self._directory, recursive=recursive)

    def kill_all(self, signal: int) -> None:
        if self._directory is None or not os.path.isdir(self._directory):
            return
        if signal == SIGKILL and self._kill_at_once():
            return
        was_frozen = self.is_frozen()
        if not was_frozen and os.getpid() not in self.pids():
            freeze.freeze_v2(self._directory)
        try:
            from kata_hybrid.cgroups.signals import signal_each

            signal_each(self.pids(), signal, group=self._directory)
        finally:
            if not was_frozen:
                freeze.thaw_quietly(self._directory, v1=False)

    def stats(self) -> Stats:
        from kata_hybrid.cgroups.stats_v2 import read_stats

        return read_stats(self._directory or "")

    def watch_oom(self) -> OomWatch:
        from kata_hybrid.cgroups.oom import OomWatchV2

        return OomWatchV2(self._need())

    def memory_oom_count(self) -> int:
        from kata_hybrid.cgroups import oom

        return 0 if self._directory is None else oom.kill_count(self._file("memory.events"))

    def delete(self) -> None:
        remove_all(self.paths.values())

    def _need(self) -> str:
        if self._directory is None:
            raise CgroupError("the container has no cgroup", path="", errno=errno.ENOENT)
        return self._directory

    def _file(self, name: str) -> str:
        return os.path.join(self._need(), name)

    def _refuse_invalid(self) -> None:
        """Below a threaded group a new one takes no process until somebody decides what it is."""
        if read_or_none(self._file("cgroup.type")) == "domain invalid":
            raise CgroupError(
                "cannot enter the cgroup with domain controllers: it is in an invalid state",
                path=self._need(),
                errno=errno.EOPNOTSUPP,
            )

    def _present(self) -> Present:
        from kata_hybrid.cgroups import resources_v2

        if self._directory is None:
            return resources_v2.Present()
        limit = read_int(self._file("memory.max"), -1)
        return resources_v2.Present(
            cpu_max=read_or_none(self._file("cpu.max")) or "",
            memory_max=None if limit < 0 else limit,
            memory_current=read_int(self._file("memory.current")),
            swap_current=read_int(self._file("memory.swap.current")),
            has_bfq=os.path.exists(self._file("io.bfq.weight")),
        )

    def _kill_at_once(self) -> bool:
        """``cgroup.kill`` reaches groups below and frozen ones too. False before Linux 5.14."""
        path = self._file("cgroup.kill")
        if not os.path.exists(path):
            return False
        if os.getpid() in self.pids():
            raise CgroupError("refusing to signal the group that this process is in", path=self._need())
        write_text(path, "1")
        return True

    def _group_of(self, pid: int) -> str:
        """The group of ``pid`` if it is ours or below, else ours."""
        directory = self._need()
        for line in (read_or_none(f"/proc/{pid}/cgroup") or "").splitlines():
            if line.startswith("0::"):
                found = os.path.normpath(self._mount + line[3:])
                if found.startswith(directory + "/") and os.path.isdir(found):
                    return found
        return directory


def mount_above(directory: str) -> str:
    """The v2 mount point above a group: the outermost directory that still is a cgroup."""
    found = directory
    parent = os.path.dirname(directory)
    while parent != "/" and os.path.exists(os.path.join(parent, "cgroup.controllers")):
        found, parent = parent, os.path.dirname(parent)
    return found
