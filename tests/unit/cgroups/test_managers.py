from __future__ import annotations

import errno
import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest
from kata_hybrid import _core
from kata_hybrid.cgroups import controllers, detect, files, freeze, from_paths, make_manager
from kata_hybrid.errors import CgroupError, UnsupportedError
from kata_hybrid.oci.config import CPU, Memory, Pids, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Make = Callable[[str, Mapping[str, str]], Path]


def test_create_makes_one_directory_in_each_hierarchy_and_delete_removes_them(v1_root: Path) -> None:
    manager = make_manager(detect(str(v1_root)), "/a/b", "web1")
    assert not manager.exists()
    manager.create()
    assert all(os.path.isdir(path) for path in manager.paths.values())
    assert manager.paths["cpu"] == manager.paths["cpuacct"]
    manager.delete()
    assert not manager.exists()
    manager.delete()


def test_join_opens_each_tasks_file_once_close_on_exec(v1_root: Path) -> None:
    manager = make_manager(detect(str(v1_root)), "", "web1")
    manager.create()
    for path in set(manager.paths.values()):
        with open(f"{path}/tasks", "w", encoding="utf-8"):
            pass
    with manager.open_join() as join:
        assert len(join.tasks) == 6
        assert join.cgroup_fd == -1
        assert not any(os.get_inheritable(fd) for fd in join.tasks)
    assert join.tasks == ()


def test_join_of_a_missing_group_leaks_nothing(v1_root: Path) -> None:
    manager = make_manager(detect(str(v1_root)), "", "web1")
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CgroupError, match="ENOENT"):
        manager.open_join()
    assert os.listdir("/proc/self/fd") == before


def test_a_failed_create_undoes_what_it_made_and_keeps_what_was_there(v1_root: Path) -> None:
    mounts = v1_root / "sys/fs/cgroup"
    (mounts / "cpu,cpuacct/a").mkdir()
    (mounts / "devices/a").write_text("a file in the way")
    with pytest.raises(CgroupError) as caught:
        make_manager(detect(str(v1_root)), "/a/b", "web1").create()
    assert caught.value.path == str(mounts / "devices/a/b")
    assert (mounts / "cpu,cpuacct/a").is_dir()
    assert not (mounts / "cpu,cpuacct/a/b").exists()
    assert not (mounts / "memory/a").exists()


def test_a_group_with_processes_is_refused_and_kept(v1_root: Path, make_group: Make) -> None:
    group = make_group("sys/fs/cgroup/pids/a/sub", {"cgroup.procs": "12\n13\n"})
    with pytest.raises(CgroupError, match="container's cgroup is not empty: 2 process"):
        make_manager(detect(str(v1_root)), "/a", "web1").create()
    assert (group / "cgroup.procs").exists()


def test_a_frozen_group_is_refused(v1_root: Path, make_group: Make) -> None:
    make_group("sys/fs/cgroup/freezer/a", {"freezer.state": "FROZEN\n"})
    with pytest.raises(CgroupError, match="container's cgroup unexpectedly frozen"):
        make_manager(detect(str(v1_root)), "/a", "web1").create()


def test_rootless_without_a_path_goes_without_the_groups_it_may_not_make(
    v1_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def mkdir(path: str, mode: int) -> None:
        if "/memory/" in path:
            raise PermissionError(errno.EACCES, "no", path)
        real(path, mode)

    def make_directories(paths: list[str], mode: int) -> list[int]:
        return [errno.EACCES if "/memory/" in path else make([path], mode)[0] for path in paths]

    make = _core.make_directories
    monkeypatch.setattr(_core, "make_directories", make_directories)
    monkeypatch.setattr(files.os, "mkdir", mkdir)
    layout = detect(str(v1_root))
    manager = make_manager(layout, "", "web1", may_lack_rights=True)
    manager.create()
    assert "memory" not in manager.paths
    with pytest.raises(UnsupportedError, match="the cgroup controller memory"):
        manager.apply(Resources(memory=Memory(limit=5)), skip_devices=True)
    with pytest.raises(CgroupError, match="EACCES"):
        make_manager(layout, "/x", "web1", may_lack_rights=True).create()


def test_v2_create_hands_controllers_down_but_only_those_that_are_counted(v2_root: Path) -> None:
    manager = make_manager(detect(str(v2_root)), "/a/b", "web1")
    assert dict(manager.paths) == {"": f"{v2_root}/sys/fs/cgroup/a/b"}
    manager.create()
    assert manager.exists()
    assert (v2_root / "sys/fs/cgroup/cgroup.subtree_control").read_text() == "+pids"  # the last write
    with manager.open_join() as join:
        assert join.tasks == ()
        assert os.path.samestat(os.fstat(join.cgroup_fd), os.stat(manager.paths[""]))
    manager.delete()
    assert not manager.exists()


def test_v2_apply_writes_the_files_of_the_group(v2_root: Path, make_group: Make) -> None:
    empty = dict.fromkeys(("memory.max", "memory.swap.max", "cpu.max", "cpu.weight", "pids.max"), "")
    group = make_group("sys/fs/cgroup/web1", empty)
    manager = make_manager(detect(str(v2_root)), "/web1", "web1")
    resources = Resources(memory=Memory(limit=10, swap=30), cpu=CPU(shares=1024, quota=5000), pids=Pids(7))
    manager.apply(resources, skip_devices=True)
    assert {name: (group / name).read_text() for name in empty} == {
        "memory.max": "10",
        "memory.swap.max": "20",
        "cpu.max": "5000 100000",
        "cpu.weight": "100",
        "pids.max": "7",
    }


def test_v2_stats_of_a_group(make_group: Make) -> None:
    group = make_group(
        "g/x",
        {
            "cgroup.controllers": "",
            "cpu.stat": "usage_usec 5\nuser_usec 3\nsystem_usec 2\n"
            "nr_periods 9\nnr_throttled 4\nthrottled_usec 7\n",
            "memory.current": "100\n",
            "memory.peak": "150\n",
            "memory.max": "max\n",
            "memory.swap.current": "20\n",
            "memory.stat": "anon 60\nfile 40\nkernel 8\n",
            "memory.events": "low 0\nmax 3\noom_kill 2\n",
            "pids.current": "2\n",
            "pids.max": "max\n",
            "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:0 \n",
            "hugetlb.2MB.current": "5\n",
            "hugetlb.2MB.events": "max 6\n",
        },
    )
    manager = from_paths({"": str(group)})
    stats = manager.stats()
    assert (stats.cpu.usage.total, stats.cpu.usage.user, stats.cpu.usage.kernel) == (5000, 3000, 2000)
    assert stats.cpu.throttling.throttled_time == 7000
    assert (stats.memory.usage.usage, stats.memory.usage.max_usage, stats.memory.usage.failcnt) == (
        100,
        150,
        3,
    )
    assert stats.memory.usage.limit == 2**64 - 1
    assert stats.memory.swap_usage.usage == 120
    assert (stats.memory.cache, stats.memory.kernel_usage.usage) == (40, 8)
    assert (stats.pids.current, stats.pids.limit) == (2, 0)
    assert [entry.value for entry in stats.blkio.io_service_bytes_recursive] == [1, 2, 0]
    assert (stats.hugetlb["2MB"].usage, stats.hugetlb["2MB"].failcnt) == (5, 6)
    assert manager.memory_oom_count() == 2


def test_v2_join_beside_a_process_that_is_elsewhere_is_the_group_itself(make_group: Make) -> None:
    group = make_group("g/x", {"cgroup.controllers": ""})
    with from_paths({"": str(group)}).open_join(beside=os.getpid()) as join:
        assert os.path.samestat(os.fstat(join.cgroup_fd), group.stat())


def test_v2_freeze_waits_for_the_event(make_group: Make) -> None:
    group = make_group("g/x", {"cgroup.freeze": "0", "cgroup.events": "populated 1\nfrozen 0\n"})
    timer = threading.Timer(0.15, (group / "cgroup.events").write_text, ["populated 1\nfrozen 1\n"])
    timer.start()
    manager = from_paths({"": str(group)})
    manager.freeze()
    timer.join()
    assert manager.is_frozen()
    manager.thaw()
    assert (group / "cgroup.freeze").read_text() == "0"


def test_v2_freeze_that_never_comes_is_taken_back(make_group: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "_V2_SECONDS", 0.05)
    group = make_group("g/x", {"cgroup.freeze": "0", "cgroup.events": "frozen 0\n"})
    with pytest.raises(CgroupError, match="unable to freeze"):
        from_paths({"": str(group)}).freeze()
    assert (group / "cgroup.freeze").read_text() == "0"


def test_v1_a_frozen_parent_is_no_pause(make_group: Make) -> None:
    group = make_group("f/x", {"freezer.state": "FROZEN\n", "freezer.self_freezing": "0\n"})
    manager = from_paths({"freezer": str(group)})
    assert not manager.is_frozen()
    (group / "freezer.self_freezing").write_text("1\n")
    assert manager.is_frozen()


def test_kill_writes_cgroup_kill_when_the_kernel_has_it(make_group: Make) -> None:
    group = make_group("g/x", {"cgroup.kill": "", "cgroup.procs": "4194305\n"})
    from_paths({"": str(group)}).kill_all(signal.SIGKILL)
    assert (group / "cgroup.kill").read_text() == "1"


def test_pid_zero_is_never_signalled_nor_listed(make_group: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    group = make_group("p/x", {"cgroup.procs": "0\n4194305\n"})
    manager = from_paths({"pids": str(group)})
    manager.kill_all(signal.SIGTERM)
    assert manager.pids() == [4194305]
    assert sent == [(4194305, signal.SIGTERM)]


@pytest.mark.parametrize("key", ["pids", ""])
def test_the_group_of_this_process_is_never_killed(make_group: Make, key: str) -> None:
    group = make_group("p/x", {"cgroup.procs": f"{os.getpid()}\n", "cgroup.kill": ""})
    with pytest.raises(CgroupError, match="refusing to signal the group that this process is in"):
        from_paths({key: str(group)}).kill_all(signal.SIGKILL)
    assert (group / "cgroup.kill").read_text() == ""


def test_pids_are_listed_with_and_without_groups_below(make_group: Make) -> None:
    group = make_group("p/x", {"cgroup.procs": "7\n"})
    make_group("p/x/y/z", {"cgroup.procs": "9\n8\n"})
    manager = from_paths({"pids": str(group)})
    assert manager.pids() == [7, 8, 9]
    assert manager.pids(recursive=False) == [7]


def test_a_busy_group_is_tried_again_for_about_a_second(
    make_group: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(files.time, "sleep", waits.append)

    def busy(path: str) -> None:
        raise OSError(errno.EBUSY, "busy", path)

    monkeypatch.setattr(_core, "remove_directories", lambda paths: [errno.EBUSY] * len(paths))
    monkeypatch.setattr(files.os, "rmdir", busy)
    group = make_group("p/x", {})
    with pytest.raises(CgroupError, match=r"remove the cgroup .*EBUSY"):
        from_paths({"pids": str(group)}).delete()
    assert sum(waits) == pytest.approx(1.023)


def test_delete_goes_depth_first_and_past_a_failure(make_group: Make) -> None:
    stuck = make_group("p/x", {"file": ""})
    other = make_group("q/x", {})
    make_group("q/x/y/z", {})
    with pytest.raises(CgroupError) as caught:
        from_paths({"pids": str(stuck), "cpu": str(other)}).delete()
    assert caught.value.path == str(stuck)
    assert not other.exists()


@pytest.mark.parametrize("path", ["relative", "/", "/a/../b", "/a//b"])
def test_paths_of_a_state_file_must_be_clean(path: str) -> None:
    with pytest.raises(CgroupError, match="not the absolute path of a cgroup"):
        from_paths({"pids": path})


def test_a_container_without_groups_does_nothing() -> None:
    manager = from_paths({})
    assert manager.pids() == []
    assert not manager.exists()
    manager.kill_all(signal.SIGKILL)
    manager.delete()
    assert manager.memory_oom_count() == 0
    assert manager.stats().memory.usage.usage == 0


def test_switching_a_controller_off_again_tells_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    assert controllers.Enabled(str(tmp_path / "none"), "cpu").undo() is None
    assert "EISDIR" in (controllers.Enabled(str(tmp_path / "dir"), "cpu").undo() or "")
