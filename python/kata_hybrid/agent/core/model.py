"""What the agent is asked for, in neutral form: frozen, no wire types, no rules.

Paths and arguments are ``str`` with surrogate escapes for bytes that are no UTF-8.
Source: the message tables of the Kata 1.x protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass

    from kata_hybrid.oci.config import Process, Resources, Spec
else:
    from kata_hybrid._record import dataclass

@dataclass(frozen=True)
class Storage:
    """Something to be mounted or made in the guest before a container uses it."""

    driver: str
    source: str = ""
    fstype: str = ""
    options: tuple[str, ...] = ()
    mount_point: str = ""


@dataclass(frozen=True)
class DeviceRequest:
    """A device of the guest that the spec knows under the host's numbers."""

    id: str = ""
    type: str = ""
    vm_path: str = ""
    container_path: str = ""


@dataclass(frozen=True)
class KernelModule:
    name: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class SandboxRequest:
    """``dns``: lines of a resolv.conf file. ``hostname`` is kept and never applied, as in Kata 1.x."""

    sandbox_id: str = ""
    hostname: str = ""
    dns: tuple[str, ...] = ()
    storages: tuple[Storage, ...] = ()
    sandbox_pidns: bool = False
    guest_hook_path: str = ""
    kernel_modules: tuple[KernelModule, ...] = ()


@dataclass(frozen=True)
class ContainerRequest:
    """``exec_id`` names the init process."""

    container_id: str
    exec_id: str
    spec: Spec
    devices: tuple[DeviceRequest, ...] = ()
    storages: tuple[Storage, ...] = ()
    sandbox_pidns: bool = False
    agent_pidns: bool = False


@dataclass(frozen=True)
class RemoveRequest:
    """``timeout_seconds`` 0: wait for ever."""

    container_id: str
    timeout_seconds: int = 0


@dataclass(frozen=True)
class ProcessRef:
    """A process of a container, by name."""

    container_id: str
    exec_id: str


@dataclass(frozen=True)
class ExecRequest:
    target: ProcessRef
    process: Process


@dataclass(frozen=True)
class SignalRequest:
    """An empty exec id means every process of the container."""

    target: ProcessRef
    signal: int


@dataclass(frozen=True)
class ReadRequest:
    target: ProcessRef
    length: int


@dataclass(frozen=True)
class WriteRequest:
    target: ProcessRef
    data: bytes


@dataclass(frozen=True)
class ResizeRequest:
    """Characters."""

    target: ProcessRef
    rows: int
    columns: int


@dataclass(frozen=True)
class ListProcessesRequest:
    container_id: str
    format: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpdateRequest:
    """``resources`` None: the message was missing."""

    container_id: str
    resources: Resources | None


@dataclass(frozen=True)
class GuestDetailsRequest:
    mem_block_size: bool = False
    mem_hotplug_probe: bool = False


@dataclass(frozen=True)
class AgentDetails:
    version: str
    init_daemon: bool
    device_handlers: tuple[str, ...]
    storage_handlers: tuple[str, ...]
    supports_seccomp: bool


@dataclass(frozen=True)
class GuestDetails:
    """``mem_block_size_bytes`` 0: not asked for, or not known."""

    mem_block_size_bytes: int
    support_mem_hotplug_probe: bool
    agent: AgentDetails


@dataclass(frozen=True)
class DateTime:
    """Since the epoch."""

    seconds: int
    microseconds: int


@dataclass(frozen=True)
class FileChunk:
    """One piece of a file to be copied into the guest; ``offset`` and ``file_size`` in bytes."""

    path: str
    file_size: int
    file_mode: int
    dir_mode: int
    uid: int
    gid: int
    offset: int
    data: bytes
