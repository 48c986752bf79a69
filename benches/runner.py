"""Drives the contenders: interleaved, warmed up, in three modes, and no failure of one ends the run.

Back to back and idle, one repetition of each contender follows the other (A B C, B C A, ...), so that what
the machine does meanwhile meets all alike. With two launchers a contender has the machine for a block at a
time, once with one launcher and once with two; the blocks take turns.
"""

from __future__ import annotations

import gc
import itertools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from benches.drive import Record, block, repeat, usage_of
from benches.model import Gauge, Heading, Mode, Report, Scale, Series
from benches.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benches.model import Machine, Operation, Survey
    from benches.progress import Step

T = TypeVar("T")
IDLE_SECONDS = 0.05
BLOCKS = 4  # turns that each contender has with two launchers
GUESS_SECONDS = 0.012  # a repetition of something not measured yet; only the estimate depends on it


@dataclass(frozen=True)
class Schedule:
    """How often: repetitions per contender and mode."""

    busy: int
    idle: int
    launchers: int
    warmup: int = 3

    def repetitions(self, operation: Operation, mode: Mode) -> int:
        wanted = {Mode.BUSY: self.busy, Mode.IDLE: self.idle, Mode.TWO: self.launchers}[mode]
        return min(operation.repetitions, wanted) if operation.repetitions else wanted

    def modes(self, operation: Operation) -> list[Mode]:
        asked = {Mode.BUSY: True, Mode.IDLE: operation.idle, Mode.TWO: operation.parallel}
        return [mode for mode in Mode if asked[mode] and self.repetitions(operation, mode) > 0]


FULL = Schedule(busy=100, idle=60, launchers=80)
SHORT = Schedule(busy=30, idle=12, launchers=0)


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """The same items with another one first each turn, so that none always follows the same one's mess."""
    start = turn % len(items) if items else 0
    return [*items[start:], *items[:start]]


class Runner:
    """Measures operations one after the other. What it has so far can be asked for at any time."""

    def __init__(self, schedule: Schedule, progress: Progress | None = None) -> None:
        self._schedule = schedule
        self._progress = progress or Progress()
        self._numbers = itertools.count(1)
        self._headings: list[Heading] = []
        self._series: list[Series] = []
        self._readings: list[Scale | Gauge] = []

    def run(self, operations: Sequence[Operation], surveys: Sequence[Survey] = ()) -> None:
        """Measure all of them; the estimate of the time left knows every step from the start."""
        steps = {operation.name: self._announce(operation) for operation in operations}
        reads = [self._progress.announce(survey.name, 1, survey.seconds) for survey in surveys]
        gc.collect()
        gc.freeze()  # the harness's own objects are nobody's collection to pay for
        try:
            for operation in operations:
                self._operation(operation, steps[operation.name])
            for survey, step in zip(surveys, reads, strict=True):
                with self._progress.during(step):
                    self._survey(survey)
        finally:
            gc.unfreeze()
            self._progress.finish()

    def report(self, machine: Machine, *, short: bool = False) -> Report:
        return Report(
            machine,
            tuple(self._headings),
            tuple(self._series),
            scales=tuple(r for r in self._readings if isinstance(r, Scale)),
            gauges=tuple(r for r in self._readings if isinstance(r, Gauge)),
            short=short,
        )

    def _announce(self, operation: Operation) -> tuple[Step | None, list[tuple[Mode, Step]]]:
        contenders = len(operation.contenders)
        setup = None
        if operation.within is not None:
            setup = self._progress.announce(f"{operation.name}, setting up", 1, operation.within_seconds)
        steps = []
        for mode in self._schedule.modes(operation):
            turns = self._schedule.repetitions(operation, mode) + self._warmup(mode)
            each = GUESS_SECONDS + (IDLE_SECONDS if mode is Mode.IDLE else 0.0)
            if mode is Mode.TWO:
                each *= 2  # one launcher's share, and that of two
            step = self._progress.announce(f"{operation.name}, {mode}", turns * contenders, each)
            steps.append((mode, step))
        return setup, steps

    def _warmup(self, mode: Mode) -> int:
        return self._schedule.warmup if mode is Mode.BUSY else 1

    def _operation(
        self, operation: Operation, announced: tuple[Step | None, list[tuple[Mode, Step]]]
    ) -> None:
        setup, steps = announced
        self._headings.append(Heading(operation.name, operation.title, operation.unit, operation.amount))
        failed: set[str] = set()
        try:
            with ExitStack() as stack:
                if operation.within is not None and setup is not None:
                    with self._progress.during(setup):
                        stack.enter_context(operation.within())
                for mode, step in steps:
                    records = [Record(c) for c in operation.contenders if c.name not in failed]
                    with self._progress.during(step):
                        self._mode(operation, mode, records)
                    failed |= {record.contender.name for record in records if record.error is not None}
                    self._series += [_series(operation, mode, record) for record in records]
        except Exception as error:  # noqa: BLE001  # setting up or tidying up: the other operations go on
            self._progress.note(f"{operation.name}: {_said(error)}")
            first = operation.contenders[0]
            self._series.append(
                Series(operation.name, Mode.BUSY, first.name, (), error=_said(error), ours=first.is_ours)
            )

    def _mode(self, operation: Operation, mode: Mode, records: Sequence[Record]) -> None:
        if mode is Mode.TWO:
            self._blocks(operation, [r for r in records if r.contender.parallel])
            return
        idle = IDLE_SECONDS if mode is Mode.IDLE else 0.0
        for turn in range(-self._warmup(mode), self._schedule.repetitions(operation, mode)):
            for record in rotated(records, turn):
                if record.error is None:
                    with self._watched(operation, mode, record):
                        repeat(record, next(self._numbers), idle_seconds=idle, keep=turn >= 0)
                self._progress.advance()

    def _blocks(self, operation: Operation, records: Sequence[Record]) -> None:
        """Two launchers; their throughput is a multiple of one launcher's in the blocks beside."""
        size = max(self._schedule.repetitions(operation, Mode.TWO) // BLOCKS, 2)
        for turn in range(BLOCKS):
            for record in rotated(records, turn):
                if record.error is None:
                    with self._watched(operation, Mode.TWO, record):
                        self._block(record, size, two_first=bool(turn % 2))
                self._progress.advance(size)

    def _block(self, record: Record, size: int, *, two_first: bool) -> None:
        contender = record.contender
        repeat(record, next(self._numbers), keep=False)
        one = None if two_first else block(contender, self._numbers, size, 1)
        used = usage_of(contender)
        two = block(contender, self._numbers, size, 2)
        if contender.usage is not None:
            record.took(used, usage_of(contender), size)
        one = one or block(contender, self._numbers, size, 1)
        record.seconds += two.seconds
        record.throughputs.append(two.rate / one.rate)

    def _survey(self, survey: Survey) -> None:
        try:
            self._readings += survey.read(lambda text: self._progress.note(f"{survey.name}: {text}"))
        except Exception as error:  # noqa: BLE001  # what was measured before is worth keeping
            self._progress.note(f"{survey.name}: {_said(error)}")
            self._headings.append(Heading(survey.name, survey.title))
            self._series.append(Series(survey.name, Mode.BUSY, "survey", (), error=_said(error), ours=True))

    @contextmanager
    def _watched(self, operation: Operation, mode: Mode, record: Record) -> Iterator[None]:
        """A contender that fails is left out from here on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever a contender raises
            record.error = _said(error)
            self._progress.note(f"{operation.name}, {mode}: {record.contender.name} left out: {record.error}")


def _series(operation: Operation, mode: Mode, record: Record) -> Series:
    told = record.cpu_repetitions > 0
    return Series(
        operation.name,
        mode,
        record.contender.name,
        tuple(record.seconds),
        cpu_seconds=record.cpu_seconds / record.cpu_repetitions if told else None,
        peak_rss_kb=record.peak_rss_kb if told else None,
        throughput=record.throughput,
        error=record.error,
        ours=record.contender.is_ours,
    )


def _said(error: BaseException) -> str:
    """One line: the error, what its notes add, and what a failed program wrote."""
    parts = [f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]
    written = getattr(error, "stderr", None)
    if isinstance(written, bytes):
        written = written.decode(errors="replace")
    if isinstance(written, str) and written.strip():
        parts.append(written.strip().splitlines()[-1])
    return "; ".join(" ".join(part.split()) for part in parts)
