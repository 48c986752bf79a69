"""The OCI spec between protobuf and the types of ``kata_hybrid.oci.config``.

The wire has no presence for scalars. Where the original takes 0 for "leave it" it becomes None here; where
it writes the 0 (swappiness and the OOM switch of a Memory message, a device's mode and owner,
``OOMScoreAdj``) it stays 0. Raw bytes become text with surrogate escapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kata_hybrid.agent.core.errors import InvalidRequest
from kata_hybrid.oci import config as oci

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kata_hybrid.agent._proto.v1 import oci_pb2 as pb

OCI_VERSION = "1.0.2"


def text(data: bytes) -> str:
    """Bytes of the wire as text that gives the same bytes again."""
    return data.decode("utf-8", "surrogateescape")


def texts(items: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(text(item) for item in items)


def raw(value: str) -> bytes:
    """The reverse of :func:`text`."""
    return value.encode("utf-8", "surrogateescape")


def spec(message: pb.Spec) -> oci.Spec:
    """A whole spec.

    Raises:
        InvalidRequest: no process, no linux part or no resources, without which the original would crash; or
            a namespace of an unknown type.
    """
    for name, owner in (("Process", message), ("Linux", message), ("Resources", message.Linux)):
        if not owner.HasField(name):
            raise InvalidRequest(f"the OCI spec has no {name}")
    return oci.Spec(
        oci_version=message.Version or OCI_VERSION,
        root=oci.Root(text(message.Root.Path), message.Root.Readonly) if message.HasField("Root") else None,
        process=process(message.Process),
        hostname=text(message.Hostname),
        mounts=tuple(
            oci.Mount(text(each.destination), each.type, text(each.source), texts(each.options))
            for each in message.Mounts
        ),
        hooks=_hooks(message.Hooks),
        annotations=_text_map(message.Annotations),
        linux=_linux(message.Linux),
    )


def process(message: pb.Process) -> oci.Process:
    """The process of a spec."""
    box = message.ConsoleSize
    has_capabilities = message.HasField("Capabilities")
    return oci.Process(
        cwd=text(message.Cwd) or "/",
        args=texts(message.Args),
        env=texts(message.Env),
        terminal=message.Terminal,
        console_size=oci.Box(box.Height, box.Width) if message.HasField("ConsoleSize") else None,
        user=_user(message.User),
        capabilities=_capabilities(message.Capabilities) if has_capabilities else None,
        rlimits=tuple(oci.Rlimit(each.Type, each.Soft, each.Hard) for each in message.Rlimits),
        no_new_privileges=message.NoNewPrivileges,
        oom_score_adj=message.OOMScoreAdj,
        selinux_label=message.SelinuxLabel,
    )


def exec_process(message: pb.Process, own: oci.Process | None) -> oci.Process:
    """The process of an exec: only terminal, user, args, env and cwd count; the rest is the container's own.

    Raises:
        InvalidRequest: no arguments.
    """
    if not message.Args:
        raise InvalidRequest("the process has no arguments")
    base = own or oci.Process(cwd="/", args=())
    return oci.Process(
        cwd=text(message.Cwd) or "/",
        args=texts(message.Args),
        env=texts(message.Env),
        terminal=message.Terminal,
        user=_user(message.User),
        capabilities=base.capabilities,
        rlimits=base.rlimits,
        no_new_privileges=base.no_new_privileges,
        oom_score_adj=base.oom_score_adj,
        selinux_label=base.selinux_label,
    )


def _user(message: pb.User) -> oci.User:
    return oci.User(
        uid=message.UID,
        gid=message.GID,
        additional_gids=tuple(message.AdditionalGids),
        username=message.Username,
    )


def _capabilities(message: pb.LinuxCapabilities) -> oci.Capabilities:
    return oci.Capabilities(
        bounding=tuple(message.Bounding),
        effective=tuple(message.Effective),
        inheritable=tuple(message.Inheritable),
        permitted=tuple(message.Permitted),
        ambient=tuple(message.Ambient),
    )


def _hooks(message: pb.Hooks) -> oci.Hooks:
    return oci.Hooks(
        prestart=_hook_list(message.Prestart),
        poststart=_hook_list(message.Poststart),
        poststop=_hook_list(message.Poststop),
    )


def _hook_list(messages: Iterable[pb.Hook]) -> tuple[oci.Hook, ...]:
    """A timeout of 0 means none here; the original would let such a hook run for no time at all."""
    return tuple(
        oci.Hook(text(each.Path), texts(each.Args), texts(each.Env), each.Timeout or None)
        for each in messages
    )


def _linux(message: pb.Linux) -> oci.Linux:
    return oci.Linux(
        uid_mappings=_mappings(message.UIDMappings),
        gid_mappings=_mappings(message.GIDMappings),
        sysctl=_text_map(message.Sysctl),
        resources=resources(message.Resources),
        cgroups_path=text(message.CgroupsPath),
        namespaces=tuple(_namespace(each) for each in message.Namespaces),
        devices=tuple(
            oci.Device(text(each.Path), each.Type, each.Major, each.Minor, each.FileMode, each.UID, each.GID)
            for each in message.Devices
        ),
        seccomp=_seccomp(message.Seccomp) if message.HasField("Seccomp") else None,
        rootfs_propagation=message.RootfsPropagation,
        masked_paths=texts(message.MaskedPaths),
        readonly_paths=texts(message.ReadonlyPaths),
        mount_label=message.MountLabel,
    )


def _mappings(messages: Iterable[pb.LinuxIDMapping]) -> tuple[oci.IDMapping, ...]:
    return tuple(oci.IDMapping(each.ContainerID, each.HostID, each.Size) for each in messages)


def _namespace(message: pb.LinuxNamespace) -> oci.Namespace:
    try:
        kind = oci.NamespaceType(message.Type)
    except ValueError:
        raise InvalidRequest(f"unknown namespace type {message.Type!r}") from None
    return oci.Namespace(kind, text(message.Path) or None)


def resources(message: pb.LinuxResources) -> oci.Resources:
    """Limits; 0 leaves a value alone."""
    return oci.Resources(
        devices=tuple(_device_rule(each) for each in message.Devices),
        memory=_memory(message.Memory) if message.HasField("Memory") else None,
        cpu=_cpu(message.CPU) if message.HasField("CPU") else None,
        pids=oci.Pids(message.Pids.Limit or None) if message.HasField("Pids") else None,
        block_io=_block_io(message.BlockIO) if message.HasField("BlockIO") else None,
        hugepage_limits=tuple(
            oci.HugepageLimit(each.Pagesize, each.Limit) for each in message.HugepageLimits
        ),
        network=_network(message.Network) if message.HasField("Network") else None,
    )


def update_resources(message: pb.LinuxResources) -> oci.Resources:
    """What UpdateContainer takes of them: no device rules, no network, no throttling, of memory the sizes."""
    whole = resources(message)
    memory = whole.memory
    return oci.Resources(
        memory=memory
        and oci.Memory(
            limit=memory.limit,
            reservation=memory.reservation,
            swap=memory.swap,
            kernel=memory.kernel,
            kernel_tcp=memory.kernel_tcp,
        ),
        cpu=whole.cpu,
        pids=whole.pids,
        block_io=whole.block_io and oci.BlockIO(weight=whole.block_io.weight),
        hugepage_limits=whole.hugepage_limits,
    )


def _memory(message: pb.LinuxMemory) -> oci.Memory:
    return oci.Memory(
        limit=message.Limit or None,
        reservation=message.Reservation or None,
        swap=message.Swap or None,
        kernel=message.Kernel or None,
        kernel_tcp=message.KernelTCP or None,
        swappiness=message.Swappiness,
        disable_oom_killer=message.DisableOOMKiller,
    )


def _cpu(message: pb.LinuxCPU) -> oci.CPU:
    return oci.CPU(
        shares=message.Shares or None,
        quota=message.Quota or None,
        period=message.Period or None,
        realtime_runtime=message.RealtimeRuntime or None,
        realtime_period=message.RealtimePeriod or None,
        cpus=message.Cpus,
        mems=message.Mems,
    )


def _block_io(message: pb.LinuxBlockIO) -> oci.BlockIO:
    return oci.BlockIO(
        weight=message.Weight or None,
        leaf_weight=message.LeafWeight or None,
        weight_device=tuple(
            oci.WeightDevice(each.Major, each.Minor, each.Weight or None, each.LeafWeight or None)
            for each in message.WeightDevice
        ),
        throttle_read_bps_device=_throttles(message.ThrottleReadBpsDevice),
        throttle_write_bps_device=_throttles(message.ThrottleWriteBpsDevice),
        throttle_read_iops_device=_throttles(message.ThrottleReadIOPSDevice),
        throttle_write_iops_device=_throttles(message.ThrottleWriteIOPSDevice),
    )


def _throttles(messages: Iterable[pb.LinuxThrottleDevice]) -> tuple[oci.ThrottleDevice, ...]:
    return tuple(oci.ThrottleDevice(each.Major, each.Minor, each.Rate) for each in messages)


def _network(message: pb.LinuxNetwork) -> oci.Network:
    priorities = tuple(oci.InterfacePriority(each.Name, each.Priority) for each in message.Priorities)
    return oci.Network(class_id=message.ClassID or None, priorities=priorities)


def _device_rule(message: pb.LinuxDeviceCgroup) -> oci.DeviceCgroup:
    """A rule for all devices has no numbers; else a negative number stands for any."""
    every = message.Type in ("", "a")
    return oci.DeviceCgroup(
        allow=message.Allow,
        type=message.Type or "a",
        major=None if every or message.Major < 0 else message.Major,
        minor=None if every or message.Minor < 0 else message.Minor,
        access=message.Access or "rwm",
    )


def _seccomp(message: pb.LinuxSeccomp) -> oci.Seccomp:
    return oci.Seccomp(
        default_action=message.DefaultAction,
        architectures=tuple(message.Architectures),
        syscalls=tuple(
            oci.Syscall(
                names=tuple(each.Names),
                action=each.Action,
                args=tuple(oci.SyscallArg(arg.Index, arg.Value, arg.Op, arg.ValueTwo) for arg in each.Args),
            )
            for each in message.Syscalls
        ),
    )


def _text_map(values: Mapping[str, bytes]) -> dict[str, str]:
    return {key: text(value) for key, value in values.items()}
