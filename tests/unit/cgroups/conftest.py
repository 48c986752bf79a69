"""Fake cgroup trees: ordinary directories and files under a root of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

V1_CONTROLLERS = ("cpu,cpuacct", "memory", "pids", "devices", "freezer", "name=systemd")


def write_proc(root: Path, mountinfo: str, own: str) -> None:
    proc = root / "proc/self"
    proc.mkdir(parents=True, exist_ok=True)
    (proc / "mountinfo").write_text(mountinfo)
    (proc / "cgroup").write_text(own)


@pytest.fixture
def v1_root(tmp_path: Path) -> Path:
    """v1 with joined cpu and cpuacct; only memory was delegated to us."""
    lines = ["20 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755"]
    own: list[str] = []
    for number, names in enumerate(V1_CONTROLLERS, 1):
        directory = names.removeprefix("name=")
        lines.append(
            f"{30 + number} 20 0:{30 + number} / /sys/fs/cgroup/{directory} rw - cgroup cgroup rw,{names}"
        )
        own.append(f"{number}:{names}:{'/mine/deep' if names == 'memory' else '/'}")
        (tmp_path / "sys/fs/cgroup" / directory).mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory/mine/deep").mkdir(parents=True)
    write_proc(tmp_path, "\n".join(lines) + "\n", "\n".join(own) + "\n0::/\n")
    return tmp_path


@pytest.fixture
def v2_root(tmp_path: Path) -> Path:
    line = "30 20 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    write_proc(tmp_path, line, "0::/user.slice/me.scope\n")
    mount = tmp_path / "sys/fs/cgroup"
    mount.mkdir(parents=True)
    (mount / "cgroup.controllers").write_text("cpu memory pids hugetlb\n")
    (mount / "cgroup.subtree_control").write_text("")
    return tmp_path


@pytest.fixture
def make_group(tmp_path: Path) -> Callable[[str, Mapping[str, str]], Path]:
    """Make a directory with files, as the kernel would on mkdir."""

    def make(name: str, files: Mapping[str, str]) -> Path:
        directory = tmp_path / name
        directory.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (directory / file).write_text(text)
        return directory

    return make
