"""Where the protocol versions differ in rules, as one object of explicit fields.

``agent.core`` asks these fields and never asks for a version. The values of :data:`V1` are those of the
Kata 1.x reference; where a known defect of the original is not repeated, the field says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass, field
else:
    from kata_hybrid._record import dataclass, field



@dataclass(frozen=True)
class VersionPolicy:
    """The rules of one protocol version.

    Attributes:
        name: for logs.
        share_ipc_and_uts: every container joins the sandbox's persistent ipc and uts namespaces.
        refuse_spec_pid_namespace: a spec must not name a pid namespace.
        exec_in_paused: a process may be started in a paused container. The original takes the call, which
            then hangs until the container is resumed; here that is an error at once.
        sigterm_kills_without_handler: SIGTERM for an init process that does not catch it becomes SIGKILL.
        stopped_drops_signals: a signal for a stopped container is no error; SIGKILL for all still reaches
            what is left in its cgroup.
        paused_signal_thaws: a signal for a paused container reaches every process and resumes it.
        exec_id_reusable_after_wait: a name is free again once its process has ended and been waited for.
            A name in use is refused; the original replaced the entry and lost the old process.
        net_sysctls_in_guest: ``net.*`` sysctls of a container without its own network namespace are
            written in the guest and taken out of the spec.
        hide_guest_root_device: containers may not read or write the block device of the guest's root.
        state_below_sandbox: the state directory is ``<root>/<sandbox id>``.
        storage_drivers: drivers the protocol names; others are an error of the caller.
        device_types: likewise for devices.
        storage_handlers, device_handlers: what GetGuestDetails tells.
    """

    name: str
    share_ipc_and_uts: bool = True
    refuse_spec_pid_namespace: bool = True
    exec_in_paused: bool = False
    sigterm_kills_without_handler: bool = True
    stopped_drops_signals: bool = True
    paused_signal_thaws: bool = True
    exec_id_reusable_after_wait: bool = True
    net_sysctls_in_guest: bool = True
    hide_guest_root_device: bool = True
    state_below_sandbox: bool = True
    storage_drivers: frozenset[str] = field(default_factory=frozenset)
    device_types: frozenset[str] = field(default_factory=frozenset)
    storage_handlers: tuple[str, ...] = ()
    device_handlers: tuple[str, ...] = ()


V1_STORAGE_DRIVERS = ("9p", "blk", "blk-ccw", "ephemeral", "local", "mmioblk", "nvdimm", "scsi", "virtio-fs")
V1_DEVICE_TYPES = ("blk", "blk-ccw", "mmioblk", "nvdimm", "scsi")

V1 = VersionPolicy(
    name="v1",
    storage_drivers=frozenset(V1_STORAGE_DRIVERS) | {"bind"},
    device_types=frozenset(V1_DEVICE_TYPES),
    storage_handlers=("bind", "ephemeral", "local"),
    device_handlers=(),
)
"""Kata 1.12 to 1.13. ``bind`` is ours: for hosts that share a directory without a device."""
