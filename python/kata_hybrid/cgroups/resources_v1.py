"""OCI resources as cgroup v1 settings. Pure: it reads nothing and writes nothing.

A zero memory, CPU or weight value means "not set", as engines send it. Kernel memory limits are gone from
Linux and are ignored. Sources: runtime-spec config-linux.md#control-groups; Linux
Documentation/admin-guide/cgroup-v1/.
"""

from __future__ import annotations

from kata_hybrid.cgroups.convert import pids_max
from kata_hybrid.cgroups.settings import Setting, Undo
from kata_hybrid.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from kata_hybrid.oci.config import CPU, BlockIO, HugepageLimit, Memory, Network, Rdma, Resources

MEMORY_LIMIT = "memory.limit_in_bytes"
MEMSW_LIMIT = "memory.memsw.limit_in_bytes"
_AT = "linux.resources"

# (attribute, file, the kernel may ask for another order)
_CPU = (
    ("burst", "cpu.cfs_burst_us", True),
    ("period", "cpu.cfs_period_us", True),
    ("quota", "cpu.cfs_quota_us", True),
    ("realtime_period", "cpu.rt_period_us", True),
    ("realtime_runtime", "cpu.rt_runtime_us", False),
)
_THROTTLE = (
    ("throttle_read_bps_device", "blkio.throttle.read_bps_device"),
    ("throttle_write_bps_device", "blkio.throttle.write_bps_device"),
    ("throttle_read_iops_device", "blkio.throttle.read_iops_device"),
    ("throttle_write_iops_device", "blkio.throttle.write_iops_device"),
)


def settings(resources: Resources, *, memory_limit: int | None = None) -> list[Setting]:
    """Everything but devices, in the order to write.

    Args:
        resources: what is asked for.
        memory_limit: the group's present limit in bytes; decides the order of memory and memory+swap.

    Raises:
        ConfigError: values that contradict each other, or that v1 has no file for.
    """
    if resources.unified:
        raise ConfigError(f"{_AT}.unified", "cannot use unified on cgroup v1")
    found: list[Setting] = []
    if resources.memory:
        found += memory_settings(resources.memory, memory_limit)
    if resources.cpu:
        found += _cpuset(resources.cpu)
        found += _cpu(resources.cpu)
    if resources.pids and resources.pids.limit is not None:
        value = pids_max(resources.pids.limit)
        found.append(Setting("pids", ("pids.max",), value, f"{_AT}.pids.limit", optional=value == "max"))
    if resources.block_io:
        found += _block_io(resources.block_io)
    for index, limit in enumerate(resources.hugepage_limits):
        found += _hugepages(limit, f"{_AT}.hugepageLimits[{index}]")
    if resources.network:
        found += _network(resources.network)
    found += [rdma_setting(name, limit) for name, limit in resources.rdma.items()]
    return found


def memory_settings(memory: Memory, current: int | None) -> list[Setting]:
    """Limit and memory+swap in the order that the kernel takes, then the rest.

    The kernel wants limit <= memory+swap at every moment: growing writes memory+swap first.
    """
    at = f"{_AT}.memory"
    limit, swap = memory.limit or None, memory.swap or None
    if limit is not None and limit > 0 and swap is not None and 0 < swap < limit:
        raise ConfigError(f"{at}.swap", "memory+swap limit should be >= memory limit")
    if swap is not None and swap > 0 and limit is None and current is None:
        raise ConfigError(f"{at}.swap", "unable to set swap limit without memory limit")
    if limit == -1 and swap is None:
        swap = -1
    first = [Setting("memory", (MEMORY_LIMIT,), str(limit), f"{at}.limit", limit == -1)] if limit else []
    second = [Setting("memory", (MEMSW_LIMIT,), str(swap), f"{at}.swap", swap == -1)] if swap else []
    growing = swap is not None and (swap == -1 or current is None or current < swap)
    found = second + first if growing else first + second
    if memory.reservation:
        found.append(_one("memory", "memory.soft_limit_in_bytes", memory.reservation, f"{at}.reservation"))
    if memory.swappiness is not None:
        if not 0 <= memory.swappiness <= 100:
            raise ConfigError(f"{at}.swappiness", f"must be from 0 to 100, not {memory.swappiness}")
        found.append(_one("memory", "memory.swappiness", memory.swappiness, f"{at}.swappiness"))
    if memory.disable_oom_killer is not None:
        value = int(memory.disable_oom_killer)
        field = f"{at}.disableOOMKiller"
        found.append(Setting("memory", ("memory.oom_control",), str(value), field, optional=value == 0))
    return found


def _one(controller: str, file: str, value: int, field: str) -> Setting:
    return Setting(controller, (file,), str(value), field)


def _cpuset(cpu: CPU) -> Iterator[Setting]:
    if cpu.cpus:
        yield Setting("cpuset", ("cpuset.cpus",), cpu.cpus, f"{_AT}.cpu.cpus")
    if cpu.mems:
        yield Setting("cpuset", ("cpuset.mems",), cpu.mems, f"{_AT}.cpu.mems")


def _cpu(cpu: CPU) -> Iterator[Setting]:
    if cpu.idle is not None:
        yield Setting("cpu", ("cpu.idle",), str(cpu.idle), f"{_AT}.cpu.idle", optional=cpu.idle == 0)
    if cpu.shares and cpu.idle != 1:  # an idle group has no shares of its own
        yield Setting("cpu", ("cpu.shares",), str(cpu.shares), "cpu-shares", clamped=True)
    for attribute, file, postpone in _CPU:
        value: int | None = getattr(cpu, attribute)
        # burst 0 and runtime 0 are values; period and quota 0 are "not set"
        if value is None or (value == 0 and attribute in ("period", "quota", "realtime_period")):
            continue
        yield Setting("cpu", (file,), str(value), f"{_AT}.cpu.{attribute}", value == 0, postpone)


def _block_io(block: BlockIO) -> Iterator[Setting]:
    at = f"{_AT}.blockIO"
    for word, value in (("weight", block.weight), ("leaf_weight", block.leaf_weight)):
        if value:
            yield Setting("blkio", (f"blkio.{word}", f"blkio.bfq.{word}"), str(value), f"{at}.{word}")
    for index, device in enumerate(block.weight_device):
        for word, value in (("weight", device.weight), ("leaf_weight", device.leaf_weight)):
            if value:
                yield Setting(
                    "blkio",
                    (f"blkio.{word}_device", f"blkio.bfq.{word}_device"),
                    f"{device.major}:{device.minor} {value}",
                    f"{at}.weightDevice[{index}].{word}",
                    undo=Undo.LINE,
                    reset=f"{device.major}:{device.minor} 0",
                )
    for attribute, file in _THROTTLE:
        for index, throttle in enumerate(getattr(block, attribute)):
            key = f"{throttle.major}:{throttle.minor}"
            field = f"{at}.{attribute}[{index}]"
            value_text = f"{key} {throttle.rate}"
            yield Setting("blkio", (file,), value_text, field, undo=Undo.LINE, reset=f"{key} 0")


def _hugepages(limit: HugepageLimit, field: str) -> Iterator[Setting]:
    start, value = f"hugetlb.{limit.page_size}", str(limit.limit)
    yield Setting("hugetlb", (f"{start}.limit_in_bytes",), value, field)
    yield Setting("hugetlb", (f"{start}.rsvd.limit_in_bytes",), value, field, optional=True)


def _network(network: Network) -> Iterator[Setting]:
    at = f"{_AT}.network"
    if network.class_id:
        yield _one("net_cls", "net_cls.classid", network.class_id, f"{at}.classID")
    for index, entry in enumerate(network.priorities):
        yield Setting(
            "net_prio",
            ("net_prio.ifpriomap",),
            f"{entry.name} {entry.priority}",
            f"{at}.priorities[{index}]",
            undo=Undo.LINE,
            reset=f"{entry.name} 0",
        )


def rdma_setting(name: str, limit: Rdma) -> Setting:
    """``rdma.max`` has the same form on both versions."""
    words = [name]
    if limit.hca_handles is not None:
        words.append(f"hca_handle={limit.hca_handles}")
    if limit.hca_objects is not None:
        words.append(f"hca_object={limit.hca_objects}")
    return Setting(
        "rdma",
        ("rdma.max",),
        " ".join(words),
        f"{_AT}.rdma.{name}",
        undo=Undo.LINE,
        reset=f"{name} hca_handle=max hca_object=max",
    )
