"""From 1 to 1,000 running containers in one Runtime and in one agent: what grows, and what must not."""

from __future__ import annotations

import resource
import statistics
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benches.agents import status_kb
from benches.model import Point, Scale, Survey
from benches.operations.agent import Agents
from benches.operations.fleet import AgentFleet, Fleet, LibraryFleet, remove_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benches.model import Gauge
    from benches.operations.setting import Setting

SIZES: Final = (1, 10, 100, 250, 500, 1000)
SHORT_SIZES: Final = (1, 10)
LATENCY_SAMPLES: Final = 15
LAUNCH_SAMPLES: Final = 50
IDLE_SECONDS: Final = 2.0
METRICS: Final = {
    "launch": "ms",  # median of the latest ones
    "exit to answer": "ms",  # median: from the end of a process to the answer that its waiter has
    "exit to answer, worst": "ms",
    "RSS each": "MiB",  # growth of the process that holds them, per container; so for the next two
    "PSS each": "MiB",
    "fds each": "fds",
    "workload": "MiB",  # PSS of one
    "idle CPU": "ms/s",  # of the process that holds them
}


def surveys(setting: Setting) -> list[Survey]:
    title = "1 to 1,000 running containers"
    return [
        Survey("scale-library", f"library: {title}", partial(_library, setting), seconds=60),
        Survey("scale-agent", f"agent: {title}", partial(_agent, setting), seconds=60),
    ]


def _library(setting: Setting, say: Callable[[str], None]) -> list[Scale | Gauge]:
    with ExitStack() as stack, _many_descriptors():
        return [_grow(LibraryFleet(setting, stack), "scale-library", _sizes(setting), say)]


def _agent(setting: Setting, say: Callable[[str], None]) -> list[Scale | Gauge]:
    with ExitStack() as stack, _many_descriptors():
        agent = Agents(setting).start_ours(stack)
        agent.sandbox(f"fleet-{agent.pid}", stack)
        return [_grow(AgentFleet(setting, agent), "scale-agent", _sizes(setting), say)]


def _sizes(setting: Setting) -> Sequence[int]:
    return SHORT_SIZES if setting.place.short else SIZES


def _many_descriptors() -> ExitStack:
    """The soft limit is the hard one meanwhile, also for what is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack = ExitStack()
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    return stack


def _grow(fleet: Fleet, name: str, sizes: Sequence[int], say: Callable[[str], None]) -> Scale:
    """Read at each size, on the way up; then all are removed."""
    fleet.launch(0)  # what is loaded with the first launch is nobody's share
    fleet.remove(0)
    before = _Reading(fleet.pid)
    points: list[Point] = []
    made = 0
    try:
        for size in sizes:
            launches = []
            while made < size:
                launches.append(fleet.launch(made))
                made += 1
                if made % 50 == 0:
                    say(f"{fleet.name}: {made} of {sizes[-1]}")
            points.append(Point(size, _point(fleet, size, launches[-LAUNCH_SAMPLES:], before)))
    finally:
        remove_all(fleet, made, say)
    return Scale(name, f"1 to {sizes[-1]:,} running containers", fleet.name, "containers", METRICS, points)


class _Reading:
    """What a process holds now."""

    def __init__(self, pid: int) -> None:
        self.rss_mib = status_kb(pid, "Rss", "smaps_rollup") / 1024
        self.pss_mib = status_kb(pid, "Pss", "smaps_rollup") / 1024
        self.descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _point(fleet: Fleet, size: int, launches: list[float], before: _Reading) -> dict[str, float]:
    now = _Reading(fleet.pid)
    idle = _idle_ms_per_second(fleet.pid)
    workload = status_kb(fleet.container_pid(size - 1), "Pss", "smaps_rollup") / 1024
    latencies = []
    for sample in range(LATENCY_SAMPLES):
        number = sample * size // LATENCY_SAMPLES  # all over the fleet, its first ones too
        latencies.append(fleet.end(number))
        fleet.remove(number)
        fleet.launch(number)
    values = (
        statistics.median(launches) * 1000,
        statistics.median(latencies) * 1000,
        max(latencies) * 1000,
        (now.rss_mib - before.rss_mib) / size,
        (now.pss_mib - before.pss_mib) / size,
        (now.descriptors - before.descriptors) / size,
        workload,
        idle,
    )
    return dict(zip(METRICS, values, strict=True))


def _idle_ms_per_second(pid: int) -> float:
    clock = ~pid << 3 | 2  # clock_getcpuclockid(3)
    began = time.clock_gettime(clock)
    time.sleep(IDLE_SECONDS)
    return (time.clock_gettime(clock) - began) * 1000 / IDLE_SECONDS
