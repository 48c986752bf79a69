"""What a plan must know about the host. ``host_facts`` is the one function here that looks at it."""

from __future__ import annotations

import os

from kata_hybrid._light import kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Literal
else:
    from kata_hybrid._record import dataclass


@dataclass(frozen=True)
class HostFacts:
    """Facts that change a plan.

    Attributes:
        cgroup_mode: which hierarchy carries the controllers.
        cgroup_mounts: mount points of the hierarchies, for reports.
        last_cap: highest capability number of this kernel.
        kernel: (major, minor).
        apparmor: the module is enabled.
        selinux: selinuxfs is mounted.
        kcore: ``/proc/kcore`` exists, so ``/dev/core`` is worth a link.
        time_namespace: the kernel has time namespaces.
        pidfd_setns: setns takes a pidfd (Linux 5.8).
    """

    cgroup_mode: Literal["v1", "hybrid", "v2"] = "v1"
    cgroup_mounts: tuple[str, ...] = ()
    last_cap: int = 40
    kernel: tuple[int, int] = (5, 10)
    apparmor: bool = False
    selinux: bool = False
    kcore: bool = True
    time_namespace: bool = True
    pidfd_setns: bool = True


@kept(1)
def host_facts() -> HostFacts:
    """Ask this host, once per process. Reads ``/proc`` and ``/sys``; never fails, absent means no."""
    kernel = _kernel(os.uname().release)
    mode, mounts = _cgroups(_read("/proc/self/mountinfo"))
    return HostFacts(
        cgroup_mode=mode,
        cgroup_mounts=mounts,
        last_cap=int(_read("/proc/sys/kernel/cap_last_cap").strip() or "40"),
        kernel=kernel,
        apparmor=_read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        kcore=os.path.exists("/proc/kcore"),
        time_namespace=os.path.exists("/proc/self/ns/time"),
        pidfd_setns=kernel >= (5, 8),
    )


def _kernel(release: str) -> tuple[int, int]:
    """``6.18.44-x`` gives (6, 18); what is no number counts as 0."""
    parts = release.split("-", 1)[0].split(".")
    numbers = [int(part) if part.isdigit() else 0 for part in parts]
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0)


def _cgroups(mountinfo: str) -> tuple[Literal["v1", "hybrid", "v2"], tuple[str, ...]]:
    """Mode and mount points below ``/sys/fs/cgroup`` out of a mountinfo text (proc_pid_mountinfo(5))."""
    kinds: dict[str, str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split(" ")
        if len(fields) > 4 and right.startswith("cgroup"):
            kinds[fields[4]] = right.split(" ", 1)[0]
    types = set(kinds.values())
    mounts = tuple(sorted(kinds))
    if types == {"cgroup2"}:
        return "v2", mounts
    return ("hybrid" if "cgroup2" in types else "v1"), mounts


def _read(path: str) -> str:
    """The text of a small file, ``""`` when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
