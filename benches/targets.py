"""``python -m benches.targets RUN.json ...``: what a stored run reached of what is to be reached.

Several files are one run in parts. A figure is a ratio of medians in the same mode of the same run, unless it
says a unit. Exit status 1 when one of those measured is not reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benches import store
from benches.model import Mode, Report, Series
from benches.stats import median

Read = Callable[[Report], float | None]


@dataclass(frozen=True)
class Target:
    """One line of the table. ``least``: the figure is to be at least ``limit``, else at most."""

    text: str
    read: Read
    limit: float
    unit: str = "×"
    least: bool = False

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.least else value <= self.limit


def _series(report: Report, operation: str, mode: Mode, contender: str) -> Series | None:
    return next((s for s in report.of(operation, mode) if s.contender == contender), None)


def ratio(operation: str, ours: str, peer: str, mode: Mode = Mode.BUSY) -> Read:
    def read(report: Report) -> float | None:
        mine, theirs = (_series(report, operation, mode, name) for name in (ours, peer))
        return median(mine.seconds) / median(theirs.seconds) if mine and theirs else None

    return read


def milliseconds(operation: str, ours: str, mode: Mode = Mode.BUSY, *, less: str = "") -> Read:
    """A median, or what it is above that of the contender ``less``."""

    def read(report: Report) -> float | None:
        mine = _series(report, operation, mode, ours)
        other = _series(report, operation, mode, less) if less else None
        if mine is None or (less and other is None):
            return None
        return (median(mine.seconds) - (median(other.seconds) if other else 0.0)) * 1000

    return read


def throughput(operation: str, ours: str) -> Read:
    """With two launchers, as a multiple of one's."""

    def read(report: Report) -> float | None:
        series = _series(report, operation, Mode.TWO, ours)
        return series.throughput if series else None

    return read


def rate(operation: str, ours: str) -> Read:
    def read(report: Report) -> float | None:
        series = _series(report, operation, Mode.BUSY, ours)
        return report.heading(operation).amount / median(series.seconds) if series else None

    return read


def gauge(name: str, contender: str) -> Read:
    def read(report: Report) -> float | None:
        return next((g.value for g in report.gauges if (g.name, g.contender) == (name, contender)), None)

    return read


def at_size(scale: str, metric: str, size: int = 1000) -> Read:
    def read(report: Report) -> float | None:
        points = (point for each in report.scales if each.name == scale for point in each.points)
        return next((point.values.get(metric) for point in points if point.x == size), None)

    return read


AGENT = "agent v1"
TARGETS: Sequence[Target] = (
    Target("library run, to crun run", ratio("run", "library", "crun"), 0.40),
    Target("  without a filter", ratio("run-plain", "library", "crun"), 0.40),
    Target("  another configuration each time", ratio("run-next", "library", "crun"), 0.40),
    Target("library run, to the floor", ratio("run", "library", "floor"), 1.6),
    Target("library run after idling, to crun run", ratio("run", "library", "crun", Mode.IDLE), 0.35),
    Target("  without a filter", ratio("run-plain", "library", "crun", Mode.IDLE), 0.35),
    Target("library run, to bwrap", ratio("run", "library", "bwrap"), 0.7),
    Target("library run after idling, to bwrap", ratio("run", "library", "bwrap", Mode.IDLE), 0.7),
    Target("library exec, to crun exec", ratio("exec", "library", "crun"), 0.45),
    Target("  without a filter", ratio("exec-plain", "library", "crun"), 0.45),
    Target("two threads, to one", throughput("run", "library"), 1.6, least=True),
    Target("from 1 GiB, to a small process", ratio("run-large", "library 1 GiB", "small process"), 1.1),
    Target("command run, to runc's", ratio("command-run", "command", "runc"), 0.8),
    Target("  without a filter", ratio("command-run-plain", "command", "runc"), 0.8),
    Target("command exec, to runc's", ratio("command-exec", "command", "runc"), 0.8),
    Target("waiting kata-init, private memory", gauge("init-private", "library"), 0.7, "MiB"),
    Target("agent exec, above the library's", milliseconds("agent-exec", AGENT, less="library"), 1.5, "ms"),
    Target("agent exec, to runc run", ratio("agent-exec", AGENT, "runc run"), 0.22),
    Target("agent idle", gauge("agent-idle-rss", AGENT), 34, "MiB"),
    Target("agent start to first Check", milliseconds("agent-start", AGENT), 250, "ms"),
    Target("exit to answer, 1,000, library", at_size("scale-library", "exit to answer"), 1, "ms"),
    Target("exit to answer, 1,000, agent", at_size("scale-agent", "exit to answer"), 1, "ms"),
    Target("agent stdout", rate("agent-stdout-64", AGENT), 300, "MB/s", least=True),
    Target("agent run, to runc run", ratio("agent-run", AGENT, "runc run"), 0.40),
    # Half of the Go agent's where there is none: 500 ms where runc run took 17.7.
    Target("64 execs at once, to the Go agent's", ratio("agent-exec-64", AGENT, "go-agent"), 0.5),
    Target("64 execs at once, to runc run", ratio("agent-exec-64", AGENT, "runc run"), 0.5 * 500 / 17.7),
    Target("memory each of 1,000, library", at_size("scale-library", "RSS each"), 0.35, "MiB"),
    Target("memory each of 1,000, agent", at_size("scale-agent", "RSS each"), 0.35, "MiB"),
    Target("idle CPU with 1,000, library", at_size("scale-library", "idle CPU"), 0.0, "ms/s"),
    Target("idle CPU with 1,000, agent", at_size("scale-agent", "idle CPU"), 0.0, "ms/s"),
)


def joined(reports: Sequence[Report]) -> Report:
    """One report of all parts; of what is in several the last one counts."""
    last = reports[-1]
    return replace(
        last,
        headings=tuple(h for r in reversed(reports) for h in r.headings),
        series=tuple(s for r in reversed(reports) for s in r.series),
        scales=tuple(s for r in reversed(reports) for s in r.scales),
        gauges=tuple(g for r in reversed(reports) for g in r.gauges),
    )


def table(report: Report) -> tuple[list[str], bool]:
    """Lines, and whether everything measured is reached."""
    lines, all_reached = [], True
    for target in TARGETS:
        value = target.read(report)
        sign = "≥" if target.least else "≤"
        wanted = f"{sign} {target.limit:.3g} {target.unit}"
        if value is None:
            lines.append(f"{target.text:<40}{wanted:>14}{'-':>12}")
            continue
        reached = target.reached(value)
        all_reached &= reached
        lines.append(f"{target.text:<40}{wanted:>14}{value:>12.3g}{'' if reached else '   not reached'}")
    return lines, all_reached


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    lines, reached = table(joined([store.read(Path(name)) for name in arguments]))
    print("\n".join(lines))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
