"""Made-up reports for the tests of ``benches``: shaped like real ones, the same every time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from benches.model import Gauge, Heading, Machine, Mode, Point, Report, Scale, Series

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADINGS = (
    Heading("run", "run, wait and delete of true"),
    Heading("exec", "exec and wait of true"),
    Heading("list-100", "list of 100 containers"),
    Heading("stdout-64", "64 MiB of standard output", unit="MB/s", amount=64.0),
)
# Milliseconds of the middle, back to back.
USUAL: Mapping[str, Mapping[str, float]] = {
    "run": {"library": 4.1, "command": 11.0, "runc": 17.5, "crun": 7.2, "bwrap": 5.1, "floor": 3.0},
    "exec": {"library": 1.9, "command": 9.0, "agent v1": 3.1, "runc": 14.0, "crun": 4.9},
    "list-100": {"library": 1.2, "command": 9.5, "runc": 31.0, "crun": 6.0},
    "stdout-64": {"agent v1": 190.0, "go-agent": 610.0},
}
OURS = ("library", "command", "agent v1")


def machine(date: str = "2026-11-28T04:00:00+00:00", commit: str = "a89d329") -> Machine:
    return Machine(date, "6.18.44", 2, "Some CPU", 24105, "v1", "3.11.7", commit, {"runc": "1.1.5"})


def series(
    operation: str,
    contender: str,
    middle_ms: float,
    *,
    mode: Mode = Mode.BUSY,
    count: int = 60,
    seed: int = 1,
) -> Series:
    """Skewed as launches are: a hard lower edge and a tail."""
    draw = random.Random(f"{operation}{contender}{mode}{seed}")
    ms = tuple(middle_ms * (0.88 + draw.lognormvariate(-2.1, 0.7)) for _ in range(count))
    return Series(
        operation,
        mode,
        contender,
        tuple(round(x / 1000, 7) for x in ms),
        cpu_seconds=middle_ms / 1500,
        peak_rss_kb=21000,
        throughput=1.7 if mode is Mode.TWO else None,
        ours=contender in OURS,
    )


def report(*, faster: float = 1.0, commit: str = "a89d329", day: int = 28) -> Report:
    """All operations in all modes; ``faster`` scales our times."""
    made = []
    for heading in HEADINGS:
        for mode, factor in ((Mode.BUSY, 1.0), (Mode.IDLE, 1.9), (Mode.TWO, 1.15)):
            if heading.name != "run" and mode is Mode.TWO:
                continue
            for contender, middle in USUAL[heading.name].items():
                ours = faster if contender in OURS else 1.0
                made.append(series(heading.name, contender, middle * factor * ours, mode=mode, seed=day))
    points = tuple(
        Point(
            x, {"launch p50": 4.0 + x / 2000, "wait p50": 0.5, "own memory": 5 + x * 0.31, "fds": 8 + 3 * x}
        )
        for x in (1, 10, 100, 300, 1000)
    )
    metrics = {"launch p50": "ms", "wait p50": "ms", "own memory": "MiB", "fds": "fds"}
    return Report(
        machine(f"2026-11-{day:02}T04:00:00+00:00", commit),
        HEADINGS,
        tuple(made),
        scales=(Scale("scale", "1 to 1,000 running containers", "library", "containers", metrics, points),),
        gauges=(
            Gauge("agent-idle-rss", "idle agent, resident", "agent v1", 33.2, "MiB"),
            Gauge("agent-idle-rss", "idle agent, resident", "go-agent", 15.6, "MiB"),
        ),
    )


def history() -> list[Report]:
    """Five runs in which we get faster."""
    steps = (
        (1.5, "1111111", 20),
        (1.4, "2222222", 22),
        (1.1, "3333333", 24),
        (1.15, "4444444", 26),
        (1.0, "5555555", 28),
    )
    return [report(faster=faster, commit=commit, day=day) for faster, commit, day in steps]
