"""A client that shares no code with ours: messages built at run time from field numbers, raw bytes sent."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.protobuf.message import Message

MESSAGES = {
    "CreateSandboxRequest": "5 sandbox_id string",
    "CreateContainerRequest": "1 container_id string, 2 exec_id string, 6 OCI Spec",
    "Spec": "1 Version string, 2 Process Process, 3 Root Root, 5 Mounts *Mount, 8 Linux Linux",
    "Process": "1 Terminal bool, 4 Args *string, 5 Env *string, 6 Cwd string",
    "Root": "1 Path string, 2 Readonly bool",
    "Mount": "1 destination string, 2 source string, 3 type string, 4 options *string",
    "Linux": "4 Resources LinuxResources, 6 Namespaces *LinuxNamespace",
    "LinuxResources": "3 CPU LinuxCPU",
    "LinuxCPU": "1 Shares uint64",
    "LinuxNamespace": "1 Type string, 2 Path string",
    "Container": "1 container_id string",
    "ProcessName": "1 container_id string, 2 exec_id string",
    "ExecProcessRequest": "1 container_id string, 2 exec_id string, 4 process Process",
    "SignalProcessRequest": "1 container_id string, 2 exec_id string, 3 signal uint32",
    "WriteStreamRequest": "1 container_id string, 2 exec_id string, 3 data bytes",
    "ReadStreamRequest": "1 container_id string, 2 exec_id string, 3 len uint32",
    "ReadStreamResponse": "1 data bytes",
    "WaitProcessResponse": "1 status int32",
    "Empty": "",
}
"""Number, name and type of the fields used; a star means repeated."""

KINDS = {
    "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    "bytes": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
    "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
    "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32,
    "uint64": descriptor_pb2.FieldDescriptorProto.TYPE_UINT64,
    "int32": descriptor_pb2.FieldDescriptorProto.TYPE_INT32,
}


def _messages() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="foreign.proto", package="foreign", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(", ")):
            number, field_name, kind = field.split()
            made = message.field.add(name=field_name, number=int(number))
            repeated = kind.startswith("*")
            made.label = made.LABEL_REPEATED if repeated else made.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in KINDS:
                made.type = KINDS[kind]
            else:
                made.type, made.type_name = made.TYPE_MESSAGE, f".foreign.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {name: pool.FindMessageTypeByName(f"foreign.{name}") for name in MESSAGES}
    return {name: message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


FOREIGN = _messages()


class Foreign:
    """Sends bytes, gets bytes."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __call__(self, method: str, message: str, reply: str = "Empty", **fields: Any) -> Any:
        data = self._channel.unary_unary(f"/grpc.AgentService/{method}")(
            FOREIGN[message](**fields).SerializeToString(), timeout=20
        )
        return FOREIGN[reply].FromString(data)


@pytest.fixture
def foreign(tmp_path: Path) -> Iterator[Foreign]:
    socket = tmp_path / "a.sock"
    command = [sys.executable, "-m", "kata_hybrid.agent", "--listen", f"unix://{socket}"]
    places = ["--state-root", str(tmp_path / "state"), "--namespace-root", str(tmp_path / "ns")]
    process = subprocess.Popen([*command, *places, "--log-level", "warning"])
    try:
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            grpc.channel_ready_future(channel).result(15)
            yield Foreign(channel)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_main_flow(foreign: Foreign, rootfs: Path) -> None:
    foreign("CreateSandbox", "CreateSandboxRequest", sandbox_id="foreign")
    spec = {
        "Version": "1.0.2",
        "Process": {"Args": ["/bin/cat"], "Env": ["PATH=/bin"], "Cwd": "/"},
        "Root": {"Path": str(rootfs)},
        "Mounts": [{"destination": "/proc", "source": "proc", "type": "proc"}],
        "Linux": {"Resources": {"CPU": {"Shares": 512}}, "Namespaces": [{"Type": "mount"}]},
    }
    foreign("CreateContainer", "CreateContainerRequest", container_id="c", exec_id="c", OCI=spec)
    foreign("StartContainer", "Container", container_id="c")
    process = {"Args": ["/bin/sh", "-c", "cat; exit 3"], "Env": ["PATH=/bin"], "Cwd": "/"}
    foreign("ExecProcess", "ExecProcessRequest", container_id="c", exec_id="e", process=process)
    for exec_id, status in (("e", 3), ("c", 0)):
        foreign("WriteStdin", "WriteStreamRequest", container_id="c", exec_id=exec_id, data=b"hi")
        name = {"container_id": "c", "exec_id": exec_id}
        read = foreign("ReadStdout", "ReadStreamRequest", "ReadStreamResponse", **name, len=100)
        assert read.data == b"hi"
        foreign("CloseStdin", "ProcessName", **name)
        waited = foreign("WaitProcess", "ProcessName", "WaitProcessResponse", **name)
        assert waited.status == status
    foreign("RemoveContainer", "Container", container_id="c")
    foreign("DestroySandbox", "Empty")


def test_unknown_methods_are_unimplemented(foreign: Foreign) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        foreign("NoSuchMethod", "Empty")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
