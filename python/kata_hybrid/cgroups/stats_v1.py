"""Counters of cgroup v1. Source: Linux, Documentation/admin-guide/cgroup-v1/."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kata_hybrid.cgroups.files import read_int, read_or_none, read_table
from kata_hybrid.cgroups.stats import (
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

if TYPE_CHECKING:
    from collections.abc import Mapping

# The first that exists is read: the bfq scheduler, the old cfq, the throttle layer.
_BLKIO_PREFIXES = ("blkio.bfq.", "blkio.", "blkio.throttle.")


def read_stats(paths: Mapping[str, str]) -> Stats:
    """Read what ``paths`` (controller -> directory) has; missing controllers give zeroes.

    Raises:
        CgroupError: a file exists but cannot be read.
    """
    return Stats(
        cpu=CpuStats(_cpu_usage(paths.get("cpuacct")), _throttling(paths.get("cpu"))),
        memory=_memory(paths.get("memory")),
        pids=_pids(paths.get("pids")),
        blkio=_blkio(paths.get("blkio")),
        hugetlb=_hugetlb(paths.get("hugetlb")),
    )


def _cpu_usage(directory: str | None) -> CpuUsage:
    if directory is None:
        return CpuUsage()
    ticks = read_table(os.path.join(directory, "cpuacct.stat"))
    tick = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    user, kernel = _per_cpu(os.path.join(directory, "cpuacct.usage_all"))
    percpu = (read_or_none(os.path.join(directory, "cpuacct.usage_percpu")) or "").split()
    return CpuUsage(
        total=read_int(os.path.join(directory, "cpuacct.usage")),
        user=ticks.get("user", 0) * tick,
        kernel=ticks.get("system", 0) * tick,
        percpu=tuple(int(word) for word in percpu),
        percpu_user=user,
        percpu_kernel=kernel,
    )


def _per_cpu(path: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """User and kernel columns of ``cpuacct.usage_all``, which opens with a heading."""
    rows = [line.split() for line in (read_or_none(path) or "").splitlines()[1:]]
    full = [row for row in rows if len(row) == 3]
    return tuple(int(row[1]) for row in full), tuple(int(row[2]) for row in full)


def _throttling(directory: str | None) -> Throttling:
    if directory is None:
        return Throttling()
    table = read_table(os.path.join(directory, "cpu.stat"))
    return Throttling(
        table.get("nr_periods", 0), table.get("nr_throttled", 0), table.get("throttled_time", 0)
    )


def _memory(directory: str | None) -> MemoryStats:
    if directory is None:
        return MemoryStats()
    table = read_table(os.path.join(directory, "memory.stat"))
    return MemoryStats(
        cache=table.get("cache", 0),
        usage=_memory_data(directory, "memory."),
        swap_usage=_memory_data(directory, "memory.memsw."),
        kernel_usage=_memory_data(directory, "memory.kmem."),
        kernel_tcp_usage=_memory_data(directory, "memory.kmem.tcp."),
        use_hierarchy=read_int(os.path.join(directory, "memory.use_hierarchy")) == 1,
        stats=table,
    )


def _memory_data(directory: str, prefix: str) -> MemoryData:
    start = os.path.join(directory, prefix)
    return MemoryData(
        usage=read_int(start + "usage_in_bytes"),
        max_usage=read_int(start + "max_usage_in_bytes"),
        failcnt=read_int(start + "failcnt"),
        limit=read_int(start + "limit_in_bytes"),
    )


def _pids(directory: str | None) -> PidsStats:
    if directory is None:
        return PidsStats()
    return PidsStats(
        read_int(os.path.join(directory, "pids.current")), read_int(os.path.join(directory, "pids.max"))
    )


def _blkio(directory: str | None) -> BlkioStats:
    if directory is None:
        return BlkioStats()
    return BlkioStats(
        io_service_bytes_recursive=_blkio_entries(directory, "io_service_bytes_recursive"),
        io_serviced_recursive=_blkio_entries(directory, "io_serviced_recursive"),
        io_queued_recursive=_blkio_entries(directory, "io_queued_recursive"),
        io_service_time_recursive=_blkio_entries(directory, "io_service_time_recursive"),
        io_wait_time_recursive=_blkio_entries(directory, "io_wait_time_recursive"),
        io_merged_recursive=_blkio_entries(directory, "io_merged_recursive"),
        io_time_recursive=_blkio_entries(directory, "time_recursive"),
        sectors_recursive=_blkio_entries(directory, "sectors_recursive"),
    )


def _blkio_entries(directory: str, name: str) -> tuple[BlkioEntry, ...]:
    """Entries of the first file that has any: an idle scheduler shows empty files beside full ones."""
    for prefix in _BLKIO_PREFIXES:
        entries = parse_blkio(read_or_none(os.path.join(directory, prefix + name)) or "")
        if entries:
            return entries
    return ()


def parse_blkio(text: str) -> tuple[BlkioEntry, ...]:
    """Lines ``8:0 Read 4096`` or ``8:0 4096``; the grand total line has no device and is left out."""
    entries: list[BlkioEntry] = []
    for line in text.splitlines():
        words = line.split()
        major, colon, minor = words[0].partition(":") if words else ("", "", "")
        if not colon or len(words) not in (2, 3) or not words[-1].isdigit():
            continue
        entries.append(
            BlkioEntry(int(major), int(minor), words[1] if len(words) == 3 else "", int(words[-1]))
        )
    return tuple(entries)


def _hugetlb(directory: str | None) -> dict[str, HugetlbStats]:
    if directory is None or not os.path.isdir(directory):
        return {}
    names = [name.split(".") for name in sorted(os.listdir(directory))]
    sizes = [parts[1] for parts in names if len(parts) == 3 and parts[2] == "usage_in_bytes"]
    return {
        size: HugetlbStats(
            read_int(os.path.join(directory, f"hugetlb.{size}.usage_in_bytes")),
            read_int(os.path.join(directory, f"hugetlb.{size}.max_usage_in_bytes")),
            read_int(os.path.join(directory, f"hugetlb.{size}.failcnt")),
        )
        for size in sizes
    }
