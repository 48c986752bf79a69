"""The floor's script follows the spec: what a spec adds, the floor does."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.oci.config import Mount, Rlimit

from benches.bundle import docker_spec, make_rootfs, remove_cgroups
from benches.floor_script import write_script

if TYPE_CHECKING:
    from pathlib import Path

    from kata_hybrid.oci.config import Spec

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/pids"), reason="needs cgroup v1"),
]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return docker_spec(make_rootfs(tmp_path), ["/bin/true"], cgroup="floor")


def lines(spec: Spec, tmp_path: Path) -> list[list[str]]:
    text = write_script(tmp_path / "script", spec).read_text()
    remove_cgroups()
    return [line.split("\t") for line in text.splitlines()]


def test_the_script_has_a_line_for_what_the_spec_adds(spec: Spec, tmp_path: Path) -> None:
    before = lines(spec, tmp_path)
    assert spec.process is not None
    process = replace(
        spec.process, rlimits=(Rlimit("RLIMIT_NOFILE", soft=10, hard=20),), no_new_privileges=True
    )
    mounts = (*spec.mounts, Mount("/tmp", "tmpfs", "tmpfs", ("size=1m",)))
    after = lines(replace(spec, process=process, mounts=mounts, hostname="other"), tmp_path)
    added = [line for line in after if line not in before]
    assert ["rlimit", "7", "10", "20"] in added
    assert ["nnp"] in added
    assert ["mount", "tmpfs", "tmp", "tmpfs", "0", "size=1m"] in added
    assert ["hostname", "other"] in added


def test_every_group_that_is_made_is_entered_and_removed(spec: Spec, tmp_path: Path) -> None:
    script = lines(spec, tmp_path)
    made = [line[1] for line in script if line[0] == "mkdir" and line[1].startswith("/sys/fs/cgroup/")]
    removed = [line[1] for line in script if line[0] == "rmdir"]
    entered = [line[1].removesuffix("/tasks") for line in script if line[1:] and line[1].endswith("/tasks")]
    assert made == removed
    assert entered == [path for path in made if "/unified/" not in path]
