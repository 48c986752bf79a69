"""What a container has used, as one set of types for both cgroup versions.

Times are nanoseconds, sizes bytes. A controller that is missing gives zeroes. The shape follows the
counters that engines and Kata hosts read; ``stats_v1`` and ``stats_v2`` fill it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import dataclass, field
else:
    from kata_hybrid._record import dataclass, field

UNLIMITED = 2**64 - 1  # what "max" in a v2 memory file becomes


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """Nanoseconds. The per-CPU tuples are empty on v2, which does not count so."""

    total: int = 0
    user: int = 0
    kernel: int = 0
    percpu: tuple[int, ...] = ()
    percpu_user: tuple[int, ...] = ()
    percpu_kernel: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Throttling:
    """``throttled_time`` in nanoseconds; the others count enforcement periods."""

    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


@dataclass(frozen=True, slots=True)
class CpuStats:
    usage: CpuUsage = CpuUsage()
    throttling: Throttling = Throttling()


@dataclass(frozen=True, slots=True)
class MemoryData:
    """Bytes; ``failcnt`` counts charges that met the limit."""

    usage: int = 0
    max_usage: int = 0
    failcnt: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """``swap_usage`` is memory and swap together on both versions; ``stats`` is all of memory.stat."""

    cache: int = 0
    usage: MemoryData = MemoryData()
    swap_usage: MemoryData = MemoryData()
    kernel_usage: MemoryData = MemoryData()
    kernel_tcp_usage: MemoryData = MemoryData()
    use_hierarchy: bool = False
    stats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PidsStats:
    """``limit`` 0: unlimited."""

    current: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class BlkioEntry:
    """``op`` is ``Read``, ``Write``, ``Sync``, ``Async``, ``Discard``, ``Total`` or empty."""

    major: int
    minor: int
    op: str
    value: int


@dataclass(frozen=True, slots=True)
class BlkioStats:
    io_service_bytes_recursive: tuple[BlkioEntry, ...] = ()
    io_serviced_recursive: tuple[BlkioEntry, ...] = ()
    io_queued_recursive: tuple[BlkioEntry, ...] = ()
    io_service_time_recursive: tuple[BlkioEntry, ...] = ()
    io_wait_time_recursive: tuple[BlkioEntry, ...] = ()
    io_merged_recursive: tuple[BlkioEntry, ...] = ()
    io_time_recursive: tuple[BlkioEntry, ...] = ()
    sectors_recursive: tuple[BlkioEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class HugetlbStats:
    usage: int = 0
    max_usage: int = 0
    failcnt: int = 0


@dataclass(frozen=True, slots=True)
class Stats:
    """One reading. ``hugetlb`` is keyed by page size, ``2MB``."""

    cpu: CpuStats = CpuStats()
    memory: MemoryStats = MemoryStats()
    pids: PidsStats = PidsStats()
    blkio: BlkioStats = BlkioStats()
    hugetlb: Mapping[str, HugetlbStats] = field(default_factory=dict)
