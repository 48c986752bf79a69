"""Resource limits in libcontainer's spelling: the members of ``config.cgroups``.

Both ways through one table, so that reading what was written gives the same limits.
Source: opencontainers/cgroups, the Resources type; cgroup-v2.rst for the weight's range.
"""

from __future__ import annotations

from ..oci.config import (
    CPU,
    BlockIO,
    HugepageLimit,
    InterfacePriority,
    Memory,
    Network,
    Pids,
    Rdma,
    Resources,
    ThrottleDevice,
    WeightDevice,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..oci.config import DeviceCgroup
    from ._read import Reader

KEY_ORDER: tuple[str, ...] = (
    "name",
    "parent",
    "path",
    "scope_prefix",
    "devices",
    "memory",
    "memory_reservation",
    "memory_swap",
    "cpu_shares",
    "cpu_quota",
    "cpu_burst",
    "cpu_period",
    "cpu_rt_quota",
    "cpu_rt_period",
    "cpuset_cpus",
    "cpuset_mems",
    "cpu_idle",
    "pids_limit",
    "blkio_weight",
    "blkio_leaf_weight",
    "blkio_weight_device",
    "blkio_throttle_read_bps_device",
    "blkio_throttle_write_bps_device",
    "blkio_throttle_read_iops_device",
    "blkio_throttle_write_iops_device",
    "freezer",
    "hugetlb_limit",
    "oom_kill_disable",
    "memory_swappiness",
    "net_prio_ifpriomap",
    "net_cls_classid_u",
    "rdma",
    "cpu_weight",
    "unified",
    "memory_check_before_update",
    "Systemd",
    "Rootless",
    "owner_uid",
)

_NUMBERS: tuple[tuple[str, str, str], ...] = (
    ("memory", "limit", "memory"),
    ("memory", "reservation", "memory_reservation"),
    ("memory", "swap", "memory_swap"),
    ("memory", "swappiness", "memory_swappiness"),
    ("cpu", "shares", "cpu_shares"),
    ("cpu", "quota", "cpu_quota"),
    ("cpu", "burst", "cpu_burst"),
    ("cpu", "period", "cpu_period"),
    ("cpu", "realtime_runtime", "cpu_rt_quota"),
    ("cpu", "realtime_period", "cpu_rt_period"),
    ("cpu", "idle", "cpu_idle"),
    ("pids", "limit", "pids_limit"),
    ("block_io", "weight", "blkio_weight"),
    ("block_io", "leaf_weight", "blkio_leaf_weight"),
    ("network", "class_id", "net_cls_classid_u"),
)
"""(part of Resources, its field, key): numbers that stand for themselves, None is left out."""

_ZERO_COUNTS = frozenset({"memory_swappiness", "cpu_idle", "cpu_burst"})
"""Nullable in libcontainer: here 0 is a value, elsewhere it means unset."""

_FLAGS: tuple[tuple[str, str], ...] = (
    ("disable_oom_killer", "oom_kill_disable"),
    ("check_before_update", "memory_check_before_update"),
)
_TEXTS: tuple[tuple[str, str], ...] = (("cpus", "cpuset_cpus"), ("mems", "cpuset_mems"))
_THROTTLES: tuple[tuple[str, str], ...] = tuple(
    (f"throttle_{name}_device", f"blkio_throttle_{name}_device")
    for name in ("read_bps", "write_bps", "read_iops", "write_iops")
)


def device_rule(rule: DeviceCgroup) -> dict[str, Any]:
    """A device rule: the type as a character code, -1 for any number."""
    return {
        "type": ord(rule.type),
        "major": -1 if rule.major is None else rule.major,
        "minor": -1 if rule.minor is None else rule.minor,
        "permissions": rule.access,
        "allow": rule.allow,
    }


def write_resources(cgroups: dict[str, Any], changes: Resources) -> dict[str, Any]:
    """``cgroups`` with the limits of ``changes``, keys in libcontainer's order, unknown ones last."""
    merged = {**cgroups, **_members(changes)}
    for key in ("rdma", "unified"):
        if isinstance(cgroups.get(key), dict) and key in merged:
            merged[key] = {**cgroups[key], **merged[key]}
    ordered = {key: merged.pop(key) for key in KEY_ORDER if key in merged}
    return {**ordered, **merged}


def cpu_weight(shares: int) -> int:
    """v2 ``cpu.weight`` for v1 ``cpu.shares``: [2, 262144] onto [1, 10000], 0 stays 0."""
    if shares == 0:
        return 0
    bounded = min(max(shares, 2), 262144)
    return 1 + (bounded - 2) * 9999 // 262142


def _members(changes: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, name, key in _NUMBERS:
        value = getattr(getattr(changes, part), name, None)
        if value is not None:
            found[key] = value
    if "cpu_shares" in found:
        found["cpu_weight"] = cpu_weight(found["cpu_shares"])
    for name, key in _FLAGS:
        value = getattr(changes.memory, name, None)
        if value is not None:
            found[key] = value
    for name, key in _TEXTS:
        if getattr(changes.cpu, name, ""):
            found[key] = getattr(changes.cpu, name)
    found.update(_block_io(changes.block_io or BlockIO()))
    found.update(_lists(changes))
    return found


def _block_io(block_io: BlockIO) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if block_io.weight_device:
        found["blkio_weight_device"] = [_weight(entry) for entry in block_io.weight_device]
    for name, key in _THROTTLES:
        entries: Sequence[ThrottleDevice] = getattr(block_io, name)
        if entries:
            found[key] = [{"major": e.major, "minor": e.minor, "rate": e.rate} for e in entries]
    return found


def _weight(entry: WeightDevice) -> dict[str, Any]:
    numbers = {"major": entry.major, "minor": entry.minor}
    return {**numbers, "weight": entry.weight or 0, "leafWeight": entry.leaf_weight or 0}


def _lists(changes: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if changes.hugepage_limits:
        pages = [{"page_size": page.page_size, "limit": page.limit} for page in changes.hugepage_limits]
        found["hugetlb_limit"] = pages
    if changes.network is not None and changes.network.priorities:
        entries = changes.network.priorities
        found["net_prio_ifpriomap"] = [{"interface": e.name, "priority": e.priority} for e in entries]
    if changes.rdma:
        found["rdma"] = {name: _rdma(limit) for name, limit in changes.rdma.items()}
    if changes.unified:
        found["unified"] = dict(changes.unified)
    return found


def _rdma(limit: Rdma) -> dict[str, Any]:
    wanted = {"hca_handles": limit.hca_handles, "hca_objects": limit.hca_objects}
    return {key: value for key, value in wanted.items() if value is not None}


def read_resources(cgroups: Reader) -> Resources:
    """The limits in ``config.cgroups``, without device rules.

    Raises:
        StateError: a wrong type.
    """
    parts: dict[str, dict[str, Any]] = {"memory": {}, "cpu": {}, "pids": {}, "block_io": {}, "network": {}}
    for part, name, key in _NUMBERS:
        value = cgroups.number_or_none(key)
        if value is not None and (value or key in _ZERO_COUNTS):
            parts[part][name] = value
    for name, key in _FLAGS:
        if cgroups.flag(key):
            parts["memory"][name] = True
    for name, key in _TEXTS:
        if cgroups.text(key):
            parts["cpu"][name] = cgroups.text(key)
    _read_block_io(cgroups, parts["block_io"])
    priorities = tuple(
        InterfacePriority(e.text("interface"), e.number("priority"))
        for e in cgroups.objects("net_prio_ifpriomap")
    )
    if priorities:
        parts["network"]["priorities"] = priorities
    return Resources(
        memory=Memory(**parts["memory"]) if parts["memory"] else None,
        cpu=CPU(**parts["cpu"]) if parts["cpu"] else None,
        pids=Pids(**parts["pids"]) if parts["pids"] else None,
        block_io=BlockIO(**parts["block_io"]) if parts["block_io"] else None,
        network=Network(**parts["network"]) if parts["network"] else None,
        hugepage_limits=tuple(
            HugepageLimit(e.text("page_size"), e.number("limit")) for e in cgroups.objects("hugetlb_limit")
        ),
        rdma=_read_rdma(cgroups.object("rdma")),
        unified=cgroups.text_map("unified"),
    )


def _read_block_io(cgroups: Reader, found: dict[str, Any]) -> None:
    weights = tuple(
        WeightDevice(e.number("major"), e.number("minor"), e.number("weight"), e.number("leafWeight"))
        for e in cgroups.objects("blkio_weight_device")
    )
    if weights:
        found["weight_device"] = weights
    for name, key in _THROTTLES:
        entries = cgroups.objects(key)
        if entries:
            found[name] = tuple(
                ThrottleDevice(e.number("major"), e.number("minor"), e.number("rate")) for e in entries
            )


def _read_rdma(devices: Reader) -> dict[str, Rdma]:
    found: dict[str, Rdma] = {}
    for name in devices.keys():  # noqa: SIM118 - a Reader is no mapping
        limit = devices.object(name)
        found[name] = Rdma(limit.number_or_none("hca_handles"), limit.number_or_none("hca_objects"))
    return found
