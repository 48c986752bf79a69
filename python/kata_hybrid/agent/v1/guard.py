"""Around every handler: the error becomes a status, and no exception ever reaches the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from kata_hybrid.agent.v1.convert import METHODS
from kata_hybrid.agent.v1.status import status_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
    Handler: TypeAlias = Callable[[Any, Context], Awaitable[Message]]

log = logging.getLogger(__name__)


def guarded(rpc: str, handler: Handler) -> Handler:
    """``handler`` with its errors turned into the status of the table."""

    async def call(request: Message, context: Context) -> Message:
        try:
            return await handler(request, context)
        except Exception as err:
            code, text = status_of(rpc, err)
            log.log(_level(code), "%s: %s %s", rpc, code.name, text, exc_info=_traceback_of(code, err))
        await context.abort(code, text)
        raise AssertionError("abort returns never")

    return call


def _level(code: grpc.StatusCode) -> int:
    return logging.DEBUG if code is grpc.StatusCode.OUT_OF_RANGE else logging.INFO


def _traceback_of(code: grpc.StatusCode, err: Exception) -> Exception | None:
    """Of what nobody foresaw."""
    foreseen = code is not grpc.StatusCode.UNKNOWN or hasattr(err, "container_id") or isinstance(err, OSError)
    return None if foreseen else err


def service_handlers(handlers: Mapping[str, Handler]) -> list[grpc.GenericRpcHandler[Any, Any]]:
    """What a gRPC server takes: the two services, every method of the protocol.

    Raises:
        KeyError: a method of the protocol has no handler.
    """
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for rpc, (service, request, _) in METHODS.items():
        services.setdefault(service, {})[rpc] = grpc.unary_unary_rpc_method_handler(
            guarded(rpc, handlers[rpc]),
            request_deserializer=request.FromString,
            response_serializer=_serialize,
        )
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
