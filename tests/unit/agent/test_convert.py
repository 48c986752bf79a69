"""Messages to the model: presence, zeroes, raw bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.agent._proto.v1 import agent_pb2 as pb
from kata_hybrid.agent._proto.v1 import oci_pb2 as oci
from kata_hybrid.agent.core.errors import InvalidRequest
from kata_hybrid.agent.v1 import convert, convert_oci
from kata_hybrid.oci.config import NamespaceType


def _spec() -> oci.Spec:
    linux = oci.Linux(Resources=oci.LinuxResources())
    return oci.Spec(Process=oci.Process(Args=[b"/bin/true"]), Linux=linux, Root=oci.Root(Path=b"/r"))


@given(st.binary())
def test_any_bytes_survive_the_way_through_text(data: bytes) -> None:
    assert convert_oci.raw(convert_oci.text(data)) == data


@pytest.mark.parametrize("part", ["Process", "Linux"])
def test_a_spec_without_a_part_is_refused(part: str) -> None:
    message = _spec()
    message.ClearField(part)
    with pytest.raises(InvalidRequest, match=part):
        convert_oci.spec(message)


def test_a_spec_without_resources_is_refused() -> None:
    message = _spec()
    message.Linux.ClearField("Resources")
    with pytest.raises(InvalidRequest, match="Resources"):
        convert_oci.spec(message)


def test_a_request_without_spec_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        convert.container_request(pb.CreateContainerRequest(container_id="c"))


def test_zero_leaves_a_limit_alone_but_swappiness_is_written() -> None:
    message = oci.LinuxResources(Memory=oci.LinuxMemory(), CPU=oci.LinuxCPU(Quota=-1), Pids=oci.LinuxPids())
    found = convert_oci.resources(message)
    assert found.memory is not None
    assert found.memory.limit is None
    assert found.memory.swappiness == 0
    assert found.cpu is not None
    assert (found.cpu.quota, found.cpu.shares) == (-1, None)
    assert found.pids is not None
    assert found.pids.limit is None


def test_an_update_leaves_swappiness_and_devices_alone() -> None:
    rule = oci.LinuxDeviceCgroup(Allow=True, Type="c", Major=1, Minor=3, Access="rw")
    found = convert_oci.update_resources(oci.LinuxResources(Memory=oci.LinuxMemory(Limit=1), Devices=[rule]))
    assert found.devices == ()
    assert found.memory is not None
    assert (found.memory.limit, found.memory.swappiness) == (1, None)


def test_a_device_rule_for_everything_has_no_numbers() -> None:
    found = convert_oci.resources(oci.LinuxResources(Devices=[oci.LinuxDeviceCgroup(Type="a")]))
    assert (found.devices[0].major, found.devices[0].minor) == (None, None)


def test_namespaces_keep_type_and_path() -> None:
    message = _spec()
    message.Linux.Namespaces.add(Type="ipc", Path=b"/p")
    (found,) = convert_oci.spec(message).linux.namespaces
    assert (found.type, found.path) == (NamespaceType.IPC, "/p")
    message.Linux.Namespaces.add(Type="odd")
    with pytest.raises(InvalidRequest):
        convert_oci.spec(message)


def test_every_method_of_the_protocol_is_named() -> None:
    assert len(convert.METHODS) == 34
