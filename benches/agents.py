"""An agent as a program, driven through its unix socket by a client that costs little.

Ours, or any other that serves the Kata 1.x protocol on the socket that ``--listen unix://PATH`` names. The
Go agent has no unix socket of its own (it listens on vsock or a virtio serial port), so a build or a wrapper
that takes this option has to be given. The Rust agent speaks ttRPC, for which there is no client here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kata_hybrid.agent._proto.v1 import agent_pb2 as pb
from kata_hybrid.agent._proto.v1 import oci_pb2 as oci

from benches.light_grpc import CallError, LightClient
from benches.model import Usage
from benches.spawner import ENVIRONMENT, PeerFailedError, stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from kata_hybrid.oci.config import Spec

AGENT: Final = "/grpc.AgentService/"
CHECK: Final = "/grpc.Health/Check"
READY_SECONDS: Final = 15.0
LOOK_AGAIN_SECONDS: Final = 0.0005
READ_LENGTH: Final = 1 << 20
KILL: Final = 9


def oci_message(spec: Spec) -> oci.Spec:
    """A spec in the protocol's form, as far as ``bundle.agent_spec`` says anything."""
    assert spec.process is not None
    assert spec.root is not None
    made = oci.Spec(Version=spec.oci_version, Hostname=spec.hostname.encode())
    made.Root.Path = spec.root.path.encode()
    made.Process.CopyFrom(process_message(spec.process.args, spec.process.env))
    capabilities = spec.process.capabilities
    if capabilities is not None:
        made.Process.Capabilities.Bounding.extend(capabilities.bounding)
        made.Process.Capabilities.Effective.extend(capabilities.effective)
        made.Process.Capabilities.Permitted.extend(capabilities.permitted)
    for mount in spec.mounts:
        made.Mounts.add(
            destination=mount.destination.encode(),
            source=mount.source.encode(),
            type=mount.type,
            options=[option.encode() for option in mount.options],
        )
    for space in spec.linux.namespaces:
        made.Linux.Namespaces.add(Type=space.type.value)
    made.Linux.CgroupsPath = spec.linux.cgroups_path.encode()
    made.Linux.MaskedPaths.extend(path.encode() for path in spec.linux.masked_paths)
    made.Linux.ReadonlyPaths.extend(path.encode() for path in spec.linux.readonly_paths)
    limits, resources = made.Linux.Resources, spec.linux.resources
    assert resources is not None
    if resources.memory is not None:
        limits.Memory.Limit = resources.memory.limit or 0
    if resources.pids is not None:
        limits.Pids.Limit = resources.pids.limit or 0
    if resources.cpu is not None:
        limits.CPU.Shares = resources.cpu.shares or 0
    return made


def process_message(args: Sequence[str], env: Sequence[str]) -> oci.Process:
    return oci.Process(Args=[arg.encode() for arg in args], Env=[each.encode() for each in env], Cwd=b"/")


class Agent:
    """One running agent and one connection to it.

    Args:
        words: argv up to ``--listen``.
        directory: of its own, for the socket and its state.
        options: what comes after ``--listen``.
    """

    def __init__(
        self,
        name: str,
        words: Sequence[str],
        directory: Path,
        stack: ExitStack,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        directory.mkdir(parents=True)
        self.socket = directory / "agent.sock"
        self._errors = directory / "agent.stderr"
        address = f"unix://{self.socket}"
        with self._errors.open("wb") as errors:
            began = time.perf_counter()
            self.process = subprocess.Popen(
                [*words, "--listen", address, *options],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env=ENVIRONMENT,
                process_group=0,  # an interrupt is for us, who stop it in order
            )
        stack.callback(stop, self.process)
        self.client = self._connect()
        self.client.call(CHECK)
        self.start_seconds = time.perf_counter() - began
        stack.callback(self.client.close)

    def _connect(self) -> LightClient:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                return LightClient(self.socket)
            time.sleep(LOOK_AGAIN_SECONDS)
        said = " / ".join(self._errors.read_text(errors="replace").strip().splitlines()[-3:])
        raise PeerFailedError(
            f"{self.name} serves no unix socket ({said or 'it says nothing'}): give a program that serves "
            "the Kata 1.x protocol on the socket of --listen unix://PATH"
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def call(self, rpc: str, request: bytes = b"") -> bytearray:
        return self.client.call(AGENT + rpc, request)

    def sandbox(self, sandbox_id: str, stack: ExitStack) -> None:
        """Make one; it is destroyed before the agent is stopped."""
        self.call("CreateSandbox", pb.CreateSandboxRequest(sandbox_id=sandbox_id).SerializeToString())

        def destroy() -> None:
            try:
                self.call("DestroySandbox")
            except (CallError, OSError) as error:
                print(f"benches: {self.name}: DestroySandbox: {error!r}", file=sys.stderr)

        stack.callback(destroy)

    def create(self, container_id: str, spec: oci.Spec) -> None:
        request = pb.CreateContainerRequest(container_id=container_id, exec_id=container_id, OCI=spec)
        self.call("CreateContainer", request.SerializeToString())

    def start(self, container_id: str) -> None:
        request = pb.StartContainerRequest(container_id=container_id)
        self.call("StartContainer", request.SerializeToString())

    def execute(self, container_id: str, exec_id: str, process: oci.Process) -> None:
        request = pb.ExecProcessRequest(container_id=container_id, exec_id=exec_id, process=process)
        self.call("ExecProcess", request.SerializeToString())

    def wait(self, container_id: str, exec_id: str = "") -> int:
        """The exit code."""
        request = pb.WaitProcessRequest(container_id=container_id, exec_id=exec_id or container_id)
        answer = self.call("WaitProcess", request.SerializeToString())
        return int(pb.WaitProcessResponse.FromString(bytes(answer)).status)

    def launch(self, container_id: str, spec: oci.Spec, stack: ExitStack) -> None:
        """Create and start one that runs until ``stack`` ends it."""
        self.create(container_id, spec)
        stack.callback(self.remove, container_id)
        self.start(container_id)
        stack.callback(self.wait, container_id)
        stack.callback(self.kill, container_id)

    def kill(self, container_id: str) -> None:
        request = pb.SignalProcessRequest(container_id=container_id, exec_id=container_id, signal=KILL)
        self.call("SignalProcess", request.SerializeToString())

    def remove(self, container_id: str) -> None:
        request = pb.RemoveContainerRequest(container_id=container_id)
        self.call("RemoveContainer", request.SerializeToString())

    def read_stdout(self, container_id: str, exec_id: str, wanted: int) -> None:
        """Read until ``wanted`` bytes have come, 1 MiB at a time at most."""
        message = pb.ReadStreamRequest(container_id=container_id, exec_id=exec_id, len=READ_LENGTH)
        request, left = message.SerializeToString(), wanted
        while left > 0:
            left -= data_length(self.call("ReadStdout", request))

    def execute_many(self, container_id: str, exec_ids: Sequence[str], process: oci.Process) -> None:
        """All at once: every ExecProcess is sent before any answer, each WaitProcess behind its exec."""
        client = self.client
        execs: dict[int, str] = {}
        waits: set[int] = set()
        for exec_id in exec_ids:
            request = pb.ExecProcessRequest(container_id=container_id, exec_id=exec_id, process=process)
            execs[client.send(AGENT + "ExecProcess", request.SerializeToString())] = exec_id
        while execs or waits:
            stream, answer = client.receive()
            if stream in waits:
                waits.remove(stream)
                if pb.WaitProcessResponse.FromString(bytes(answer)).status != 0:
                    raise PeerFailedError(f"{self.name}: an exec ended badly")
                continue
            wait = pb.WaitProcessRequest(container_id=container_id, exec_id=execs.pop(stream))
            waits.add(client.send(AGENT + "WaitProcess", wait.SerializeToString()))

    def usage(self) -> Usage:
        """CPU of the agent itself by its process clock, of what it has reaped by the kernel's ticks."""
        clock = ~self.pid << 3 | 2  # clock_getcpuclockid(3): CPUCLOCK_SCHED of another process
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        children = (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return Usage(time.clock_gettime(clock) + children, status_kb(self.pid, "VmHWM"))


def data_length(reply: bytes | bytearray) -> int:
    """Of a ReadStreamResponse, which is one bytes field: not worth a copy to parse it."""
    at = length = shift = 0
    while reply:
        at += 1
        length |= (reply[at] & 0x7F) << shift
        shift += 7
        if reply[at] < 0x80:
            break
    assert len(reply) in (0, 1 + at + length), "a ReadStreamResponse"
    return length


def our_agent(directory: Path, stack: ExitStack) -> Agent:
    words = [sys.executable, "-m", "kata_hybrid.agent"]
    options = ["--state-root", str(directory / "state"), "--namespace-root", str(directory / "ns")]
    return Agent("agent v1", words, directory, stack, [*options, "--log-level", "warning"])


def status_kb(pid: int, key: str, source: str = "status") -> int:
    """A field of ``/proc/<pid>/status`` or ``smaps_rollup``, in kB; of ``Threads`` the number."""
    for line in Path(f"/proc/{pid}/{source}").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)


def private_kb(pid: int) -> int:
    """Memory that is this process's alone."""
    return sum(status_kb(pid, key, "smaps_rollup") for key in ("Private_Clean", "Private_Dirty"))
