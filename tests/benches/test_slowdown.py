"""The gate sees a slower launch: real containers, a real peer, and 5 ms of sleep put into the library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_gate_catches_five_milliseconds_and_nothing_else(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    first = compare("--write-baseline", str(baseline))
    assert first.returncode == 0, first.stderr
    assert "library" in first.stdout

    same = compare("--gate", str(baseline))
    assert same.returncode == 0, same.stderr
    assert "gate: passed" in same.stderr

    slower = compare("--gate", str(baseline), slower_ms=5)
    assert slower.returncode == 3, slower.stderr
    assert "gate: run, back to back: library / floor was " in slower.stderr
    assert "measuring once more" in slower.stderr
    assert "allowed" in slower.stderr
