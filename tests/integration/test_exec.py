"""Other processes in a live container."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import ConfigError, LaunchError, ProcessExists, ProcessNotFound, SignalError
from kata_hybrid.oci.config import Process as ProcessConfig
from kata_hybrid.oci.config import User
from kata_hybrid.runtime import Container, ExitStatus, Runtime, Status, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()


@pytest.fixture
def container(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> Iterator[Container]:
    made = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    yield made
    made.delete(force=True)


def test_exec_is_in_all_namespaces_of_the_init(container: Container) -> None:
    process = container.exec(SLEEP, stdio=NULL)
    for name in ("pid", "net", "ipc", "uts", "mnt", "cgroup"):
        theirs = os.readlink(f"/proc/{process.pid}/ns/{name}")
        assert theirs == os.readlink(f"/proc/{container.init.pid}/ns/{name}"), name
        assert theirs != os.readlink(f"/proc/self/ns/{name}"), name
    assert os.readlink(f"/proc/{process.pid}/root") == os.readlink(f"/proc/{container.init.pid}/root")


def test_exec_is_in_the_containers_cgroups(container: Container) -> None:
    process = container.exec(SLEEP, stdio=NULL)
    assert (
        Path(f"/proc/{process.pid}/cgroup").read_text()
        == Path(f"/proc/{container.init.pid}/cgroup").read_text()
    )
    assert sorted(container.processes()) == sorted([container.init.pid, process.pid])


def test_exec_in_a_user_namespace(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    spec = make_spec(
        SLEEP,
        namespaces=["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
        linux={"uidMappings": mapping, "gidMappings": mapping},
    )
    container = runtime.run(container_id + "u", spec=spec, stdio=NULL)
    process = container.exec(["id", "-u"], stdio=Stdio.pipes())
    assert read_all(process.stdout) == b"0\n"
    assert process.wait(10).status == 0
    process.close_streams()
    container.delete(force=True)


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_exec_exit_code(container: Container, code: int) -> None:
    assert container.exec(["sh", "-c", f"exit {code}"], stdio=NULL).wait(10) == ExitStatus(code, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGUSR2])
def test_exec_death_by_signal(container: Container, number: signal.Signals) -> None:
    process = container.exec(SLEEP, stdio=NULL)
    process.signal(number.name)
    assert process.wait(10) == ExitStatus(0, number)
    with pytest.raises(SignalError) as caught:
        process.signal("TERM")
    assert caught.value.errno == 3


def test_exec_output_env_cwd_and_user(container: Container, read_all: Callable[..., bytes]) -> None:
    process = container.exec(
        ["sh", "-c", "echo $A $PWD $(id -u) $(id -g)"],
        stdio=Stdio.pipes(),
        env=["A=b"],
        cwd="/tmp",
        user="1000:1000",
    )
    assert read_all(process.stdout) == b"b /tmp 1000 1000\n"
    assert process.wait(10).status == 0
    process.close_streams()


def test_exec_of_a_whole_process_object(container: Container, read_all: Callable[..., bytes]) -> None:
    config = ProcessConfig(
        cwd="/",
        args=("sh", "-c", "echo $HOME; umask"),
        env=("PATH=/bin",),
        user=User(uid=1000, gid=1000, umask=0o27),
    )
    process = container.exec(config, stdio=Stdio.pipes())
    assert read_all(process.stdout) == b"/home/user\n0027\n"
    assert process.wait(10).status == 0
    process.close_streams()


def test_what_an_exec_keeps_of_the_last_one_is_never_anothers(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    """Two containers of one configuration, the same command, and a variable that differs in between."""
    spec = make_spec(SLEEP)

    def said(container: Container, env: list[str]) -> list[str]:
        process = container.exec(
            ["sh", "-c", "readlink /proc/self/ns/uts; echo $WORD"], env=env, stdio=Stdio.pipes()
        )
        assert process.wait(10).status == 0
        return read_all(process.stdout).decode().splitlines()

    pair = [runtime.run(f"{container_id}-{name}", spec=spec, stdio=NULL) for name in "ab"]
    try:
        spaces = [os.readlink(f"/proc/{container.init.pid}/ns/uts") for container in pair]
        for word in ("first", "first", "second"):
            seen = [said(container, [f"WORD={word}"]) for container in (*pair, *pair)]
            assert seen == [[space, word] for space in spaces * 2]
    finally:
        for container in pair:
            container.delete(force=True)


def test_exec_in_a_created_container(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.create(container_id + "c", spec=make_spec(["true"]), stdio=NULL)
    assert container.exec(["true"], stdio=NULL).wait(10).status == 0
    assert container.status is Status.CREATED
    container.start()
    container.wait(10)
    container.delete()


def test_exec_in_a_paused_container_waits_when_asked(container: Container) -> None:
    container.pause()
    process = container.exec(["true"], stdio=NULL, ignore_paused=True) if _joins_frozen() else None
    container.resume()
    if process is not None:
        assert process.wait(10).status == 0


def _joins_frozen() -> bool:
    """On v1 the new process freezes before it can say that it was started, so the call cannot return."""
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def test_exec_names(container: Container) -> None:
    process = container.exec(SLEEP, exec_id="one", stdio=NULL)
    assert container.process("one") is process
    with pytest.raises(ProcessExists):
        container.exec(SLEEP, exec_id="one", stdio=NULL)
    with pytest.raises(ProcessExists):
        container.exec(SLEEP, exec_id=container.id, stdio=NULL)
    with pytest.raises(ProcessNotFound):
        container.process("two")
    process.signal("KILL")
    process.wait(10)
    assert container.process("one").poll() == ExitStatus(0, signal.SIGKILL), "kept"


def test_failed_exec_frees_its_name(container: Container) -> None:
    with pytest.raises(LaunchError):
        container.exec(["/missing"], exec_id="one", stdio=NULL)
    assert container.exec(["true"], exec_id="one", stdio=NULL).wait(10).status == 0


@pytest.mark.parametrize(
    ("args", "errno"),
    [(["missing"], 2), (["/missing"], 2), (["/etc/passwd"], 13), (["/etc"], 21)],
)
def test_program_that_cannot_run(container: Container, args: list[str], errno: int) -> None:
    with pytest.raises(LaunchError) as caught:
        container.exec(args, stdio=NULL)
    assert caught.value.errno == errno
    assert caught.value.container_id == container.id


@pytest.mark.parametrize("bad", [{"user": "root"}, {"user": "1:x"}, {"cwd": "relative"}])
def test_wrong_exec_arguments_are_config_errors(container: Container, bad: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        container.exec(["true"], stdio=NULL, **bad)


def test_no_arguments_is_a_config_error(container: Container) -> None:
    with pytest.raises(ConfigError, match="cannot be empty"):
        container.exec([], stdio=NULL)


def test_exec_end_is_kept_when_nobody_waits(container: Container) -> None:
    processes = [container.exec(["sh", "-c", f"exit {code}"], stdio=NULL) for code in range(5)]
    assert [each.wait(10).code for each in processes] == [0, 1, 2, 3, 4]


def test_delete_reaps_exec_processes(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.run(container_id + "d", spec=make_spec(SLEEP), stdio=NULL)
    process = container.exec(SLEEP, stdio=NULL)
    container.delete(force=True)
    assert process.poll() == ExitStatus(0, signal.SIGKILL)
