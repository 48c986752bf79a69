"""The gate on made-up runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.bench_samples import report, series

from benches import gate
from benches.gate import BaselineError, Key
from benches.model import Heading, Mode, Report

if TYPE_CHECKING:
    from pathlib import Path

GOOD = (
    '{"format": "kata-hybrid-bench-baseline", "version": 1,'
    ' "ratios": {"run": {"back to back": {"library": {"runc": 0.4}}}}}'
)
RUNC = Key("run", Mode.BUSY, "library", "runc")


def stored(path: Path, made: Report) -> dict[Key, float]:
    path.write_text(gate.dump_baseline(made))
    return gate.load_baseline(path)


def small(library_ms: float, *, count: int = 60, seed: int = 1) -> Report:
    run = [
        series("run", "library", library_ms, count=count, seed=seed),
        series("run", "runc", 10.0, count=count, seed=seed),
    ]
    return replace(report(), headings=(Heading("run", "run"),), series=tuple(run))


def test_the_baseline_holds_every_ratio_to_a_peer_and_only_those(tmp_path: Path) -> None:
    made = report()
    baseline = stored(tmp_path / "baseline.json", made)
    assert baseline[RUNC] == pytest.approx(4.1 / 17.5, rel=0.1)
    assert {key.ours for key in baseline} == {"library", "command", "agent v1"}
    assert {key.peer for key in baseline} == {"runc", "crun", "bwrap", "floor", "go-agent"}
    text = (tmp_path / "baseline.json").read_text()
    assert set(json.loads(text)) == {"format", "version", "ratios"}
    assert made.machine.kernel not in text


def test_the_same_run_passes(tmp_path: Path) -> None:
    made = report()
    outcome = gate.judge(made, stored(tmp_path / "baseline.json", made), tolerance=0.0)
    assert outcome.passed
    assert not outcome.not_in_run
    assert "gate: passed" in str(outcome)


def test_a_slower_run_fails_and_says_what_was_and_what_is(tmp_path: Path) -> None:
    outcome = gate.judge(small(9.0), stored(tmp_path / "baseline.json", small(4.0)))
    assert not outcome.passed
    assert outcome.operations() == {"run"}
    (verdict,) = outcome.failures
    assert verdict.key == RUNC
    number = r"0\.\d\d"
    said = rf"was 0\.4\d and is 0\.9\d \[{number}–{number}\], more than 0\.5\d allowed"
    assert re.fullmatch(f"gate: run, back to back: library / runc {said}", str(outcome))


def test_a_slower_peer_is_not_our_gain_to_lose_and_a_faster_run_passes(tmp_path: Path) -> None:
    assert gate.judge(small(3.0), stored(tmp_path / "baseline.json", small(4.0))).passed


def test_within_the_tolerance_it_passes(tmp_path: Path) -> None:
    baseline = stored(tmp_path / "baseline.json", small(4.0))
    assert gate.judge(small(5.0, seed=2), baseline, tolerance=0.35).passed
    assert not gate.judge(small(5.0, seed=2), baseline, tolerance=0.05).passed


def test_what_noise_alone_could_explain_does_not_fail(tmp_path: Path) -> None:
    noisy = Report(
        report().machine,
        (Heading("run", "run"),),
        (
            replace(series("run", "library", 1.0), seconds=(1.0, 9.0, 9.5, 2.0, 8.0)),
            replace(series("run", "runc", 1.0), seconds=(10.0, 10.0, 10.0, 10.0, 10.0)),
        ),
    )
    outcome = gate.judge(noisy, {RUNC: 0.4}, tolerance=0.35)
    (verdict,) = outcome.verdicts
    assert verdict.now.value == 0.8, "twice the stored ratio"
    assert outcome.passed


def test_missing_peers_are_said_on_both_sides(tmp_path: Path) -> None:
    baseline = stored(tmp_path / "baseline.json", small(4.0))
    baseline[RUNC._replace(peer="crun")] = 0.7
    made = small(4.0)
    made = replace(made, series=(*made.series, series("run", "bwrap", 5.0)))
    outcome = gate.judge(made, baseline)
    assert outcome.passed
    assert "not compared, missing in this run: library / crun in run (back to back)" in str(outcome)
    assert "not compared, missing in the baseline: library / bwrap in run (back to back)" in str(outcome)


def test_nothing_to_compare_is_no_pass() -> None:
    outcome = gate.judge(small(4.0), {RUNC._replace(peer="crun"): 0.7})
    assert not outcome.passed
    assert "nothing could be compared" in str(outcome)
    assert not gate.judge(small(4.0), {}).passed


def test_operations_and_modes_not_asked_for_are_not_missed() -> None:
    baseline = {RUNC: 0.4, RUNC._replace(operation="exec"): 0.2, RUNC._replace(mode=Mode.TWO): 0.4}
    assert not gate.judge(small(4.0), baseline, only=frozenset({"run"})).not_in_run
    assert gate.judge(small(4.0), baseline).not_in_run == (RUNC._replace(operation="exec"),)


def test_a_second_measurement_decides_on_what_failed() -> None:
    baseline = {RUNC: 0.4}
    first = gate.judge(small(9.0), baseline)
    assert first.after(gate.judge(small(4.0), baseline)).passed
    assert not first.after(gate.judge(small(8.0), baseline)).passed
    gone = replace(small(4.0), series=())
    assert not first.after(gate.judge(gone, baseline)).passed, "what cannot be measured again stays failed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "JSONDecodeError"),
        ("[]", "TypeError"),
        ("{}", "KeyError"),
        ('{"format": "kata-hybrid-bench-baseline", "version": 9, "ratios": {}}', "not a .* of version 1"),
        (GOOD.replace("back to back", "sometimes"), "sometimes"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(BaselineError, match=said):
        gate.load_baseline(path)
