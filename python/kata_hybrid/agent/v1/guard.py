"""Around every handler: requests are decoded, and whatever a handler raises becomes a status."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from kata_hybrid.agent.v1.codes import Code
from kata_hybrid.agent.v1.convert import METHODS
from kata_hybrid.agent.v1.status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from google.protobuf.message import Message

    from kata_hybrid.agent.core.workers import Workers
    from kata_hybrid.agent.v1.connection import Call

    Reply: TypeAlias = Message | Coroutine[Any, Any, Message] | "Blocking"
    Handler: TypeAlias = Callable[[Any, Call], Reply]

log = logging.getLogger(__name__)


class Blocking:
    """An answer without content, once ``call(*args)`` has succeeded in a thread: sent from that thread.

    Args:
        then: called in the event loop with the result, whether the client is still there or not.
    """

    __slots__ = ("args", "call", "then", "workers")

    def __init__(
        self,
        workers: Workers,
        call: Callable[..., Any],
        *args: Any,
        then: Callable[[Any], None] | None = None,
    ) -> None:
        self.workers = workers
        self.call = call
        self.args = args
        self.then = then


class CallError(Exception):
    """A call's answer by a status."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Method(NamedTuple):
    """One RPC. The handler gives its reply at once when there is nothing to wait for."""

    rpc: str
    parse: Callable[[bytes], Any]
    handle: Handler


def methods(handlers: Mapping[str, Handler]) -> dict[str, Method]:
    """The path of each RPC of the protocol, as a request names it, to its method.

    Raises:
        KeyError: a method of the protocol has no handler.
    """
    return {
        f"/{service}/{rpc}": Method(rpc, request.FromString, handlers[rpc])
        for rpc, (service, request, _) in METHODS.items()
    }


def begin(table: Mapping[str, Method], path: str, data: bytes, call: Call) -> Reply:
    """Decode the request and call its handler.

    Raises:
        CallError: no such method, or a request that cannot be decoded.
        Exception: what the handler raises.
    """
    method = table.get(path)
    if method is None:
        raise _unknown(table, path)
    call.rpc = method.rpc
    try:
        request = method.parse(data)
    except DecodeError as err:
        raise CallError(Code.INTERNAL, f"grpc: error unmarshalling request: {err}") from err
    return method.handle(request, call)


def _unknown(table: Mapping[str, Method], path: str) -> CallError:
    service, _, rpc = path.removeprefix("/").rpartition("/")
    known = any(each.startswith(f"/{service}/") for each in table)
    text = f"unknown method {rpc}" if known else f"unknown service {service}"
    return CallError(Code.UNIMPLEMENTED, text)


def refusal(rpc: str, err: Exception) -> tuple[Code, str]:
    """The status of what a handler has raised; it is logged here."""
    if isinstance(err, CallError):
        return err.code, err.text
    code, text = status_of(rpc, err)
    level = logging.DEBUG if code is Code.OUT_OF_RANGE else logging.INFO
    if log.isEnabledFor(level):
        log.log(level, "%s: %s %s", rpc, code.name, text, exc_info=_traceback_of(code, err))
    return code, text


def _traceback_of(code: Code, err: Exception) -> Exception | None:
    """Of what nobody foresaw."""
    foreseen = code is not Code.UNKNOWN or hasattr(err, "container_id") or isinstance(err, OSError)
    return None if foreseen else err
