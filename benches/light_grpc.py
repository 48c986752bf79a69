"""A gRPC client of a few system calls per call, so that the server is what is measured.

Unary calls over one unix socket, prior-knowledge HTTP/2. Header blocks are sent as literals and never
decoded: a reply with a message is a success, one without is an error, whose readable parts are given.
Sources: RFC 9113 (HTTP/2), RFC 7541 (HPACK), gRPC over HTTP2.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from pathlib import Path

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
WINDOW: Final = 1 << 30
FRAME_LIMIT: Final = 16384  # of what the server takes, unless it says more
REPLENISH: Final = 1 << 26
READ_SIZE: Final = 1 << 20


class CallError(Exception):
    """The server answered without a message."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def _text(value: bytes) -> bytes:
    assert len(value) < 127, "one length byte"
    return bytes([len(value)]) + value


def header_block(method: str) -> bytes:
    """POST, http, the path; then authority, content type and ``te`` as literals without indexing."""
    return b"".join(
        (
            b"\x83\x86\x04" + _text(method.encode()),
            b"\x01" + _text(b"localhost"),
            b"\x0f\x10" + _text(b"application/grpc"),
            b"\x00" + _text(b"te") + _text(b"trailers"),
        )
    )


class LightClient:
    """One connection, one thread.

    Args:
        path: the server's unix socket.
        timeout: seconds that any answer may take; then it is a BlockingIOError.
    """

    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        limit = struct.pack("@ll", int(timeout), 0)  # by the kernel: settimeout would add a poll to each read
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.connect(str(path))
        self._blocks: dict[str, bytes] = {}
        self._space = bytearray(READ_SIZE)
        self._buffer = memoryview(b"")  # what was read and, from _at on, not yet taken
        self._at = 0
        self._next = 1
        self._send_window = 65535
        self._unreported = 0
        self._messages: dict[int, bytearray] = {}
        self._headers: dict[int, bytes] = {}
        settings = struct.pack(">HIHI", INITIAL_WINDOW_SIZE, WINDOW, MAX_FRAME_SIZE, (1 << 24) - 1)
        window = struct.pack(">I", WINDOW - 65535)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, window))

    def call(self, method: str, request: bytes = b"") -> bytearray:
        """The reply of ``/service/method``.

        Raises:
            CallError: the call failed.
            OSError: the connection did.
        """
        stream = self.send(method, request)
        found, message = self.receive()
        assert found == stream, "calls overlap: use send and receive"
        return message

    def send(self, method: str, request: bytes = b"") -> int:
        """Start a call; gives the number that :meth:`receive` will name."""
        block = self._blocks.get(method)
        if block is None:
            block = self._blocks[method] = header_block(method)
        stream = self._next
        self._next += 2
        body = struct.pack(">BI", 0, len(request)) + request
        while self._send_window < len(body):
            self._read_frame()
        self._send_window -= len(body)
        parts = [frame(HEADERS, END_HEADERS, stream, block)]
        for at in range(0, len(body), FRAME_LIMIT):
            last = END_STREAM if at + FRAME_LIMIT >= len(body) else 0
            parts.append(frame(DATA, last, stream, body[at : at + FRAME_LIMIT]))
        self._messages[stream] = bytearray()
        self._socket.sendall(b"".join(parts))
        return stream

    def receive(self) -> tuple[int, bytearray]:
        """The next call that is over, and its reply.

        Raises:
            CallError: it failed.
        """
        while (stream := self._read_frame()) is None:
            pass
        message = self._messages.pop(stream)
        block = self._headers.pop(stream, b"")
        if len(message) < 5:
            readable = "".join(chr(byte) if 32 <= byte < 127 else " " for byte in block)
            raise CallError(" ".join(readable.split()) or "no reason that can be read")
        del message[:5]
        return stream, message

    def _read_frame(self) -> int | None:
        """Take one frame; gives a stream that it has ended."""
        head = self._take(9)
        kind, flags, size = head[3], head[4], int.from_bytes(head[:3], "big")
        stream = int.from_bytes(head[5:9], "big")
        if kind == DATA:
            self._take_into(self._messages[stream], size)
            self._replenish(size)
        elif kind == HEADERS:
            self._headers[stream] = self._take(size)
        else:
            self._control(kind, flags, self._take(size))
            return None
        return stream if flags & END_STREAM else None

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._send_window += int.from_bytes(payload, "big")
        elif kind in (GOAWAY, RST_STREAM):
            raise CallError(f"the server ended the {'connection' if kind == GOAWAY else 'call'}: {payload!r}")

    def _replenish(self, taken: int) -> None:
        self._unreported += taken
        if self._unreported >= REPLENISH:
            self._socket.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._unreported)))
            self._unreported = 0

    def _take(self, size: int) -> bytes:
        while len(self._buffer) - self._at < size:
            self._fill()
        taken = bytes(self._buffer[self._at : self._at + size])
        self._at += size
        return taken

    def _take_into(self, message: bytearray, size: int) -> None:
        while size > 0:
            if self._at == len(self._buffer):
                self._fill()
            part = self._buffer[self._at : self._at + size]
            message += part
            self._at += len(part)
            size -= len(part)

    def _fill(self) -> None:
        """Read more behind what is left of the last time."""
        left = bytes(self._buffer[self._at :])
        count = self._socket.recv_into(self._space)
        if count == 0:
            raise ConnectionError("the server closed the connection")
        read = memoryview(self._space)[:count]
        self._buffer = memoryview(b"".join((left, read))) if left else read
        self._at = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
