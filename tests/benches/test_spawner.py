"""Programs are started from a small process, and what they leave behind is reaped."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benches.floor_script import build_floor
from benches.spawner import PeerFailedError, Program, Spawner

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="needs cargo to build the floor")


@pytest.fixture
def spawner(tmp_path: Path) -> Iterator[Spawner]:
    with ExitStack() as stack:
        yield Spawner(build_floor(), tmp_path / "errors", stack)


def test_a_program_tells_what_it_took(spawner: Spawner) -> None:
    program = Program(["/bin/sh", "-c"], spawner)
    assert program("sleep 0.05") >= 0.05
    program("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    cpu, peak_kb = program.usage()
    assert cpu > 0.001
    assert 100 < peak_kb < 8000, "the shell's own, not that of this interpreter"


def test_a_failure_has_the_programs_last_words(spawner: Spawner) -> None:
    with pytest.raises(PeerFailedError, match=r"gave 3: .*no such luck"):
        Program(["/bin/sh", "-c"], spawner)("echo no such luck >&2; exit 3")
    with pytest.raises(PeerFailedError, match="cannot be started"):
        Program(["/nowhere/program"], spawner)()


def test_an_orphan_is_reaped_while_nothing_else_happens(spawner: Spawner, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    Program(["/bin/sh", "-c"], spawner)(f"sleep 0.1 & echo $! > {note}")
    pid = int(note.read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} is still there: {Path(f'/proc/{pid}/stat').read_text()}")
