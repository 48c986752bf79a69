"""The server's message classes against protoc's."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError, Message
from kata_hybrid.agent import messages
from kata_hybrid.agent._proto.v1 import agent_pb2, health_pb2, oci_pb2, types_pb2
from kata_hybrid.agent._proto.v1.descriptors import FILES

MODULES = {"agent": agent_pb2, "health": health_pb2, "oci": oci_pb2, "types": types_pb2}
WAYS = pytest.mark.parametrize("load", [messages._load_by_upb, messages._load_by_protobuf])
Load = "Callable[[messages.Files], dict[str, messages.Messages]]"


@WAYS
def test_every_message_is_there_and_says_the_same_on_the_wire(load: Load) -> None:
    loaded = load(FILES)
    for name, module in MODULES.items():
        for message, descriptor in module.DESCRIPTOR.message_types_by_name.items():
            ours = getattr(loaded[f"v1/{name}.proto"], message)
            assert issubclass(ours, Message)
            assert [field.number for field in ours.DESCRIPTOR.fields] == [f.number for f in descriptor.fields]


@WAYS
def test_a_nested_message_with_maps_and_enumerations(load: Load) -> None:
    agent, health = (load(FILES)[f"v1/{name}.proto"] for name in ("agent", "health"))
    made = agent.CreateContainerRequest(container_id="c", exec_id="e")
    made.OCI.Process.Args.extend([b"sh", b"\xff"])
    made.OCI.Annotations["key"] = b"value"
    made.storages.add(driver="local")
    theirs = agent_pb2.CreateContainerRequest.FromString(made.SerializeToString())
    assert (theirs.OCI.Process.Args[1], theirs.OCI.Annotations["key"]) == (b"\xff", b"value")
    assert agent.CreateContainerRequest.FromString(theirs.SerializeToString()) == made
    assert (
        health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING).SerializeToString()
        == b"\x08\x01"
    )
    with pytest.raises(DecodeError):
        agent.CreateContainerRequest.FromString(b"\xff\xff")


def test_the_public_way_is_taken_when_upb_is_not_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise SystemError("error return without exception set")

    monkeypatch.setattr(messages, "_load_by_upb", fails)
    assert messages.load(FILES)["v1/health.proto"].CheckRequest(service="x").service == "x"
