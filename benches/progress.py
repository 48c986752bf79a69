"""How far a run is and how long it will still take, on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY_TERMINAL = 0.2  # seconds between two lines
EVERY_LOG = 10.0


@dataclass(eq=False)
class Step:
    """A part of the run: what it is called, its repetitions, and what one is thought to take."""

    name: str
    repetitions: int
    seconds_each: float
    done: int = 0

    @property
    def left(self) -> float:
        return max(self.repetitions - self.done, 0) * self.seconds_each


class Progress:
    """Announced steps, their estimates, and a line that says both.

    A step's own pace replaces the estimate as soon as it has one. What is not begun yet is estimated by what
    was announced, scaled by how wrong the announcements were so far.
    """

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out = out or sys.stderr
        self._clock = clock
        self._terminal = out.isatty()
        self._steps: list[Step] = []
        self._current: Step | None = None
        self._began = 0.0
        self._last = 0.0
        self._announced = self._taken = 0.0

    def announce(self, name: str, repetitions: int, seconds_each: float) -> Step:
        step = Step(name, repetitions, seconds_each)
        self._steps.append(step)
        return step

    @contextmanager
    def during(self, step: Step) -> Iterator[None]:
        """The step is under way."""
        self.begin(step)
        try:
            yield
        finally:
            self.end()

    def begin(self, step: Step) -> None:
        self._current = step
        self._began = self._clock()
        self._say(force=not self._terminal)

    def advance(self, count: int = 1) -> None:
        step = self._current
        if step is None:
            return
        step.done += count
        self._say()

    def end(self) -> None:
        """The current step is over, whatever it was announced to take."""
        step = self._current
        if step is None:
            return
        self._announced += step.repetitions * step.seconds_each
        self._taken += self._clock() - self._began
        step.done = step.repetitions
        self._current = None

    def finish(self) -> None:
        """The line is wiped from a terminal."""
        if self._terminal:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def left(self) -> float:
        """Seconds until all announced steps are over, about."""
        scale = self._taken / self._announced if self._announced > 0 else 1.0
        waiting = sum(step.left for step in self._steps if step is not self._current) * scale
        step = self._current
        if step is None:
            return waiting
        taken = self._clock() - self._began
        each = taken / step.done if step.done else step.seconds_each * scale
        return waiting + max(step.repetitions - step.done, 0) * each

    def note(self, text: str) -> None:
        """A line that stays."""
        self.finish()
        print(text, file=self._out, flush=True)

    def _say(self, *, force: bool = False) -> None:
        now = self._clock()
        step = self._current
        every = EVERY_TERMINAL if self._terminal else EVERY_LOG
        if step is None or (now - self._last < every and not force):
            return
        self._last = now
        place = f"[{self._steps.index(step) + 1}/{len(self._steps)}]"
        line = f"{place} {step.name}: {step.done}/{step.repetitions}, about {clock_time(self.left())} left"
        self._out.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._out.flush()


def clock_time(seconds: float) -> str:
    """``75`` is "1:15"; under a minute "15 s"."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02}"
