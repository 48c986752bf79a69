"""A Kata host as tests need it: an agent of its own, and requests in few words."""

from __future__ import annotations

import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from kata_hybrid.agent.core.mounts import MNT_DETACH, unmount
from kata_hybrid.agent.v1.client import AgentClient, agent_pb2, oci_pb2
from kata_hybrid.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SANDBOX = "test-sandbox"
Code = grpc.StatusCode


class Host:
    """A client with the few requests that tests make again and again."""

    def __init__(self, client: AgentClient, rootfs: Path, root: Path, pid: int) -> None:
        self.client = client
        self.pid = pid
        self.rootfs = rootfs
        self.root = root

    def __call__(self, rpc: str, request: Any = None, **fields: Any) -> Any:
        return self.client.call(rpc, request, timeout=20, **fields)

    def spec(self, *args: str, terminal: bool = False, rootfs: str = "") -> Any:
        path = rootfs or str(self.rootfs)
        mounts = [
            oci_pb2.Mount(destination=b"/proc", source=b"proc", type="proc"),
            oci_pb2.Mount(destination=b"/dev", source=b"tmpfs", type="tmpfs"),
            oci_pb2.Mount(
                destination=b"/dev/pts",
                source=b"devpts",
                type="devpts",
                options=[b"newinstance", b"ptmxmode=0666"],
            ),
        ]
        return oci_pb2.Spec(
            Version="1.0.2",
            Root=oci_pb2.Root(Path=path.encode()),
            Process=oci_pb2.Process(
                Args=[arg.encode() for arg in args], Env=[b"PATH=/bin"], Cwd=b"/", Terminal=terminal
            ),
            Mounts=mounts,
            Linux=oci_pb2.Linux(
                Namespaces=[oci_pb2.LinuxNamespace(Type="mount")],
                Resources=oci_pb2.LinuxResources(),
                CgroupsPath=f"/kata-hybrid-test-{uuid.uuid4().hex[:12]}".encode(),
            ),
        )

    def create(self, name: str, *args: str, **parts: Any) -> None:
        spec = self.spec(*args, **parts)
        request = agent_pb2.CreateContainerRequest(container_id=name, exec_id=name, OCI=spec)
        self("CreateContainer", request)

    def run(self, name: str, *args: str, **parts: Any) -> None:
        self.create(name, *args, **parts)
        self("StartContainer", container_id=name)

    def exec(self, name: str, exec_id: str, *args: str, terminal: bool = False) -> None:
        process = oci_pb2.Process(
            Args=[arg.encode() for arg in args], Env=[b"PATH=/bin"], Cwd=b"/", Terminal=terminal
        )
        self("ExecProcess", agent_pb2.ExecProcessRequest(container_id=name, exec_id=exec_id, process=process))

    def wait(self, name: str, exec_id: str = "") -> int:
        return int(self("WaitProcess", container_id=name, exec_id=exec_id or name).status)

    def read_all(self, name: str, exec_id: str = "", rpc: str = "ReadStdout", length: int = 32768) -> bytes:
        data = b""
        while True:
            try:
                data += self(rpc, container_id=name, exec_id=exec_id or name, len=length).data
            except grpc.RpcError as err:
                if (err.code(), err.details()) != (Code.OUT_OF_RANGE, "EOF"):
                    raise
                return data

    def kill_and_remove(self, name: str) -> None:
        self("SignalProcess", container_id=name, exec_id="", signal=int(signal.SIGKILL))
        self.wait(name)
        self("RemoveContainer", container_id=name)

    def refused(self, rpc: str, request: Any = None, **fields: Any) -> tuple[Any, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self(rpc, request, **fields)
        return caught.value.code(), caught.value.details()


def remove_leftovers(root: Path) -> None:
    """What a failed test did not remove; the agent itself destroys nothing when it is stopped."""
    state_root = root / "state" / SANDBOX
    runtime = Runtime(str(state_root))
    for state in runtime.list() if state_root.exists() else []:
        runtime.delete(state.id, force=True)
    for path in (root / "ns").glob("*/*"):
        unmount(str(path), MNT_DETACH)


def spawn_agent(root: Path) -> subprocess.Popen[bytes]:
    """An agent with all its places below ``root``."""
    command = [sys.executable, "-m", "kata_hybrid.agent", "--listen", f"unix://{root / 'a.sock'}"]
    places = ["--state-root", str(root / "state"), "--namespace-root", str(root / "ns")]
    return subprocess.Popen([*command, *places, "--log-level", "warning"])


@contextmanager
def running_agent(root: Path, rootfs: Path) -> Iterator[Host]:
    """An agent that must end well when it is told to."""
    process = spawn_agent(root)
    try:
        with AgentClient(f"unix:{root / 'a.sock'}") as client:
            client.wait_ready(15)
            yield Host(client, rootfs, root, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(15)
        remove_leftovers(root)
    assert code == 0
    assert not (root / "a.sock").exists()


@contextmanager
def sandbox(agent: Host) -> Iterator[Host]:
    """With a sandbox; nothing of it may be left after DestroySandbox."""
    agent("CreateSandbox", sandbox_id=SANDBOX)
    yield agent
    agent("DestroySandbox")
    assert not list((agent.root / "state").glob("*"))
    assert not (agent.root / "ns").exists()
