"""Whoever is compared does the same work: what each contender sets up for the bundle, fact by fact.

Differences that remain have a reason below. They are small beside a launch, and none makes ours do less.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, cast

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
Facts = dict[str, str]

EXPLAINED: Final[dict[str, dict[str, str]]] = {
    "command": {},
    "floor": {},
    "runc": {
        "mount /proc/acpi": "an empty tmpfs as ours, without a limit to its size",
        "mount /proc/scsi": "as /proc/acpi",
        "mount /proc/asound": "as /proc/acpi",
        "mount /sys/firmware": "as /proc/acpi",
        "mount /sys/devices/virtual/powercap": "as /proc/acpi",
        "mount /proc/interrupts": "masked with the container's own /dev/null, ours with the host's",
        "mount /proc/kcore": "as /proc/interrupts",
        "mount /proc/keys": "as /proc/interrupts",
        "mount /proc/latency_stats": "as /proc/interrupts",
        "mount /proc/timer_list": "as /proc/interrupts",
        "mount /proc/sched_debug": "as /proc/interrupts",
        "mount /sys/fs/cgroup": "the tmpfs around the hierarchies stays writable",
    },
    "crun": {
        "device core": "links /dev/core also where there is no /proc/kcore",
        "limit devices.list": "lets the console (5:1) in without being asked",
        "mount /proc/bus": "read-only without keeping nosuid, nodev and noexec, as ours does",
        "mount /proc/fs": "as /proc/bus",
        "mount /proc/irq": "as /proc/bus",
        "mount /proc/sys": "as /proc/bus",
        "mount /proc/sysrq-trigger": "as /proc/bus",
        "mount /proc/acpi": "an empty tmpfs as ours, with size=0k",
        "mount /proc/scsi": "as /proc/acpi",
        "mount /proc/asound": "as /proc/acpi",
        "mount /sys/firmware": "as /proc/acpi",
        "mount /sys/devices/virtual/powercap": "as /proc/acpi",
        "mount /proc/interrupts": "the mask is also made read-only",
        "mount /proc/kcore": "as /proc/interrupts",
        "mount /proc/keys": "as /proc/interrupts",
        "mount /proc/latency_stats": "as /proc/interrupts",
        "mount /proc/timer_list": "as /proc/interrupts",
        "mount /proc/sched_debug": "as /proc/interrupts",
        "mount /sys": "the mount is read-only as asked; ours is read-only as a file system, too",
        "mount /sys/fs/cgroup": "the tmpfs around the hierarchies stays writable, and has another size",
    },
    "youki": {},
    "bwrap": {
        "cgroup *": "makes no cgroup",
        "limit *": "makes no cgroup",
        "namespace cgroup": "makes no cgroup",
        "mount /": "the bind of the root has other options",
        "mount /proc/*": "knows no masked and no read-only paths",
        "mount /sys": "a bind of the host's",
        "mount /sys/*": "a bind of the host's, with what is mounted there",
        "mount /dev": "a tmpfs with other options",
        "mount /dev/*": "nodes are binds of the host's; other options",
        "device core": "links /dev/core also where there is no /proc/kcore",
        "status NoNewPrivs": "always set",
        "status CapInh": "as its permitted ones",
        "status CapAmb": "as its permitted ones",
        "status CapBnd": "keeps the bounding set",
        "environment": "the caller's",
    },
}


@pytest.fixture(scope="module")
def found() -> dict[str, Facts]:
    """Facts by contender; all run in one mount namespace without the unified hierarchy, for crun's sake."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if not os.path.isdir("/sys/fs/cgroup/pids"):
        pytest.skip("needs cgroup v1: that is where these facts are read")
    if shutil.which("cargo") is None:
        pytest.skip("needs cargo to build the floor")
    done = subprocess.run(
        [sys.executable, "-m", "benches.same_work"], cwd=REPOSITORY, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return cast("dict[str, Facts]", json.loads(done.stdout))


@pytest.mark.parametrize("peer", sorted(EXPLAINED))
def test_a_contender_sets_up_what_the_library_does(found: dict[str, Facts], peer: str) -> None:
    if peer not in found:
        pytest.skip(f"{peer} is not installed")
    ours, theirs, explained = found["library"], found[peer], EXPLAINED[peer]
    unexplained = {
        fact: (ours.get(fact), theirs.get(fact))
        for fact in sorted(ours.keys() | theirs.keys())
        if ours.get(fact) != theirs.get(fact) and not any(fnmatchcase(fact, known) for known in explained)
    }
    assert unexplained == {}


def test_the_container_is_what_docker_would_ask_for(found: dict[str, Facts]) -> None:
    ours = found["library"]
    kinds = {"cgroup", "ipc", "mnt", "net", "pid", "uts"}
    assert {kind for kind in kinds if ours[f"namespace {kind}"] == "new"} == kinds
    assert ours["status Seccomp"] == "2"
    assert ours["status CapEff"] == "00000000a80425fb"
    assert ours["limit memory.limit_in_bytes"] == str(256 << 20)
    assert ours["limit pids.max"] == "512"
    assert ours["limit cpu.shares"] == "512"
    assert ours["mount /proc/sys"].split()[2].endswith(",ro")
