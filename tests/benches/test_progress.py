"""The estimate of the time left."""

from __future__ import annotations

import io

import pytest

from benches.progress import Progress, clock_time


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_estimate_follows_the_pace_seen() -> None:
    clock, out = Clock(), io.StringIO()
    progress = Progress(out, clock)
    first = progress.announce("run, back to back", 10, 1.0)
    progress.announce("exec, back to back", 10, 1.0)
    assert progress.left() == 20
    progress.begin(first)
    for _ in range(5):
        clock.now += 2.0
        progress.advance()
    assert progress.left() == pytest.approx(5 * 2 + 10), "the other's pace is not known yet"
    clock.now += 10.0
    progress.advance(5)
    progress.end()
    assert progress.left() == pytest.approx(20), "twice as slow as announced"


def test_a_log_gets_a_line_per_step_and_one_every_ten_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    progress = Progress(out, clock)
    step = progress.announce("run, back to back", 100, 1.0)
    progress.begin(step)
    for _ in range(25):
        clock.now += 1.0
        progress.advance()
    lines = out.getvalue().splitlines()
    assert lines[0] == "[1/1] run, back to back: 0/100, about 1:40 left"
    assert lines[1] == "[1/1] run, back to back: 10/100, about 1:30 left"
    assert len(lines) == 3


def test_a_terminal_gets_one_line_that_is_wiped() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    clock, out = Clock(), Terminal()
    progress = Progress(out, clock)
    progress.begin(progress.announce("run", 2, 1.0))
    clock.now += 1.0
    progress.advance()
    progress.note("runc left out")
    progress.finish()
    assert "\n" not in out.getvalue().replace("runc left out\n", "")
    assert out.getvalue().endswith("\r\x1b[K")


def test_times() -> None:
    assert [clock_time(s) for s in (0.4, 59, 60, 75.2, 3600)] == ["0 s", "59 s", "1:00", "1:15", "60:00"]
