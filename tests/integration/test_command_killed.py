"""``kill -9`` of the command in the middle of ``create``; then ``delete --force`` must remove everything.

The moments are found by looking at the state directory while the command works on it, and by waiting for
spans of time that cover all of ``create``. The leak check sees processes, cgroups and mounts.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.command import Command

SLEEP = ["sleep", "1000"]
SIDECAR = "kata-hybrid.json"
GIVE_UP_SECONDS = 10.0


def cgroup_made(directory: Path) -> bool:
    """One of the cgroups that the sidecar names is there."""
    try:
        paths = json.loads((directory / SIDECAR).read_text())["cgroupPaths"]
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(Path(path).is_dir() for path in paths.values())


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "reserved": Path.is_dir,
    "cgroups named": lambda directory: (directory / SIDECAR).exists(),
    "fifo made": lambda directory: (directory / "exec.fifo").exists(),
    "cgroup made": cgroup_made,
    "state written": lambda directory: (directory / "state.json").exists(),
}


def kill_create(command: Command, container_id: str, bundle: Path, moment: Callable[[], bool]) -> bool:
    """Kill ``create`` once ``moment`` has come; whether it was still at work then."""
    with command.running("create", "--bundle", bundle, container_id) as (process, _, _):
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while not moment() and process.poll() is None:  # no pause: the moments are short
            assert time.monotonic() < deadline
        process.kill()
        command.wait(process)
        return process.returncode < 0


def assert_cleaned(command: Command, container_id: str) -> None:
    """``delete --force`` works and leaves nothing that has a name."""
    directory = command.root / container_id
    paths: list[str] = []
    if (directory / SIDECAR).exists():
        paths = list(json.loads((directory / SIDECAR).read_text())["cgroupPaths"].values())
    command("delete", "--force", container_id)
    assert not directory.exists()
    assert not [path for path in paths if Path(path).exists()]
    assert command.error("state", container_id) == "container does not exist"


@pytest.mark.parametrize("name", MOMENTS)
def test_killed_at_a_moment(
    command: Command, container_id: str, name: str, make_bundle: Callable[..., Path]
) -> None:
    bundle = make_bundle(SLEEP)
    directory = command.root / container_id
    hit = tries = 0
    while tries < 5 or (not hit and tries < 50):  # the command is gone half a millisecond after the last one
        tries += 1
        hit += kill_create(command, container_id, bundle, lambda: MOMENTS[name](directory))
        assert_cleaned(command, container_id)
    assert hit, "the moment was never met"


def test_killed_at_any_time(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> None:
    """Steps of 2 ms from the first sign of the container on."""
    bundle = make_bundle(SLEEP)
    directory = command.root / container_id
    hit = 0
    for step in range(25):
        until = [0.0]

        def later(until: list[float] = until, step: int = step) -> bool:
            if not until[0] and directory.is_dir():
                until[0] = time.monotonic() + step * 0.002
            return bool(until[0]) and time.monotonic() >= until[0]

        hit += kill_create(command, container_id, bundle, later)
        assert_cleaned(command, container_id)
    assert hit, "no time was within create"


def test_the_id_can_be_used_again(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    bundle = make_bundle(SLEEP)
    directory = command.root / container_id
    kill_create(command, container_id, bundle, lambda: cgroup_made(directory))
    taken = "runc create failed: container with given ID already exists"
    assert command.error("create", "--bundle", bundle, container_id) == taken
    command("delete", "--force", container_id)
    command("create", "--bundle", bundle, container_id)
    command("start", container_id)
    assert command.status(container_id) == "running"


def test_half_made_ones_are_told_and_removed_without_force(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    """As runc: the directory without a state goes, and the exit status says that there was no container."""
    (command.root / container_id).mkdir(parents=True)
    assert command.error("state", container_id) == "container does not exist"
    listed = command("list", "--quiet")
    assert (listed.out, listed.err) == ("", f"load container {container_id}: container does not exist\n")
    assert command.error("delete", container_id) == "container does not exist"
    assert not (command.root / container_id).exists()


@pytest.mark.parametrize("hook", ["createRuntime", "createContainer"])
def test_killed_during_a_hook(
    command: Command, container_id: str, hook: str, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    """The hook of the host's side ends by itself; the one in the container ends with it."""
    begun = tmp_path / "begun"
    entry = {
        "path": "/bin/sh",
        "args": ["sh", "-c", f"echo > {begun}; sleep 1"],
        "env": ["PATH=/bin:/usr/bin"],
    }
    bundle = make_bundle(SLEEP, hooks={hook: [entry]})
    assert kill_create(command, container_id, bundle, begun.exists)
    assert_cleaned(command, container_id)
