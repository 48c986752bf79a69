"""The runner with contenders that only note what is asked of them."""

from __future__ import annotations

import io
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.bench_samples import machine

from benches import runner as runner_module
from benches.model import Contender, Gauge, Mode, Operation, Report, Survey, Usage, is_ours
from benches.progress import Progress
from benches.runner import Runner, Schedule, rotated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY_ONLY = Schedule(busy=6, idle=0, launchers=0, warmup=3)


@dataclass
class Log:
    """What was called, in order."""

    calls: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def contender(self, name: str, seconds: float | None = 0.001, **more: object) -> Contender:
        def once(number: int) -> float | None:
            self.calls.append(name)
            self.numbers.append(number)
            return seconds

        return Contender(name, once, **more)  # type: ignore[arg-type]


def measured(schedule: Schedule, *operations: Operation, surveys: tuple[Survey, ...] = ()) -> Report:
    runner = Runner(schedule, Progress(io.StringIO()))
    runner.run(operations, surveys)
    return runner.report(machine())


def test_rotation() -> None:
    assert [rotated("abc", turn) for turn in (-1, 0, 1, 2, 3)] == [
        list("cab"),
        list("abc"),
        list("bca"),
        list("cab"),
        list("abc"),
    ]
    assert rotated([], 5) == []


def test_contenders_take_turns_and_another_begins_each_time() -> None:
    log = Log()
    report = measured(BUSY_ONLY, Operation("run", "run", [log.contender(name) for name in "abc"], idle=False))
    assert "".join(log.calls) == "".join("".join(rotated("abc", turn)) for turn in range(-3, 6))
    assert len(set(log.numbers)) == len(log.numbers), "each repetition has a number of its own"
    assert [(s.contender, len(s.seconds)) for s in report.of("run", Mode.BUSY)] == [
        ("a", 6),
        ("b", 6),
        ("c", 6),
    ]


def test_the_contender_s_own_clock_wins() -> None:
    log = Log()
    contenders = [log.contender("own", 0.25), log.contender("none", None)]
    own, none = measured(BUSY_ONLY, Operation("run", "run", contenders)).of("run", Mode.BUSY)
    assert own.seconds == (0.25,) * 6
    assert all(0 <= seconds < 0.2 for seconds in none.seconds)


def test_before_and_after_are_not_on_the_clock_and_get_the_same_number() -> None:
    seen: list[tuple[str, int]] = []

    def note(what: str, nap: float = 0.0) -> Callable[[int], None]:
        def call(number: int) -> None:
            seen.append((what, number))
            time.sleep(nap)

        return call

    contender = Contender("a", note("once"), before=note("before", 0.02), after=note("after", 0.02))
    schedule = Schedule(busy=1, idle=0, launchers=0, warmup=0)
    (series,) = measured(schedule, Operation("run", "run", [contender])).series
    assert [what for what, _ in seen] == ["before", "once", "after"]
    assert len({number for _, number in seen}) == 1
    assert series.seconds[0] < 0.015


def test_cpu_is_what_once_took_and_nothing_else() -> None:
    total = 100.0

    def spend(seconds: float) -> Callable[[int], None]:
        def call(_: int) -> None:
            nonlocal total
            total += seconds

        return call

    contender = Contender(
        "a", spend(2.0), usage=lambda: Usage(total, 4321), before=spend(10.0), after=spend(50.0)
    )
    (series,) = measured(BUSY_ONLY, Operation("run", "run", [contender])).series
    assert series.cpu_seconds == pytest.approx(2.0)
    assert series.peak_rss_kb == 4321


def test_a_failing_contender_is_left_out_and_the_others_go_on() -> None:
    log = Log()
    cleaned = []

    def fail(number: int) -> None:
        raise OSError(2, "no such peer")

    bad = Contender("runc", fail, after=cleaned.append)
    report = measured(
        Schedule(busy=6, idle=2, launchers=0),
        Operation("run", "run", [log.contender("library"), bad, log.contender("crun")]),
        Operation("exec", "exec", [log.contender("library")], idle=False),
    )
    assert len(cleaned) == 1, "it is asked once, and tidied up after"
    (failure,) = report.failures()
    assert (failure.operation, failure.mode, failure.contender) == ("run", Mode.BUSY, "runc")
    assert failure.error == "FileNotFoundError: [Errno 2] no such peer"
    assert not failure.ours
    assert [s.contender for s in report.of("run", Mode.IDLE)] == ["library", "crun"]
    assert [s.contender for s in report.of("exec", Mode.BUSY)] == ["library"]


def test_a_failed_clean_up_does_not_hide_the_first_error() -> None:
    def fail(text: str) -> Callable[[int], None]:
        def call(_: int) -> None:
            raise RuntimeError(text)

        return call

    bad = Contender("library", fail("the cause"), after=fail("left over"))
    (failure,) = measured(BUSY_ONLY, Operation("run", "run", [bad])).failures()
    assert failure.ours
    assert failure.error is not None
    assert failure.error.startswith("RuntimeError: the cause; and cleaning up after it: ")
    assert "left over" in failure.error


def test_idling_comes_before_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "IDLE_SECONDS", 0.03)
    times: list[float] = []
    contender = Contender("a", lambda _: times.append(time.perf_counter()))
    schedule = Schedule(busy=1, idle=4, launchers=0, warmup=0)
    report = measured(schedule, Operation("run", "run", [contender]))
    (series,) = report.of("run", Mode.IDLE)
    assert len(series.seconds) == 4
    assert max(series.seconds) < 0.02
    gaps = [b - a for a, b in pairwise(times[1:])]
    assert min(gaps) >= 0.03


def test_two_launchers_work_at_once_and_share_the_repetitions() -> None:
    lock = threading.Lock()
    inside = most = calls = 0

    def once(_: int) -> None:
        nonlocal inside, most, calls
        with lock:
            inside += 1
            calls += 1
            most = max(most, inside)
        time.sleep(0.01)
        with lock:
            inside -= 1

    alone = Log()
    schedule = Schedule(busy=1, idle=0, launchers=16, warmup=0)
    contenders = [Contender("library", once), alone.contender("agent v1", parallel=False)]
    report = measured(schedule, Operation("run", "run", contenders, parallel=True))
    (series,) = report.of("run", Mode.TWO)
    assert most == 2
    assert len(series.seconds) == 16
    assert calls == 1 + 4 * (1 + 4 + 4), "warm-up, one launcher and two, four times"
    assert series.throughput == pytest.approx(2, rel=0.4)
    assert len(alone.calls) == 1, "only back to back"


def test_an_error_in_a_launcher_ends_its_block() -> None:
    def once(number: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("only alone")

    schedule = Schedule(busy=1, idle=0, launchers=8, warmup=0)
    report = measured(schedule, Operation("run", "run", [Contender("runc", once)], parallel=True))
    (failure,) = report.failures()
    assert (failure.mode, failure.error) == (Mode.TWO, "RuntimeError: only alone")


def test_dear_operations_are_repeated_less_and_never_more() -> None:
    log = Log()
    report = measured(
        BUSY_ONLY,
        Operation("dear", "dear", [log.contender("a")], repetitions=2),
        Operation("cheap", "cheap", [log.contender("a")], repetitions=1000),
    )
    assert [len(s.seconds) for s in report.series] == [2, 6]


def test_what_surrounds_an_operation_is_there_and_gone() -> None:
    log = Log()

    @contextmanager
    def thousand() -> Iterator[None]:
        log.calls.append("in")
        yield
        log.calls.append("out")

    measured(
        Schedule(busy=1, idle=0, launchers=0, warmup=0),
        Operation("list", "list", [log.contender("a")], within=thousand),
        Operation("run", "run", [log.contender("b")]),
    )
    assert log.calls == ["in", "a", "out", "b"]


def test_an_operation_that_cannot_be_set_up_is_our_failure_and_the_others_go_on() -> None:
    log = Log()

    @contextmanager
    def broken() -> Iterator[None]:
        raise OSError(28, "No space left on device")
        yield

    report = measured(
        BUSY_ONLY,
        Operation("list", "list", [log.contender("library")], within=broken),
        Operation("run", "run", [log.contender("library")]),
    )
    (failure,) = report.failures()
    assert failure.ours
    assert failure.operation == "list"
    assert [heading.name for heading, _, _ in report.groups()] == ["run"]


def test_surveys_come_last_and_may_fail() -> None:
    log = Log()

    def read(say: Callable[[str], None]) -> list[Gauge]:
        log.calls.append("survey")
        return [Gauge("rss", "idle", "agent v1", 33.0, "MiB")]

    def fail(say: Callable[[str], None]) -> list[Gauge]:
        raise RuntimeError("no memory")

    report = measured(
        Schedule(busy=1, idle=0, launchers=0, warmup=0),
        Operation("run", "run", [log.contender("a")]),
        surveys=(Survey("bad", "bad", fail), Survey("good", "good", read)),
    )
    assert log.calls == ["a", "survey"]
    assert [gauge.value for gauge in report.gauges] == [33.0]
    assert [(f.operation, f.error, f.ours) for f in report.failures()] == [
        ("bad", "RuntimeError: no memory", True)
    ]


def test_an_interrupted_run_has_what_was_measured() -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    log = Log()
    runner = Runner(BUSY_ONLY, Progress(io.StringIO()))
    with pytest.raises(KeyboardInterrupt):
        runner.run(
            [
                Operation("run", "run", [log.contender("a")], idle=False),
                Operation("exec", "exec", [Contender("a", interrupt)]),
            ]
        )
    assert [heading.name for heading, _, _ in runner.report(machine()).groups()] == ["run"]


@pytest.mark.parametrize(
    ("name", "ours"),
    [("library", True), ("library 1 GiB", True), ("agent v1", True), ("runc", False), ("go-agent", False)],
)
def test_whose_a_contender_is(name: str, ours: bool) -> None:
    assert is_ours(name) is ours
    assert Contender(name, lambda _: None, ours=not ours).is_ours is not ours
