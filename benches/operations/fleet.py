"""Many running containers of one Runtime or one agent, for what ``scale`` reads of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from kata_hybrid.agent._proto.v1 import agent_pb2 as pb

from benches.agents import AGENT, oci_message
from benches.bundle import CGROUP_PARENT, agent_spec, docker_spec
from benches.operations.setting import SLEEP
from benches.spawner import ENVIRONMENT, PeerFailedError, stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from google.protobuf.message import Message

    from benches.agents import Agent
    from benches.operations.setting import Setting

SETTLE_SECONDS: Final = 0.002
"""A waiter that was asked to wait is asleep by then."""


class Fleet(Protocol):
    """Containers by number. ``pid`` is the process that holds them."""

    name: str
    pid: int

    def launch(self, number: int) -> float:
        """Make and start one; gives seconds."""

    def container_pid(self, number: int) -> int: ...
    def end(self, number: int) -> float:
        """Kill one from outside; gives the seconds from its end until whoever waits for it has the answer.

        Both learn of it from the kernel at the same moment, so the figure may be a little below zero.
        """

    def remove(self, number: int) -> None:
        """Also of one that still runs."""


class LibraryFleet:
    """A Runtime in an interpreter of its own."""

    def __init__(self, setting: Setting, stack: ExitStack) -> None:
        self.name = "library"
        self._setting = setting
        self._pids: dict[int, int] = {}
        root = setting.fresh_directory("fleet")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benches.operations.scale_worker", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=Path(__file__).resolve().parents[2],
            process_group=0,  # an interrupt is for us, who stop it in order
        )
        stack.callback(stop, self._process)
        self.pid = self._process.pid
        self._expect("ready")

    def launch(self, number: int) -> float:
        bundle = self._setting.new_bundle(f"fleet-{number}", SLEEP)
        self._tell(f"launch c{number} {bundle.directory}")
        pid, seconds = self._expect("launched")
        self._setting.remove_bundle(bundle)
        self._pids[number] = int(pid)
        return float(seconds)

    def container_pid(self, number: int) -> int:
        return self._pids[number]

    def end(self, number: int) -> float:
        self._tell(f"watch c{number}")
        self._expect("watching")
        ended = kill(self._pids[number])
        return float(self._expect("ended")[1]) - ended

    def remove(self, number: int) -> None:
        self._tell(f"delete c{number}")
        self._expect("deleted")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _expect(self, word: str) -> list[str]:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        if not words or words[0] != word:
            raise PeerFailedError(f"the worker said {words} in the place of '{word}'; see stderr")
        return words[1:]


class AgentFleet:
    """One agent; a WaitProcess for each container is parked from its start on, as hosts do."""

    def __init__(self, setting: Setting, agent: Agent) -> None:
        self.name = agent.name
        self.pid = agent.pid
        self._agent = agent
        self._setting = setting
        self._waits: dict[int, int] = {}
        self._ended: set[int] = set()

    def launch(self, number: int) -> float:
        spec = docker_spec(self._setting.rootfs, SLEEP, cgroup=self._group(number))
        message = oci_message(agent_spec(spec))
        began = time.perf_counter()
        self._ask(
            "CreateContainer",
            pb.CreateContainerRequest(container_id=f"c{number}", exec_id=f"c{number}", OCI=message),
        )
        self._ask("StartContainer", pb.StartContainerRequest(container_id=f"c{number}"))
        seconds = time.perf_counter() - began
        wait = pb.WaitProcessRequest(container_id=f"c{number}", exec_id=f"c{number}")
        self._waits[self._send("WaitProcess", wait)] = number
        self._ended.discard(number)
        return seconds

    def container_pid(self, number: int) -> int:
        group = Path("/sys/fs/cgroup/pids") / CGROUP_PARENT.lstrip("/") / self._group(number)
        return int((group / "cgroup.procs").read_text().split()[0])

    def end(self, number: int) -> float:
        ended = kill(self.container_pid(number))
        while number not in self._ended:
            self._receive()
        return time.monotonic() - ended

    def remove(self, number: int) -> None:
        if number not in self._ended:
            kill(self.container_pid(number))
        while number not in self._ended:
            self._receive()
        self._ask("RemoveContainer", pb.RemoveContainerRequest(container_id=f"c{number}"))

    def _group(self, number: int) -> str:
        return f"fleet-{self.pid}-{number}"

    def _send(self, rpc: str, request: Message) -> int:
        return self._agent.client.send(AGENT + rpc, request.SerializeToString())

    def _ask(self, rpc: str, request: Message) -> None:
        """A call while others are parked."""
        stream = self._send(rpc, request)
        while self._receive() != stream:
            continue

    def _receive(self) -> int:
        stream, _ = self._agent.client.receive()
        if stream in self._waits:
            self._ended.add(self._waits.pop(stream))
        return stream


def kill(pid: int) -> float:
    """SIGKILL to just this process; gives the monotonic time at which the kernel says that it has ended."""
    pidfd = os.pidfd_open(pid)
    try:
        time.sleep(SETTLE_SECONDS)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [])
        return time.monotonic()
    finally:
        os.close(pidfd)


def remove_all(fleet: Fleet, count: int, say: Callable[[str], None]) -> None:
    for number in range(count):
        if number % 100 == 0:
            say(f"{fleet.name}: removing, {count - number} left")
        fleet.remove(number)
