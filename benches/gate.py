"""Holds the line: our ratio to a peer must not get worse than the stored one by more than a tolerance.

The baseline holds ratios only, so it is as true on another machine as ratios are. A ratio counts as worse
when the whole of its 95 % interval is: noise alone does not fail a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from benches.model import Mode
from benches.report import ratio_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benches.model import Report
    from benches.stats import Ratio

FORMAT = "kata-hybrid-bench-baseline"
VERSION = 1
TOLERANCE = 0.35


class BaselineError(Exception):
    """A file that holds no baseline: says which and why."""


class Key(NamedTuple):
    """What a ratio is of."""

    operation: str
    mode: Mode
    ours: str
    peer: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.mode}: {self.ours} / {self.peer}"


@dataclass(frozen=True)
class Verdict:
    """A ratio that was compared."""

    key: Key
    stored: float
    now: Ratio
    tolerance: float

    @property
    def limit(self) -> float:
        return self.stored * (1 + self.tolerance)

    @property
    def worse(self) -> bool:
        return self.now.low > self.limit

    def __str__(self) -> str:
        now = f"{self.now.value:.2f} [{self.now.low:.2f}–{self.now.high:.2f}]"
        return f"{self.key} was {self.stored:.2f} and is {now}, more than {self.limit:.2f} allowed"


@dataclass(frozen=True)
class Outcome:
    """All verdicts, and what there was no verdict on."""

    verdicts: tuple[Verdict, ...]
    not_in_run: tuple[Key, ...]
    not_in_baseline: tuple[Key, ...]

    @property
    def failures(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.worse]

    @property
    def passed(self) -> bool:
        """Nothing is worse, and something was compared."""
        return bool(self.verdicts) and not self.failures

    def operations(self) -> set[str]:
        """Those that failed: they are measured once more before the run fails."""
        return {verdict.key.operation for verdict in self.failures}

    def after(self, second: Outcome) -> Outcome:
        """With the failures judged anew by a second measurement; what that lacks stays failed."""
        anew = {verdict.key: verdict for verdict in second.verdicts}
        verdicts = tuple(anew.get(v.key, v) if v.worse else v for v in self.verdicts)
        return replace(self, verdicts=verdicts)

    def __str__(self) -> str:
        lines = [f"gate: {verdict}" for verdict in self.failures]
        lines += _missing("not compared, missing in this run", self.not_in_run)
        lines += _missing("not compared, missing in the baseline", self.not_in_baseline)
        if not self.verdicts:
            lines.append("gate: nothing could be compared, so nothing is passed")
        elif not self.failures:
            closest = max(self.verdicts, key=lambda verdict: verdict.now.value / verdict.stored)
            change = closest.now.value / closest.stored - 1
            lines.append(
                f"gate: passed, {len(self.verdicts)} ratios compared; least good: {closest.key} "
                f"{closest.stored:.2f} → {closest.now.value:.2f} ({change:+.0%})"
            )
        return "\n".join(lines)


def _missing(what: str, keys: tuple[Key, ...]) -> list[str]:
    """One line per contender pair, not per operation."""
    pairs: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        pairs.setdefault((key.ours, key.peer), []).append(f"{key.operation} ({key.mode})")
    return [f"gate: {what}: {a} / {b} in {', '.join(places)}" for (a, b), places in pairs.items()]


def ratios(report: Report) -> Iterator[tuple[Key, Ratio]]:
    """Each of ours to each peer, in every mode of every operation."""
    for heading, mode, group in report.groups():
        for ours in group:
            for peer in group:
                if ours.ours and not peer.ours:
                    yield Key(heading.name, mode, ours.contender, peer.contender), ratio_of(ours, peer)


def judge(
    report: Report,
    baseline: Mapping[Key, float],
    tolerance: float = TOLERANCE,
    only: frozenset[str] = frozenset(),
) -> Outcome:
    """Compare a run with the stored ratios.

    Args:
        only: the operations asked for; others are not missed. Nor are modes that the run did not have.
    """
    now = dict(ratios(report))
    modes = {series.mode for series in report.series}
    stored = {
        key: value
        for key, value in baseline.items()
        if key.mode in modes and (not only or key.operation in only)
    }
    both = [key for key in stored if key in now]
    return Outcome(
        tuple(Verdict(key, stored[key], now[key], tolerance) for key in both),
        not_in_run=tuple(key for key in stored if key not in now),
        not_in_baseline=tuple(key for key in now if key not in stored),
    )


def dump_baseline(report: Report) -> str:
    """The run's ratios as JSON, nested operation → mode → ours → peer."""
    nested: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for key, ratio in ratios(report):
        place = nested.setdefault(key.operation, {}).setdefault(key.mode.value, {})
        place.setdefault(key.ours, {})[key.peer] = round(ratio.value, 4)
    return json.dumps({"format": FORMAT, "version": VERSION, "ratios": nested}, indent=2) + "\n"


def load_baseline(path: Path) -> dict[Key, float]:
    """Raises: BaselineError, OSError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body["format"] != FORMAT or body["version"] != VERSION:
            raise BaselineError(f"{path}: not a {FORMAT} of version {VERSION}")
        return {
            Key(operation, Mode(mode), ours, peer): float(value)
            for operation, modes in body["ratios"].items()
            for mode, contenders in modes.items()
            for ours, peers in contenders.items()
            for peer, value in peers.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BaselineError(f"{path}: {type(error).__name__}: {error}") from error
