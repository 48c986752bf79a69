"""The gate sees a slower launch: real containers, a real peer, and a sleep put into the library's launch.

5 ms on a quiet machine; on a busy one, where launches take longer, as long as a launch takes there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benches import store
from benches.model import Mode
from benches.stats import median

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = REPOSITORY / "tests" / "support" / "bench_slow.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo to build the floor"),
]


def compare(*words: str, slower_ms: float = 0.0) -> subprocess.CompletedProcess[str]:
    """A short run of one operation, with the floor as the peer."""
    command = [sys.executable, str(COMMAND), str(slower_ms), "compare", "--short", "--only", "run"]
    return subprocess.run(
        [*command, "--peers", "floor", "--rounds", "50", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_gate_catches_a_sleep_in_the_launch_and_nothing_else(tmp_path: Path) -> None:
    baseline, run = tmp_path / "baseline.json", tmp_path / "run.json"
    first = compare("--write-baseline", str(baseline), "--json", str(run))
    assert first.returncode == 0, first.stderr
    library = next(one for one in store.read(run).of("run", Mode.BUSY) if one.contender == "library")
    usual_ms = median(library.seconds) * 1000

    same = compare("--gate", str(baseline))
    assert same.returncode == 0, same.stderr
    assert "gate: passed" in same.stderr

    slower = compare("--gate", str(baseline), slower_ms=max(5.0, usual_ms))
    assert slower.returncode == 3, slower.stderr
    assert "gate: run, back to back: library / floor was " in slower.stderr
    assert "measuring once more" in slower.stderr
    assert "allowed" in slower.stderr
