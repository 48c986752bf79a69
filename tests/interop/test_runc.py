"""runc on containers that we made, and we on containers that runc made: one state directory for both.

What the state file must hold for that is measured, not specified; runc itself is the test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.errors import ContainerExists, ContainerNotFound, StatusError
from kata_hybrid.oci.config import Pids, Resources
from kata_hybrid.runtime import Runtime, Status, Stdio
from support.command import cgroups_of, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command

pytestmark = pytest.mark.runc

SLEEP = ["sleep", "1000"]


@pytest.fixture(params=["library", "command"])
def ours(
    request: pytest.FixtureRequest,
    runtime: Runtime,
    command: Command,
    container_id: str,
    make_bundle: Callable[..., Path],
) -> Iterator[str]:
    """The id of a created container of ours."""
    bundle = make_bundle(SLEEP, annotations={"com.example.k": "v"})
    if request.param == "command":
        command("create", "--bundle", bundle, container_id)
        yield container_id
        return
    container = runtime.create(container_id, bundle=str(bundle), stdio=Stdio.null())
    yield container_id
    runtime.delete(container_id, force=True)
    container.wait(20)  # whoever deleted it, the status is its parent's to take


@pytest.fixture
def theirs(runc: Command, command: Command, container_id: str, make_bundle: Callable[..., Path]) -> str:
    """The id of a container that runc has created; ``command`` cleans up."""
    bundle = make_bundle(SLEEP, annotations={"com.example.k": "v"})
    runc("create", "--bundle", bundle, container_id)
    return container_id


@pytest.fixture
def started(runc: Command, theirs: str) -> str:
    """The same, started by runc."""
    runc("start", theirs)
    return theirs


def gone(runtime: Runtime, runc: Command, container_id: str) -> bool:
    """Neither of us finds it, and its directory is gone."""
    assert runc.error("state", container_id) == "container does not exist"
    with pytest.raises(ContainerNotFound):
        runtime.load(container_id)
    return not (runc.root / container_id).exists()


# --- runc on ours ------------------------------------------------------------------------------------


def test_runc_reads_ours_as_we_do(command: Command, runc: Command, ours: str) -> None:
    assert runc("state", ours).out == command("state", ours).out
    assert runc("list").out == command("list").out
    assert json.loads(runc("list", "-f", "json").out) == json.loads(command("list", "-f", "json").out)
    assert runc("ps", "-f", "json", ours).out == command("ps", "-f", "json", ours).out
    assert len(runc("ps", ours).out.splitlines()) == 2


def test_runc_refuses_the_id(runc: Command, ours: str, make_bundle: Callable[..., Path]) -> None:
    assert "container with given ID already exists" in runc.error("create", "-b", make_bundle(SLEEP), ours)


def test_runc_starts_ours(runtime: Runtime, command: Command, runc: Command, ours: str) -> None:
    runc("start", ours)
    assert command.status(ours) == runc.status(ours) == "running"
    assert runtime.load(ours).status is Status.RUNNING
    assert not (runc.root / ours / "exec.fifo").exists()
    assert command.error("start", ours) == "cannot start an already running container"
    assert runc.error("start", ours) == "cannot start an already running container"


def test_runc_execs_in_ours(command: Command, runc: Command, ours: str, tmp_path: Path) -> None:
    command("start", ours)
    assert runc("exec", ours, "hostname").out == "box\n"
    runc("exec", ours, "sh", "-c", "exit 42", status=42)
    runc("exec", ours, "nonexist", status=255)
    assert runc("exec", "--user", "5:6", ours, "id", "-u").out == "5\n"
    namespaces = "for n in pid mnt net ipc uts; do readlink /proc/self/ns/$n; done"
    assert runc("exec", ours, "sh", "-c", namespaces).out == command("exec", ours, "sh", "-c", namespaces).out
    runc("exec", "--detach", "--pid-file", tmp_path / "pid", ours, *SLEEP)
    pid = int((tmp_path / "pid").read_text())
    assert cgroups_of(pid) == cgroups_of(command.state(ours)["pid"])
    assert pid in json.loads(command("ps", "-f", "json", ours).out)


def test_runc_execs_in_ours_before_the_start(runc: Command, ours: str) -> None:
    assert runc("exec", ours, "echo", "early").out == "early\n"
    assert runc.status(ours) == "created"


def test_runc_pauses_and_resumes_ours(command: Command, runc: Command, ours: str) -> None:
    command("start", ours)
    runc("pause", ours)
    assert command.status(ours) == runc.status(ours) == "paused"
    command("resume", ours)
    assert runc.status(ours) == "running"
    command("pause", ours)
    assert runc.status(ours) == "paused"
    runc("resume", ours)
    assert command.status(ours) == "running"


def test_runc_updates_ours(command: Command, runc: Command, ours: str) -> None:
    command("start", ours)
    runc("update", "--memory", str(64 << 20), "--pids-limit", "33", ours)
    stats = json.loads(command("events", "--stats", ours).out)["data"]
    assert stats["memory"]["usage"]["limit"] == 64 << 20
    assert stats["pids"]["limit"] == 33
    command("update", "--pids-limit", "44", ours)
    theirs = json.loads(runc("events", "--stats", ours).out)["data"]
    assert theirs["pids"]["limit"] == 44
    assert theirs["memory"]["usage"]["limit"] == 64 << 20
    command("delete", "--force", ours)


def test_runc_kills_and_deletes_ours(runtime: Runtime, command: Command, runc: Command, ours: str) -> None:
    command("start", ours)
    runc("kill", ours, "KILL")
    runc.await_status(ours, "stopped")
    assert runtime.load(ours).status is Status.STOPPED
    assert command.state(ours)["pid"] == 0
    runc("delete", ours)
    assert gone(runtime, runc, ours)


@pytest.mark.parametrize("before", ["created", "running", "paused"])
def test_runc_deletes_ours_by_force(
    runtime: Runtime,
    command: Command,
    runc: Command,
    container_id: str,
    before: str,
    make_bundle: Callable[..., Path],
) -> None:
    """By the command only: runc waits until the init has been reaped, which is its owner's part."""
    command("create", "--bundle", make_bundle(SLEEP), container_id)
    if before != "created":
        command("start", container_id)
    if before == "paused":
        command("pause", container_id)
    runc("delete", "--force", container_id)
    assert gone(runtime, runc, container_id)


def test_runc_runs_the_poststop_hooks_of_ours(
    command: Command, runc: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/hook"]}
    command("create", "--bundle", make_bundle(SLEEP, hooks={"poststop": [hook]}), container_id)
    runc("delete", "--force", container_id)
    seen = json.loads((tmp_path / "hook").read_text())
    assert (seen["id"], seen["status"]) == (container_id, "stopped")


# --- ours on runc's ----------------------------------------------------------------------------------


def test_we_read_theirs_as_runc_does(runtime: Runtime, command: Command, runc: Command, theirs: str) -> None:
    assert command("state", theirs).out == runc("state", theirs).out
    assert command("list").out == runc("list").out
    assert command("ps", "-f", "json", theirs).out == runc("ps", "-f", "json", theirs).out
    (listed,) = runtime.list()
    assert listed == runtime.load(theirs).state()
    assert listed.status is Status.CREATED
    assert listed.annotations == {"com.example.k": "v"}


def test_we_refuse_their_id(
    runtime: Runtime, command: Command, theirs: str, make_bundle: Callable[..., Path]
) -> None:
    bundle = make_bundle(SLEEP)
    assert "container with given ID already exists" in command.error("create", "-b", bundle, theirs)
    with pytest.raises(ContainerExists):
        runtime.create(theirs, bundle=str(bundle), stdio=Stdio.null())


def test_the_command_starts_theirs(command: Command, runc: Command, theirs: str) -> None:
    command("start", theirs)
    assert command.status(theirs) == runc.status(theirs) == "running"
    assert runc.error("start", theirs) == "cannot start an already running container"


def test_the_library_on_theirs(
    runtime: Runtime, command: Command, runc: Command, theirs: str, read_all: Callable[..., bytes]
) -> None:
    container = runtime.load(theirs)
    assert container.status is Status.CREATED
    container.start()
    assert runc.status(theirs) == "running"
    with pytest.raises(StatusError):
        container.start()
    process = container.exec(["hostname"], stdio=Stdio.pipes())
    assert read_all(process.stdout) == b"box\n"
    assert process.wait(10).status == 0
    process.close_streams()
    container.pause()
    assert runc.status(theirs) == "paused"
    container.resume()
    container.update(Resources(pids=Pids(55)))
    assert json.loads(runc("events", "--stats", theirs).out)["data"]["pids"]["limit"] == 55
    assert container.stats().pids.limit == 55
    assert container.processes() == [container.init.pid]
    container.kill("KILL")
    until(lambda: container.status is Status.STOPPED)
    container.delete()
    assert gone(runtime, runc, theirs)


def test_the_command_on_theirs(runtime: Runtime, command: Command, runc: Command, started: str) -> None:
    assert command.status(started) == "running"
    assert command("exec", started, "hostname").out == "box\n"
    command("exec", started, "sh", "-c", "exit 42", status=42)
    namespaces = "for n in pid mnt net ipc uts; do readlink /proc/self/ns/$n; done"
    theirs = runc("exec", started, "sh", "-c", namespaces).out
    assert command("exec", started, "sh", "-c", namespaces).out == theirs
    command("pause", started)
    assert runc.status(started) == "paused"
    command("resume", started)
    command("update", "--pids-limit", "44", started)
    assert runc("exec", started, "echo", "still").out == "still\n"
    command("kill", started, "KILL")
    command.await_status(started, "stopped")
    assert runc.status(started) == "stopped"
    command("delete", started)
    assert gone(runtime, runc, started)


def test_update_keeps_what_runc_wrote(command: Command, runc: Command, started: str) -> None:
    file = runc.root / started / "state.json"
    before = json.loads(file.read_text())
    command("update", "--pids-limit", "44", started)
    after = json.loads(file.read_text())
    assert after["config"]["cgroups"].pop("pids_limit") == 44
    before["config"]["cgroups"].pop("pids_limit", None)
    assert after == before


@pytest.mark.parametrize("before", ["created", "running", "paused"])
@pytest.mark.parametrize("by", ["library", "command"])
def test_we_delete_theirs_by_force(
    runtime: Runtime, command: Command, runc: Command, theirs: str, before: str, by: str
) -> None:
    paths = json.loads((runc.root / theirs / "state.json").read_text())["cgroup_paths"]
    assert all(Path(path).is_dir() for path in paths.values())
    if before != "created":
        runc("start", theirs)
    if before == "paused":
        runc("pause", theirs)
    if by == "library":
        runtime.delete(theirs, force=True)
    else:
        command("delete", "--force", theirs)
    assert gone(runtime, runc, theirs)
    assert not [path for path in paths.values() if Path(path).exists()]


def test_side_by_side(command: Command, runc: Command, ours: str, make_bundle: Callable[..., Path]) -> None:
    other = f"{ours}-b"
    runc("run", "--detach", "--bundle", make_bundle(SLEEP), other)
    assert command("list", "-q").out == runc("list", "-q").out == f"{ours}\n{other}\n"
    command("delete", "--force", other)
    assert runc("list", "-q").out == f"{ours}\n"
