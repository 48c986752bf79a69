"""What single verbs read and print, without any container."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.cgroups.stats import BlkioEntry, BlkioStats, Stats
from kata_hybrid.cli import events, launching, ps, update
from kata_hybrid.cli import exec as exec_verb
from kata_hybrid.cli import list as list_verb
from kata_hybrid.cli.foreground import FORWARDED, Foreground
from kata_hybrid.cli.options import parse
from kata_hybrid.cli.texts import CommandError
from kata_hybrid.oci import parse_resources
from kata_hybrid.oci.config import Capabilities, Process, User

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = Process(cwd="/w", args=("init",), env=("A=1",), terminal=True, user=User(1, 2))


def exec_options(*args: str) -> Process:
    return exec_verb.applied(BASE, ["ls"], parse(args, exec_verb.OPTIONS, stop_at_word=True))


def test_exec_keeps_the_containers_settings_but_not_its_terminal() -> None:
    config = exec_options()
    assert (config.cwd, config.env, config.user, config.terminal) == ("/w", ("A=1",), User(1, 2), False)


def test_exec_options_are_added() -> None:
    config = exec_options(
        "-e", "B=2", "-u", "5:6", "-g", "7", "-g", "8", "-c", "CAP_KILL", "-t", "--no-new-privs"
    )
    assert config.env == ("A=1", "B=2")
    assert config.user == User(5, 6, additional_gids=(7, 8))
    assert config.capabilities == Capabilities(("CAP_KILL",), ("CAP_KILL",), (), ("CAP_KILL",))
    assert config.terminal
    assert config.no_new_privileges


def test_exec_user_must_be_a_number() -> None:
    with pytest.raises(CommandError, match="parsing abc as int for uid failed"):
        exec_options("-u", "abc")


@pytest.mark.parametrize(
    ("args", "terminal", "detach", "text"),
    [
        ([], True, True, "cannot allocate tty if runc will detach without setting console socket"),
        (["--console-socket", "/s"], False, True, "cannot use console socket"),
        (["--console-socket", "/s"], True, False, "cannot use console socket"),
    ],
)
def test_terminals_and_sockets_go_together(args: list[str], terminal: bool, detach: bool, text: str) -> None:
    with pytest.raises(CommandError, match=text):
        launching.check_terminal(parse(args, launching.CREATE_OPTIONS), terminal=terminal, detach=detach)


def test_sockets_count_only_for_their_owner() -> None:
    assert launching.listen_fds({"LISTEN_FDS": "2", "LISTEN_PID": "9"}, 9) == 2
    assert launching.listen_fds({"LISTEN_FDS": "2", "LISTEN_PID": "8"}, 9) == 0
    assert launching.with_listen_fds(BASE, 2).env[-2:] == ("LISTEN_FDS=2", "LISTEN_PID=1")


def test_preserved_descriptors_must_be_open() -> None:
    with pytest.raises(
        CommandError, match=r"unable to stat preserved-fd \d+ \(of 5000\): bad file descriptor"
    ):
        launching.preserved(parse(["--preserve-fds", "5000"], launching.CREATE_OPTIONS), 0)


def test_list_columns_are_padded() -> None:
    text = list_verb.table([list_verb.HEADER, ("a-rather-long-id", "1", "running", "/b", "t", "root")])
    header, row = text.splitlines()
    assert header == "ID                 PID         STATUS      BUNDLE      CREATED     OWNER"
    assert row == "a-rather-long-id   1           running     /b          t           root"


def test_ps_keeps_the_containers_lines() -> None:
    output = "UID PID CMD\nroot 1 init\nroot 20 sh -c x\n"
    assert ps.filtered(output, {20}) == "UID PID CMD\nroot 20 sh -c x\n"
    with pytest.raises(CommandError, match="couldn't find PID field in ps output"):
        ps.filtered("A B\n", {1})


@pytest.mark.parametrize(
    ("text", "value"),
    [("512", 512), ("64k", 65536), ("1.5m", 1572864), ("2G", 2 << 30), ("2gb", 2 << 30), ("-1", -1)],
)
def test_sizes(text: str, value: int) -> None:
    assert update.size(text, "memory") == value


def resources_of(*args: str) -> dict[str, object]:
    return update.from_options(parse(args, update.OPTIONS))


def test_update_options_make_a_resources_object() -> None:
    made = resources_of("--memory", "1m", "--pids-limit=5", "--cpu-share", "10", "--cpuset-cpus", "0-1")
    resources = parse_resources(made)
    assert resources.memory is not None
    assert resources.memory.limit == 1 << 20
    assert resources.pids is not None
    assert resources.pids.limit == 5
    assert resources.cpu is not None
    assert (resources.cpu.shares, resources.cpu.cpus) == (10, "0-1")


@pytest.mark.parametrize(
    "args", [["--memory", "lots"], ["--cpu-quota", "x"], ["--l3-cache-schema", "L3:0=f"]]
)
def test_update_refuses_what_it_cannot_read(args: Sequence[str]) -> None:
    with pytest.raises(CommandError):
        resources_of(*args)


@pytest.mark.parametrize(("text", "value"), [("5s", 5.0), ("1m30s", 90.0), ("500ms", 0.5), ("0", 0.0)])
def test_durations(text: str, value: float) -> None:
    assert events.seconds(text) == value


@pytest.mark.parametrize("text", ["5", "s", "5x", "-1s"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(CommandError, match="invalid duration"):
        events.seconds(text)


def test_events_have_the_keys_that_engines_read() -> None:
    entry = BlkioEntry(8, 0, "Read", 5)
    event = json.loads(events.line("c", Stats(blkio=BlkioStats(io_service_bytes_recursive=(entry,)))))
    assert (event["type"], event["id"]) == ("stats", "c")
    assert set(event["data"]) >= {"cpu", "memory", "pids", "blkio", "hugetlb"}
    assert event["data"]["blkio"]["ioServiceBytesRecursive"] == [
        {"major": 8, "minor": 0, "op": "Read", "value": 5}
    ]


def test_foreground_takes_signals_over_and_gives_them_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with Foreground():
        assert signal.getsignal(signal.SIGUSR1) != before
        os.kill(os.getpid(), signal.SIGUSR1)  # kept for the process to come
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.SIGCHLD not in FORWARDED
    assert signal.SIGTERM in FORWARDED


def test_help_does_not_load_the_runtime() -> None:
    import subprocess

    code = "import sys, kata_hybrid.cli.main as m; m.main(['kill', '--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "kata_hybrid.runtime" not in done.stdout
    assert "argparse" not in done.stdout
