"""The configuration that the ``spec`` verb writes: an interactive shell in its own namespaces."""

from __future__ import annotations

from . import OCI_VERSION
from .config import (
    Capabilities,
    DeviceCgroup,
    Linux,
    Mount,
    Namespace,
    NamespaceType,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
)

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")

_MOUNTS = (
    Mount("/proc", "proc", "proc"),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount(
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),
    Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)

_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/proc/scsi",
)

_READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def default_spec() -> Spec:
    """A shell on a terminal, read-only rootfs, three capabilities, no devices, five new namespaces."""
    kinds = (
        NamespaceType.PID,
        NamespaceType.NETWORK,
        NamespaceType.IPC,
        NamespaceType.UTS,
        NamespaceType.MOUNT,
        NamespaceType.CGROUP,
    )
    return Spec(
        oci_version=OCI_VERSION,
        root=Root("rootfs", readonly=True),
        process=_process(),
        hostname="kata-hybrid",
        mounts=_MOUNTS,
        linux=Linux(
            resources=Resources(devices=(DeviceCgroup(allow=False),)),
            namespaces=tuple(Namespace(kind) for kind in kinds),
            masked_paths=_MASKED_PATHS,
            readonly_paths=_READONLY_PATHS,
        ),
    )


def _process() -> Process:
    return Process(
        terminal=True,
        args=("sh",),
        env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"),
        cwd="/",
        capabilities=Capabilities(bounding=_CAPABILITIES, effective=_CAPABILITIES, permitted=_CAPABILITIES),
        rlimits=(Rlimit("RLIMIT_NOFILE", soft=1024, hard=1024),),
        no_new_privileges=True,
    )
