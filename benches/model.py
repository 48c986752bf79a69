"""What is measured and what came out: the types that the operations, the runner and the reports share.

Times are seconds inside, milliseconds only where people read them. A ratio is always *our time over the
peer's time* for the same work in the same run: below 1 we are faster, whatever the operation's unit.

Whoever adds operations hands in a ``Suite`` (see ``Provider``); whoever reports reads a ``Report``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path


class Usage(NamedTuple):
    """What repetitions took besides wall time."""

    cpu_seconds: float  # user + system of everything that worked for it
    peak_rss_kb: int  # highest resident set of the process that did it


@dataclass(frozen=True)
class Contender:
    """One way of doing an operation.

    Attributes:
        name: "library", "runc", "floor", "agent v1", ...; the same in all operations.
        once: does it once. The number is unique in the run. Returns seconds if it timed itself; with None
            the runner's own clock around the call counts.
        usage: running totals of CPU time, and the peak so far. The runner takes the difference of the CPU
            around each ``once``; with two launchers, around a block of repetitions.
        before: untimed, ahead of each repetition.
        after: untimed, behind each repetition, also behind a failed one.
        parallel: may be driven by two launchers at once.
        ours: its failure fails the run; a peer's is reported and the run goes on.
    """

    name: str
    once: Callable[[int], float | None]
    usage: Callable[[], Usage] | None = None
    before: Callable[[int], None] | None = None
    after: Callable[[int], None] | None = None
    parallel: bool = True
    ours: bool | None = None

    @property
    def is_ours(self) -> bool:
        """Said by ``ours``; where it is not, the name tells."""
        return is_ours(self.name) if self.ours is None else self.ours


OURS = ("library", "command", "agent v1", "agent v3")


def is_ours(name: str) -> bool:
    """Whether a contender of this name is part of kata_hybrid: "library", "library 1 GiB"."""
    return any(name == our or name.startswith(our + " ") for our in OURS)


@dataclass(frozen=True)
class Operation:
    """One thing that all contenders do, on the same work.

    Attributes:
        name: "run", "exec", "create", ...: stable, baselines and history refer to it.
        title: for people.
        contenders: ours first.
        unit: "ms", or "MB/s" where more is better; then ``amount`` says how many MB one repetition moves.
        idle: also measured after 50 ms of idling.
        parallel: also measured with 2 launchers.
        repetitions: 0 is the run's default; dear operations ask for fewer. Short runs never do more.
        amount: what one repetition does, in the unit's numerator: MB for "MB/s".
        within: held around all of the operation, untimed: the thousand containers that ``list`` shows.
        within_seconds: how long it takes to come and go, about; for the estimate of the time left.
    """

    name: str
    title: str
    contenders: Sequence[Contender]
    unit: Literal["ms", "MB/s"] = "ms"
    idle: bool = True
    parallel: bool = False
    repetitions: int = 0
    amount: float = 1.0
    within: Callable[[], AbstractContextManager[object]] | None = None
    within_seconds: float = 0.0


class Mode(StrEnum):
    """How the repetitions follow each other."""

    BUSY = "back to back"
    IDLE = "idle 50 ms"  # an idle machine pays RCU grace periods that a busy one hides
    TWO = "2 launchers"


class Point(NamedTuple):
    """Of a scale series: what was read at one size."""

    x: float
    values: Mapping[str, float]  # by metric, see Scale.metrics


@dataclass(frozen=True)
class Scale:
    """How something grows: x is the number of containers (say), y one value per metric.

    Attributes:
        name: stable: "scale-library". Together with ``contender`` unique in a report.
        metrics: unit by metric, in order: {"launch p50": "ms", "memory per container": "MiB", "fds": "fds"}.
            Scales of one name share a picture for each metric.
    """

    name: str
    title: str
    contender: str
    x_label: str
    metrics: Mapping[str, str]
    points: Sequence[Point]


@dataclass(frozen=True)
class Gauge:
    """A reading that is no repetition: idle RSS of an agent, its threads, the binary's size."""

    name: str  # stable: "agent-idle-rss"
    title: str
    contender: str
    value: float
    unit: str  # "MiB", "kB", "ms", "threads"


@dataclass(frozen=True)
class Survey:
    """Work that yields scales and gauges in one go. Runs after the operations, not in short runs by default.

    ``read`` gets a function that says on stderr how far it is.
    """

    name: str
    title: str
    read: Callable[[Callable[[str], None]], Sequence[Scale | Gauge]]
    short: bool = False  # cheap enough for short runs
    seconds: float = 0.0  # how long it takes, about; for the estimate of the time left


@dataclass(frozen=True)
class Place:
    """Where and for what the operations are prepared.

    Attributes:
        directory: on a tmpfs of the run's own: state roots, bundles, sockets.
        stack: what is undone at the end of the run, in reverse.
        peers: "runc", "crun", "bwrap", "youki", "go-agent", "rust-agent", "floor" -> program; only those
            that are there.
        only: names of operations asked for; empty means all. Ask ``wants`` before preparing what is dear.
    """

    directory: Path
    stack: ExitStack
    peers: Mapping[str, Path]
    only: frozenset[str] = frozenset()
    short: bool = False

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


@dataclass(frozen=True)
class Suite:
    """All there is to measure."""

    operations: Sequence[Operation]
    surveys: Sequence[Survey] = ()
    versions: Mapping[str, str] = field(default_factory=dict)  # of the peers: {"runc": "1.1.5"}


class Provider(Protocol):
    """``benches.operations.suite`` is one; leaving out what ``place.only`` does not want is optional."""

    def __call__(self, place: Place) -> Suite: ...


# What comes out.


@dataclass(frozen=True)
class Series:
    """The repetitions of one contender in one mode of one operation.

    Attributes:
        seconds: per repetition, warm-up left out, in order.
        cpu_seconds: user + system per repetition, the mean; None if the contender does not tell.
        peak_rss_kb: highest resident set so far in the run.
        throughput: with two launchers: repetitions per second as a multiple of one launcher's.
        error: why it was left out; ``seconds`` has then what came before.
    """

    operation: str
    mode: Mode
    contender: str
    seconds: tuple[float, ...]
    cpu_seconds: float | None = None
    peak_rss_kb: int | None = None
    throughput: float | None = None
    error: str | None = None
    ours: bool = False


@dataclass(frozen=True)
class Heading:
    """What a report needs to know of an operation once it is over."""

    name: str
    title: str
    unit: Literal["ms", "MB/s"] = "ms"
    amount: float = 1.0


@dataclass(frozen=True)
class Machine:
    """Facts that figures depend on. No host names, no paths."""

    date: str  # UTC, ISO 8601
    kernel: str
    cpus: int
    cpu_model: str
    memory_mb: int
    cgroups: str  # "v1", "v2", "hybrid"
    python: str
    commit: str  # abbreviated, "+" behind it if the tree was changed; "" if unknown
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """One run."""

    machine: Machine
    headings: Sequence[Heading]
    series: Sequence[Series]
    scales: Sequence[Scale] = ()
    gauges: Sequence[Gauge] = ()
    short: bool = False

    def heading(self, operation: str) -> Heading:
        return next(heading for heading in self.headings if heading.name == operation)

    def of(self, operation: str, mode: Mode) -> list[Series]:
        """All contenders that have repetitions in one mode, in the operation's order."""
        return [s for s in self.series if s.operation == operation and s.mode == mode and s.seconds]

    def groups(self) -> Iterator[tuple[Heading, Mode, list[Series]]]:
        """Operation by operation, mode by mode; empty ones left out."""
        for heading in self.headings:
            for mode in Mode:
                if group := self.of(heading.name, mode):
                    yield heading, mode, group

    def failures(self) -> list[Series]:
        return [series for series in self.series if series.error is not None]
