"""Device nodes and links of ``/dev``. Source: runtime-spec, config-linux.md#default-devices."""

from __future__ import annotations

import posixpath

from ..errors import ConfigError
from ..oci.devices import DEFAULT_DEVICES
from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..oci.config import Device, Mount, Spec
    from .host import HostFacts
    from .steps import Step

LINKS: tuple[tuple[str, str], ...] = (
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
)
DEVICE_TYPES: dict[str, str] = {"c": "c", "u": "c", "b": "b", "p": "p"}
DEFAULT_MODE = 0o666


def device_steps(spec: Spec, facts: HostFacts) -> list[Step]:
    """Nodes and links.

    A ``/dev`` that is a bind mount belongs to somebody else: nothing is made in it.

    Raises:
        ConfigError: a device of an unknown type, with a relative path or negative numbers.
    """
    foreign = has_bound_dev(spec.mounts)
    nodes: dict[str, Step] = {}
    if not foreign:
        for device in DEFAULT_DEVICES:
            nodes[device.path] = _node(device, device.path)
    for index, device in enumerate(spec.linux.devices):
        node = _node(device, f"linux.devices[{index}]")
        if not (foreign and node.path.startswith("/dev/")):
            nodes[node.path] = node
    return [*nodes.values(), *([] if foreign else _links(facts))]


def has_bound_dev(mounts: Iterable[Mount]) -> bool:
    """``/dev`` itself is a bind mount."""
    return any(
        posixpath.normpath("/" + mount.destination.lstrip("/")) == "/dev"
        and (mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options)
        for mount in mounts
    )


def _node(device: Device, at: str) -> steps.Device:
    if device.type not in DEVICE_TYPES:
        raise ConfigError(f"{at}.type", f'invalid device type "{device.type}"')
    if not device.path.startswith("/"):
        raise ConfigError(f"{at}.path", "must be an absolute path")
    if device.major < 0 or device.minor < 0:
        raise ConfigError(at, "device numbers must not be negative")
    mode = DEFAULT_MODE if device.file_mode is None else device.file_mode & 0o7777
    path = posixpath.normpath("/" + device.path.lstrip("/"))
    kind = ord(DEVICE_TYPES[device.type])
    return steps.Device(path, kind, device.major, device.minor, mode, device.uid or 0, device.gid or 0)


def _links(facts: HostFacts) -> list[Step]:
    links: list[Step] = [steps.Symlink(target, path) for target, path in LINKS]
    if facts.kcore:
        links.append(steps.Symlink("/proc/kcore", "/dev/core"))
    links.append(steps.Symlink("pts/ptmx", "/dev/ptmx", 1))
    return links
