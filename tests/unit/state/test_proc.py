"""Who a process is, from ``/proc/<pid>/stat``."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.state import is_same_process, process_start_time, process_state
from kata_hybrid.state.proc import parse_stat

NO_PID = 2**22 + 1  # above PID_MAX_LIMIT


@given(st.binary(max_size=15))
def test_any_command_name_is_skipped(name: bytes) -> None:
    fields = parse_stat(b"7 (" + name + b") S 1 " + b" ".join(b"%d" % number for number in range(5, 53)))
    assert (fields[0], fields[19]) == ("S", "22")


@pytest.mark.parametrize("data", [b"", b"7 (x", b"7 (x) S 1", b"7 (x) " + b"S " * 30])
def test_what_is_no_stat_line_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="stat"):
        parse_stat(data)


def test_own_process_is_alive_and_the_same() -> None:
    pid = os.getpid()
    assert is_same_process(pid, process_start_time(pid))
    assert not is_same_process(pid, process_start_time(pid) + 1)
    assert process_state(pid) == "R"


def test_missing_process_is_a_lookup_error() -> None:
    with pytest.raises(ProcessLookupError):
        process_start_time(NO_PID)
    assert not is_same_process(NO_PID, 1)
    assert not is_same_process(0, 1)


def test_zombie_is_not_alive() -> None:
    with ExitStack() as stack:
        child = stack.enter_context(subprocess.Popen(["true"]))
        start_time = process_start_time(child.pid)
        deadline = time.monotonic() + 10
        while process_state(child.pid) != "Z" and time.monotonic() < deadline:
            time.sleep(0.005)
        assert process_state(child.pid) == "Z"
        assert not is_same_process(child.pid, start_time)
