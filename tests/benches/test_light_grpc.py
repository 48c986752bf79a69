"""The benches' own gRPC client against grpcio's server, which is somebody else's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from kata_hybrid.agent._proto.v1 import agent_pb2 as pb

from benches.agents import data_length
from benches.light_grpc import CallError, LightClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ECHO, FAIL = "/test.Service/Echo", "/test.Service/Fail"
LARGE = b"x" * (3 << 20)


def _handler(details: Any) -> Any:
    if details.method == ECHO:
        return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    if details.method == FAIL:
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.NOT_FOUND, "nothing-here")
        )
    return None


class _Handlers(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return _handler(details)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[LightClient]:
    path = tmp_path / "server.sock"
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=[_Handlers()])
        server.add_insecure_port(f"unix:{path}")
        server.start()
        with LightClient(path) as made:
            yield made
        server.stop(0).wait()


def test_calls_follow_each_other(client: LightClient) -> None:
    assert [bytes(client.call(ECHO, word)) for word in (b"a", b"", b"ccc")] == [b"a", b"", b"ccc"]


def test_many_calls_at_once_are_told_apart(client: LightClient) -> None:
    sent = {client.send(ECHO, str(number).encode()): str(number).encode() for number in range(64)}
    received = dict(client.receive() for _ in range(64))
    assert {stream: bytes(answer) for stream, answer in received.items()} == sent


def test_messages_larger_than_any_window_get_through(client: LightClient) -> None:
    for _ in range(40):  # more than the connection's window in all
        assert client.call(ECHO, LARGE) == LARGE


def test_a_refused_call_is_an_error_and_the_next_one_works(client: LightClient) -> None:
    with pytest.raises(CallError):
        client.call(FAIL)
    with pytest.raises(CallError):
        client.call("/test.Service/Unknown")
    assert client.call(ECHO, b"still here") == b"still here"


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16384, 1 << 20])
def test_the_length_of_a_reply_is_seen_without_parsing_it(size: int) -> None:
    assert data_length(pb.ReadStreamResponse(data=b"x" * size).SerializeToString()) == size
