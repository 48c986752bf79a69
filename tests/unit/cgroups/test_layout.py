from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.cgroups import Hierarchy, Layout, detect
from kata_hybrid.errors import ConfigError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

V1 = Layout(
    "v1",
    (Hierarchy(("cpu", "cpuacct"), "/c/cpu", "/"), Hierarchy(("memory",), "/c/memory", "/mine/deep")),
)
V2 = Layout("v2", (Hierarchy(("",), "/c", "/user.slice/me.scope"),))


def write_proc(root: Path, mountinfo: str, own: str) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/mountinfo").write_text(mountinfo)
    (root / "proc/self/cgroup").write_text(own)


def test_v1_maps_controllers_by_mount_and_keeps_each_own_group(v1_root: Path) -> None:
    layout = detect(str(v1_root))
    assert layout.mode == "v1"
    assert layout.mounts["cpuacct"] == f"{v1_root}/sys/fs/cgroup/cpu,cpuacct"
    assert layout.mounts["name=systemd"] == f"{v1_root}/sys/fs/cgroup/systemd"
    assert layout.own["memory"] == "/mine/deep"
    assert layout.own["cpu"] == "/"


def test_v2_is_a_cgroup2_mount_on_the_root(v2_root: Path) -> None:
    layout = detect(str(v2_root))
    assert layout.mode == "v2"
    assert dict(layout.mounts) == {"": f"{v2_root}/sys/fs/cgroup"}


def test_hybrid_has_the_unified_mount_under_the_empty_key(tmp_path: Path) -> None:
    write_proc(
        tmp_path,
        "20 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "31 20 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "41 20 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
        "2:pids:/a\n0::/b\n",
    )
    layout = detect(str(tmp_path))
    assert layout.mode == "hybrid"
    assert dict(layout.own) == {"pids": "/a", "": "/b"}


def test_a_cgroup2_mounted_over_a_hybrid_tree_is_v2(tmp_path: Path) -> None:
    write_proc(
        tmp_path,
        "20 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "31 20 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "41 20 0:41 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "50 20 0:41 / /sys/fs/cgroup rw - cgroup2 none rw\n",
        "2:pids:/a\n0::/b\n",
    )
    assert detect(str(tmp_path)).mode == "v2"


def test_a_v1_mount_over_cgroup2_hides_it(tmp_path: Path) -> None:
    write_proc(
        tmp_path,
        "20 1 0:20 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
        "21 20 0:21 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "31 21 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
        "2:pids:/a\n0::/b\n",
    )
    assert detect(str(tmp_path)).mode == "v1"


def test_a_mount_of_a_part_of_the_tree_shortens_the_own_group(tmp_path: Path) -> None:
    write_proc(
        tmp_path,
        "31 20 0:31 /docker/x /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n",
        "2:pids:/docker/x/inner\n",
    )
    assert detect(str(tmp_path)).own["pids"] == "/inner"


def test_octal_escapes_of_mount_points_are_read(tmp_path: Path) -> None:
    write_proc(tmp_path, "31 20 0:31 / /my\\040groups rw - cgroup cgroup rw,pids\n", "2:pids:/\n")
    assert detect(str(tmp_path)).mounts["pids"] == f"{tmp_path}/my groups"


def test_no_cgroup_mount_is_unsupported(tmp_path: Path) -> None:
    write_proc(tmp_path, "20 1 0:20 / / rw - ext4 /dev/vda rw\n", "0::/\n")
    with pytest.raises(UnsupportedError, match="control groups is not supported"):
        detect(str(tmp_path))


@pytest.mark.parametrize(
    ("path", "cpu", "memory"),
    [
        ("/a/b", "/c/cpu/a/b", "/c/memory/a/b"),
        ("a/b", "/c/cpu/a/b", "/c/memory/mine/deep/a/b"),
        ("", "/c/cpu/web1", "/c/memory/mine/deep/web1"),
        ("/a/../../b", "/c/cpu/b", "/c/memory/b"),
        ("../../b", "/c/cpu/b", "/c/memory/mine/deep/b"),
        ("//a//b/", "/c/cpu/a/b", "/c/memory/a/b"),
        ("/kubepods/a:b:c", "/c/cpu/kubepods/a:b:c", "/c/memory/kubepods/a:b:c"),
    ],
)
def test_v1_paths_start_at_the_mount_or_at_the_own_group(path: str, cpu: str, memory: str) -> None:
    assert V1.container_paths(path, "web1") == {"cpu": cpu, "cpuacct": cpu, "memory": memory}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/a/b", "/c/a/b"), ("a/b", "/c/user.slice/a/b"), ("", "/c/user.slice/web1")],
)
def test_v2_relative_paths_start_beside_the_own_group(path: str, expected: str) -> None:
    assert V2.container_paths(path, "web1") == {"": expected}


def test_the_systemd_form_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match=r"system\.slice:docker:abc"):
        V1.container_paths("system.slice:docker:abc", "abc")


@pytest.mark.parametrize("path", ["/", "..", "/a/..", "a\0b"])
def test_a_path_that_names_no_group_of_its_own_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        V2.container_paths(path, "web1")
    assert caught.value.location == "linux.cgroupsPath"


@given(st.text(alphabet="ab./", max_size=30))
def test_no_path_leaves_its_start(path: str) -> None:
    try:
        paths = V1.container_paths(path, "web1")
    except ConfigError:
        return
    start = "/c/memory/" if path.startswith("/") else "/c/memory/mine/deep/"
    assert paths["memory"].startswith(start)
    assert ".." not in paths["memory"].split("/")
