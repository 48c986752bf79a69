"""The gRPC server of the v1 agent: options, start, graceful stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc

from kata_hybrid.agent.core.policy import V1
from kata_hybrid.agent.core.sandbox import Places, Sandbox
from kata_hybrid.agent.v1.guard import service_handlers
from kata_hybrid.agent.v1.service import AgentService
from kata_hybrid.runtime.exits import ExitWatcher

if TYPE_CHECKING:
    from kata_hybrid.agent.v1.transport import Transport

OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),  # Go clients send bandwidth pings that would count as strikes
    ("grpc.so_reuseport", 0),
)
STOP_GRACE_SECONDS: Final = 1.0


class AgentServer:
    """Serves one sandbox on one transport. Use it within one event loop."""

    def __init__(self, transport: Transport, *, places: Places, allow_set_time: bool = False) -> None:
        self._transport = transport
        self._exits = ExitWatcher()
        self._service = AgentService(Sandbox(V1, self._exits, places), V1, allow_set_time=allow_set_time)
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers(service_handlers(self._service.handlers()))

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            OSError: the address cannot be had.
        """
        self._transport.attach(self._server)
        await self._server.start()

    async def stop(self) -> None:
        """Stop serving; parked calls end, containers stay as they are."""
        await self._server.stop(STOP_GRACE_SECONDS)
        await self._service.close()
        self._exits.close()
        self._transport.close()
