"""One repetition, and blocks of them by several launchers at once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from benches.model import Usage
from benches.stats import median

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.model import Contender


@dataclass
class Record:
    """What one contender has done so far in one mode."""

    contender: Contender
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    cpu_repetitions: int = 0
    peak_rss_kb: int = 0
    throughputs: list[float] = field(default_factory=list)
    error: str | None = None

    def took(self, before: Usage, after: Usage, repetitions: int) -> None:
        self.cpu_seconds += after.cpu_seconds - before.cpu_seconds
        self.cpu_repetitions += repetitions
        self.peak_rss_kb = max(self.peak_rss_kb, after.peak_rss_kb)

    @property
    def throughput(self) -> float | None:
        return median(self.throughputs) if self.throughputs else None


NOTHING = Usage(0.0, 0)


def usage_of(contender: Contender) -> Usage:
    return contender.usage() if contender.usage is not None else NOTHING


def repeat(record: Record, number: int, *, idle_seconds: float = 0.0, keep: bool = True) -> None:
    """Once: ``before``, rest, ``once`` on the clock, ``after``. CPU time is what ``once`` alone took.

    Raises:
        Exception: whatever the contender raises; ``after`` has then been called all the same.
    """
    contender = record.contender
    if contender.before is not None:
        contender.before(number)
    if idle_seconds:
        time.sleep(idle_seconds)
    try:
        used = usage_of(contender)
        seconds = timed(contender, number)
        spent = usage_of(contender)
    except BaseException as error:
        _clean_up(contender, number, error)
        raise
    if contender.after is not None:
        contender.after(number)
    if keep:
        record.seconds.append(seconds)
        if contender.usage is not None:
            record.took(used, spent, 1)


def timed(contender: Contender, number: int) -> float:
    """Seconds of one call, by the contender's own clock where it has one."""
    began = time.perf_counter()
    own = contender.once(number)
    taken = time.perf_counter() - began
    return taken if own is None else own


def _clean_up(contender: Contender, number: int, error: BaseException) -> None:
    if contender.after is None:
        return
    try:
        contender.after(number)
    except Exception as late:  # noqa: BLE001  # the first error is the one that counts
        error.add_note(f"and cleaning up after it: {late!r}")


@dataclass(frozen=True)
class Block:
    """Repetitions by one or more launchers, from one start to the last end."""

    seconds: list[float]
    wall_seconds: float

    @property
    def rate(self) -> float:
        """Repetitions per second of wall time; ``before`` and ``after`` are in it."""
        return len(self.seconds) / self.wall_seconds


def block(contender: Contender, numbers: Iterator[int], repetitions: int, launchers: int) -> Block:
    """Let ``launchers`` threads share ``repetitions``, all starting at once.

    Raises:
        Exception: the first that a launcher met; the others stop after their current repetition.
    """
    lock = threading.Lock()
    start = threading.Barrier(launchers + 1)
    left = repetitions
    seconds: list[float] = []
    errors: list[BaseException] = []
    alone = replace(contender, usage=None)  # CPU time of threads that overlap is the caller's to read

    def take() -> int | None:
        nonlocal left
        with lock:
            if left == 0 or errors:
                return None
            left -= 1
            return next(numbers)

    def launch() -> None:
        mine = Record(alone)
        start.wait()
        try:
            while (number := take()) is not None:
                repeat(mine, number)
        except BaseException as error:  # noqa: BLE001  # raised in the thread that asked
            errors.append(error)
        with lock:
            seconds.extend(mine.seconds)

    threads = [threading.Thread(target=launch, name=f"launcher-{i}", daemon=True) for i in range(launchers)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - began
    if errors:
        raise errors[0]
    return Block(seconds, wall)
