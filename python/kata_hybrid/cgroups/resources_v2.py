"""OCI resources as cgroup v2 settings. Pure: present values that matter come in as ``Present``.

Sources: runtime-spec config-linux.md; Linux Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from kata_hybrid.cgroups.convert import DEFAULT_CPU_PERIOD, cpu_weight, io_weight, pids_max, size_or_max
from kata_hybrid.cgroups.files import to_int
from kata_hybrid.cgroups.resources_v1 import rdma_setting
from kata_hybrid.cgroups.settings import Setting, Undo
from kata_hybrid.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass

    from kata_hybrid.oci.config import CPU, BlockIO, HugepageLimit, Memory, Resources
else:
    from kata_hybrid._record import dataclass

_AT = "linux.resources"
_IO_MAX = (
    ("throttle_read_bps_device", "rbps"),
    ("throttle_write_bps_device", "wbps"),
    ("throttle_read_iops_device", "riops"),
    ("throttle_write_iops_device", "wiops"),
)


@dataclass(frozen=True, slots=True)
class Present:
    """Present values of the group: ``cpu.max`` as text, sizes in bytes (None: unlimited or unknown)."""

    cpu_max: str = ""
    memory_max: int | None = None
    memory_current: int = 0
    swap_current: int = 0
    has_bfq: bool = False


_ALL_PRESENT = Present()


def settings(resources: Resources, present: Present = _ALL_PRESENT) -> list[Setting]:
    """Everything but devices, in the order to write; ``unified`` last so that it wins.

    Raises:
        ConfigError: values that contradict each other or a ``unified`` key that is no file name.
    """
    found: list[Setting] = []
    if resources.pids and resources.pids.limit is not None:
        value = pids_max(resources.pids.limit)
        found.append(Setting("pids", ("pids.max",), value, f"{_AT}.pids.limit", optional=value == "max"))
    if resources.memory:
        found += memory_settings(resources.memory, present)
    if resources.block_io:
        found += _block_io(resources.block_io, present.has_bfq)
    if resources.cpu:
        found += _cpu(resources.cpu, present.cpu_max)
        found += _cpuset(resources.cpu)
    for index, limit in enumerate(resources.hugepage_limits):
        found += _hugepages(limit, f"{_AT}.hugepageLimits[{index}]")
    found += [rdma_setting(name, limit) for name, limit in resources.rdma.items()]
    found += [_unified(key, value) for key, value in resources.unified.items()]
    return found


def memory_settings(memory: Memory, present: Present) -> list[Setting]:
    """``memory.swap`` of the spec is memory and swap together; v2 limits swap alone."""
    at = f"{_AT}.memory"
    limit, total = memory.limit or None, memory.swap or None
    if memory.check_before_update:
        _check_usage(limit, total, present)
    found: list[Setting] = []
    swap = swap_max(limit, total, present.memory_max)
    if swap is not None:
        found.append(
            Setting("memory", ("memory.swap.max",), swap, f"{at}.swap", optional=swap in ("max", "0"))
        )
    if limit is not None:
        found.append(
            Setting("memory", ("memory.max",), size_or_max(limit), f"{at}.limit", optional=limit < 0)
        )
    if memory.reservation:
        text = size_or_max(memory.reservation)
        found.append(Setting("memory", ("memory.low",), text, f"{at}.reservation"))
    return found


def swap_max(limit: int | None, total: int | None, present_limit: int | None) -> str | None:
    """``memory.swap.max`` for a memory limit and a memory+swap limit; None: leave it.

    Args:
        limit: bytes, negative for unlimited, None when not given.
        total: the same for memory and swap together.
        present_limit: the group's limit now, used when ``limit`` is not given.
    """
    at = f"{_AT}.memory.swap"
    if total is None:
        return "max" if limit is not None and limit < 0 else None
    if total < 0:
        return "max"
    base = present_limit if limit is None else limit
    if base is None or base < 0:
        raise ConfigError(at, "unable to set swap limit without memory limit")
    if total < base:
        raise ConfigError(at, "memory+swap limit should be >= memory limit")
    return str(total - base)


def _check_usage(limit: int | None, total: int | None, present: Present) -> None:
    at = f"{_AT}.memory"
    used = present.memory_current
    if limit is not None and 0 < limit <= used:
        raise ConfigError(f"{at}.limit", f"rejecting memory limit {limit} <= usage {used}")
    used += present.swap_current
    if total is not None and 0 < total <= used:
        raise ConfigError(f"{at}.swap", f"rejecting memory+swap limit {total} <= usage {used}")


def cpu_max(quota: int | None, period: int | None, present: str) -> str | None:
    """``cpu.max``; what is not given (or 0) keeps its present value. None: nothing to write."""
    if not quota and not period:
        return None
    words = present.split()
    old_quota = words[0] if words else "max"
    old_period = to_int(words[1] if len(words) > 1 else None, DEFAULT_CPU_PERIOD)
    new_quota = old_quota if not quota else size_or_max(quota)
    return f"{new_quota} {period or old_period}"


def _cpu(cpu: CPU, present: str) -> Iterator[Setting]:
    at = f"{_AT}.cpu"
    if cpu.idle is not None:
        yield Setting("cpu", ("cpu.idle",), str(cpu.idle), f"{at}.idle", optional=cpu.idle == 0)
    if cpu.shares and cpu.idle != 1:  # the kernel refuses a weight for an idle group
        yield Setting("cpu", ("cpu.weight",), str(cpu_weight(cpu.shares)), f"{at}.shares")
    if cpu.burst is not None:  # may exceed the old quota, or the new one be below the old burst
        field = f"{at}.burst"
        yield Setting(
            "cpu", ("cpu.max.burst",), str(cpu.burst), field, optional=cpu.burst == 0, postpone=True
        )
    text = cpu_max(cpu.quota, cpu.period, present)
    if text is not None:
        yield Setting("cpu", ("cpu.max",), text, f"{at}.quota", postpone=True)


def _cpuset(cpu: CPU) -> Iterator[Setting]:
    if cpu.cpus:
        yield Setting("cpuset", ("cpuset.cpus",), cpu.cpus, f"{_AT}.cpu.cpus")
    if cpu.mems:
        yield Setting("cpuset", ("cpuset.mems",), cpu.mems, f"{_AT}.cpu.mems")


def _block_io(block: BlockIO, bfq: bool) -> Iterator[Setting]:
    """bfq takes the spec's range as it is, ``io.weight`` is ten times as wide: one of both exists."""
    at = f"{_AT}.blockIO"
    if block.weight and bfq:
        yield Setting("io", ("io.bfq.weight",), str(block.weight), f"{at}.weight")
    elif block.weight:
        yield Setting("io", ("io.weight",), str(io_weight(block.weight)), f"{at}.weight")
    for index, device in enumerate(block.weight_device):
        if device.weight:
            key = f"{device.major}:{device.minor}"
            yield Setting(
                "io",
                ("io.bfq.weight",),
                f"{key} {device.weight}",
                f"{at}.weightDevice[{index}].weight",
                undo=Undo.LINE,
                reset=f"{key} default",
            )
    for attribute, word in _IO_MAX:
        for index, throttle in enumerate(getattr(block, attribute)):
            key = f"{throttle.major}:{throttle.minor}"
            yield Setting(
                "io",
                ("io.max",),
                f"{key} {word}={throttle.rate or 'max'}",
                f"{at}.{attribute}[{index}]",
                undo=Undo.LINE,
                reset=f"{key} rbps=max wbps=max riops=max wiops=max",
            )


def _hugepages(limit: HugepageLimit, field: str) -> Iterator[Setting]:
    start, value = f"hugetlb.{limit.page_size}", size_or_max(limit.limit)
    yield Setting("hugetlb", (f"{start}.max",), value, field)
    yield Setting("hugetlb", (f"{start}.rsvd.max",), value, field, optional=True)


def _unified(key: str, value: str) -> Setting:
    if not key or "/" in key or key in (".", ".."):
        raise ConfigError(f"{_AT}.unified", f"unified resource {key!r} must be a file name")
    controller = key.partition(".")[0]
    return Setting("" if controller == "cgroup" else controller, (key,), value, f"{_AT}.unified.{key}")
