"""What the agent changes in a container's spec before the runtime sees it, and what it refuses.

Pure but for looks at the guest: its root device, its online CPUs, the rootfs. Source: Kata 1.x
CreateContainer (behaviour).
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from kata_hybrid.agent.core.errors import (
    GuestError,
    InvalidRequest,
    NotSupported,
    PidNamespaceGiven,
    RequestRefused,
    RootfsError,
)
from kata_hybrid.agent.core.guest import online_cpus, parse_cpu_list
from kata_hybrid.oci.config import DeviceCgroup, Hook, Namespace, NamespaceType, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from dataclasses import replace

    from kata_hybrid.agent.core.model import ContainerRequest, DeviceRequest
    from kata_hybrid.agent.core.policy import VersionPolicy
    from kata_hybrid.oci.config import Hooks, Linux, Spec
else:
    from kata_hybrid._record import replace

def check_request(request: ContainerRequest, policy: VersionPolicy) -> None:
    """Refuse what cannot become a container. Touches nothing.

    Raises:
        InvalidRequest: no process or no root.
        PidNamespaceGiven: the sandbox decides about pid namespaces.
        RootfsError: the rootfs is missing, relative or a symlink.
    """
    spec = request.spec
    kinds = {namespace.type for namespace in spec.linux.namespaces}
    if policy.refuse_spec_pid_namespace and NamespaceType.PID in kinds:
        raise PidNamespaceGiven("pid namespace received", container_id=request.container_id)
    if spec.process is None:
        raise InvalidRequest("the spec has no process")
    if not spec.process.args:
        raise InvalidRequest("the spec's process has no arguments")
    if spec.root is None or not spec.root.path:
        raise InvalidRequest("the spec has no root path")
    if os.path.normpath(spec.root.path) == "/":
        raise InvalidRequest("the spec's root is the guest's own")
    check_rootfs(spec.root.path)
    check_devices(request.devices, policy)


def check_rootfs(path: str) -> None:
    """A rootfs is an absolute path to an existing directory without a symlink on the way.

    Raises:
        RootfsError: with the text of the reference.
    """
    if "\0" in path:
        raise RootfsError("rootfs path contains a NUL byte")
    if not path.startswith("/"):
        raise RootfsError(f"{path} is not an absolute path or is a symlink")
    if not os.path.lexists(path):
        raise RootfsError(f"rootfs ({path}) does not exist")
    if os.path.realpath(path) != os.path.normpath(path):
        raise RootfsError(f"{path} is not an absolute path or is a symlink")
    if not os.path.isdir(path):
        raise RootfsError(f"rootfs ({path}) is not a directory")


def check_devices(devices: Iterable[DeviceRequest], policy: VersionPolicy) -> None:
    """Refuse device requests: wrong ones with the reference's text, right ones because none is handled.

    Raises:
        InvalidRequest: a part is missing or the type unknown.
        NotSupported: any other.
    """
    for device in devices:
        if not device.type:
            raise InvalidRequest(f"invalid type for device {device}")
        if not device.id and not device.vm_path:
            raise InvalidRequest(f"invalid ID and VM path for device {device}")
        if not device.container_path:
            raise InvalidRequest(f"invalid container path for device {device}")
        if device.type not in policy.device_types:
            raise InvalidRequest(f'Unknown device type "{device.type}"')
        raise NotSupported(f'device of type "{device.type}"')


def guest_spec(
    request: ContainerRequest,
    policy: VersionPolicy,
    *,
    namespaces: Mapping[NamespaceType, str],
    guest_hooks: Hooks,
) -> Spec:
    """The spec for the runtime.

    Args:
        namespaces: paths of the sandbox's namespaces that this container joins; an empty path: a new one.

    Raises:
        GuestError: a ``net.*`` sysctl could not be set in the guest.
    """
    spec = request.spec
    linux = replace(
        spec.linux,
        namespaces=join_namespaces(spec.linux.namespaces, namespaces),
        resources=_resources(spec.linux.resources or Resources(), policy),
    )
    if policy.net_sysctls_in_guest:
        linux = _apply_net_sysctls(linux)
    return replace(spec, linux=linux, hooks=_with_guest_hooks(spec.hooks, guest_hooks))


def join_namespaces(own: Iterable[Namespace], shared: Mapping[NamespaceType, str]) -> tuple[Namespace, ...]:
    """The spec's namespaces with those of the sandbox in their place, added if absent."""
    kept = [namespace for namespace in own if namespace.type not in shared]
    return (*kept, *(Namespace(kind, path or None) for kind, path in shared.items()))


def _resources(resources: Resources, policy: VersionPolicy) -> Resources:
    if resources.cpu is not None and resources.cpu.cpus:
        cpus = usable_cpus(resources.cpu.cpus)
        resources = replace(resources, cpu=replace(resources.cpu, cpus=cpus))
    root = guest_root_device() if policy.hide_guest_root_device else None
    if root is not None:
        rule = DeviceCgroup(allow=False, type="b", major=root[0], minor=root[1], access="rw")
        resources = replace(resources, devices=(*resources.devices, rule))
    return resources


def usable_cpus(wanted: str) -> str:
    """``wanted``, or the guest's whole online list when a CPU of it is not online.

    Raises:
        InvalidRequest: not a CPU list.
    """
    online = online_cpus()
    try:
        usable = parse_cpu_list(wanted) <= parse_cpu_list(online)
    except ValueError:
        raise InvalidRequest(f"invalid cpuset {wanted!r}") from None
    return wanted if usable or not online else online


def guest_root_device() -> tuple[int, int] | None:
    """Major and minor of the block device that holds the guest's ``/``; None when it is not on one."""
    device = os.stat("/").st_dev
    return (os.major(device), os.minor(device)) if os.major(device) else None


def _apply_net_sysctls(linux: Linux) -> Linux:
    if any(namespace.type is NamespaceType.NETWORK for namespace in linux.namespaces):
        return linux
    ours = {key: value for key, value in linux.sysctl.items() if key.startswith("net.")}
    for key, value in ours.items():
        set_guest_sysctl(key, value)
    rest = {key: value for key, value in linux.sysctl.items() if key not in ours}
    return replace(linux, sysctl=rest)


def set_guest_sysctl(key: str, value: str) -> None:
    """Write ``/proc/sys`` of the guest.

    Raises:
        InvalidRequest: no sysctl name.
        GuestError: the kernel refused.
    """
    parts = key.split(".")
    if not all(part and "/" not in part and "\0" not in part for part in parts):
        raise InvalidRequest(f"invalid sysctl {key!r}")
    path = os.path.join("/proc/sys", *parts)
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(value)
    except OSError as err:
        raise GuestError(f"open {path}: {(err.strerror or str(err)).lower()}") from err


def _with_guest_hooks(own: Hooks, guest: Hooks) -> Hooks:
    return replace(
        own,
        prestart=(*own.prestart, *guest.prestart),
        poststart=(*own.poststart, *guest.poststart),
        poststop=(*own.poststop, *guest.poststop),
    )


def scan_guest_hooks(directory: str) -> dict[str, tuple[Hook, ...]]:
    """Executable regular files in ``directory/{prestart,poststart,poststop}``, in name order.

    Raises:
        RequestRefused: a directory could not be read.
    """
    kinds = ("prestart", "poststart", "poststop")
    return {kind: _scan(os.path.join(directory, kind), kind) for kind in kinds}


def _scan(directory: str, kind: str) -> tuple[Hook, ...]:
    hooks: list[Hook] = []
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except FileNotFoundError:
        return ()
    except OSError as err:
        raise RequestRefused(f"open {directory}: {(err.strerror or str(err)).lower()}") from err
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode) and mode & 0o111:
            hooks.append(Hook(path=entry.path, args=(entry.name, kind)))
    return tuple(hooks)
