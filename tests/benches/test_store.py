"""Reports in files."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.bench_samples import history, report

from benches import store
from benches.model import Mode, Series

if TYPE_CHECKING:
    from pathlib import Path


def test_a_report_survives_the_round_trip(tmp_path: Path) -> None:
    made = report()
    store.write(made, tmp_path / "new" / "run.json")
    assert store.read(tmp_path / "new" / "run.json") == made
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["run.json"], "no temporary file is left"


def test_errors_lose_their_paths() -> None:
    said = "OSError: [Errno 2] No such file: '/root/secret/x/runc' / runc: /var/lib/y/config.json: EPERM"
    failed = Series("run", Mode.BUSY, "runc", (), error=said)
    made = replace(report(), series=(failed,))
    (read,) = store.load(store.dump(made)).series
    assert read.error is not None
    assert "/root" not in read.error
    assert "/var" not in read.error
    assert "config.json: EPERM" in read.error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "not a kata-hybrid-bench file"),
        ('{"format": "other"}', "not a kata-hybrid-bench file"),
        ('{"format": "kata-hybrid-bench", "version": 2}', "version 2, this reads version 1"),
        ('{"format": "kata-hybrid-bench", "version": 1}', "KeyError"),
    ],
)
def test_what_is_no_report_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(store.StoreError, match=f"^run.json: .*{said}"):
        store.load(text, "run.json")


def test_a_history_is_sorted_by_date_and_passes_over_foreign_files(tmp_path: Path) -> None:
    runs = history()
    for run in reversed(runs):
        store.write(run, tmp_path / store.history_name(run))
    (tmp_path / "package.json").write_text("{}")
    (tmp_path / "page.html").write_text("<html/>")
    assert store.read_all([tmp_path]) == runs
    assert store.read_all([tmp_path / store.history_name(runs[2])]) == [runs[2]]
    assert min(path.name for path in tmp_path.glob("2026*")) == "20261120T040000Z-1111111.json"
    with pytest.raises(store.StoreError):
        store.read_all([tmp_path / "package.json"])


def test_the_machine_is_told_without_its_name() -> None:
    facts = store.machine({"runc": "1.1.5", "crun": "1.8.1"})
    assert facts.cpus >= 1
    assert facts.memory_mb > 100
    assert facts.cgroups in {"v1", "v2", "hybrid"}
    assert list(facts.versions) == ["crun", "runc"]
    text = json.dumps(store.dump(replace(report(), machine=facts)))
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
