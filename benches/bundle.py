"""The one container that all contenders make: docker's defaults over a busybox root.

New pid, ipc, uts, mount, net and cgroup namespaces, docker's mounts, masked and read-only paths,
capabilities and filter, device rules, a memory and a pids limit and CPU shares. ociVersion is 1.0.2, the
newest that Debian 12's crun takes. Sources: runtime-spec config.md, config-linux.md; Docker documentation,
"Runtime privilege and Linux capabilities".
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kata_hybrid.oci import spec_to_dict
from kata_hybrid.oci.config import (
    CPU,
    Capabilities,
    DeviceCgroup,
    Linux,
    Memory,
    Mount,
    Namespace,
    NamespaceType,
    Pids,
    Process,
    Resources,
    Root,
    Spec,
)

from benches.seccomp_profile import docker_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

CGROUP_PREFIX: Final = "/kata-hybrid-bench-"
CGROUP_PARENT: Final = f"{CGROUP_PREFIX}{os.getpid()}"  # runs do not meet
MEMORY_LIMIT: Final = 256 << 20
PIDS_LIMIT: Final = 512
CPU_SHARES: Final = 512
TOOLS: Final = ("sh", "true", "sleep", "cat", "dd")
PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CAPABILITIES: Final = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
MOUNTS: Final = (
    Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount(
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
    Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
)
MASKED: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _allow(kind: str, major: int | None, minor: int | None, access: str = "rwm") -> DeviceCgroup:
    return DeviceCgroup(allow=True, type=kind, major=major, minor=minor, access=access)


DEVICE_RULES: Final = (
    DeviceCgroup(allow=False),
    _allow("c", None, None, "m"),
    _allow("b", None, None, "m"),
    *(_allow("c", 1, minor) for minor in (3, 5, 7, 8, 9)),
    _allow("c", 5, 0),
    _allow("c", 5, 2),
    _allow("c", 136, None),
    _allow("c", 10, 200),
)


@dataclass(frozen=True)
class Bundle:
    """A directory with ``config.json``, and what is in it."""

    directory: Path
    spec: Spec

    @property
    def rootfs(self) -> str:
        assert self.spec.root is not None
        return self.spec.root.path


def make_rootfs(directory: Path) -> Path:
    """A root with a static busybox, and every directory that something is mounted on.

    Raises:
        FileNotFoundError: there is no static busybox (Debian: busybox-static).
    """
    rootfs = directory / "rootfs"
    if rootfs.exists():
        return rootfs
    busybox = shutil.which("busybox") or "/bin/busybox"
    for name in ("bin", "proc", "dev", "sys", "tmp"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy(busybox, rootfs / "bin/busybox")
    for tool in TOOLS:
        (rootfs / "bin" / tool).symlink_to("busybox")
    return rootfs


def docker_spec(rootfs: Path, args: Sequence[str], *, cgroup: str = "") -> Spec:
    """What docker would ask a runtime for.

    Args:
        cgroup: name of the container's group below ``CGROUP_PARENT``; "" leaves the place to the runtime.
    """
    kinds = (
        NamespaceType.MOUNT,
        NamespaceType.NETWORK,
        NamespaceType.UTS,
        NamespaceType.PID,
        NamespaceType.IPC,
        NamespaceType.CGROUP,
    )
    capabilities = Capabilities(bounding=CAPABILITIES, effective=CAPABILITIES, permitted=CAPABILITIES)
    return Spec(
        oci_version="1.0.2",
        root=Root(str(rootfs)),
        hostname="bench",
        process=Process(
            cwd="/", args=tuple(args), env=(PATH, "HOSTNAME=bench", "HOME=/root"), capabilities=capabilities
        ),
        mounts=MOUNTS,
        linux=Linux(
            resources=Resources(
                devices=DEVICE_RULES,
                memory=Memory(limit=MEMORY_LIMIT),
                cpu=CPU(shares=CPU_SHARES),
                pids=Pids(limit=PIDS_LIMIT),
            ),
            cgroups_path=f"{CGROUP_PARENT}/{cgroup}" if cgroup else "",
            namespaces=tuple(Namespace(kind) for kind in kinds),
            seccomp=docker_profile(),
            masked_paths=MASKED,
            readonly_paths=READONLY,
        ),
    )


def agent_spec(spec: Spec) -> Spec:
    """The same as a Kata host sends it: the guest itself is the pid, net and cgroup namespace."""
    kept = {NamespaceType.MOUNT, NamespaceType.IPC, NamespaceType.UTS}
    resources = spec.linux.resources
    assert resources is not None
    linux = replace(
        spec.linux,
        namespaces=tuple(space for space in spec.linux.namespaces if space.type in kept),
        resources=replace(resources, devices=()),
        seccomp=None,
    )
    mounts = tuple(mount for mount in spec.mounts if mount.type != "cgroup")
    return replace(spec, mounts=mounts, linux=linux)


def write_bundle(directory: Path, spec: Spec) -> Bundle:
    """``config.json`` of ``spec`` in ``directory``, which is made when it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(spec_to_dict(spec)))
    return Bundle(directory, spec)


def remove_cgroups(parent: str = CGROUP_PARENT) -> None:
    """Remove the empty groups below ``parent`` in every hierarchy, and it; groups in use stay.

    Where the unified hierarchy has been unmounted, crun makes plain directories in its place: those go too.
    """
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        top = hierarchy / parent.lstrip("/")
        if not hierarchy.is_mount():
            shutil.rmtree(top, ignore_errors=True)
            continue
        for path, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(path)
            except OSError:  # somebody lives there
                continue


def remove_stale_cgroups() -> None:
    """The empty groups of runs that were killed and are no more."""
    for group in Path("/sys/fs/cgroup").glob(f"*{CGROUP_PREFIX}*"):
        number = group.name.rpartition("-")[2]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            remove_cgroups(f"/{group.name}")
