"""A launch that fails, or whose runtime is killed, at every place of its plan leaves nothing behind."""

from __future__ import annotations

import dataclasses
import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import LaunchError
from kata_hybrid.plan import plan_create, steps
from kata_hybrid.runtime import Runtime, Stdio, create, orphans

if TYPE_CHECKING:
    from collections.abc import Callable

    from kata_hybrid.plan import LaunchPlan

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()
NOWHERE = "/no/such/place"
MAPPING = [{"containerID": 0, "hostID": 0, "size": 65536}]
TOO_MANY = [{"containerID": each, "hostID": each, "size": 1} for each in range(341)]
"""One more extent than a map takes."""
EVERYTHING = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]

DIRECT: dict[str, Any] = {
    "linux": {
        "maskedPaths": ["/proc/version"],
        "readonlyPaths": ["/proc/sys"],
        "sysctl": {"kernel.msgmax": "9000"},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}],
        },
    },
    "process": {"oomScoreAdj": 10, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 99}]},
    "hooks": {"createContainer": [{"path": "/bin/true"}]},
}
STAGED: dict[str, Any] = {
    "namespaces": EVERYTHING,
    "linux": {
        "uidMappings": MAPPING,
        "gidMappings": MAPPING,
        "timeOffsets": {"boottime": {"secs": 5}},
    },
    "terminal": True,
}


@pytest.mark.parametrize("parts", [DIRECT, STAGED], ids=["direct", "staged"])
@pytest.mark.timeout(120)
def test_a_failure_before_each_step_is_told_and_undone(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    parts: dict[str, Any],
) -> None:
    """A step that must fail is put before each step in turn."""
    spec = make_spec(SLEEP, **parts)
    place = 0
    plans: list[LaunchPlan] = []

    def broken(*arguments: Any, **options: Any) -> LaunchPlan:
        plan = plan_create(*arguments, **options)
        plans.append(plan)
        failing = steps.Chdir(NOWHERE)
        return dataclasses.replace(plan, steps=(*plan.steps[:place], failing, *plan.steps[place:]))

    monkeypatch.setattr(create, "plan_create", broken)
    end = 1
    while place < end:
        with pytest.raises(LaunchError) as caught:
            runtime.create(container_id, spec=spec, stdio=Stdio.pipes() if "terminal" not in parts else NULL)
        before = plans[-1].steps[:place]
        err = caught.value
        found = (err.step, err.errno, err.path, err.container_id)
        assert found == ("chdir to cwd", errno.ENOENT, NOWHERE, container_id), (place, before[-1:])
        assert not (Path(runtime.root) / container_id).exists(), place
        # Behind the fifo there is nobody to be told.
        end = 1 + next(at for at, each in enumerate(plans[-1].steps) if isinstance(each, steps.ExecFifo))
        place += 1
    assert place > 20


FAILING_STEPS: list[tuple[str, dict[str, Any], str, int, str]] = [
    (
        "time-offset",
        {
            "namespaces": ["mount", "pid", "uts", "time"],
            "linux": {"timeOffsets": {"monotonic": {"secs": 1 << 62}}},
        },
        "time",
        errno.ERANGE,
        "",
    ),
    (
        "device",
        {"linux": {"devices": [{"path": "/etc/passwd/x", "type": "c", "major": 1, "minor": 3}]}},
        "device",
        errno.ENOTDIR,
        "/etc/passwd/x",
    ),
    (
        "console",
        {"terminal": True, "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}]},
        "console",
        errno.ENOENT,
        "",
    ),
    ("cwd", {"process": {"cwd": "/etc/passwd/x"}}, "cwd", errno.ENOTDIR, "/etc/passwd/x"),
    (
        "rlimit",
        {"process": {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]}},
        "rlimit",
        errno.EPERM,
        "",
    ),
    (
        "scheduler",
        {"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 9, "deadline": 5, "period": 5}}},
        "scheduler",
        errno.EINVAL,
        "",
    ),
    (
        "mount-data",
        {"more_mounts": [{"destination": "/tmp/x", "type": "tmpfs", "options": ["nosuch=1"]}]},
        "mount",
        errno.EINVAL,
        "/tmp/x",
    ),
    (
        "id-map",
        {
            "namespaces": [each for each in EVERYTHING if each != "time"],
            "linux": {"uidMappings": TOO_MANY, "gidMappings": MAPPING},
        },
        "id map",
        errno.EINVAL,
        "uid_map",
    ),
    (
        "create-container-hook",
        {"hooks": {"createContainer": [{"path": "/no/such/hook"}]}},
        "createContainer",
        errno.ENOENT,
        "",
    ),
]


@pytest.mark.parametrize(
    ("parts", "step", "number", "path"),
    [row[1:] for row in FAILING_STEPS],
    ids=[row[0] for row in FAILING_STEPS],
)
def test_a_step_that_the_kernel_refuses(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    parts: dict[str, Any],
    step: str,
    number: int,
    path: str,
) -> None:
    with pytest.raises(LaunchError) as caught:
        runtime.create(container_id, spec=make_spec(SLEEP, **parts), stdio=NULL)
    err = caught.value
    assert step in err.step
    assert err.errno == number or "hook" in err.step
    assert path in f"{err.path} {err.detail}"
    assert err.container_id == container_id
    assert not (Path(runtime.root) / container_id).exists()


# --- a runtime that is killed at a sync point ---------------------------------------------------------

STAGING = 0  # no sync point: while kata-init works, the state document is being staged
DYING = """
import os, signal, sys
from kata_hybrid.runtime import Runtime, Stdio, launch
from kata_hybrid.state import StateDir
root, container_id, bundle, point, moment, verb = sys.argv[1:]
act = launch._act

def dying(reached, pid, request):
    if reached == int(point) and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    act(reached, pid, request)
    if reached == int(point):
        os.kill(os.getpid(), signal.SIGKILL)

stage = StateDir.stage

def dying_stage(directory, document):
    if moment == "after":
        stage(directory, document)
    os.kill(os.getpid(), signal.SIGKILL)

launch._act = dying
if point == "0":
    StateDir.stage = dying_stage
getattr(Runtime(root), verb)(container_id, bundle=bundle, stdio=Stdio.null())
"""


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("point", [STAGING, steps.SYNC_USERMAP, steps.SYNC_HOOKS, steps.SYNC_READY])
def test_runtime_killed_at_each_sync_point(
    runtime: Runtime,
    container_id: str,
    make_bundle: Callable[..., Path],
    point: int,
    moment: str,
    verb: str,
) -> None:
    mappings = {"uidMappings": MAPPING, "gidMappings": MAPPING}
    parts: dict[str, Any] = {}
    if point == steps.SYNC_USERMAP:
        parts = {"namespaces": EVERYTHING, "linux": mappings}
    if point == steps.SYNC_HOOKS:
        parts = {"hooks": {"createRuntime": [{"path": "/bin/true"}]}}
    bundle = make_bundle(SLEEP, **parts)
    arguments = [runtime.root, container_id, str(bundle), str(point), moment, verb]
    killed = subprocess.run([sys.executable, "-c", DYING, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (Path(runtime.root) / container_id).exists()
    runtime.delete(container_id, force=True)
    assert not (Path(runtime.root) / container_id).exists()
    orphans.reap()
