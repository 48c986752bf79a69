"""Bytes through pipes and terminals: none lost, none mixed, EOF after the last."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.runtime import Runtime, Stdio, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOTAL_BYTES = 64 << 20


def test_64_mib_through_stdin_and_stdout(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.run(container_id, spec=make_spec(["cat"]), stdio=Stdio.pipes())
    stdin, stdout = container.init.stdin, container.init.stdout
    assert stdin is not None
    assert stdout is not None
    block = os.urandom(1 << 20)
    sent, got = hashlib.sha256(), hashlib.sha256()

    def feed() -> None:
        for number in range(TOTAL_BYTES // len(block)):
            part = number.to_bytes(4, "little") + block[4:]
            sent.update(part)
            stdin.write(part)
        container.init.close_stdin()

    feeder = threading.Thread(target=feed)
    feeder.start()
    count = 0
    while part := stdout.read(1 << 17, timeout=30):
        got.update(part)
        count += len(part)
    feeder.join()
    assert count == TOTAL_BYTES
    assert got.digest() == sent.digest()
    assert container.wait(10).status == 0
    container.delete()
    container.init.close_streams()


def test_64_mib_out_of_a_terminal(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    block = os.urandom(1 << 20)
    (tmp_path / "block").write_bytes(block)
    bind = {"destination": "/block", "type": "bind", "source": str(tmp_path / "block"), "options": ["bind"]}
    script = f"stty raw; for each in $(seq {TOTAL_BYTES >> 20}); do cat /block; done"
    spec = make_spec(["sh", "-c", script], terminal=True, more_mounts=[bind])
    container = runtime.run(container_id, spec=spec)
    master = container.init.stdout
    assert master is not None
    assert container.init.stdin is master
    got, count = hashlib.sha256(), 0
    while part := master.read(1 << 17, timeout=30):
        got.update(part)
        count += len(part)
    assert count == TOTAL_BYTES
    assert got.digest() == hashlib.sha256(block * (TOTAL_BYTES >> 20)).digest()
    assert container.wait(10).status == 0
    container.delete()
    container.init.close_streams()


def test_64_mib_into_a_terminal(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    script = f"stty raw -echo; echo ready; head -c {TOTAL_BYTES} | sha256sum"
    container = runtime.run(container_id, spec=make_spec(["sh", "-c", script], terminal=True))
    master = container.init.stdin
    assert master is not None
    text = b""
    while b"ready" not in text:
        text += master.read(timeout=20)
    block, sent = os.urandom(1 << 20), hashlib.sha256()
    for _ in range(TOTAL_BYTES >> 20):
        sent.update(block)
        master.write(block, timeout=30)
    assert read_all(master, 30).split()[0].decode() == sent.hexdigest()
    assert container.wait(10).status == 0
    container.delete()
    container.init.close_streams()


def test_output_is_whole_after_the_process_was_waited_for(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    spec = make_spec(["sh", "-c", "head -c 60000 /dev/zero; echo err >&2"])
    container = runtime.run(container_id, spec=spec, stdio=Stdio.pipes())
    container.wait(10)
    container.delete()
    assert len(read_all(container.init.stdout)) == 60000
    assert read_all(container.init.stderr) == b"err\n"
    container.init.close_streams()


def test_terminal_echo_size_and_end_of_input(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    process = {"consoleSize": {"height": 33, "width": 101}}
    spec = make_spec(["sh", "-c", "stty size; tty; cat"], terminal=True, process=process)
    container = runtime.run(container_id, spec=spec)
    master = container.init.stdin
    assert master is not None
    text = b""
    while b"/dev/pts/0" not in text:
        text += master.read(timeout=20)
    assert text.replace(b"\r\n", b"\n").startswith(b"33 101\n/dev/pts/0")
    master.write(b"words\n")
    while text.count(b"words") < 2:  # the terminal's echo and the program's answer
        text += master.read(timeout=20)
    container.init.close_stdin()
    assert read_all(master).strip() == b""
    assert container.wait(10).status == 0
    container.delete()
    container.init.close_streams()


def test_resize_reaches_the_terminal(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    container = runtime.run(container_id, spec=make_spec(["sh", "-c", "read x; stty size"], terminal=True))
    container.init.resize(40, 132)
    assert container.init.stdin is not None
    container.init.stdin.write(b"\n")
    assert b"40 132" in read_all(container.init.stdout)
    container.wait(10)
    container.delete()
    container.init.close_streams()


def test_exec_with_a_terminal(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    container = runtime.run(container_id, spec=make_spec(["sleep", "1000"]), stdio=Stdio.null())
    process = container.exec(["tty"], terminal=True)
    assert read_all(process.stdout) == b"/dev/pts/0\r\n"
    assert process.wait(10).status == 0
    process.close_streams()
    container.delete(force=True)


def test_console_socket_gets_the_master(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        path = str(tmp_path / "console.sock")
        listener.bind(path)
        listener.listen(1)
        container = runtime.create(
            container_id, spec=make_spec(["echo", "hi"], terminal=True), console_socket=path
        )
        connection, _ = listener.accept()
    with connection:
        name, fds, _, _ = socket.recv_fds(connection, 4096, 4)
        assert name == b"/dev/ptmx"
        assert connection.recv(1) == b""
    assert len(fds) == 1
    assert container.init.stdout is None
    container.start()
    master = Stream(fds[0])
    assert master.read(timeout=10).rstrip() == b"hi"
    master.close()
    container.wait(10)
    container.delete()


# --- streams alone -----------------------------------------------------------------------------------


def test_read_timeout_takes_nothing() -> None:
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    stream = Stream(ours)
    with pytest.raises(TimeoutError):
        stream.read(timeout=0.02)
    os.write(theirs, b"late")
    os.close(theirs)
    assert stream.read() == b"late"
    assert stream.read() == b""
    stream.close()


def test_write_timeout_tells_what_went_in() -> None:
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    stream = Stream(ours)
    with pytest.raises(TimeoutError):
        stream.write(b"x" * (1 << 20), timeout=0.02)
    assert 0 < stream.written < 1 << 20
    total = 0
    stream.close()
    while part := os.read(theirs, 1 << 16):
        total += len(part)
    assert total == stream.written
    os.close(theirs)


def test_close_wakes_a_reader_in_another_thread() -> None:
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    stream = Stream(ours)
    caught: list[type[BaseException]] = []

    def read() -> None:
        with pytest.raises(ValueError, match="closed"):
            stream.read()
        caught.append(ValueError)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.05)
    stream.close()
    thread.join(5)
    assert caught == [ValueError]
    os.close(theirs)


def test_write_to_nobody_is_a_broken_pipe() -> None:
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    os.close(theirs)
    stream = Stream(ours)
    with pytest.raises(BrokenPipeError):
        stream.write(b"x")
    stream.close()
