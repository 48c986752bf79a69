"""``mounts`` to mount steps, in config order, and the remounts that must come late.

A tmpfs and ``/dev`` are mounted writable even when ``ro`` is asked for, because devices, the console and the
working directory are made after them; their ``Remount`` follows at the end.

Sources: runtime-spec, config.md#mounts; mount(2); mount_setattr(2).
"""

from __future__ import annotations

import posixpath

from ..errors import ConfigError, UnsupportedError
from .options import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    Folded,
    fold_options,
)
from .steps import BindMount, MountFs, Remount, Symlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.config import Mount, Spec
    from .launch import CgroupJoin
    from .steps import Step

_OPEN_PROC = """
cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo sys/kernel/ns_last_pid sys/crypto/fips_enabled
"""
BELOW_PROC = frozenset("/proc/" + name for name in _OPEN_PROC.split())
"""The only paths below ``/proc`` that something may be mounted on (CVE-2019-19921 and its kin)."""

CGROUP_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


def mount_steps(
    spec: Spec, *, bundle: str, cgroup: CgroupJoin, new_cgroup_ns: bool, in_user_ns: bool
) -> tuple[list[Step], list[Step]]:
    """Steps of all mounts, and the remounts to run once nothing needs writing any more.

    Args:
        spec: its ``mounts``.
        bundle: absolute; relative bind sources start here.
        cgroup: what the ``cgroup`` mount type shows.
        new_cgroup_ns: the container has a cgroup namespace of its own.
        in_user_ns: it has a user namespace other than the caller's.

    Raises:
        ConfigError: a mount that is wrong or not safe.
        UnsupportedError: an idmapped mount, or an option this build cannot apply.
    """
    steps: list[Step] = []
    late: list[Step] = []
    for index, mount in enumerate(spec.mounts):
        at = f"mounts[{index}]"
        target = clean_destination(mount, at)
        folded = fold_options(mount.options, at)
        refuse_idmap(mount, at)
        if folded.flags & MS_BIND or mount.type == "bind":
            steps.extend(_bind(mount, target, folded, at, bundle))
        elif mount.type in {"cgroup", "cgroup2"}:
            shown, after = _cgroup(mount, target, folded, cgroup, new_cgroup_ns, in_user_ns)
            steps.extend(shown)
            late.extend(after)
        else:
            made, after = _filesystem(mount, target, folded, at)
            steps.extend(made)
            late.extend(after)
    return steps, late


def clean_destination(mount: Mount, at: str) -> str:
    """The destination as an absolute path of the rootfs, without ``.``, ``..`` and double slashes.

    Raises:
        ConfigError: it is the root itself, or a place in ``/proc`` where nothing may be mounted.
    """
    if "\0" in mount.destination or "\0" in mount.source or "\0" in mount.type:
        raise ConfigError(at, "mount field contains null byte")
    if not mount.destination:
        raise ConfigError(f"{at}.destination", "must not be empty")
    path = posixpath.normpath("/" + mount.destination.lstrip("/"))
    if path == "/":
        raise ConfigError(f"{at}.destination", "a mount on top of the rootfs is refused")
    if path == "/proc" and not _is_procfs(mount):
        raise ConfigError(f"{at}.destination", "only procfs may be mounted on /proc")
    if path.startswith("/proc/") and path not in BELOW_PROC:
        raise ConfigError(f"{at}.destination", f'"{path}" cannot be mounted because it is inside /proc')
    return path


def _is_procfs(mount: Mount) -> bool:
    bind = mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options
    return posixpath.normpath(mount.source or ".") == "/proc" if bind else mount.type == "proc"


def refuse_idmap(mount: Mount, at: str) -> None:
    """Raise for a mount with mappings of its own.

    Raises:
        ConfigError: on a mount that is no bind, or with one of two mappings.
        UnsupportedError: otherwise; ownership would be wrong without them.
    """
    if not (mount.uid_mappings or mount.gid_mappings):
        return
    if not (mount.uid_mappings and mount.gid_mappings):
        raise ConfigError(at, "id-mapped mounts must have both uid and gid mappings specified")
    raise UnsupportedError("id-mapped mount", "a build with idmapped mounts")


def _bind(mount: Mount, target: str, folded: Folded, at: str, bundle: str) -> list[Step]:
    if folded.data:
        raise ConfigError(at, "bind mounts cannot have any filesystem-specific options applied")
    if folded.flags & MS_REMOUNT:
        return [Remount(target, folded.flags & ~(MS_BIND | MS_REC | MS_REMOUNT))]
    if not mount.source:
        raise ConfigError(f"{at}.source", "a bind mount needs a source")
    return [
        BindMount(
            source=posixpath.join(bundle, mount.source),
            target=target,
            flags=folded.flags | MS_BIND,
            cleared=folded.cleared,
            propagation=folded.packed_propagation,
            set_attr=folded.set_attr,
            clr_attr=folded.clr_attr,
            rec_attr=int(bool(folded.set_attr | folded.clr_attr)),
        )
    ]


def _filesystem(mount: Mount, target: str, folded: Folded, at: str) -> tuple[list[Step], list[Step]]:
    if not mount.type:
        raise ConfigError(f"{at}.type", "must not be empty unless the mount is a bind")
    flags = folded.flags
    late: list[Step] = []
    if flags & MS_RDONLY and (mount.type == "tmpfs" or target == "/dev"):
        late.append(Remount(target, flags))
        flags &= ~MS_RDONLY
    step = MountFs(
        source=mount.source or mount.type,
        target=target,
        fstype=mount.type,
        flags=flags,
        data=folded.data,
        propagation=folded.packed_propagation,
        set_attr=folded.set_attr,
        clr_attr=folded.clr_attr,
        rec=int(bool(folded.set_attr | folded.clr_attr)),
    )
    return [step], late


def _cgroup(
    mount: Mount, target: str, folded: Folded, cgroup: CgroupJoin, new_cgroup_ns: bool, in_user_ns: bool
) -> tuple[list[Step], list[Step]]:
    """The ``cgroup`` mount type.

    A fresh mount shows the own cgroup only with a cgroup namespace, and in a user namespace the kernel allows
    it only with one; in all other cases the own cgroup is bound.
    """
    flags = folded.flags | CGROUP_FLAGS
    if cgroup.mode == "v2":
        propagation = folded.packed_propagation
        if not new_cgroup_ns and in_user_ns:
            return [BindMount(cgroup.own_path, target, flags | MS_BIND, folded.cleared, propagation)], []
        return [MountFs("cgroup", target, "cgroup2", flags, "", propagation)], []
    if mount.type == "cgroup2":
        return [MountFs("cgroup", target, "cgroup2", flags, "", folded.packed_propagation)], []
    return _cgroup_v1(target, folded, flags, cgroup, fresh=new_cgroup_ns)


def _cgroup_v1(
    target: str, folded: Folded, flags: int, cgroup: CgroupJoin, *, fresh: bool
) -> tuple[list[Step], list[Step]]:
    """A tmpfs with one directory for each hierarchy and symlinks for the names that share one."""
    base = flags & ~MS_RDONLY
    steps: list[Step] = [MountFs("tmpfs", target, "tmpfs", base, "mode=755", folded.packed_propagation)]
    for shown in cgroup.mounts:
        place = f"{target}/{shown.name}"
        if fresh:
            steps.append(MountFs("cgroup", place, "cgroup", flags, shown.data))
        else:
            steps.append(BindMount(shown.source, place, flags | MS_BIND | MS_REC, folded.cleared))
        steps.extend(Symlink(shown.name, f"{target}/{link}") for link in shown.links if link != shown.name)
    late: list[Step] = [Remount(target, flags)] if flags & MS_RDONLY else []
    return steps, late
