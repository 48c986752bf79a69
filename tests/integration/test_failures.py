"""Steps that fail, hooks, and runtimes that are killed: the true cause is told and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import (
    CgroupError,
    ConfigError,
    ContainerNotFound,
    HookError,
    KataHybridError,
    LaunchError,
)
from kata_hybrid.oci.config import Capabilities
from kata_hybrid.runtime import Runtime, Status, Stdio, orphans
from kata_hybrid.state import process_start_time

if TYPE_CHECKING:
    from collections.abc import Callable

NULL = Stdio.null()
SLEEP = ["sleep", "1000"]


def mounted(**mount: Any) -> dict[str, Any]:
    """Parts of a configuration with one more mount."""
    return {"mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, mount]}


FAILURES: list[Any] = [
    pytest.param(
        SLEEP,
        mounted(destination="/tmp/x", type="nosuchfs", source="none"),
        "mount",
        19,
        "/tmp/x",
        id="mount",
    ),
    pytest.param(
        SLEEP,
        mounted(destination="/tmp/x", type="bind", source="/nonexistent/source", options=["bind"]),
        "bind",
        2,
        "/nonexistent/source",
        id="bind-source",
    ),
    pytest.param(["/missing"], {}, "exec", 2, "/missing", id="no-such-program"),
    pytest.param(["missing"], {}, "exec", 2, "missing", id="not-in-path"),
    pytest.param(["/etc/passwd"], {}, "exec", 13, "/etc/passwd", id="not-executable"),
    pytest.param(["/etc"], {}, "exec", 21, "/etc", id="directory"),
    pytest.param(SLEEP, {"process": {"cwd": "/etc/passwd"}}, "", 20, "/etc/passwd", id="cwd-is-a-file"),
    pytest.param(
        SLEEP,
        {"linux": {"sysctl": {"net.ipv4.no_such_thing": "1"}}},
        "sysctl",
        2,
        "net/ipv4/no_such_thing",
        id="sysctl",
    ),
    pytest.param(
        SLEEP,
        {"namespaces": ["pid", "mount", {"type": "network", "path": "/nonexistent/ns"}]},
        "namespace",
        2,
        "/nonexistent/ns",
        id="namespace-path",
    ),
    pytest.param(
        SLEEP,
        {"namespaces": ["pid", "mount", {"type": "network", "path": "/proc/self/ns/uts"}]},
        "join namespace",
        22,
        "/proc/self/ns/uts",
        id="namespace-of-another-kind",
    ),
]


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize(("args", "parts", "step", "errno", "path"), FAILURES)
def test_failed_step_is_told_and_undone(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    verb: str,
    args: list[str],
    parts: dict[str, Any],
    step: str,
    errno: int,
    path: str,
) -> None:
    with pytest.raises(LaunchError) as caught:
        getattr(runtime, verb)(container_id, spec=make_spec(args, **parts), stdio=NULL)
    assert caught.value.errno == errno
    assert step in caught.value.step.lower()
    assert path in f"{caught.value.path} {caught.value.detail}"
    assert caught.value.container_id == container_id
    assert not (Path(runtime.root) / container_id).exists()


def test_missing_rootfs(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    with pytest.raises(KataHybridError, match="/nonexistent"):
        runtime.create(container_id, spec=make_spec(SLEEP, root={"path": "/nonexistent/rootfs"}), stdio=NULL)


def test_refused_limit_is_a_cgroup_error(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(SLEEP, linux={"resources": {"cpu": {"cpus": "4000"}}})
    with pytest.raises(CgroupError) as caught:
        runtime.create(container_id, spec=spec, stdio=NULL)
    assert "cpuset.cpus" in caught.value.path


def test_unwritable_pid_file(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match="pid file"):
        runtime.create(container_id, spec=make_spec(SLEEP), stdio=NULL, pid_file=str(tmp_path / "no/pid"))


def test_no_listener_on_the_console_socket(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(LaunchError, match="console socket"):
        runtime.create(
            container_id, spec=make_spec(SLEEP, terminal=True), console_socket=str(tmp_path / "none.sock")
        )


def test_console_socket_without_terminal(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError):
        runtime.create(container_id, spec=make_spec(SLEEP), console_socket="/none.sock")


def test_bad_format_after_the_fifo_goes_to_stderr(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    rootfs: Path,
    read_all: Callable[..., bytes],
) -> None:
    program = rootfs / "bin/garbage"
    program.write_bytes(b"\x01\x02\x03\x04 no program")
    program.chmod(0o755)
    container = runtime.create(container_id, spec=make_spec(["garbage"]), stdio=Stdio.pipes())
    container.start()
    assert container.wait(10).status == 255
    assert read_all(container.init.stderr) == b"exec /bin/garbage: exec format error\n"
    container.delete()
    container.init.close_streams()


# --- hooks -------------------------------------------------------------------------------------------


def hook(script: str, *arguments: str, **more: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script, "hook", *arguments], **more}


def test_hooks_run_in_order_with_the_state(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script = 'printf "%s " "$1" >> "$2"; cat >> "$2"; echo >> "$2"'
    kinds = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    hooks = {kind: [hook(script, kind, str(log)), hook(script, kind + "2", str(log))] for kind in kinds}
    hooks["startContainer"] = [hook("cat > /tmp/started")]
    bundle = make_bundle(["sh", "-c", "grep -c created /tmp/started"], hooks=hooks, annotations={"a.b": "c"})
    container = runtime.create(container_id, bundle=str(bundle), stdio=Stdio.null())
    pid = container.init.pid
    container.start()
    assert container.wait(10).status == 0
    container.delete()
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    assert [line[0] for line in lines] == [name for kind in kinds for name in (kind, kind + "2")]
    states = {name: json.loads(text) for name, text in lines}
    expected = {"ociVersion": "1.0.2", "id": container_id, "bundle": str(bundle), "annotations": {"a.b": "c"}}
    assert states["prestart"] == {**expected, "status": "creating", "pid": pid}
    assert states["createRuntime2"] == states["prestart"]
    assert states["createContainer"] == {**expected, "status": "creating", "pid": 1}
    assert states["poststart"] == {**expected, "status": "running", "pid": pid}
    assert states["poststop"] == {**expected, "status": "stopped"}


def test_hooks_in_a_shared_pid_namespace_hear_the_true_pid(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    hooks = {
        "createContainer": [hook('cat > "$1"', str(log))],
        "startContainer": [hook("cat > /tmp/started")],
    }
    script = 'grep -q "\\"pid\\":$$," /tmp/started'
    spec = make_spec(["sh", "-c", script], hooks=hooks, namespaces=["mount", "uts"])
    container = runtime.create(container_id, spec=spec, stdio=NULL)
    assert json.loads(log.read_text())["pid"] == container.init.pid
    container.start()
    assert container.wait(10).status == 0
    container.delete()


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_failed_hook_undoes_the_create(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], kind: str
) -> None:
    failing = [hook("exit 0"), hook("echo OUT; echo ERR >&2; exit 3")]
    with pytest.raises(HookError) as caught:
        runtime.create(container_id, spec=make_spec(SLEEP, hooks={kind: failing}), stdio=NULL)
    assert (caught.value.hook, caught.value.index) == (kind, 1)
    assert "exit status 3" in caught.value.problem
    assert "OUT" in caught.value.problem
    assert "ERR" in caught.value.problem
    assert not (Path(runtime.root) / container_id).exists()


def test_hook_past_its_timeout_is_killed(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    slow = [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]
    before = time.monotonic()
    with pytest.raises(HookError, match=r"hook ran past specified timeout of 1\.0s"):
        runtime.create(container_id, spec=make_spec(SLEEP, hooks={"createRuntime": slow}), stdio=NULL)
    assert time.monotonic() - before < 5


def test_hook_that_is_not_there(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    missing = [{"path": "/nonexistent/hook"}]
    with pytest.raises(HookError, match="no such file or directory"):
        runtime.create(container_id, spec=make_spec(SLEEP, hooks={"createRuntime": missing}), stdio=NULL)


def test_hook_that_leaves_a_daemon_does_not_hold_us(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    daemon = [hook("sleep 3 & exit 0")]
    before = time.monotonic()
    container = runtime.create(
        container_id, spec=make_spec(SLEEP, hooks={"createRuntime": daemon}), stdio=NULL
    )
    assert time.monotonic() - before < 2
    container.delete()


def test_failed_poststart_hook_ends_the_container(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(SLEEP, hooks={"poststart": [hook("exit 1")]})
    container = runtime.create(container_id, spec=spec, stdio=NULL)
    with pytest.raises(HookError):
        container.start()
    assert container.status is Status.STOPPED
    container.delete()
    with pytest.raises(HookError):
        runtime.run(container_id, spec=spec, stdio=NULL)
    assert not (Path(runtime.root) / container_id).exists()


def test_failed_poststop_hook_leaves_no_container(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    spec = make_spec(SLEEP, hooks={"poststop": [hook("exit 1")]})
    container = runtime.create(container_id, spec=spec, stdio=NULL)
    with pytest.raises(HookError):
        container.delete()
    assert not (Path(runtime.root) / container_id).exists()


# --- a runtime that is killed ------------------------------------------------------------------------

CREATE = (
    "import sys; from kata_hybrid.runtime import Runtime, Stdio;"
    "Runtime(sys.argv[1]).create(sys.argv[2], bundle=sys.argv[3], stdio=Stdio.null())"
)


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_runtime_killed_in_the_middle_of_create(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path], tmp_path: Path, kind: str
) -> None:
    marker = tmp_path / "hook.pid"
    script = 'echo $$ > "$1.tmp"; mv "$1.tmp" "$1"; exec sleep 600'
    bundle = make_bundle(SLEEP, hooks={kind: [hook(script, str(marker))]})
    creator = subprocess.Popen([sys.executable, "-c", CREATE, runtime.root, container_id, str(bundle)])
    deadline = time.monotonic() + 10
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert marker.exists()
    creator.send_signal(signal.SIGKILL)
    creator.wait()
    directory = Path(runtime.root) / container_id
    assert directory.exists()
    assert not (directory / "state.json").exists()
    with pytest.raises(ContainerNotFound):
        runtime.load(container_id)
    assert runtime.list() == []
    if kind != "createContainer":  # that one is a child of the container's init
        os.kill(int(marker.read_text()), signal.SIGKILL)
    runtime.delete(container_id, force=True)
    assert not directory.exists()
    orphans.reap()


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2])
def test_runtime_killed_at_any_time(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path], delay: float
) -> None:
    creator = subprocess.Popen(
        [sys.executable, "-c", CREATE, runtime.root, container_id, str(make_bundle(SLEEP))],
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay)
    creator.send_signal(signal.SIGKILL)
    creator.wait()
    runtime.delete(container_id, force=True)
    assert not (Path(runtime.root) / container_id).exists()
    orphans.reap()


def test_created_container_survives_its_runtime(
    runtime: Runtime, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    bundle = make_bundle(["sh", "-c", "exit 5"])
    subprocess.run([sys.executable, "-c", CREATE, runtime.root, container_id, str(bundle)], check=True)
    container = runtime.load(container_id)
    assert container.status is Status.CREATED
    container.start()
    assert container.wait(10).status == 5, "we are the subreaper and so its parent now"
    container.delete()


def test_delete_of_nothing(runtime: Runtime, container_id: str) -> None:
    with pytest.raises(ContainerNotFound):
        runtime.delete(container_id)
    runtime.delete(container_id, force=True)


def test_reused_pid_is_not_signalled(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    """A state file whose pid is somebody else's now."""
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    path = Path(runtime.root) / container_id / "state.json"
    original = path.read_text()
    document = json.loads(original)
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent, ExitStack() as ending:
        ending.callback(innocent.kill)
        document["init_process_pid"] = innocent.pid
        # The kernel counts starts in ticks of 10 ms, and a number comes round again much later than that.
        document["init_process_start"] = process_start_time(innocent.pid) - 1
        path.write_text(json.dumps(document))
        other = runtime.load(container_id)
        assert other is not container
        assert other.status is Status.STOPPED
        with pytest.raises(KataHybridError):
            other.kill("KILL")
        assert innocent.poll() is None
    path.write_text(original)
    container.delete(force=True)


def test_an_unknown_capability_is_left_out_and_said(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec(["true"])
    process = replace(spec.process, capabilities=Capabilities(bounding=("CAP_KILL", "CAP_FOO")))
    spec = replace(spec, process=process)
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    assert container.wait(10).status == 0
    container.delete()
    assert caplog.messages == ["ignoring unknown or unavailable capabilities: [CAP_FOO]"]
