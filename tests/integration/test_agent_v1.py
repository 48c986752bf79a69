"""The v1 agent as its host sees it: a process of its own behind a unix socket."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from kata_hybrid.agent.v1.client import agent_pb2, oci_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

from support.agent import SANDBOX, Host, running_agent, sandbox

Code = grpc.StatusCode


@pytest.fixture
def agent(tmp_path: Path, rootfs: Path) -> Iterator[Host]:
    with running_agent(tmp_path, rootfs) as started:
        yield started


@pytest.fixture
def host(agent: Host) -> Iterator[Host]:
    with sandbox(agent) as with_sandbox:
        yield with_sandbox


def test_socket_is_for_its_owner_only(agent: Host) -> None:
    assert (agent.root / "a.sock").stat().st_mode & 0o777 == 0o600


def test_before_and_after_the_sandbox(agent: Host) -> None:
    assert agent("Check").status == 1
    agent("DestroySandbox")
    not_started = (Code.FAILED_PRECONDITION, "Sandbox not started")
    assert agent.refused("StartContainer", container_id="x") == not_started
    agent("CreateSandbox", sandbox_id=SANDBOX)
    text = "Sandbox already started, impossible to start again"
    assert agent.refused("CreateSandbox") == (Code.ALREADY_EXISTS, text)
    agent("DestroySandbox")
    agent("CreateSandbox", sandbox_id=SANDBOX)
    agent("DestroySandbox")


def test_whole_life(host: Host) -> None:
    host.create("c1", "/bin/sh", "-c", "echo out; echo err >&2; exit 3")
    state = json.loads((host.root / "state" / SANDBOX / "c1" / "state.json").read_text())
    assert state["id"] == "c1"
    parked = host.client.start("ReadStdout", container_id="c1", exec_id="c1", len=100)
    host("StartContainer", container_id="c1")
    assert parked.result(10).data == b"out\n"
    assert host.wait("c1") == 3
    assert host.wait("c1") == 3
    assert host.read_all("c1", rpc="ReadStderr") == b"err\n"
    assert host.read_all("c1") == b""
    text = "Container c1 status stopped, should be created"
    assert host.refused("StartContainer", container_id="c1") == (Code.FAILED_PRECONDITION, text)
    host("RemoveContainer", container_id="c1")
    assert host.refused("RemoveContainer", container_id="c1") == (Code.NOT_FOUND, "Container c1 not found")


def test_exec_with_input(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    host.exec("c1", "e1", "/bin/cat")
    data = os.urandom(300_000)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(host.read_all, "c1", "e1")
        assert host("WriteStdin", container_id="c1", exec_id="e1", data=data).len == len(data)
        host("CloseStdin", container_id="c1", exec_id="e1")
        assert reading.result(20) == data
    assert host("WriteStdin", container_id="c1", exec_id="e1", data=b"x").len == 0
    closed = host.refused("CloseStdin", container_id="c1", exec_id="e1")
    assert closed == (Code.UNKNOWN, "close |1: file already closed")
    assert host.wait("c1", "e1") == 0
    host.kill_and_remove("c1")


def test_exec_ids(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    host.exec("c1", "e1", "/bin/sh", "-c", "exit 5")
    process = oci_pb2.Process(Args=[b"/bin/true"], Cwd=b"/")
    again = agent_pb2.ExecProcessRequest(container_id="c1", exec_id="e1", process=process)
    assert host.refused("ExecProcess", again)[0] is Code.ALREADY_EXISTS
    assert host.wait("c1", "e1") == 5
    host.exec("c1", "e1", "/bin/sh", "-c", "exit 6")
    assert host.wait("c1", "e1") == 6
    missing = agent_pb2.ExecProcessRequest(
        container_id="c1", exec_id="e2", process=oci_pb2.Process(Args=[b"no-such-program"], Cwd=b"/")
    )
    code, text = host.refused("ExecProcess", missing)
    assert code is Code.INTERNAL
    assert "executable file not found in $PATH" in text
    host.kill_and_remove("c1")


def test_terminal(host: Host) -> None:
    host.run("c1", "/bin/sh", "-c", "read line; echo got $line; sleep 1000 & exit 4", terminal=True)
    host("TtyWinResize", container_id="c1", exec_id="c1", row=40, column=100)
    host("WriteStdin", container_id="c1", exec_id="c1", data=b"word\n")
    assert b"got word\r\n" in host.read_all("c1")
    assert host.wait("c1") == 4
    host("RemoveContainer", container_id="c1")


def test_signals(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    assert host.refused("TtyWinResize", container_id="c1", exec_id="c1")[0] is Code.FAILED_PRECONDITION
    bad = host.refused("SignalProcess", container_id="c1", exec_id="c1", signal=999)
    assert bad == (Code.UNKNOWN, "invalid argument")
    running = host.refused("RemoveContainer", container_id="c1")
    assert running == (Code.UNKNOWN, "container is not destroyed")
    assert host.refused("DestroySandbox") == running
    host("SignalProcess", container_id="c1", exec_id="c1", signal=int(signal.SIGTERM))
    assert host.wait("c1") == 137
    host("SignalProcess", container_id="c1", exec_id="c1", signal=int(signal.SIGKILL))
    host("RemoveContainer", container_id="c1")


def test_pause_and_resume(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    host("PauseContainer", container_id="c1")
    process = oci_pb2.Process(Args=[b"/bin/true"], Cwd=b"/")
    request = agent_pb2.ExecProcessRequest(container_id="c1", exec_id="e", process=process)
    assert host.refused("ExecProcess", request)[0] is Code.FAILED_PRECONDITION
    assert host.refused("RemoveContainer", container_id="c1") == (Code.UNKNOWN, "container is paused")
    host("ResumeContainer", container_id="c1")
    assert host.refused("ResumeContainer", container_id="c1") == (Code.UNKNOWN, "container not paused")
    host("PauseContainer", container_id="c1")
    host("SignalProcess", container_id="c1", exec_id="c1", signal=int(signal.SIGKILL))
    assert host.wait("c1") == 137
    host("RemoveContainer", container_id="c1")


def test_eight_waiters_and_one_that_leaves(host: Host) -> None:
    host.run("c1", "/bin/sh", "-c", "read x; exit 9")
    waiters = [host.client.start("WaitProcess", container_id="c1", exec_id="c1") for _ in range(9)]
    waiters[0].cancel()
    host("WriteStdin", container_id="c1", exec_id="c1", data=b"\n")
    assert [each.result(10).status for each in waiters[1:]] == [9] * 8
    host("RemoveContainer", container_id="c1")


def test_a_reader_that_leaves_takes_nothing_with_it(host: Host) -> None:
    host.run("c1", "/bin/cat")
    for _ in range(20):
        gone = host.client.start("ReadStdout", container_id="c1", exec_id="c1", len=100)
        time.sleep(0.005)
        gone.cancel()
    host("WriteStdin", container_id="c1", exec_id="c1", data=b"all of it")
    host("CloseStdin", container_id="c1", exec_id="c1")
    assert host.read_all("c1") == b"all of it"
    assert host.wait("c1") == 0
    host("RemoveContainer", container_id="c1")


def test_two_hundred_exits_at_once(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")

    def one(number: int) -> int:
        host.exec("c1", f"e{number}", "/bin/sh", "-c", f"exit {number % 100}")
        return host.wait("c1", f"e{number}")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(200))) == [number % 100 for number in range(200)]
    host.kill_and_remove("c1")


def test_parked_readers_leave_check_quick(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    parked = [host.client.start("ReadStdout", container_id="c1", exec_id="c1", len=10) for _ in range(100)]
    began = time.monotonic()
    host("Check")
    assert time.monotonic() - began < 1
    for each in parked:
        each.cancel()
    host.kill_and_remove("c1")


def test_limits_and_counters(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    resources = oci_pb2.LinuxResources(
        Memory=oci_pb2.LinuxMemory(Limit=64 << 20), Pids=oci_pb2.LinuxPids(Limit=50)
    )
    host("UpdateContainer", agent_pb2.UpdateContainerRequest(container_id="c1", resources=resources))
    stats = host("StatsContainer", container_id="c1").cgroup_stats
    assert stats.memory_stats.usage.limit == 64 << 20
    assert stats.pids_stats.limit == 50
    nil = host.refused("UpdateContainer", container_id="c1")
    assert nil == (Code.UNKNOWN, "Resources in the request are nil")
    table = host("ListProcesses", container_id="c1", format="table").process_list.decode()
    assert "sleep 1000" in table
    host.kill_and_remove("c1")


def test_storages_are_there_and_go(host: Host) -> None:
    (host.root / "source").mkdir()
    (host.root / "source/file").write_text("here")
    target = host.root / "target"
    request = agent_pb2.CreateContainerRequest(container_id="c1", exec_id="c1", OCI=host.spec("/bin/true"))
    source = str(host.root / "source").encode()
    request.storages.add(driver="bind", source=source, mount_point=str(target).encode())
    host("CreateContainer", request)
    assert (target / "file").read_text() == "here"
    host("RemoveContainer", container_id="c1")
    assert not os.path.ismount(target)


@pytest.mark.parametrize("name", ["a/b", "a\nb", "x" * 300, "..", ""])
def test_names_that_are_no_names(host: Host, name: str) -> None:
    request = agent_pb2.CreateContainerRequest(container_id=name, exec_id="e", OCI=host.spec("/bin/true"))
    assert host.refused("CreateContainer", request)[0] is Code.INVALID_ARGUMENT
    assert host.refused("StartContainer", container_id=name)[0] is Code.NOT_FOUND


def test_bad_requests_leave_nothing(host: Host) -> None:
    refused = host.refused
    assert refused("CreateContainer", container_id="c1")[0] is Code.INVALID_ARGUMENT
    request = agent_pb2.CreateContainerRequest(container_id="c1", exec_id="c1", OCI=host.spec("/bin/true"))
    request.OCI.ClearField("Process")
    assert refused("CreateContainer", request)[0] is Code.INVALID_ARGUMENT
    (host.root / "link").symlink_to(host.rootfs)
    linked = host.spec("/bin/true", rootfs=str(host.root / "link"))
    request = agent_pb2.CreateContainerRequest(container_id="c1", exec_id="c1", OCI=linked)
    assert "is not an absolute path or is a symlink" in refused("CreateContainer", request)[1]
    request.OCI.CopyFrom(host.spec("/bin/true"))
    request.OCI.Linux.Namespaces.add(Type="pid")
    assert refused("CreateContainer", request)[0] is Code.FAILED_PRECONDITION
    request.OCI.CopyFrom(host.spec("no-such-program"))
    code, text = refused("CreateContainer", request)
    assert code is Code.INTERNAL
    assert "executable file not found in $PATH" in text
    host.create("c1", "/bin/true")
    request.OCI.CopyFrom(host.spec("/bin/true"))
    exists = "Container c1 already exists, impossible to create"
    assert refused("CreateContainer", request) == (Code.ALREADY_EXISTS, exists)
    host("RemoveContainer", container_id="c1")


def test_guest_calls(agent: Host) -> None:
    agent("StartTracing")
    assert agent.refused("StartTracing") == (Code.FAILED_PRECONDITION, "tracing already enabled")
    agent("StopTracing")
    assert agent.refused("StopTracing") == (Code.FAILED_PRECONDITION, "tracing not enabled")
    assert agent.refused("ReseedRandomDev") == (Code.UNKNOWN, "missing entropy data")
    assert agent.refused("SetGuestDateTime", Sec=1)[0] is Code.FAILED_PRECONDITION
    assert agent.refused("ListRoutes")[0] is Code.UNIMPLEMENTED
    text = "Only is possible to copy files into the /run directory"
    assert agent.refused("CopyFile", path=b"/runaway/x") == (Code.UNKNOWN, text)
    assert agent("GetGuestDetails", mem_block_size=True).agent_details.version


def test_a_shared_pid_namespace_and_orphans(agent: Host) -> None:
    agent("CreateSandbox", sandbox_id=SANDBOX, sandbox_pidns=True)
    agent.run("c1", "/bin/sleep", "1000")
    agent.run("c2", "/bin/sh", "-c", "sleep 1000 & exec true")
    assert agent.wait("c2") == 0
    found = json.loads(agent("ListProcesses", container_id="c1", format="json").process_list)
    assert os.readlink(f"/proc/{found[0]}/ns/pid") != os.readlink("/proc/self/ns/pid")
    agent("SignalProcess", container_id="c2", exec_id="", signal=int(signal.SIGKILL))
    agent("RemoveContainer", container_id="c2")
    agent.kill_and_remove("c1")
    agent("DestroySandbox")


def test_an_oom_event_reaches_one_caller(host: Host) -> None:
    host.create("c1", "/bin/sh", "-c", "x=a; while true; do x=$x$x; done")
    resources = oci_pb2.LinuxResources(Memory=oci_pb2.LinuxMemory(Limit=16 << 20))
    host("UpdateContainer", agent_pb2.UpdateContainerRequest(container_id="c1", resources=resources))
    event = host.client.start("GetOOMEvent")
    host("StartContainer", container_id="c1")
    assert event.result(20).container_id == "c1"
    assert host.wait("c1") == 137
    host("RemoveContainer", container_id="c1")
