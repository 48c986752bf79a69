"""The gRPC server of the v1 agent: accept, serve, graceful stop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from kata_hybrid.agent.core.policy import V1
from kata_hybrid.agent.core.sandbox import Places, Sandbox
from kata_hybrid.agent.v1.connection import Connection
from kata_hybrid.agent.v1.guard import methods
from kata_hybrid.agent.v1.service import AgentService
from kata_hybrid.runtime.exits import ExitWatcher

if TYPE_CHECKING:
    import socket

    from kata_hybrid.agent.v1.transport import Transport

log = logging.getLogger(__name__)

STOP_GRACE_SECONDS: Final = 1.0
ACCEPT_PAUSE_SECONDS: Final = 1.0


class AgentServer:
    """Serves one sandbox on one transport. Use it within one event loop."""

    def __init__(self, transport: Transport, *, places: Places, allow_set_time: bool = False) -> None:
        self._transport = transport
        self._exits = ExitWatcher()
        self._service = AgentService(Sandbox(V1, self._exits, places), V1, allow_set_time=allow_set_time)
        self._methods = methods(self._service.handlers())
        self._listener: socket.socket | None = None
        self._connections: set[Connection] = set()

    async def start(self) -> None:
        """Listen and serve.

        Raises:
            OSError: the address cannot be had.
        """
        self._listener = self._transport.listen()
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        if self._listener is None:
            return
        loop = asyncio.get_running_loop()
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as err:  # no descriptors left: the queue would wake us at once and for ever
            log.error("accept: %s", err)
            loop.remove_reader(self._listener.fileno())
            loop.call_later(ACCEPT_PAUSE_SECONDS, self._accept_again)
            return
        sock.setblocking(False)
        self._connections.add(Connection(sock, self._methods, on_closed=self._connections.discard))

    def _accept_again(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    async def stop(self) -> None:
        """Stop serving; parked calls end, containers stay as they are."""
        loop = asyncio.get_running_loop()
        if self._listener is not None:
            loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.shut_down()
        under_way = [task for connection in self._connections for task in connection.tasks()]
        if under_way:
            await asyncio.wait(under_way, timeout=STOP_GRACE_SECONDS)
        await self._service.close()
        for connection in list(self._connections):
            connection.close()
        self._exits.close()
        self._transport.close()
