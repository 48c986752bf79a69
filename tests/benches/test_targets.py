"""The table of what is to be reached reads a stored run."""

from __future__ import annotations

from benches.model import Gauge, Heading, Machine, Mode, Point, Report, Scale, Series
from benches.targets import joined, table

MACHINE = Machine("2026-01-01T00:00:00+00:00", "6.1", 2, "cpu", 1024, "v1", "3.11", "abc")


def run(ours: float, crun: float) -> Report:
    series = tuple(
        Series("run", Mode.BUSY, name, (seconds,) * 3)
        for name, seconds in (("library", ours), ("crun", crun))
    )
    return Report(MACHINE, (Heading("run", "run"),), series)


def lines_of(report: Report) -> dict[str, str]:
    """Text of a target -> what is in its last columns."""
    return {line[:40].strip(): line[54:].strip() for line in table(report)[0]}


def test_a_ratio_below_its_limit_is_reached_and_one_above_is_said() -> None:
    assert lines_of(run(0.3, 1.0))["library run, to crun run"] == "0.3"
    assert table(run(0.3, 1.0))[1]
    assert lines_of(run(0.5, 1.0))["library run, to crun run"] == "0.5   not reached"
    assert not table(run(0.5, 1.0))[1]


def test_what_was_not_measured_is_a_dash_and_fails_nothing() -> None:
    assert lines_of(run(0.3, 1.0))["library exec, to crun exec"] == "-"


def test_parts_of_a_run_are_read_as_one_and_the_last_counts() -> None:
    gauge = Gauge("agent-idle-rss", "idle", "agent v1", 40.0, "MiB")
    scale = Scale(
        "scale-agent", "t", "agent v1", "containers", {"RSS each": "MiB"}, [Point(1000, {"RSS each": 0.1})]
    )
    other = Report(MACHINE, (), (), scales=(scale,), gauges=(gauge,))
    found = lines_of(joined([run(0.9, 1.0), run(0.3, 1.0), other]))
    assert found["library run, to crun run"] == "0.3"
    assert found["agent idle"] == "40   not reached"
    assert found["memory each of 1,000, agent"] == "0.1"
