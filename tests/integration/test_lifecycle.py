"""Creating, starting, pausing, killing and deleting real containers."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import (
    ConfigError,
    ContainerExists,
    ContainerNotFound,
    ContainerNotPaused,
    ContainerNotRunning,
    ContainerNotStopped,
    StatusError,
)
from kata_hybrid.oci.config import Memory, Pids, Resources
from kata_hybrid.runtime import ExitStatus, Runtime, Status, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()


def test_created_started_stopped_deleted(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path], read_all: Callable[..., bytes]
) -> None:
    container = runtime.create(container_id, bundle=str(make_bundle(["echo", "hello"])), stdio=Stdio.pipes())
    assert container.status is Status.CREATED
    assert runtime.load(container_id) is container
    assert [each.id for each in runtime.list()] == [container_id]
    container.start()
    assert read_all(container.init.stdout) == b"hello\n"
    assert container.wait(10) == ExitStatus(0, 0)
    assert container.status is Status.STOPPED
    assert container.state().pid == 0
    container.delete()
    container.init.close_streams()
    with pytest.raises(ContainerNotFound):
        container.state()
    assert runtime.list() == []
    assert container.wait() == ExitStatus(0, 0), "the status outlives the container"


def test_state_directory_and_fifo_have_runc_modes(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    old = os.umask(0o077)
    try:
        container = runtime.create(container_id, spec=make_spec(SLEEP), stdio=NULL)
    finally:
        os.umask(old)
    directory = Path(runtime.root) / container_id
    assert stat.S_IMODE(directory.stat().st_mode) == 0o711
    assert stat.S_IMODE((directory / "exec.fifo").stat().st_mode) == 0o622
    assert stat.S_IMODE((directory / "state.json").stat().st_mode) == 0o600
    container.start()
    assert not (directory / "exec.fifo").exists()
    container.delete(force=True)


def test_created_init_waits_and_is_small(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.create(container_id, spec=make_spec(["sh", "-c", "exit 3"]), stdio=NULL)
    with pytest.raises(TimeoutError):
        container.wait(0.1)
    rss_kib = next(
        int(line.split()[1])
        for line in Path(f"/proc/{container.init.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    assert rss_kib < 2048
    container.start()
    assert container.wait(10).status == 3
    container.delete()


def test_run_skips_the_fifo(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    assert container.status is Status.RUNNING
    assert not (Path(runtime.root) / container_id / "exec.fifo").exists()
    container.delete(force=True)


@pytest.mark.parametrize(
    ("args", "status"),
    [
        (["sh", "-c", "exit 0"], ExitStatus(0, 0)),
        (["sh", "-c", "exit 42"], ExitStatus(42, 0)),
        (["sh", "-c", "exit 255"], ExitStatus(255, 0)),
        (["false"], ExitStatus(1, 0)),
        (["sh", "-c", "exec /etc/passwd"], ExitStatus(126, 0)),
        (["sh", "-c", "exec /missing"], ExitStatus(127, 0)),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], ExitStatus(137, 0)),
    ],
)
def test_exit_code(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], args: list[str], status: ExitStatus
) -> None:
    container = runtime.run(container_id, spec=make_spec(args), stdio=NULL)
    assert container.wait(10) == status
    container.delete()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, signal.SIGTERM])
def test_death_by_signal_is_128_plus_n(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], number: signal.Signals
) -> None:
    # Without a pid namespace of its own: pid 1 would ignore what it has no handler for.
    spec = make_spec(SLEEP, namespaces=["mount", "uts", "ipc", "network"])
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    container.kill(number.name)
    assert container.wait(10) == ExitStatus(0, number)
    assert container.wait().status == 128 + number
    container.delete()


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time"])
def test_new_namespace_differs_from_ours(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], kind: str
) -> None:
    linux: dict[str, Any] = {}
    namespaces = sorted({"mount", "pid", kind})
    if kind == "user":
        mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
        linux = {"uidMappings": mapping, "gidMappings": mapping}
        namespaces = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]
    container = runtime.run(
        container_id, spec=make_spec(SLEEP, namespaces=namespaces, linux=linux), stdio=NULL
    )
    name = {"network": "net", "mount": "mnt"}.get(kind, kind)
    theirs = os.readlink(f"/proc/{container.init.pid}/ns/{name}")
    assert theirs != os.readlink(f"/proc/self/ns/{name}")
    container.delete(force=True)


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup"])
def test_namespace_that_is_not_listed_is_ours(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], kind: str
) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP, namespaces=["mount", "pid"]), stdio=NULL)
    name = {"network": "net"}.get(kind, kind)
    assert os.readlink(f"/proc/{container.init.pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")
    container.delete(force=True)


def test_namespaces_joined_by_path(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    first = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    kinds = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    listed = [{"type": kind, "path": f"/proc/{first.init.pid}/ns/{name}"} for kind, name in kinds.items()]
    spec = make_spec(SLEEP, namespaces=[*listed, "mount"])
    second = runtime.run(container_id + "b", spec=spec, stdio=NULL)
    for name in kinds.values():
        ours = os.readlink(f"/proc/{second.init.pid}/ns/{name}")
        assert ours == os.readlink(f"/proc/{first.init.pid}/ns/{name}"), name
    assert os.readlink(f"/proc/{second.init.pid}/ns/mnt") != os.readlink(f"/proc/{first.init.pid}/ns/mnt")
    assert second.status is Status.RUNNING
    second.delete(force=True)
    first.delete(force=True)


def test_same_id_twice_is_refused(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    container = runtime.create(container_id, spec=make_spec(SLEEP), stdio=NULL)
    with pytest.raises(ContainerExists):
        runtime.create(container_id, spec=make_spec(SLEEP), stdio=NULL)
    assert container.status is Status.CREATED
    container.delete()


def test_wrong_configuration_touches_nothing(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError):
        runtime.create(container_id, spec=make_spec(SLEEP, process={"cwd": "relative"}), stdio=NULL)
    assert not (Path(runtime.root) / container_id).exists()


def test_verbs_in_the_wrong_status(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    with pytest.raises(StatusError, match="already running"):
        container.start()
    with pytest.raises(ContainerNotPaused):
        container.resume()
    with pytest.raises(ContainerNotStopped, match="not stopped: running"):
        container.delete()
    container.pause()
    assert container.status is Status.PAUSED
    with pytest.raises(ContainerNotRunning):
        container.pause()
    with pytest.raises(ContainerNotRunning, match="paused"):
        container.exec(["true"], stdio=NULL)
    container.resume()
    assert container.status is Status.RUNNING
    container.kill("KILL")
    container.wait(10)
    with pytest.raises(ContainerNotRunning):
        container.kill("TERM")
    container.kill("TERM", all=True)
    with pytest.raises(ContainerNotRunning):
        container.pause()
    with pytest.raises(StatusError, match="has stopped"):
        container.start()
    with pytest.raises(ContainerNotRunning):
        container.exec(["true"], stdio=NULL)
    with pytest.raises(ContainerNotRunning):
        container.update(Resources())
    container.delete()


def test_paused_container_does_no_work_and_dies_of_sigkill(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(["sh", "-c", "while :; do echo x; done"])
    container = runtime.run(container_id, spec=spec, stdio=Stdio.pipes())
    assert container.init.stdout is not None
    container.init.stdout.read()
    container.pause()
    for _ in range(64):  # what was in the pipe before
        try:
            container.init.stdout.read(timeout=0.2)
        except TimeoutError:
            break
    with pytest.raises(TimeoutError):
        container.init.stdout.read(timeout=0.2)
    container.kill("KILL")
    assert container.wait(10).signal == signal.SIGKILL
    container.delete()
    container.init.close_streams()


def test_created_container_paused_and_resumed_is_created(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.create(container_id, spec=make_spec(["true"]), stdio=NULL)
    container.pause()
    assert container.status is Status.PAUSED
    with pytest.raises(StatusError, match="paused"):
        container.start()
    container.resume()
    assert container.status is Status.CREATED
    container.start()
    assert container.wait(10).status == 0
    container.delete()


def test_delete_force_of_a_paused_container(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    container.pause()
    container.delete(force=True)
    assert container.wait(1).signal == signal.SIGKILL


def test_sigkill_without_pid_namespace_ends_all_processes(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(["sh", "-c", "sleep 900 & sleep 900 & sleep 900; true"], namespaces=["mount", "uts"])
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    deadline = time.monotonic() + 5
    while len(container.processes()) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(container.processes()) == 4
    container.kill("KILL")
    container.wait(10)
    while container.processes() and time.monotonic() < deadline + 5:
        time.sleep(0.01)
    assert container.processes() == []
    container.delete()


def test_update_changes_limits(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    spec = make_spec(SLEEP, linux={"resources": {"memory": {"limit": 64 << 20}, "pids": {"limit": 50}}})
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    assert container.stats() is not None
    container.update(Resources(memory=Memory(limit=96 << 20), pids=Pids(limit=77)))
    document = json.loads((Path(runtime.root) / container_id / "state.json").read_text())
    assert document["config"]["cgroups"]["memory"] == 96 << 20
    paths = document["cgroup_paths"]
    if "pids" in paths:
        assert (Path(paths["pids"]) / "pids.max").read_text() == "77\n"
        assert (Path(paths["memory"]) / "memory.limit_in_bytes").read_text() == f"{96 << 20}\n"
    container.delete(force=True)


def test_eight_waiters_agree_and_block_nobody(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    seen: list[ExitStatus] = []
    threads = [threading.Thread(target=lambda: seen.append(container.wait())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert container.exec(["true"], stdio=NULL).wait(10).status == 0
    container.pause()
    container.resume()
    container.kill("KILL")
    for thread in threads:
        thread.join(10)
    assert seen == [ExitStatus(0, signal.SIGKILL)] * 8
    container.delete()


def test_pid_file_is_decimal_without_newline(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    container = runtime.create(
        container_id, spec=make_spec(SLEEP), stdio=NULL, pid_file=str(tmp_path / "pid")
    )
    assert (tmp_path / "pid").read_text() == str(container.init.pid)
    assert not (tmp_path / ".pid").exists()
    container.delete()


def test_home_comes_from_the_container(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    spec = make_spec(["sh", "-c", "echo $HOME"], process={"user": {"uid": 1000, "gid": 1000}})
    container = runtime.run(container_id, spec=spec, stdio=Stdio.pipes())
    assert read_all(container.init.stdout) == b"/home/user\n"
    container.wait(10)
    container.delete()
    container.init.close_streams()


def test_adopted_container_does_everything(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path], read_all: Callable[..., bytes]
) -> None:
    """Created by another process, as the command does it; here it is only known from disk."""
    program = (
        "import sys; from kata_hybrid.runtime import Runtime, Stdio;"
        "Runtime(sys.argv[1]).create(sys.argv[2], bundle=sys.argv[3], stdio=Stdio.null())"
    )
    bundle = make_bundle(SLEEP)
    subprocess.run([sys.executable, "-c", program, runtime.root, container_id, str(bundle)], check=True)
    container = runtime.load(container_id)
    assert container.status is Status.CREATED
    container.start()
    assert container.status is Status.RUNNING
    process = container.exec(["hostname"], stdio=Stdio.pipes())
    assert read_all(process.stdout) == b"box\n"
    assert process.wait(10).status == 0
    process.close_streams()
    container.pause()
    container.resume()
    container.kill("KILL")
    container.wait(10)
    container.delete()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_hundred_containers_do_not_grow_us(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(["true"])

    def one(number: int) -> None:
        container = runtime.create(f"{container_id}-{number}", spec=spec, stdio=NULL)
        container.start()
        assert container.wait(20).status == 0
        container.delete()

    for number in range(20):
        one(number)
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    before_kib = _rss_kib()
    for number in range(20, 320):
        one(number)
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads
    assert _rss_kib() - before_kib < 4096
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def _rss_kib() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() // 1024


def test_the_state_file_has_the_descriptors_of_the_process(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(SLEEP)
    for _ in range(5):
        container = runtime.create(container_id, spec=spec, stdio=Stdio.pipes())
        links = [os.readlink(f"/proc/{container.init.pid}/fd/{fd}") for fd in range(3)]
        state = json.loads((Path(runtime.root) / container_id / "state.json").read_text())
        container.delete(force=True)
        container.init.close_streams()
        assert state["external_descriptors"] == links
