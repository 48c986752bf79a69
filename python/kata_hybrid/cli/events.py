"""``events``: counters of a container as JSON lines."""

from __future__ import annotations

import gc
import json
import re
from dataclasses import asdict

from .context import write_out
from .options import FLAG, Option
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroups.stats import BlkioEntry, BlkioStats, CpuStats, MemoryData, MemoryStats, Stats
    from .context import Context
    from .options import Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = (
    Option(("interval",), help="time between two readings, such as 5s (default: 5s)"),
    Option(("stats",), FLAG, "one reading, then exit"),
)
ARITY = (1, 1)

_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def run(context: Context, given: Parsed) -> int:
    """Print one line for each reading until the container stops."""
    from ..errors import ContainerNotFound, ContainerNotRunning

    interval = seconds(given.value("interval") or "5s")
    if interval <= 0:
        raise CommandError("duration interval must be greater than 0")
    container = context.runtime().load(given.words[0])
    gc.enable()  # this may go on for days
    write_out(line(container.id, container.stats()))
    while not given.flag("stats"):
        try:
            container.wait(interval)
            break
        except TimeoutError:
            write_out(line(container.id, container.stats()))
        except (ContainerNotFound, ContainerNotRunning):
            break
    return 0


def seconds(text: str) -> float:
    """A duration as Go writes it: ``1m30s``, ``500ms``.

    Raises:
        CommandError: it is none.
    """
    parts = _DURATION.findall(text)
    if not parts or "".join(value + unit for value, unit in parts) != text:
        if text == "0":
            return 0.0
        raise CommandError(f'invalid value "{text}" for flag -interval: time: invalid duration "{text}"')
    return sum(float(value) * _SECONDS[unit] for value, unit in parts)


def line(container_id: str, stats: Stats) -> str:
    """One event of type ``stats``."""
    event = {"type": "stats", "id": container_id, "data": data(stats)}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n"


def data(stats: Stats) -> dict[str, object]:
    """Counters under the keys that engines read."""
    result: dict[str, object] = {
        "cpu": _cpu(stats.cpu),
        "cpuset": {},
        "memory": _memory(stats.memory),
        "pids": {"current": stats.pids.current, "limit": stats.pids.limit},
        "blkio": _blkio(stats.blkio),
        "hugetlb": {
            size: {"usage": use.usage, "max": use.max_usage, "failcnt": use.failcnt}
            for size, use in stats.hugetlb.items()
        },
        "intel_rdt": {},
        "network_interfaces": None,
    }
    return result


def _cpu(cpu: CpuStats) -> dict[str, object]:
    usage: dict[str, object] = {"total": cpu.usage.total}
    for key, values in (
        ("percpu", cpu.usage.percpu),
        ("percpu_kernel", cpu.usage.percpu_kernel),
        ("percpu_user", cpu.usage.percpu_user),
    ):
        if values:
            usage[key] = list(values)
    usage |= {"kernel": cpu.usage.kernel, "user": cpu.usage.user}
    throttling = {
        "periods": cpu.throttling.periods,
        "throttledPeriods": cpu.throttling.throttled_periods,
        "throttledTime": cpu.throttling.throttled_time,
    }
    return {"usage": usage, "throttling": throttling}


def _memory(memory: MemoryStats) -> dict[str, object]:
    return {
        "cache": memory.cache,
        "usage": _memory_entry(memory.usage),
        "swap": _memory_entry(memory.swap_usage),
        "kernel": _memory_entry(memory.kernel_usage),
        "kernelTCP": _memory_entry(memory.kernel_tcp_usage),
        "raw": dict(memory.stats),
    }


def _memory_entry(entry: MemoryData) -> dict[str, int]:
    return {"limit": entry.limit, "usage": entry.usage, "max": entry.max_usage, "failcnt": entry.failcnt}


def _blkio(blkio: BlkioStats) -> dict[str, object]:
    names = {
        "ioServiceBytesRecursive": blkio.io_service_bytes_recursive,
        "ioServicedRecursive": blkio.io_serviced_recursive,
        "ioQueueRecursive": blkio.io_queued_recursive,
        "ioServiceTimeRecursive": blkio.io_service_time_recursive,
        "ioWaitTimeRecursive": blkio.io_wait_time_recursive,
        "ioMergedRecursive": blkio.io_merged_recursive,
        "ioTimeRecursive": blkio.io_time_recursive,
        "sectorsRecursive": blkio.sectors_recursive,
    }
    return {name: [_entry(entry) for entry in entries] for name, entries in names.items() if entries}


def _entry(entry: BlkioEntry) -> dict[str, object]:
    return asdict(entry)
