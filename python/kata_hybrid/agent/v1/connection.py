"""One client's connection: the socket in the event loop, and the calls that are under way on it.

The protocol is ``_core.GrpcConnection``; here are the calls. A call whose handler has its reply at hand is
answered where its request was read, without a task; one that blocks, by the thread that did the work. A
client that gives a call up, or goes away, cancels the handler's task; output that a handler took for a client
that never got it goes back to where it came from.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf.message import Message

from kata_hybrid import _core
from kata_hybrid.agent.v1.guard import Blocking, begin, refusal

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Mapping

    from kata_hybrid.agent.v1.guard import Method

    PutBack: TypeAlias = Callable[[bytes], None]

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
REMEMBERED_BYTES: Final = 256 * 1024
"""Of answers that were sent and may still be given up by the client before it has read them."""


class Call:
    """One RPC under way.

    Attributes:
        rpc: its name, once it is known.
        taken: what the reply takes away for ever, and who gets it back when the client never got the reply.
    """

    __slots__ = ("rpc", "stream", "taken", "task")

    def __init__(self, stream: int) -> None:
        self.rpc = ""
        self.stream = stream
        self.task: asyncio.Task[None] | None = None
        self.taken: tuple[PutBack, bytes] | None = None

    def put_back(self) -> None:
        if self.taken is not None:
            give_back, data = self.taken
            self.taken = None
            give_back(data)


class Connection:
    """For one event loop.

    Args:
        sock: connected, non-blocking; owned by this object.
        methods: path to method.
        on_closed: called once.
    """

    def __init__(
        self,
        sock: socket.socket,
        methods: Mapping[str, Method],
        *,
        on_closed: Callable[[Connection], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._fd = sock.fileno()
        self._methods = methods
        self._on_closed = on_closed
        self._protocol = _core.GrpcConnection(MAX_MESSAGE_BYTES)
        self._calls: dict[int, Call] = {}
        self._answered: dict[int, Call] = {}
        self._answered_bytes = 0
        self._receiving = False
        self._blocked = False
        self._closed = False
        # For closing the socket, and for using it in any thread but the loop's: its number is reused at once.
        self._closing = threading.Lock()
        self._loop.add_reader(self._fd, self._receive)
        self._send()

    def tasks(self) -> list[asyncio.Task[None]]:
        """Of the calls that are under way."""
        return [call.task for call in self._calls.values() if call.task is not None]

    def shut_down(self) -> None:
        """Take no more calls."""
        self._protocol.shut_down()
        self._send()

    def close(self) -> None:
        """Close now; calls under way are cancelled. Idempotent."""
        if self._closed:
            return
        with self._closing:
            self._closed = True
            if self._blocked:
                self._loop.remove_writer(self._fd)
            else:
                self._loop.remove_reader(self._fd)
            self._socket.close()
        for call in self._calls.values():
            if call.task is not None:
                call.task.cancel()
        # The newest first: each goes in front of what is there.
        for stream in sorted(self._answered, reverse=True):
            if not self._protocol.is_sent(stream):
                self._answered[stream].put_back()
        self._calls.clear()
        self._answered.clear()
        self._on_closed(self)

    # --- the socket ----------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            incoming = self._protocol.receive(self._fd)
        except OSError as err:
            log.debug("connection failed: %s", err)
            incoming = None
        if incoming is None:
            self.close()
            return
        self._receiving = True
        try:
            for stream, path, message in incoming:
                if path is None or message is None:
                    self._give_up(stream)
                else:
                    self._begin(stream, path, message)
        finally:
            self._receiving = False
        self._send()

    def _send(self) -> None:
        """Send what there is. Answers made while a batch of requests is read go out together."""
        if self._receiving or self._blocked or self._closed:
            return
        try:
            if not self._protocol.send(self._fd):
                # A client that does not read is not read either: what it may ask for is bounded.
                self._blocked = True
                self._loop.remove_reader(self._fd)
                self._loop.add_writer(self._fd, self._go_on_sending)
            elif self._protocol.closed:
                self.close()
        except OSError as err:
            log.debug("connection failed: %s", err)
            self.close()

    def _go_on_sending(self) -> None:
        self._loop.remove_writer(self._fd)
        self._blocked = False
        self._loop.add_reader(self._fd, self._receive)
        self._send()

    # --- calls ---------------------------------------------------------------------------------------

    def _begin(self, stream: int, path: str, message: bytes) -> None:
        call = Call(stream)
        try:
            reply = begin(self._methods, path, message, call)
        except Exception as err:  # noqa: BLE001 - every failure becomes a status
            self._refuse(call, err)
            return
        if isinstance(reply, Message):
            self._answer(call, reply)
        elif isinstance(reply, Blocking):
            self._calls[stream] = call
            self._start(call, reply)
        else:
            self._calls[stream] = call
            call.task = self._loop.create_task(self._finish(call, reply))

    def _start(self, call: Call, work: Blocking) -> None:
        def done(result: Any, error: BaseException | None) -> None:
            self._calls.pop(call.stream, None)
            if error is None and work.then is not None:
                work.then(result)
            elif isinstance(error, Exception):
                self._refuse(call, error)

        def at_once() -> None:
            self._answer_from_thread(call)

        work.workers.start(work.call, *work.args, done=done, at_once=at_once)

    def _answer_from_thread(self, call: Call) -> None:
        """Nothing but the protocol and the socket is touched, which the loop does not close meanwhile."""
        with self._closing:
            if self._closed:
                return
            self._protocol.respond(call.stream, b"")
            try:
                sent = self._protocol.send(self._fd)
            except OSError:
                sent = False
        if not sent:
            self._loop.call_soon_threadsafe(self._send)

    async def _finish(self, call: Call, pending: Coroutine[Any, Any, Message]) -> None:
        try:
            reply = await pending
        except Exception as err:  # noqa: BLE001 - every failure becomes a status
            self._refuse(call, err)
        except asyncio.CancelledError:
            self._calls.pop(call.stream, None)
            call.put_back()
            raise
        else:
            self._answer(call, reply)

    def _answer(self, call: Call, reply: Message) -> None:
        self._calls.pop(call.stream, None)
        if self._closed:
            call.put_back()
            return
        if not self._protocol.respond(call.stream, reply.SerializeToString()):
            call.put_back()
            return
        if call.taken is not None:
            self._remember(call, len(call.taken[1]))
        self._send()

    def _refuse(self, call: Call, err: Exception) -> None:
        self._calls.pop(call.stream, None)
        code, text = refusal(call.rpc, err)
        self._protocol.refuse(call.stream, code, text)
        self._send()

    def _remember(self, call: Call, size: int) -> None:
        """Keep the newest; and the older ones for as long as they wait for the client's flow control."""
        self._answered[call.stream] = call
        self._answered_bytes += size
        while self._answered_bytes > REMEMBERED_BYTES and len(self._answered) > 1:
            oldest = next(iter(self._answered))
            if not self._protocol.is_sent(oldest):
                return
            self._forget(oldest)

    def _forget(self, stream: int) -> Call | None:
        call = self._answered.pop(stream, None)
        if call is not None and call.taken is not None:
            self._answered_bytes -= len(call.taken[1])
        return call

    def _give_up(self, stream: int) -> None:
        """The client has reset the stream: it wants no answer, or has not read the one it got."""
        call = self._calls.pop(stream, None)
        if call is not None:
            if call.task is not None:
                call.task.cancel()
            return
        answered = self._forget(stream)
        if answered is not None:
            answered.put_back()
