"""What must not happen to an agent that lives long, or dies early."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from kata_hybrid.agent.v1.client import AgentClient
from support.agent import SANDBOX, Host, remove_leftovers, running_agent, sandbox, spawn_agent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host(tmp_path: Path, rootfs: Path) -> Iterator[Host]:
    with running_agent(tmp_path, rootfs) as agent, sandbox(agent) as with_sandbox:
        yield with_sandbox


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_execs_that_nobody_reads_do_not_fill_the_descriptors(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    before = open_files(host.pid)
    for number in range(300):
        host.exec("c1", f"e{number}", "/bin/sh", "-c", f"echo {number}; exit {number % 7}")
        assert host.wait("c1", f"e{number}") == number % 7
    assert open_files(host.pid) - before < 10
    assert host.read_all("c1", "e299") == b"299\n"
    assert host.wait("c1", "e299") == 299 % 7
    host.kill_and_remove("c1")


def test_the_agent_may_open_as_many_files_as_the_system_allows(host: Host) -> None:
    limits = Path(f"/proc/{host.pid}/limits").read_text().splitlines()
    soft, hard = next(line for line in limits if line.startswith("Max open files")).split()[3:5]
    assert soft == hard


def test_removed_containers_leave_no_descriptor(host: Host) -> None:
    host.run("c0", "/bin/true")
    assert host.wait("c0") == 0
    host("RemoveContainer", container_id="c0")
    before = open_files(host.pid)
    for number in range(1, 11):
        host.run(f"c{number}", "/bin/true")
        assert host.wait(f"c{number}") == 0
        host("RemoveContainer", container_id=f"c{number}")
    assert open_files(host.pid) == before


def test_a_read_parked_over_the_wait_gets_the_output(host: Host) -> None:
    host.run("c1", "/bin/sleep", "1000")
    host.exec("c1", "e1", "/bin/sh", "-c", "read line; echo $line")
    parked = host.client.start("ReadStdout", container_id="c1", exec_id="e1", len=100)
    waiting = host.client.start("WaitProcess", container_id="c1", exec_id="e1")
    host("WriteStdin", container_id="c1", exec_id="e1", data=b"late\n")
    assert waiting.result(20).status == 0
    assert parked.result(20).data == b"late\n"
    assert host.read_all("c1", "e1") == b""
    host.kill_and_remove("c1")


@pytest.mark.parametrize("milliseconds", [0, 3, 6, 10, 15, 25])
def test_a_killed_agent_leaves_nothing_to_the_next(tmp_path: Path, rootfs: Path, milliseconds: int) -> None:
    doomed = spawn_agent(tmp_path)
    try:
        with AgentClient(f"unix:{tmp_path / 'a.sock'}") as client:
            client.wait_ready(15)
            host = Host(client, rootfs, tmp_path, doomed.pid)
            host("CreateSandbox", sandbox_id=SANDBOX)
            spec = host.spec("/bin/sleep", "1000")
            group = spec.Linux.CgroupsPath.decode()
            call = client.start("CreateContainer", container_id="c1", exec_id="c1", OCI=spec)
            time.sleep(milliseconds / 1000)  # the moment of the kill is what is varied
            os.kill(doomed.pid, signal.SIGKILL)
            doomed.wait(15)
            assert call.exception(20) is None or isinstance(call.exception(), grpc.RpcError)
        with running_agent(tmp_path, rootfs) as agent, sandbox(agent) as host:
            host.run("c1", "/bin/true")
            assert host.wait("c1") == 0
            host("RemoveContainer", container_id="c1")
        assert not list(Path("/sys/fs/cgroup").glob(f"*{group}"))
    finally:
        doomed.kill()
        doomed.wait(15)
        remove_leftovers(tmp_path)
