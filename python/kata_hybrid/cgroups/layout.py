"""Which cgroup hierarchies this process sees, and where a container's groups go in them.

Reads ``/proc/self/mountinfo`` and ``/proc/self/cgroup`` only. Controllers are mapped by mount, not by
name: ``cpu`` and ``cpuacct`` may share a hierarchy or not. Sources: cgroups(7), proc_pid_mountinfo(5),
runtime-spec config-linux.md#cgroups-path.
"""

from __future__ import annotations

import os
import posixpath

from kata_hybrid._light import kept
from kata_hybrid._smallfile import read_text
from kata_hybrid.errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from dataclasses import dataclass
else:
    from kata_hybrid._record import dataclass

CGROUP_ROOT = "/sys/fs/cgroup"
UNIFIED = ""  # the key of the v2 hierarchy, as in state.json


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of mountinfo, of a cgroup file system or of what is mounted on ``/sys/fs/cgroup``."""

    mount_id: int
    parent_id: int
    root: str
    mount_point: str
    fstype: str
    super_options: frozenset[str]


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy.

    Attributes:
        controllers: the keys that it has in ``cgroup_paths``: ``("cpu", "cpuacct")``,
            ``("name=systemd",)``, or ``("",)`` for v2.
        mount_point: absolute, with the fake root if there is one.
        own: this process's group, relative to the mount point, with a leading slash.
    """

    controllers: tuple[str, ...]
    mount_point: str
    own: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How control groups are arranged here.

    Attributes:
        mode: ``"v1"``, ``"hybrid"`` (v1 with the v2 hierarchy beside it) or ``"v2"``.
        hierarchies: in the order of ``/proc/self/cgroup``; the v2 one is last.
        root: prefix of every path, ``/`` on a real machine.
    """

    mode: str
    hierarchies: tuple[Hierarchy, ...]
    root: str = "/"

    @property
    def mounts(self) -> Mapping[str, str]:
        """Controller -> mount point; key ``""`` is the v2 hierarchy."""
        return {key: each.mount_point for each in self.hierarchies for key in each.controllers}

    @property
    def own(self) -> Mapping[str, str]:
        """Controller -> this process's group, relative to its mount point."""
        return {key: each.own for each in self.hierarchies for key in each.controllers}

    def container_paths(self, cgroups_path: str, container_id: str) -> dict[str, str]:
        """Controller -> absolute directory of a container with this ``linux.cgroupsPath``.

        Absolute paths start at each mount point; relative and empty ones at our own group (v1, hybrid)
        or at its parent (v2, where processes live in leaves). ``..`` cannot climb above the start.

        Raises:
            ConfigError: the path names the start itself or holds a NUL.
            UnsupportedError: the path has the systemd form ``slice:prefix:name``.
        """
        relative = clean_path(cgroups_path, container_id)
        absolute = cgroups_path.startswith("/")
        paths: dict[str, str] = {}
        for hierarchy in self.hierarchies:
            base = "/" if absolute else hierarchy.own
            if not absolute and self.mode == "v2":
                base = posixpath.dirname(base)
            group = _single_slash(posixpath.normpath(base + "/" + relative))
            paths.update(dict.fromkeys(hierarchy.controllers, hierarchy.mount_point.rstrip("/") + group))
        return paths


def detect(root: str = "/") -> Layout:
    """What this process sees now.

    Args:
        root: read ``<root>/proc/self/...`` and put ``root`` before every mount point; for tests.

    Raises:
        UnsupportedError: no cgroup file system is mounted.
    """
    return _layout_of(_read(root, "proc/self/mountinfo"), _read(root, "proc/self/cgroup"), root)


@kept(4)
def _layout_of(mountinfo: str, cgroup: str, root: str) -> Layout:
    """Mounts seldom change between launches: the texts are read each time, but parsed only when new."""
    mounts = _visible(_parse_mountinfo(mountinfo))
    own = _parse_own(cgroup)
    unified = [each for each in mounts if each.fstype == "cgroup2"]
    if any(each.mount_point == CGROUP_ROOT for each in unified):
        at_root = next(each for each in unified if each.mount_point == CGROUP_ROOT)
        return Layout("v2", (_hierarchy(at_root, (UNIFIED,), own, root),), root)
    found = [
        _hierarchy(mount, keys, own, root)
        for keys in own
        if keys != (UNIFIED,) and (mount := _find_v1(mounts, keys)) is not None
    ]
    if unified:
        found.append(_hierarchy(unified[0], (UNIFIED,), own, root))
    if not found:
        raise UnsupportedError("control groups", f"a cgroup file system below {CGROUP_ROOT}")
    has_v1 = len(found) > len(unified[:1])
    mode = ("hybrid" if unified else "v1") if has_v1 else "v2"
    return Layout(mode, tuple(found), root)


def clean_path(cgroups_path: str, container_id: str) -> str:
    """The path below its starting point, cleaned lexically, without a leading slash."""
    if "\0" in cgroups_path:
        raise ConfigError("linux.cgroupsPath", "must not contain a NUL")
    if not cgroups_path.startswith("/") and cgroups_path.count(":") == 2:
        raise UnsupportedError(
            f"the systemd cgroup path '{cgroups_path}'",
            "a cgroupsPath of directories; systemd is not asked here",
        )
    cleaned = posixpath.normpath("/" + (cgroups_path or container_id).lstrip("/")).lstrip("/")
    if not cleaned:
        raise ConfigError("linux.cgroupsPath", f"must name a group of its own, not {cgroups_path!r}")
    return cleaned


def group_below(mount: MountEntry, own: str) -> str:
    """``own`` (from /proc/self/cgroup) as seen below the mount, which may show only a part of the tree."""
    own = posixpath.normpath("/" + own.lstrip("/"))
    shown = posixpath.normpath("/" + mount.root.lstrip("/"))
    if shown == "/":
        return own
    if own == shown:
        return "/"
    return own[len(shown) :] if own.startswith(shown + "/") else own


def _hierarchy(
    mount: MountEntry, keys: tuple[str, ...], own: Mapping[tuple[str, ...], str], root: str
) -> Hierarchy:
    point = _single_slash(root.rstrip("/") + mount.mount_point)
    return Hierarchy(keys, point, group_below(mount, own.get(keys, "/")))


def _find_v1(mounts: Iterable[MountEntry], keys: tuple[str, ...]) -> MountEntry | None:
    for mount in mounts:
        if mount.fstype == "cgroup" and mount.super_options.issuperset(keys):
            return mount
    return None


def _visible(mounts: list[MountEntry]) -> list[MountEntry]:
    """Drop what another mount on the same point hides; those below ``/sys/fs/cgroup`` come first."""
    points = {each.mount_id: each.mount_point for each in mounts}
    covered = {each.parent_id for each in mounts if points.get(each.parent_id) == each.mount_point}
    kept = [each for each in mounts if each.mount_id not in covered and each.fstype.startswith("cgroup")]
    return sorted(kept, key=lambda each: not (each.mount_point + "/").startswith(CGROUP_ROOT + "/"))


def _parse_mountinfo(text: str) -> list[MountEntry]:
    entries: list[MountEntry] = []
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        head, tail = left.split(), right.split(" ")
        if not separator or len(head) < 5 or len(tail) < 3:
            continue
        point = _unescape(head[4])
        if not tail[0].startswith("cgroup") and not point.startswith(CGROUP_ROOT):
            continue
        options = frozenset(tail[2].split(","))
        entries.append(MountEntry(int(head[0]), int(head[1]), _unescape(head[3]), point, tail[0], options))
    return entries


def _parse_own(text: str) -> dict[tuple[str, ...], str]:
    own: dict[tuple[str, ...], str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            own[tuple(parts[1].split(","))] = parts[2]
    return own


def _read(root: str, name: str) -> str:
    return read_text(os.path.join(root, name))


def _unescape(text: str) -> str:
    """Blanks, line ends and backslashes stand as three octal digits behind a backslash."""
    for escape, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\")):
        text = text.replace(escape, plain)
    return text


def _single_slash(path: str) -> str:
    return "/" + path.lstrip("/")
