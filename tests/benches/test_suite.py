"""Every operation once, on real containers and real peers: none fails, and nothing is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benches import store
from benches.model import Mode

if TYPE_CHECKING:
    from benches.model import Report

REPOSITORY = Path(__file__).resolve().parents[2]
VERBS = (
    "run",
    "run-plain",
    "run-next",
    "run-new",
    "exec",
    "exec-plain",
    "create",
    "start",
    "kill",
    "delete",
    "state",
    "list-1",
)
COMMANDS = [f"command-{word}" for word in ("run", "run-plain", "exec", "state", "list", "delete", "version")]
AGENT = [
    f"agent-{word}"
    for word in ("check", "run", "create-start", "exec", "exec-64", "stdout-1", "stdout-64", "start")
]
OWN = ["run-large"]  # no peer can do it
SURVEYS = ["agent-footprint", "init-footprint", "scale-library", "scale-agent"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo to build the floor"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of a run that had to end well."""
    path = tmp_path_factory.mktemp("suite") / "run.json"
    only = ",".join([*VERBS, *COMMANDS, *AGENT, *OWN, *SURVEYS])
    words = [sys.executable, "-m", "benches", "compare", "--short", "--rounds", "1", "--only", only]
    process = subprocess.Popen(
        [*words, "--json", str(path)], cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, errors = process.communicate(timeout=280)
    assert process.returncode == 0, errors.decode()
    left = list(Path("/sys/fs/cgroup").glob(f"*/kata-hybrid-bench-{process.pid}"))
    assert left == [], "groups left behind"
    return store.read(path)


def test_no_contender_fails(report: Report) -> None:
    assert {(series.operation, series.contender): series.error for series in report.failures()} == {}


@pytest.mark.parametrize("peer", ["crun", "runc"])
def test_each_verb_is_compared_with_the_peers_that_are_there(report: Report, peer: str) -> None:
    if shutil.which(peer) is None:
        pytest.skip(f"{peer} is not installed")
    for name in VERBS:
        assert {"library", peer} <= {series.contender for series in report.of(name, Mode.BUSY)}, name
    for name in COMMANDS:
        assert {"command", peer} <= {series.contender for series in report.of(name, Mode.BUSY)}, name


def test_the_agent_is_measured_beside_its_yardsticks(report: Report) -> None:
    for name in AGENT:
        assert report.of(name, Mode.BUSY)[0].contender == "agent v1", name
    assert "library" in {series.contender for series in report.of("agent-exec", Mode.BUSY)}
    assert {gauge.name for gauge in report.gauges} >= {"agent-idle-rss", "agent-client-cpu", "init-private"}


def test_growth_is_read_of_one_runtime_and_of_one_agent(report: Report) -> None:
    assert {scale.name: [point.x for point in scale.points] for scale in report.scales} == {
        "scale-library": [1, 10],
        "scale-agent": [1, 10],
    }
