"""Rules of ``mounts``, as far as the text alone can tell."""

from __future__ import annotations

import posixpath

from ._rule import quoted
from ._rules_namespaces import mapping_problems

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import Mount, Spec

_BELOW_PROC = frozenset(
    {
        "cpuinfo",
        "diskstats",
        "meminfo",
        "stat",
        "swaps",
        "uptime",
        "loadavg",
        "slabinfo",
        "sys/kernel/ns_last_pid",
        "sys/crypto/fips_enabled",
    }
)
"""What may be mounted over below ``/proc``; anything else could hide what protects the host."""


def mount_problems(spec: Spec) -> Iterator[Problem]:
    """What is wrong with the mounts.

    The places are judged by their text; links inside the rootfs are followed, and judged again, when the
    mount is made.
    """
    for index, mount in enumerate(spec.mounts):
        at = f"mounts[{index}]"
        yield from _text_problems(mount, at)
        yield from _place_problems(mount, at, spec.root.path if spec.root else "")
        yield from _mapping_problems(mount, at)


def is_bind(mount: Mount) -> bool:
    """Whether the mount shows an existing tree: type ``bind``, or the option."""
    return mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options


def _text_problems(mount: Mount, at: str) -> Iterator[Problem]:
    if not mount.destination:
        yield f"{at}.destination", "must not be empty"
    if any("\0" in text for text in (mount.destination, mount.source, mount.type, *mount.options)):
        yield at, "mount field contains null byte"
    if is_bind(mount):
        if not mount.source:
            yield f"{at}.source", "a bind mount needs a source"
    elif not mount.type:
        yield f"{at}.type", "must not be empty unless it is a bind mount"


def _place_problems(mount: Mount, at: str, rootfs: str) -> Iterator[Problem]:
    place = posixpath.normpath("/" + mount.destination.lstrip("/"))
    if place == "/":
        problem = f"mountpoint {quoted(mount.destination)} is on the top of rootfs {quoted(rootfs)}"
        yield f"{at}.destination", problem
    if place.startswith("/proc/") and place.removeprefix("/proc/") not in _BELOW_PROC:
        yield f"{at}.destination", f"{quoted(place)} cannot be mounted because it is inside /proc"


def _mapping_problems(mount: Mount, at: str) -> Iterator[Problem]:
    if not mount.uid_mappings and not mount.gid_mappings:
        return
    if not is_bind(mount):
        yield at, "id-mapped mounts are only supported for bind-mounts"
    if not (mount.uid_mappings and mount.gid_mappings):
        yield at, "id-mapped mounts must have both uid and gid mappings specified"
    yield from mapping_problems(mount.uid_mappings, f"{at}.uidMappings")
    yield from mapping_problems(mount.gid_mappings, f"{at}.gidMappings")
