"""The command, run as engines run it: lifecycle, texts, exit statuses, what it prints."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.command import cgroups_of, message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command

SLEEP = ["sleep", "1000"]


@pytest.fixture
def created(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> str:
    """The id of a created container."""
    command("create", "--bundle", make_bundle(SLEEP), container_id)
    return container_id


@pytest.fixture
def running(command: Command, created: str) -> str:
    """The id of a running container."""
    command("start", created)
    return created


@pytest.fixture
def stopped(command: Command, running: str) -> str:
    """The id of a container that has ended."""
    command("kill", running, "KILL")
    command.await_status(running, "stopped")
    return running


def test_the_whole_life(
    command: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    marker = tmp_path / "out"
    with marker.open("wb") as out:
        bundle = make_bundle(["sh", "-c", "echo up; sleep 1000"])
        made = command("create", "-b", bundle, "--pid-file", tmp_path / "pid", container_id, stdout=out)
    assert made.err == ""
    state = command.state(container_id)
    assert state["status"] == "created"
    assert (tmp_path / "pid").read_text() == str(state["pid"])
    assert marker.read_text() == "", "nothing has run yet"
    assert command("start", container_id).out == ""
    assert command.status(container_id) == "running"
    assert command("kill", container_id, "9").out == ""
    command.await_status(container_id, "stopped")
    assert command.state(container_id)["pid"] == 0
    assert marker.read_text() == "up\n"
    assert command("delete", container_id).out == ""
    assert command.error("state", container_id) == "container does not exist"


def test_state_directory_of_a_created_container(command: Command, created: str) -> None:
    directory = command.root / created
    assert stat.S_IMODE(directory.stat().st_mode) == 0o711
    assert stat.S_IMODE((directory / "state.json").stat().st_mode) == 0o600
    assert stat.S_ISFIFO((directory / "exec.fifo").stat().st_mode)
    command("start", created)
    assert not (directory / "exec.fifo").exists()


def test_state_is_printed_as_runc_does(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    bundle = make_bundle(SLEEP, annotations={"com.example.k": "v"})
    command("create", "--bundle", bundle, container_id)
    text = command("state", container_id).out
    state = json.loads(text)
    keys = ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"]
    assert list(state) == keys
    assert text == json.dumps(state, indent=2), "two spaces, no line end"
    assert state["annotations"] == {"com.example.k": "v"}
    assert state["bundle"] == str(bundle)
    assert state["owner"] == ""


NO_SUCH = [
    ("start",),
    ("kill",),
    ("pause",),
    ("resume",),
    ("ps",),
    ("update", "--pids-limit", "5"),
    ("events", "--stats"),
    ("state",),
    ("delete",),
]


@pytest.mark.parametrize("words", NO_SUCH, ids=lambda words: words[0])
def test_no_such_container(command: Command, words: tuple[str, ...]) -> None:
    assert command.error(*words, "nope") == "container does not exist"


def test_exec_and_forced_delete_of_no_such_container(command: Command) -> None:
    assert command.error("exec", "nope", "true", status=255) == "exec failed: container does not exist"
    assert command("delete", "--force", "nope").err == ""


def test_created_twice(command: Command, created: str, make_bundle: Callable[..., Path]) -> None:
    before = command.state(created)
    for verb in ("create", "run"):
        message = command.error(verb, "--bundle", make_bundle(SLEEP), created)
        assert message == f"runc {verb} failed: container with given ID already exists"
    assert command.state(created) == before


@pytest.mark.parametrize("bad", ["a/b", "..", "é", "a b"])
def test_bad_ids(command: Command, bad: str, make_bundle: Callable[..., Path]) -> None:
    assert "invalid container ID format" in command.error("create", "-b", make_bundle(SLEEP), bad)


def test_running_refusals(command: Command, running: str) -> None:
    assert command.error("start", running) == "cannot start an already running container"
    refused = f"cannot delete container {running} that is not stopped: running"
    assert command.error("delete", running) == refused
    assert command.error("resume", running) == "container not paused"
    assert command.status(running) == "running"
    command("delete", "-f", running)


def test_stopped_refusals(command: Command, stopped: str) -> None:
    not_running = "container not running"
    assert command.error("start", stopped) == "cannot start a container that has stopped"
    assert command.error("kill", stopped) == not_running
    command("kill", "--all", stopped)
    assert command.error("pause", stopped) == not_running
    assert command.error("resume", stopped) == "container not paused"
    assert command.error("update", "--pids-limit", "9", stopped) == not_running
    assert command.error("events", "--stats", stopped) == f"container with id {stopped} is not running"
    refused = "exec failed: cannot exec in a stopped container"
    assert command.error("exec", stopped, "true", status=255) == refused
    assert command("ps", "--format", "json", stopped).out == "null\n"
    assert len(command("ps", stopped).out.splitlines()) == 1
    command("delete", stopped)


def test_pause_and_resume(command: Command, running: str) -> None:
    command("pause", running)
    assert command.status(running) == "paused"
    assert command.error("pause", running) == "container not running"
    assert command.error("start", running) == "cannot start a container in the paused state"
    refused = "exec failed: cannot exec in a paused container (use --ignore-paused to override)"
    assert command.error("exec", running, "true", status=255) == refused
    assert command.error("delete", running).endswith("that is not stopped: paused")
    command("resume", running)
    assert command.status(running) == "running"
    command("pause", running)
    command("kill", running, "KILL")
    command.await_status(running, "stopped")


def test_paused_while_created(command: Command, created: str) -> None:
    command("pause", created)
    assert command.status(created) == "paused"
    command("resume", created)
    assert command.status(created) == "created"
    command("pause", created)
    command("delete", "--force", created)


def test_created_is_deleted_without_force(command: Command, created: str) -> None:
    pid = command.state(created)["pid"]
    command("delete", created)
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.parametrize("signal", ["TERM", "sigkill", "KILL", "9", "SIGINT"])
def test_signals_by_any_name(
    command: Command, container_id: str, signal: str, make_bundle: Callable[..., Path]
) -> None:
    program = "trap 'exit 0' TERM INT; while :; do sleep 0.01; done"
    command("run", "-d", "--bundle", make_bundle(["sh", "-c", program]), container_id)
    command("kill", container_id, "0")
    assert command.error("kill", container_id, "FOO") == 'unknown signal "FOO"'
    assert command.error("kill", container_id, "99") == "unable to signal init: invalid argument"
    command("kill", container_id, signal)
    command.await_status(container_id, "stopped")


def test_list(command: Command, created: str) -> None:
    state = command.state(created)
    assert command("list", "-q").out == f"{created}\n"
    (listed,) = json.loads(command("list", "--format=json").out)
    assert listed == {**state, "owner": "root"}
    header, line = command("list").out.splitlines()
    assert header.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    columns = [state[key] for key in ("id", "pid", "status", "bundle", "created")]
    assert line.split() == [*map(str, columns), "root"]
    assert command.error("list", "-f", "yaml") == "invalid format option"
    command("delete", created)
    assert command("list", "-f", "json").out == "null\n"


def test_ps(command: Command, running: str) -> None:
    pid = command.state(running)["pid"]
    assert json.loads(command("ps", "-f", "json", running).out) == [pid]
    header, line = command("ps", running).out.splitlines()
    assert line.split()[header.split().index("PID")] == str(pid)
    assert command("ps", running, "-o", "pid,args").out.splitlines()[1].split() == [str(pid), *SLEEP]


def test_update(command: Command, running: str, tmp_path: Path) -> None:
    command("update", "--memory", "64M", "--pids-limit", "33", running)
    state = json.loads((command.root / running / "state.json").read_text())
    assert state["config"]["cgroups"]["memory"] == 64 << 20
    paths = state["cgroup_paths"]
    if "memory" in paths:
        assert Path(paths["memory"], "memory.limit_in_bytes").read_text().strip() == str(64 << 20)
    if "pids" in paths:
        assert Path(paths["pids"], "pids.max").read_text().strip() == "33"
    limits = tmp_path / "limits.json"
    limits.write_text('{"pids": {"limit": 44}}')
    with limits.open("rb") as file:
        command("update", "--resources=-", running, stdin=file)
    (event,) = command("events", "--stats", running).out.splitlines()
    data = json.loads(event)
    assert (data["type"], data["id"], data["data"]["pids"]["limit"]) == ("stats", running, 44)
    assert data["data"]["memory"]["usage"]["limit"] == 64 << 20


def test_events_until_the_end(command: Command, running: str) -> None:
    with command.running("events", "--interval", "20ms", running) as (process, out, _):
        while os.fstat(out.fileno()).st_size == 0:
            assert process.poll() is None
        command("kill", running, "KILL")
        assert command.wait(process) == 0
        out.seek(0)
        events = [json.loads(line) for line in out]
    assert {event["type"] for event in events} == {"stats"}
    zero = command.error("events", "--interval", "0s", running)
    assert zero == "duration interval must be greater than 0"


def test_spec_and_features(command: Command, tmp_path: Path) -> None:
    command("spec", cwd=tmp_path)
    text = (tmp_path / "config.json").read_text()
    assert text.startswith('{\n\t"ociVersion"')
    assert command.error("spec", "--bundle", tmp_path) == "File config.json exists. Remove it first"
    features = json.loads(command("features").out)
    assert features["ociVersionMin"] == "1.0.0"
    assert "pid" in features["linux"]["namespaces"]


def test_log_forms(command: Command, tmp_path: Path) -> None:
    plain = command("state", "nope", status=1).err
    assert plain.startswith('time="')
    assert plain.endswith(' level=error msg="container does not exist"\n')
    assert message_of(plain.strip()) == "container does not exist"
    log = tmp_path / "log.json"
    for count in (1, 2):
        words = ("--log", log, "--log-format", "json", "state", "nope")
        assert command(*words, status=1).err == "container does not exist\n"
        records: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()]
        assert len(records) == count
        assert list(records[-1]) == ["level", "msg", "time"]
        assert (records[-1]["level"], records[-1]["msg"]) == ("error", "container does not exist")
    assert "invalid log-format: xml" in command.error("--log-format", "xml", "list")
    assert command.error("fly", status=3) == "No help topic for 'fly'"
    missing = command("create", status=1)
    assert missing.out.startswith("Incorrect Usage.")
    assert "requires exactly 1 argument(s)" in missing.err


def test_missing_programs_fail_create_and_leave_nothing(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    prefix = "runc create failed: unable to start container process: exec: "
    cases = {
        "nonexist": '"nonexist": executable file not found in $PATH',
        "/nonexist": '"/nonexist": stat /nonexist: no such file or directory',
        "/etc/passwd": '"/etc/passwd": permission denied',
        "/etc": '"/etc": is a directory',
    }
    for program, text in cases.items():
        assert command.error("create", "-b", make_bundle([program]), container_id) == prefix + text
    assert not list(command.root.iterdir())


def test_exec_joins_the_cgroups(command: Command, running: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "exec.pid"
    command("exec", "-d", "--pid-file", pid_file, running, *SLEEP)
    assert cgroups_of(int(pid_file.read_text())) == cgroups_of(command.state(running)["pid"])
