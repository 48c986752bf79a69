"""Rules of the rest of ``linux``: sysctl, devices, paths, network devices, personality, Intel RDT."""

from __future__ import annotations

from ._rule import quoted
from .config import NamespaceType
from .names import PERSONALITIES, ROOTFS_PROPAGATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import Linux, Spec

_IPC_SYSCTLS = frozenset(
    f"kernel.{name}"
    for name in ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)
_INTERFACE_NAME_BYTES = 15  # IFNAMSIZ without the NUL


def linux_problems(spec: Spec) -> Iterator[Problem]:
    """What is wrong with ``linux`` beyond namespaces, resources and seccomp."""
    linux = spec.linux
    kinds = {entry.type for entry in linux.namespaces}
    for key, value in linux.sysctl.items():
        yield from _sysctl_problems(spec, key, value, kinds)
    yield from _device_problems(linux)
    yield from _path_problems(linux)
    yield from _net_device_problems(linux, kinds)
    if linux.rootfs_propagation and linux.rootfs_propagation not in ROOTFS_PROPAGATIONS:
        yield "linux.rootfsPropagation", f"rootfsPropagation={linux.rootfs_propagation} is not supported"
    if linux.personality is not None and linux.personality.domain not in PERSONALITIES:
        yield "linux.personality.domain", f"invalid personality domain {linux.personality.domain}"
    if linux.intel_rdt is not None:
        clos = linux.intel_rdt.clos_id
        if clos in (".", "..") or "/" in clos or "\0" in clos:
            yield "linux.intelRdt.closID", f"invalid intelRdt.ClosID {quoted(clos)}"
        yield "linux.intelRdt", "intelRdt is specified in config, but Intel RDT is not enabled"


def sysctl_name(key: str) -> str:
    """The dotted name of a sysctl: ``net/ipv4/conf/eth0.1/x`` gives ``net.ipv4.conf.eth0/1.x``.

    Whichever of ``.`` and ``/`` comes first separates; the other one stands for itself (sysctl(8)).
    """
    slash, dot = key.find("/"), key.find(".")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key.translate({ord("/"): ".", ord("."): "/"})
    return key


def _sysctl_problems(spec: Spec, key: str, value: str, kinds: set[NamespaceType]) -> Iterator[Problem]:
    at = f"linux.sysctl[{quoted(key)}]"
    name = sysctl_name(key)
    if "\0" in key or "\0" in value or not all(key.replace("/", ".").split(".")):
        yield at, "an empty path component or a nul byte"
    if name in _IPC_SYSCTLS or name.startswith("fs.mqueue."):
        if NamespaceType.IPC not in kinds:
            yield at, f"sysctl {quoted(key)} is not allowed in the hosts ipc namespace"
    elif name.startswith("net."):
        if NamespaceType.NETWORK not in kinds:
            yield at, f"sysctl {quoted(key)} not allowed in host network namespace"
    elif name in ("kernel.hostname", "kernel.domainname"):
        field = name.removeprefix("kernel.")
        if field == "hostname" or spec.domainname:
            problem = f"is not allowed as it conflicts with the OCI {quoted(field)} field"
            yield at, f"sysctl {quoted(key)} {problem}"
        if NamespaceType.UTS not in kinds:
            yield at, f"sysctl {quoted(key)} is not allowed in the hosts uts namespace"
    elif name.startswith("user."):
        if NamespaceType.USER not in kinds:
            yield at, f"setting ucounts without a user namespace not allowed: {name}"
    else:
        yield at, f"sysctl {quoted(key)} is not in a separate kernel namespace"


def _device_problems(linux: Linux) -> Iterator[Problem]:
    for index, device in enumerate(linux.devices):
        at = f"linux.devices[{index}]"
        if device.type not in ("c", "u", "b", "p"):
            yield f"{at}.type", f"invalid device type {quoted(device.type)}"
        if not device.path.startswith("/") or "\0" in device.path:
            yield f"{at}.path", f"must be an absolute path, not {quoted(device.path)}"
        if ".." in device.path.split("/"):
            yield f"{at}.path", "must not climb out by '..'"
        for field, number in (("major", device.major), ("minor", device.minor)):
            if device.type != "p" and not 0 <= number < 2**32:
                yield f"{at}.{field}", f"must be from 0 to {2**32 - 1}, not {number}"


def _path_problems(linux: Linux) -> Iterator[Problem]:
    for field, paths in (("maskedPaths", linux.masked_paths), ("readonlyPaths", linux.readonly_paths)):
        for index, path in enumerate(paths):
            if not path.startswith("/") or "\0" in path:
                yield f"linux.{field}[{index}]", f"must be an absolute path, not {quoted(path)}"
    for field, text in (("cgroupsPath", linux.cgroups_path), ("mountLabel", linux.mount_label)):
        if "\0" in text:
            yield f"linux.{field}", "contains nul byte (\\x00)"


def _net_device_problems(linux: Linux, kinds: set[NamespaceType]) -> Iterator[Problem]:
    if not linux.net_devices:
        return
    if NamespaceType.NETWORK not in kinds:
        yield "linux.netDevices", "unable to move network devices without a NET namespace"
    for host_name, name in linux.net_devices.items():
        for candidate in (host_name, *((name,) if name else ())):
            if not _is_interface_name(candidate):
                at = f"linux.netDevices[{quoted(host_name)}]"
                yield at, f"invalid network device name {quoted(candidate)}"


def _is_interface_name(name: str) -> bool:
    """dev_valid_name() of the kernel, plus NUL."""
    size = len(name.encode("utf-8", "surrogateescape"))
    if not 0 < size <= _INTERFACE_NAME_BYTES or name in (".", ".."):
        return False
    return not any(char in "/:\0" or char.isspace() for char in name)
