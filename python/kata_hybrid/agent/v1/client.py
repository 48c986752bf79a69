"""A blocking client of the v1 agent, for the demonstration and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from kata_hybrid.agent._proto.v1 import agent_pb2, health_pb2, oci_pb2
from kata_hybrid.agent._proto.v1._pool import POOL
from kata_hybrid.agent.v1.convert import METHODS

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from google.protobuf.message import Message

__all__ = ["AgentClient", "agent_pb2", "health_pb2", "oci_pb2"]


class AgentClient:
    """One connection. ``call`` takes any RPC by name; threads may call at the same time.

    Args:
        address: as gRPC takes it, such as ``unix:/run/agent.sock``.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])

    def call(
        self, rpc: str, request: Message | None = None, *, timeout: float | None = None, **fields: Any
    ) -> Any:
        """Call ``rpc`` with ``request``, or with one made of ``fields``; gives the reply message.

        Args:
            timeout: seconds.

        Raises:
            grpc.RpcError: with ``code()`` and ``details()``.
        """
        service, request_type, reply_type = _types(rpc)
        method = self._channel.unary_unary(
            f"/{service}/{rpc}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=reply_type.FromString,
        )
        return method(request if request is not None else request_type(**fields), timeout=timeout)

    def start(self, rpc: str, **fields: Any) -> Any:
        """As :meth:`call`, without waiting: gives a future with ``result`` and ``cancel``."""
        service, request_type, reply_type = _types(rpc)
        method = self._channel.unary_unary(
            f"/{service}/{rpc}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=reply_type.FromString,
        )
        return method.future(request_type(**fields))

    def wait_ready(self, timeout: float) -> None:
        """Wait until the server answers.

        Raises:
            grpc.FutureTimeoutError: it did not within ``timeout`` seconds.
        """
        grpc.channel_ready_future(self._channel).result(timeout)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _types(rpc: str) -> tuple[str, Any, Any]:
    """Service, and protoc's classes for request and reply; the server has its own of the same messages."""
    service, request, reply = METHODS[rpc]
    return service, _generated(request), _generated(reply)


def _generated(message: type[Message]) -> Any:
    return GetMessageClass(POOL.FindMessageTypeByName(message.DESCRIPTOR.full_name))
