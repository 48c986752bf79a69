"""The gRPC server with handlers of our own, against grpcio's client."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import grpc
import pytest
from kata_hybrid.agent._proto.v1 import agent_pb2 as pb
from kata_hybrid.agent.core.errors import StreamEnded
from kata_hybrid.agent.core.workers import Workers
from kata_hybrid.agent.v1 import convert
from kata_hybrid.agent.v1.connection import Call, Connection
from kata_hybrid.agent.v1.guard import Blocking, methods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Code = grpc.StatusCode


class Server:
    """``answer`` is the handler of ReadStdout; every other method does the same as that of Check."""

    def __init__(self, path: Path, answer: Callable[[Any, Call], Any]) -> None:
        self.path = path
        self.connections: set[Connection] = set()
        self.loop = asyncio.new_event_loop()
        handlers = dict.fromkeys(convert.METHODS, lambda _, __: convert.SERVING)
        self._methods = methods({**handlers, "ReadStdout": answer})
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self.loop.run_forever)

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        self.connections.add(Connection(sock, self._methods, on_closed=self.connections.discard))

    def __enter__(self) -> Self:
        self.loop.call_soon(self.loop.add_reader, self._listener.fileno(), self._accept)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        self._listener.close()

    def _close(self) -> None:
        self.loop.remove_reader(self._listener.fileno())
        for connection in list(self.connections):
            connection.close()

    def call(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)


@contextmanager
def served(tmp_path: Path, answer: Callable[[Any, Call], Any]) -> Iterator[tuple[Server, grpc.Channel]]:
    options = [("grpc.max_receive_message_length", -1)]
    with (
        Server(tmp_path / "s", answer) as server,
        grpc.insecure_channel(f"unix:{tmp_path / 's'}", options) as channel,
    ):
        yield server, channel


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"")


def call(stream: int, request: bytes) -> bytes:
    """ReadStdout, its header fields without compression."""
    block = b"\x83\x86\x00\x05:path\x1d/grpc.AgentService/ReadStdout\x00\x0ccontent-type\x10application/grpc"
    message = b"\0" + len(request).to_bytes(4) + request
    return frame(1, 4, stream, block) + frame(0, 1, stream, message)


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(server.path))
        yield raw


def read(channel: grpc.Channel, length: int = 100) -> Any:
    method = channel.unary_unary("/grpc.AgentService/ReadStdout")
    return method.future(pb.ReadStreamRequest(len=length).SerializeToString(), timeout=20)


def reply(data: bytes) -> pb.ReadStreamResponse:
    return pb.ReadStreamResponse(data=data)


def refused(future: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        future.result(20)
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000, 4_000_000])
def test_answers_of_every_size_arrive_whole(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with served(tmp_path, lambda _, __: reply(data)) as (_, channel):
        for future in [read(channel) for _ in range(3)]:
            assert pb.ReadStreamResponse.FromString(future.result(20)).data == data


def test_many_calls_at_once_in_any_order(tmp_path: Path) -> None:
    async def later(request: Any) -> Any:
        await asyncio.sleep(0.05 if request.len % 2 else 0)
        return reply(b"%d" % request.len)

    with served(tmp_path, lambda request, _: later(request)) as (_, channel):
        futures = [read(channel, number) for number in range(1, 301)]
        texts = [pb.ReadStreamResponse.FromString(each.result(20)).data for each in futures]
    assert texts == [b"%d" % number for number in range(1, 301)]


def test_errors_become_statuses_now_and_later(tmp_path: Path) -> None:
    async def later() -> Any:
        raise StreamEnded("EOF")

    def now(request: Any, _: Call) -> Any:
        if request.len == 1:
            raise KeyError("nobody foresaw this")
        return later()

    with served(tmp_path, now) as (_, channel):
        assert refused(read(channel, 1)) == (Code.UNKNOWN, "'nobody foresaw this'")
        assert refused(read(channel, 2)) == (Code.OUT_OF_RANGE, "EOF")


def test_calls_that_nobody_can_serve(tmp_path: Path) -> None:
    def call(path: str, data: bytes) -> Any:
        return channel.unary_unary(path).future(data, timeout=20)

    with served(tmp_path, lambda _, __: reply(b"")) as (_, channel):
        unknown = (Code.UNIMPLEMENTED, "unknown method No")
        assert refused(call("/grpc.AgentService/No", b"")) == unknown
        assert refused(call("/grpc.No/Check", b"")) == (Code.UNIMPLEMENTED, "unknown service grpc.No")
        code, text = refused(call("/grpc.AgentService/ReadStdout", b"\xff\xff"))
        assert (code, text[:36]) == (Code.INTERNAL, "grpc: error unmarshalling request: E")
        large = "grpc: received message larger than max (5000000 vs. 4194304)"
        assert refused(call("/grpc.Health/Check", b"x" * 5_000_000)) == (Code.RESOURCE_EXHAUSTED, large)
        assert call("/grpc.Health/Check", b"").result(20)


def test_blocking_calls_are_answered_by_their_thread(tmp_path: Path) -> None:
    """Also while the loop is busy; failures and what follows are the loop's."""
    busy, followed, workers = threading.Event(), [], []

    def work(number: int) -> int:
        assert threading.current_thread().name.startswith("agent-")
        if number == 2:
            raise StreamEnded("EOF")
        return number

    def handle(request: Any, _: Call) -> Any:
        if not workers:
            workers.append(Workers())
        if request.len == 3:
            asyncio.get_running_loop().call_soon(busy.wait, 10)
        return Blocking(workers[0], work, request.len, then=followed.append)

    with served(tmp_path, handle) as (server, channel):
        assert read(channel, 1).result(20) == b""
        assert refused(read(channel, 2)) == (Code.OUT_OF_RANGE, "EOF")
        assert read(channel, 3).result(5) == b""
        busy.set()
        server.call(lambda: None)
        assert followed == [1, 3]
        asyncio.run_coroutine_threadsafe(workers[0].close(), server.loop).result(10)


def test_a_client_that_left_a_blocking_call_changes_nothing(tmp_path: Path) -> None:
    started, go_on, followed, workers = threading.Event(), threading.Event(), [], []

    def work() -> str:
        started.set()
        go_on.wait(10)
        return "done"

    def handle(_: Any, __: Call) -> Any:
        workers.append(Workers())
        return Blocking(workers[0], work, then=followed.append)

    with served(tmp_path, handle) as (server, channel):
        future = read(channel)
        assert started.wait(10)
        channel.close()
        assert future.code() is Code.CANCELLED
        while server.connections:
            threading.Event().wait(0.01)
        go_on.set()
        asyncio.run_coroutine_threadsafe(workers[0].close(), server.loop).result(10)
    assert followed == ["done"]


class Stretched:
    """A protocol whose ``respond`` takes its time: whatever can happen between it and ``send`` does."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self.entered = threading.Event()

    def respond(self, *args: Any) -> bool:
        self.entered.set()
        threading.Event().wait(0.2)
        return self._protocol.respond(*args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)


def test_no_thread_writes_to_a_descriptor_that_is_no_longer_the_connections() -> None:
    """The socket's number is another file's as soon as the connection has closed it."""

    async def run() -> bytes:
        workers = Workers()
        table = methods(dict.fromkeys(convert.METHODS, lambda *_: Blocking(workers, lambda: None)))
        reader, writer = os.pipe()
        client, sock = socket.socketpair()
        sock.setblocking(False)
        number = sock.fileno()
        connection = Connection(sock, table, on_closed=lambda _: None)
        protocol = Stretched(connection._protocol)
        connection._protocol = protocol  # type: ignore[assignment]
        client.sendall(PREFACE + call(1, b""))
        assert await asyncio.to_thread(protocol.entered.wait, 10)
        connection.close()
        os.dup2(writer, number)
        await workers.close()
        client.close()
        os.close(number)
        os.close(writer)
        written = os.read(reader, 1000)
        os.close(reader)
        return written

    assert asyncio.run(run()) == b""


def test_a_call_given_up_is_cancelled_and_puts_back_what_it_took(tmp_path: Path) -> None:
    returned: list[bytes] = []
    waiting = threading.Event()
    cancelled = threading.Event()

    async def park() -> Any:
        waiting.set()
        try:
            await asyncio.sleep(20)
        finally:
            cancelled.set()

    def handle(_: Any, call: Call) -> Any:
        call.taken = (returned.append, b"taken")
        return park()

    with served(tmp_path, handle) as (_, channel):
        future = read(channel)
        assert waiting.wait(10)
        future.cancel()
        assert cancelled.wait(10)
        assert channel.unary_unary("/grpc.Health/Check")(b"", timeout=20)
    assert returned == [b"taken"]


def test_an_answer_that_waits_for_flow_control_is_put_back(tmp_path: Path) -> None:
    """The client takes 64 kB and goes away."""
    returned: list[bytes] = []
    data = b"x" * 1_000_000

    def handle(_: Any, call: Call) -> Any:
        call.taken = (returned.append, data)
        return reply(data)

    with served(tmp_path, handle) as (server, _), connected(server) as raw:
        raw.sendall(PREFACE + call(1, b""))
        received = 0
        while received < 65_535:
            received += len(raw.recv(65_536))
        raw.close()
        for _ in range(1000):
            if returned:
                break
            threading.Event().wait(0.01)
    assert returned == [data]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"no HTTP/2 client"),
        (PREFACE + frame(6, 0, 5, bytes(8)), b"wrong PING"),
    ],
)
def test_a_client_that_breaks_the_protocol_is_told_and_closed(
    tmp_path: Path, sent: bytes, told: bytes
) -> None:
    with served(tmp_path, lambda _, __: reply(b"")) as (server, channel):
        with connected(server) as raw:
            raw.sendall(sent)
            answer = b""
            while part := raw.recv(1000):
                answer += part
        assert answer.endswith(told)
        assert channel.unary_unary("/grpc.Health/Check")(b"", timeout=20)


def test_a_client_that_does_not_read_is_not_read(tmp_path: Path) -> None:
    """Its PINGs pile up on its own side; others are served, and it is too once it reads."""
    ping, pong = frame(6, 0, 0, b"12345678"), frame(6, 1, 0, b"12345678")
    with served(tmp_path, lambda _, __: reply(b"")) as (server, channel), connected(server) as raw:
        raw.sendall(PREFACE)
        raw.setblocking(False)
        sent = 0
        block = ping * 4096
        while True:
            try:
                sent += raw.send(block[sent % len(ping) :])
            except BlockingIOError:
                # Full for good, and not for the moment in which the server was busy.
                if not select.select([], [raw], [], 0.2)[1]:
                    break
            assert sent < 8 << 20, "the server reads for ever"
        assert channel.unary_unary("/grpc.Health/Check")(b"", timeout=20)
        raw.settimeout(10)
        answers = b""
        whole = sent // len(ping)
        while answers.count(pong) < whole:
            answers += raw.recv(1 << 20)


def test_a_client_that_goes_away_while_it_does_not_read(tmp_path: Path) -> None:
    cancelled = threading.Event()

    async def park() -> Any:
        try:
            await asyncio.sleep(20)
        finally:
            cancelled.set()

    data = bytes(4_000_000)

    def handle(request: Any, _: Call) -> Any:
        return park() if request.len == 1 else reply(data)

    with served(tmp_path, handle) as (server, _), connected(server) as raw:
        raw.sendall(
            PREFACE
            + frame(8, 0, 0, (1 << 30).to_bytes(4))
            + call(1, pb.ReadStreamRequest(len=1).SerializeToString())
            + call(3, b"")
            + frame(8, 0, 3, (1 << 30).to_bytes(4))
        )
        raw.recv(100)  # it is sending now
        assert not cancelled.wait(0.1)
        raw.close()
        assert cancelled.wait(10)
