"""Limits, as the kernel's files and the processes that meet them show them."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import CgroupError
from kata_hybrid.oci.config import CPU, Memory, Pids, Resources
from kata_hybrid.runtime import ExitStatus, Runtime, Status, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()
MIB = 1 << 20
ON_V2 = os.path.exists("/sys/fs/cgroup/cgroup.controllers")

# (resources, controller, file on v1, file on v2, content on v1, content on v2)
LIMITS: list[tuple[dict[str, Any], str, str, str, str, str]] = [
    (
        {"memory": {"limit": 64 * MIB}},
        "memory",
        "memory.limit_in_bytes",
        "memory.max",
        str(64 * MIB),
        str(64 * MIB),
    ),
    (
        {"memory": {"reservation": 32 * MIB}},
        "memory",
        "memory.soft_limit_in_bytes",
        "memory.low",
        str(32 * MIB),
        str(32 * MIB),
    ),
    ({"pids": {"limit": 33}}, "pids", "pids.max", "pids.max", "33", "33"),
    ({"cpu": {"shares": 512}}, "cpu", "cpu.shares", "cpu.weight", "512", "59"),
    (
        {"cpu": {"quota": 50000, "period": 100000}},
        "cpu",
        "cpu.cfs_quota_us",
        "cpu.max",
        "50000",
        "50000 100000",
    ),
    ({"cpu": {"cpus": "0"}}, "cpuset", "cpuset.cpus", "cpuset.cpus", "0", "0"),
]


def group_of(runtime: Runtime, container_id: str, controller: str) -> Path:
    document = json.loads((Path(runtime.root) / container_id / "state.json").read_text())
    paths = document["cgroup_paths"]
    if controller not in paths and "" not in paths:
        pytest.skip(f"this host has no {controller} controller")
    return Path(paths.get(controller) or paths[""])


@pytest.mark.parametrize(
    ("resources", "controller", "file_v1", "file_v2", "text_v1", "text_v2"),
    LIMITS,
    ids=[row[3] for row in LIMITS],
)
def test_limit_is_in_the_kernels_file(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    resources: dict[str, Any],
    controller: str,
    file_v1: str,
    file_v2: str,
    text_v1: str,
    text_v2: str,
) -> None:
    spec = make_spec(SLEEP, linux={"resources": resources})
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    group = group_of(runtime, container_id, controller)
    name, text = (file_v2, text_v2) if ON_V2 else (file_v1, text_v1)
    assert (group / name).read_text().strip() == text
    assert str(container.init.pid) in (group / "cgroup.procs").read_text().split()
    container.delete(force=True)
    assert not group.exists()


def test_too_much_memory_ends_the_process(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    limits = {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}}
    spec = make_spec(["sh", "-c", "exec tail -c 200000000 /dev/zero"], linux={"resources": limits})
    container = runtime.run(container_id, spec=spec, stdio=NULL)
    assert container.wait(30) == ExitStatus(0, signal.SIGKILL)
    assert container.wait().status == 137
    container.delete()


def test_too_many_processes_are_refused(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], read_all: Callable[..., bytes]
) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo $! made"
    spec = make_spec(["sh", "-c", script], linux={"resources": {"pids": {"limit": 5}}})
    container = runtime.run(container_id, spec=spec, stdio=Stdio.pipes())
    container.wait(20)
    assert b"fork" in read_all(container.init.stderr)
    container.delete()
    container.init.close_streams()


def test_stats_tell_what_is_used(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    container.exec(SLEEP, stdio=NULL)
    stats = container.stats()
    assert stats.pids.current == 2
    assert stats.memory.usage.usage > 0
    assert stats.cpu.usage.total > 0
    container.delete(force=True)


def test_update_keeps_what_it_does_not_name_and_undoes_itself(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    first = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 40}}
    container = runtime.run(container_id, spec=make_spec(SLEEP, linux={"resources": first}), stdio=NULL)
    pids = group_of(runtime, container_id, "pids") / "pids.max"
    container.update(Resources(memory=Memory(limit=80 * MIB)))
    assert pids.read_text() == "40\n"
    with pytest.raises(CgroupError):
        container.update(Resources(pids=Pids(limit=41), cpu=CPU(cpus="4000")))
    assert pids.read_text() == "40\n"
    assert container.status is Status.RUNNING
    container.pause()
    container.update(Resources(pids=Pids(limit=42)))
    assert container.status is Status.PAUSED
    assert pids.read_text() == "42\n"
    container.resume()
    container.delete(force=True)
