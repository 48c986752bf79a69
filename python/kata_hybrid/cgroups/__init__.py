"""Control groups of either version: create, limit, measure, freeze, kill, watch, remove.

>>> layout = detect()                                   # doctest: +SKIP
>>> manager = make_manager(layout, "", "web1")          # doctest: +SKIP
>>> manager.create()                                    # doctest: +SKIP
"""

from __future__ import annotations

from kata_hybrid._light import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kata_hybrid.cgroups.layout import Hierarchy, Layout, detect
    from kata_hybrid.cgroups.manager import JoinFds, Manager, from_paths, make_manager
    from kata_hybrid.cgroups.oom import OomWatch
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

__all__ = [
    "BlkioEntry",
    "BlkioStats",
    "CpuStats",
    "CpuUsage",
    "Hierarchy",
    "HugetlbStats",
    "JoinFds",
    "Layout",
    "Manager",
    "MemoryData",
    "MemoryStats",
    "OomWatch",
    "PidsStats",
    "Stats",
    "Throttling",
    "detect",
    "from_paths",
    "make_manager",
]

__getattr__ = attributes(
    __name__,
    {
        "BlkioEntry": "stats",
        "BlkioStats": "stats",
        "CpuStats": "stats",
        "CpuUsage": "stats",
        "Hierarchy": "layout",
        "HugetlbStats": "stats",
        "JoinFds": "manager",
        "Layout": "layout",
        "Manager": "manager",
        "MemoryData": "stats",
        "MemoryStats": "stats",
        "OomWatch": "oom",
        "PidsStats": "stats",
        "Stats": "stats",
        "Throttling": "stats",
        "detect": "layout",
        "from_paths": "manager",
        "make_manager": "manager",
    },
)
