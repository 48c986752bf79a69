"""``python -m benches compare``: measure, show, store, and hold the line."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benches import find, gate, isolate, store
from benches.model import Place
from benches.progress import Progress
from benches.report import table
from benches.runner import FULL, SHORT, Runner, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benches.gate import Key, Outcome
    from benches.model import Operation, Provider, Report, Suite, Survey

FAILED, USAGE, GATE, INTERRUPTED = 1, 2, 3, 130


@dataclass(frozen=True)
class Options:
    """What the command line says; see ``__main__`` for the meaning of each."""

    rounds: int | None
    only: frozenset[str]
    short: bool
    json: Path | None
    html: Path | None
    history: Path | None
    gate: Path | None
    tolerance: float
    write_baseline: Path | None
    peers: frozenset[str]
    given: Mapping[str, str | None]


class RefusedError(Exception):
    """The command line asks for what is not there."""


def schedule(options: Options) -> Schedule:
    """``--rounds`` scales all modes alike."""
    usual = SHORT if options.short else FULL
    if options.rounds is None:
        return usual
    scale = options.rounds / usual.busy
    return replace(
        usual,
        busy=options.rounds,
        idle=max(round(usual.idle * scale), 1),
        launchers=round(usual.launchers * scale),
    )


def compare(options: Options, provider: Provider) -> int:
    """The exit status: 0, or 1 if one of ours failed, 3 if the gate did.

    Raises:
        RefusedError: an unknown operation or peer, or a baseline that cannot be read.
    """
    try:
        programs = find.peers(options.given, options.peers)
        baseline = gate.load_baseline(options.gate) if options.gate is not None else None
        versions = find.versions(programs)
        find.remember(programs)
        isolate.enter(versions)
    except (find.PeerError, gate.BaselineError, isolate.IsolationError, OSError) as error:
        raise RefusedError(str(error)) from error
    with isolate.directory() as directory, ExitStack() as stack:
        place = Place(directory, stack, programs, options.only, options.short)
        try:
            suite = provider(place)
        except (OSError, RuntimeError) as error:
            raise RefusedError(f"cannot be prepared: {error}") from error
        operations, surveys = _chosen(suite, options)
        progress = Progress()
        runner = Runner(schedule(options), progress)
        interrupted = False
        try:
            runner.run(operations, surveys)
        except KeyboardInterrupt:
            interrupted = True
        report = runner.report(store.machine({**versions, **suite.versions}), short=options.short)
        outcome = None
        if baseline is not None and not interrupted:
            outcome = _judge(report, baseline, options, operations, progress)
    _show(report, options)
    if interrupted:
        print("interrupted: this is what was measured until then", file=sys.stderr)
        return INTERRUPTED
    return _status(report, outcome)


def _chosen(suite: Suite, options: Options) -> tuple[list[Operation], list[Survey]]:
    known = {operation.name for operation in suite.operations} | {survey.name for survey in suite.surveys}
    if unknown := options.only - known:
        names = ", ".join(sorted(unknown))
        raise RefusedError(f"no such operation: {names}; docs/performance.md lists them")
    operations = [o for o in suite.operations if not options.only or o.name in options.only]
    surveys = [
        survey
        for survey in suite.surveys
        if survey.name in options.only or (not options.only and (survey.short or not options.short))
    ]
    return operations, surveys


def _judge(
    report: Report,
    baseline: Mapping[Key, float],
    options: Options,
    operations: list[Operation],
    progress: Progress,
) -> Outcome:
    """What looks worse is measured once more: a machine has bad moments, a slower program has only those."""
    outcome = gate.judge(report, baseline, options.tolerance, options.only)
    if not outcome.failures:
        return outcome
    for failure in outcome.failures:
        progress.note(f"gate: {failure}; measuring once more")
    again = Runner(schedule(options), Progress())
    again.run([o for o in operations if o.name in outcome.operations()])
    second = gate.judge(again.report(report.machine), baseline, options.tolerance, options.only)
    return outcome.after(second)


def _show(report: Report, options: Options) -> None:
    print(table(report), flush=True)
    if options.json is not None:
        store.write(report, options.json)
    reports = [report]
    if options.history is not None:
        store.write(report, options.history / store.history_name(report))
        reports = store.read_all([options.history])
    if options.html is not None:
        from benches.page import page

        options.html.parent.mkdir(parents=True, exist_ok=True)
        options.html.write_text(page(report, reports), encoding="utf-8")
    if options.write_baseline is not None:
        options.write_baseline.write_text(gate.dump_baseline(report), encoding="utf-8")


def _status(report: Report, outcome: Outcome | None) -> int:
    failed = [series for series in report.failures() if series.ours]
    for series in failed:
        print(
            f"failed: {series.operation}, {series.mode}: {series.contender}: {series.error}", file=sys.stderr
        )
    if outcome is not None:
        print(outcome, file=sys.stderr)
        if not outcome.passed:
            return GATE
    return FAILED if failed else 0
