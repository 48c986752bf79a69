"""The device nodes and device rules that every container has, whatever its configuration says.

Source: runtime-spec, config-linux.md#default-devices; the rules beyond it (mknod of anything, pts, ptmx,
tun) are what runc grants, so that images built for it work.
"""

from __future__ import annotations

from .config import Device, DeviceCgroup


def _node(path: str, major: int, minor: int) -> Device:
    return Device(path=path, type="c", major=major, minor=minor, file_mode=0o666, uid=0, gid=0)


DEFAULT_DEVICES: tuple[Device, ...] = (
    _node("/dev/null", 1, 3),
    _node("/dev/random", 1, 8),
    _node("/dev/full", 1, 7),
    _node("/dev/tty", 5, 0),
    _node("/dev/zero", 1, 5),
    _node("/dev/urandom", 1, 9),
)

DEFAULT_DEVICE_RULES: tuple[DeviceCgroup, ...] = (
    DeviceCgroup(allow=True, type="c", access="m"),
    DeviceCgroup(allow=True, type="b", access="m"),
    *(DeviceCgroup(allow=True, type="c", major=node.major, minor=node.minor) for node in DEFAULT_DEVICES),
    DeviceCgroup(allow=True, type="c", major=136),
    DeviceCgroup(allow=True, type="c", major=5, minor=2),
    DeviceCgroup(allow=True, type="c", major=10, minor=200),
)
"""To be applied after the configuration's rules."""
