"""``run`` and ``exec`` in the foreground: exit statuses, stdio, terminals, and what goes to whom."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.command import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.command import Command

SLEEP = ["sleep", "1000"]
STATUSES = [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]


@pytest.fixture
def running(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> str:
    """The id of a running container."""
    command("run", "--detach", "--bundle", make_bundle(SLEEP), container_id)
    return container_id


@pytest.mark.parametrize(("script", "status"), STATUSES)
def test_exit_status_of_run_without_a_pid_namespace(
    command: Command, container_id: str, script: str, status: int, make_bundle: Callable[..., Path]
) -> None:
    """In a pid namespace of its own a process cannot kill itself by a signal that it does not handle."""
    bundle = make_bundle(["sh", "-c", script], namespaces=["mount", "uts", "ipc"])
    command("run", "--bundle", bundle, container_id, status=status)
    assert not list(command.root.iterdir()), "deleted at its end"


@pytest.mark.parametrize(("script", "status"), STATUSES)
def test_exit_status_of_exec(command: Command, running: str, script: str, status: int) -> None:
    command("exec", running, "sh", "-c", script, status=status)


def test_failures_of_exec_are_255(command: Command, running: str) -> None:
    prefix = "exec failed: unable to start container process: exec: "
    missing = command.error("exec", running, "nonexist", status=255)
    assert missing == prefix + '"nonexist": executable file not found in $PATH'
    denied = command.error("exec", running, "/etc/passwd", status=255)
    assert denied == prefix + '"/etc/passwd": permission denied'
    assert "args cannot be empty" in command.error("exec", running, status=255)
    assert command.error("exec", "--user", "abc", running, "id", status=255).startswith(
        "exec failed: parsing abc"
    )


def test_failure_of_run_leaves_nothing(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    message = command.error("run", "--bundle", make_bundle(["nonexist"]), container_id)
    prefix = "runc run failed: unable to start container process: exec: "
    assert message == prefix + '"nonexist": executable file not found in $PATH'
    assert not list(command.root.iterdir())


def test_stdio_of_run_and_exec(
    command: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    (tmp_path / "in").write_text("hello")
    bundle = make_bundle(["sh", "-c", "cat; echo oops >&2"])
    with (tmp_path / "in").open("rb") as file:
        result = command("run", "--keep", "--bundle", bundle, container_id, stdin=file)
    assert (result.out, result.err) == ("hello", "oops\n")
    assert command.status(container_id) == "stopped", "--keep"
    command("delete", container_id)


def test_signals_go_to_the_process(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    script = "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    words = ("run", "--bundle", make_bundle(["sh", "-c", script]), container_id)
    with command.running(*words) as (process, out, _):
        until(lambda: os.fstat(out.fileno()).st_size)
        process.send_signal(signal.SIGTERM)
        assert command.wait(process) == 5
        out.seek(0)
        assert out.read() == b"ready\ngot\n"


def test_killed_from_outside(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> None:
    with command.running("run", "--bundle", make_bundle(SLEEP), container_id) as (process, _, _):
        until((command.root / container_id / "state.json").exists)
        command("kill", container_id, "KILL")
        assert command.wait(process) == 128 + signal.SIGKILL


def test_a_killed_command_leaves_the_container_running(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    with command.running("run", "--bundle", make_bundle(SLEEP), container_id) as (process, _, _):
        until((command.root / container_id / "state.json").exists)
        until(lambda: command.state(container_id)["pid"])
        process.kill()
        command.wait(process)
    assert command.status(container_id) == "running"
    command("exec", container_id, "true")
    command("delete", "--force", container_id)


def test_a_failing_poststop_hook_does_not_change_the_status(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    hooks = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]}
    bundle = make_bundle(["sh", "-c", "exit 4"], hooks=hooks)
    result = command("run", "--bundle", bundle, container_id, status=4)
    assert "poststop hook #0" in result.err


def test_exec_options(command: Command, running: str, tmp_path: Path) -> None:
    def output(*words: object) -> str:
        return command("exec", *words).out

    assert output("--user", "5:6", "--additional-gids", "7", running, "id") == "uid=5 gid=6 groups=7\n"
    assert output("--cwd", "/tmp", running, "pwd") == "/tmp\n"
    assert output("-e", "A=1", "--env=B=2", running, "sh", "-c", "echo $A$B") == "12\n"
    assert "NoNewPrivs:\t1" in output("--no-new-privs", running, "cat", "/proc/self/status")
    assert output(running, "echo", "-n", "--", "-x") == "-- -x"
    process = {
        "args": ["id"],
        "cwd": "/",
        "env": ["PATH=/bin"],
        "user": {"uid": 5, "gid": 6, "additionalGids": [7]},
    }
    (tmp_path / "process.json").write_text(json.dumps(process))
    assert output("--process", tmp_path / "process.json", running) == "uid=5 gid=6 groups=7\n"


def test_detached_exec_writes_its_pid(command: Command, running: str, tmp_path: Path) -> None:
    pid_file = tmp_path / "exec.pid"
    command("exec", "--detach", "--pid-file", pid_file, running, *SLEEP)
    pid = int(pid_file.read_text())
    assert Path(f"/proc/{pid}/comm").read_text().strip() in {"sleep", "busybox"}
    assert pid in json.loads(command("ps", "--format", "json", running).out)
    assert pid_file.read_text() == str(pid), "no line end"


def test_preserved_descriptors(
    command: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    script = 'exec 3<"$1"; shift; exec "$@"'
    (tmp_path / "data").write_text("kept")
    bundle = make_bundle(["sh", "-c", "cat <&3; ls /proc/self/fd"])
    words = ["run", "--preserve-fds", "1", "--bundle", str(bundle), container_id]
    argv = ["/bin/sh", "-c", script, "sh", str(tmp_path / "data"), *command.argv, *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    numbers = set(done.stdout.removeprefix("kept").split())
    assert done.stdout.startswith("kept")
    assert {"0", "1", "2", "3"} <= numbers
    assert len(numbers) == 5, "and ls's own directory"
    missing = command.error("run", "--preserve-fds", "9", "--bundle", bundle, container_id)
    assert "unable to stat preserved-fd" in missing


# --- terminals ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def terminal_of(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """A terminal of this size: master and slave."""
    master_fd, slave_fd = pty.openpty()
    try:
        fcntl.ioctl(slave_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        yield master_fd, slave_fd
    finally:
        os.close(master_fd)
        os.close(slave_fd)


def read_until(master_fd: int, wanted: bytes, timeout: float = 20.0) -> bytes:
    """Read a terminal until ``wanted`` was seen."""
    seen = b""
    deadline = time.monotonic() + timeout
    while wanted not in seen:
        left = deadline - time.monotonic()
        assert select.select([master_fd], [], [], max(left, 0))[0], f"{wanted!r} is not in {seen!r}"
        seen += os.read(master_fd, 4096)
    return seen


def test_run_on_a_terminal(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> None:
    bundle = make_bundle(["sh"], terminal=True)
    with terminal_of(33, 77) as (master_fd, slave_fd):
        before = termios.tcgetattr(slave_fd)
        words = ("run", "--bundle", bundle, container_id)
        stdio = {"stdin": slave_fd, "stdout": slave_fd, "stderr": slave_fd}
        with command.running(*words, **stdio) as (process, _, _):
            os.write(master_fd, b"tty; stty size\n")
            seen = read_until(master_fd, b"33 77")
            assert b"/dev/pts/0" in seen or b"/dev/console" in seen
            fcntl.ioctl(master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 50, 0, 0))
            process.send_signal(signal.SIGWINCH)
            os.write(master_fd, b"sleep 0.2; stty size\n")
            read_until(master_fd, b"20 50")
            os.write(master_fd, b"sleep 1000\n")
            read_until(master_fd, b"sleep 1000")
            time.sleep(0.2)
            os.write(master_fd, b"\x03exit 9\n")
            assert command.wait(process) == 9
        assert termios.tcgetattr(slave_fd) == before, "the mode was put back"


def test_exec_on_a_terminal(command: Command, running: str) -> None:
    with terminal_of(24, 80) as (master_fd, slave_fd):
        stdio = {"stdin": slave_fd, "stdout": slave_fd, "stderr": slave_fd}
        words = ("exec", "--tty", running, "sh", "-c", "test -t 0 && echo is-a-tty; exit 3")
        with command.running(*words, **stdio) as (process, _, _):
            assert command.wait(process) == 3
            read_until(master_fd, b"is-a-tty")


def test_terminal_output_is_whole_when_stdout_is_a_file(command: Command, running: str) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"
    lines = command("exec", "-t", running, "sh", "-c", script).out.splitlines()
    assert lines == [f"line {number}" for number in range(3000)]


@contextlib.contextmanager
def console_socket(path: Path) -> Iterator[socket.socket]:
    """Where a terminal's master is sent to."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(20)
        yield listener


def receive_master(listener: socket.socket) -> int:
    """The one descriptor of the one message."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(20)
        payload, fds, _, _ = socket.recv_fds(connection, 4096, 4)
        assert payload
        assert len(fds) == 1
        assert connection.recv(1) == b"", "then it is closed"
    return fds[0]


def test_console_socket(
    command: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    script = "stty size; [ -c /dev/console ] && echo console; read line; echo got $line"
    size = {"consoleSize": {"height": 31, "width": 71}}
    bundle = make_bundle(["sh", "-c", script], terminal=True, process=size)
    path = tmp_path / "s"
    with console_socket(path) as listener:
        command("create", "--console-socket", path, "--bundle", bundle, container_id)
        master_fd = receive_master(listener)
        try:
            command("start", container_id)
            read_until(master_fd, b"console")
            command("exec", "-t", "-d", "--console-socket", path, container_id, "tty")
            second_fd = receive_master(listener)
            os.close(second_fd)
            os.write(master_fd, b"word\n")
            assert b"got word" in read_until(master_fd, b"got word")
        finally:
            os.close(master_fd)
    command.await_status(container_id, "stopped")


def test_terminals_that_cannot_be(
    command: Command, container_id: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    with_terminal, without = make_bundle(SLEEP, terminal=True), make_bundle(SLEEP)
    detached = "cannot allocate tty if runc will detach without setting console socket"
    assert command.error("create", "-b", with_terminal, container_id).endswith(detached)
    nobody = "cannot use console socket if runc will not detach or allocate tty"
    words = ("create", "--console-socket", tmp_path / "s", "-b", without, container_id)
    assert command.error(*words).endswith(nobody)
