"""The core's reading of a file can be ended while it waits, as Python's own can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kata_hybrid._core import read_file
from support.command import until

if TYPE_CHECKING:
    from pathlib import Path

READER = """
import signal, sys
from kata_hybrid._core import read_file
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
print("ready", flush=True)
print(read_file(sys.argv[1]).decode())
"""


def waits(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "S"


@pytest.mark.parametrize("opened", [False, True], ids=["open", "read"])
def test_a_signal_ends_it_while_it_waits_for_a_writer(tmp_path: Path, opened: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = os.open(fifo, os.O_RDWR) if opened else -1
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(fifo)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as reader:
        try:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
            until(lambda: waits(reader.pid))
            reader.send_signal(signal.SIGUSR1)
            assert reader.stdout.readline() == "handled\n"
            until(lambda: waits(reader.pid))
            reader.send_signal(signal.SIGINT)
            out, err = reader.communicate(timeout=10)
        finally:
            reader.kill()
    if opened:
        os.close(writer)
    assert out == ""
    assert "KeyboardInterrupt" in err


@pytest.mark.parametrize("kind", ["fifo", "directory", "device"])
def test_what_is_not_regular_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="not a regular file"):
        read_file(str(path), regular=True)


def test_a_link_to_a_regular_file_is_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(str(tmp_path / "link"), regular=True) == b"content"
