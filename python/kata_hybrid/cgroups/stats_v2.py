"""Counters of cgroup v2. Source: Linux, Documentation/admin-guide/cgroup-v2.rst."""

from __future__ import annotations

import os

from kata_hybrid.cgroups.files import read_int, read_or_none, read_table
from kata_hybrid.cgroups.stats import (
    UNLIMITED,
    BlkioEntry,
    BlkioStats,
    CpuStats,
    CpuUsage,
    HugetlbStats,
    MemoryData,
    MemoryStats,
    PidsStats,
    Stats,
    Throttling,
)

_BYTES = {"rbytes": "Read", "wbytes": "Write", "dbytes": "Discard"}
_OPERATIONS = {"rios": "Read", "wios": "Write", "dios": "Discard"}


def read_stats(directory: str) -> Stats:
    """Read one group; controllers that are not enabled give zeroes.

    Raises:
        CgroupError: a file exists but cannot be read.
    """
    return Stats(
        cpu=_cpu(directory),
        memory=_memory(directory),
        pids=PidsStats(_number(directory, "pids.current"), _number(directory, "pids.max")),
        blkio=parse_io_stat(read_or_none(os.path.join(directory, "io.stat")) or ""),
        hugetlb=_hugetlb(directory),
    )


def _number(directory: str, name: str, default: int = 0) -> int:
    return read_int(os.path.join(directory, name), default)


def _cpu(directory: str) -> CpuStats:
    table = read_table(os.path.join(directory, "cpu.stat"))
    return CpuStats(
        CpuUsage(
            total=table.get("usage_usec", 0) * 1000,
            user=table.get("user_usec", 0) * 1000,
            kernel=table.get("system_usec", 0) * 1000,
        ),
        Throttling(
            table.get("nr_periods", 0), table.get("nr_throttled", 0), table.get("throttled_usec", 0) * 1000
        ),
    )


def _memory(directory: str) -> MemoryStats:
    if not os.path.exists(os.path.join(directory, "memory.current")):
        return MemoryStats()
    table = read_table(os.path.join(directory, "memory.stat"))
    events = read_table(os.path.join(directory, "memory.events"))
    memory = MemoryData(
        usage=_number(directory, "memory.current"),
        max_usage=_number(directory, "memory.peak"),
        failcnt=events.get("max", 0),
        limit=_number(directory, "memory.max", UNLIMITED),
    )
    return MemoryStats(
        cache=table.get("file", 0),
        usage=memory,
        swap_usage=_memory_and_swap(directory, memory),
        kernel_usage=MemoryData(usage=table.get("kernel", 0)),
        use_hierarchy=True,
        stats=table,
    )


def _memory_and_swap(directory: str, memory: MemoryData) -> MemoryData:
    """v1 counts memory and swap together, v2 apart; readers expect the first."""
    limit = min(memory.limit + _number(directory, "memory.swap.max", UNLIMITED), UNLIMITED)
    swap = _number(directory, "memory.swap.current")
    return MemoryData(usage=memory.usage + swap, max_usage=0, failcnt=0, limit=limit)


def parse_io_stat(text: str) -> BlkioStats:
    """``8:0 rbytes=1 wbytes=2 rios=3 ...`` as the two tables that v2 has."""
    sizes: list[BlkioEntry] = []
    counts: list[BlkioEntry] = []
    for line in text.splitlines():
        device, *fields = line.split() or [""]
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        for item in fields:
            name, _, value = item.partition("=")
            if name in _BYTES:
                sizes.append(BlkioEntry(int(major), int(minor), _BYTES[name], int(value)))
            elif name in _OPERATIONS:
                counts.append(BlkioEntry(int(major), int(minor), _OPERATIONS[name], int(value)))
    return BlkioStats(io_service_bytes_recursive=tuple(sizes), io_serviced_recursive=tuple(counts))


def _hugetlb(directory: str) -> dict[str, HugetlbStats]:
    if not os.path.isdir(directory):
        return {}
    names = [name.split(".") for name in sorted(os.listdir(directory))]
    sizes = [
        parts[1] for parts in names if len(parts) == 3 and parts[0] == "hugetlb" and parts[2] == "current"
    ]
    return {
        size: HugetlbStats(
            usage=_number(directory, f"hugetlb.{size}.current"),
            failcnt=read_table(os.path.join(directory, f"hugetlb.{size}.events")).get("max", 0),
        )
        for size in sizes
    }
