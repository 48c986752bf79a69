"""Cgroup managers on the real kernel: v1 or hybrid as this machine has it, and v2 in the unified tree.

Every group has a unique name; a fixture proves that none of them is left.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.cgroups import Hierarchy, Layout, detect, from_paths, make_manager
from kata_hybrid.errors import CgroupError, UnsupportedError
from kata_hybrid.oci.config import CPU, DeviceCgroup, Memory, Pids, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kata_hybrid.cgroups import Manager

    Spawn = Callable[..., subprocess.Popen[bytes]]

MB = 1 << 20
LAYOUT = detect()

needs_v1 = pytest.mark.skipif(LAYOUT.mode == "v2", reason="needs cgroup v1 or hybrid")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def unified_layout() -> Layout:
    """The v2 hierarchy of this machine alone."""
    mount = LAYOUT.mounts.get("")
    if mount is None:
        pytest.skip("needs a cgroup2 mount")
    return Layout("v2", (Hierarchy(("",), mount, "/"),))


@pytest.fixture(autouse=True)
def looked_after() -> None:
    """In place of the shared leak check, which needs the extension: ``name`` looks itself."""


@pytest.fixture
def name() -> Iterator[str]:
    """A name of a group that nobody else has; afterwards no directory bears it."""
    unique = f"kh-test-{uuid.uuid4().hex[:12]}"
    yield unique
    found = [
        os.path.join(where, unique)
        for mount in dict.fromkeys(LAYOUT.mounts.values())
        for where, directories, _ in os.walk(mount)
        if unique in directories
    ]
    assert found == []


@pytest.fixture
def group(name: str) -> Iterator[Manager]:
    manager = make_manager(LAYOUT, f"/{name}", "unused")
    manager.create()
    yield manager
    with contextlib.suppress(CgroupError):
        manager.kill_all(signal.SIGKILL)
    manager.delete()


@pytest.fixture
def group_v2(name: str) -> Iterator[Manager]:
    manager = make_manager(unified_layout(), f"/{name}", "unused")
    manager.create()
    yield manager
    manager.kill_all(signal.SIGKILL)
    manager.delete()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start a program inside a group the way the core does: the child moves itself."""
    started: list[subprocess.Popen[bytes]] = []

    def start(manager: Manager, *args: str) -> subprocess.Popen[bytes]:
        with manager.open_join() as join:
            fds = list(join.tasks)
            if manager.paths.get("") is not None and not fds:
                fds.append(os.open(f"{manager.paths['']}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
            process = subprocess.Popen(
                args or ("sleep", "300"),
                stdin=subprocess.DEVNULL,
                preexec_fn=lambda: [os.write(fd, b"0") for fd in fds] and None,  # noqa: PLW1509
            )
            for fd in set(fds) - set(join.tasks):
                os.close(fd)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def read(manager: Manager, controller: str, file: str) -> str:
    with open(os.path.join(manager.paths[controller], file), encoding="utf-8") as handle:
        return handle.read().strip()


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as handle:
        return handle.read().rpartition(")")[2].split()[0]


def wait_until(claim: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


# --- v1 and hybrid -----------------------------------------------------------------------------------


@needs_v1
def test_paths_cover_every_hierarchy_and_the_unified_one_under_the_empty_key(
    group: Manager, name: str
) -> None:
    assert group.exists()
    assert set(group.paths) == set(LAYOUT.mounts)
    assert all(path == f"{LAYOUT.mounts[key]}/{name}" for key, path in group.paths.items())


@needs_v1
def test_an_empty_path_is_below_our_own_group_in_each_hierarchy(name: str) -> None:
    with open("/proc/self/cgroup", encoding="utf-8") as handle:
        own = {
            key: line.rstrip("\n").split(":", 2)[2]
            for line in handle
            for key in line.split(":")[1].split(",")
        }
    manager = make_manager(LAYOUT, "", name)
    for key, path in manager.paths.items():
        assert path == LAYOUT.mounts[key] + os.path.join(own[key], name)
    manager.create()
    assert manager.exists()
    manager.delete()


@needs_v1
def test_limits_are_in_the_files(group: Manager) -> None:
    group.apply(
        Resources(
            memory=Memory(limit=64 * MB, swap=64 * MB, reservation=32 * MB, swappiness=10),
            cpu=CPU(shares=512, quota=50_000, period=100_000, burst=10_000, cpus="0", mems="0"),
            pids=Pids(20),
        )
    )
    assert read(group, "memory", "memory.limit_in_bytes") == str(64 * MB)
    assert read(group, "memory", "memory.memsw.limit_in_bytes") == str(64 * MB)
    assert read(group, "memory", "memory.soft_limit_in_bytes") == str(32 * MB)
    assert read(group, "memory", "memory.swappiness") == "10"
    assert read(group, "cpu", "cpu.shares") == "512"
    assert read(group, "cpu", "cpu.cfs_quota_us") == "50000"
    assert read(group, "cpu", "cpu.cfs_burst_us") == "10000"
    assert read(group, "cpuset", "cpuset.cpus") == "0"
    assert read(group, "pids", "pids.max") == "20"


@needs_v1
def test_memory_grows_and_shrinks_with_swap_beside_it(group: Manager) -> None:
    for size in (64 * MB, 256 * MB, 32 * MB):
        group.apply(Resources(memory=Memory(limit=size, swap=size)), update=True)
        assert read(group, "memory", "memory.memsw.limit_in_bytes") == str(size)
    group.apply(Resources(memory=Memory(limit=-1)), update=True)
    assert int(read(group, "memory", "memory.limit_in_bytes")) > 1 << 60


@needs_v1
def test_quota_and_burst_change_in_any_order(group: Manager) -> None:
    group.apply(Resources(cpu=CPU(quota=50_000, period=100_000, burst=50_000)))
    group.apply(Resources(cpu=CPU(quota=5_000, period=10_000, burst=1_000)), update=True)
    group.apply(Resources(cpu=CPU(quota=90_000, period=100_000, burst=80_000)), update=True)
    assert read(group, "cpu", "cpu.cfs_burst_us") == "80000"
    assert read(group, "cpu", "cpu.cfs_period_us") == "100000"


@needs_v1
def test_a_new_group_has_cpus_and_nodes_although_a_parent_had_none(name: str) -> None:
    manager = make_manager(LAYOUT, f"/{name}/deep/er", "unused")
    manager.create()
    try:
        assert read(manager, "cpuset", "cpuset.cpus")
        assert read(manager, "cpuset", "cpuset.mems")
    finally:
        from_paths({key: f"{mount}/{name}" for key, mount in LAYOUT.mounts.items()}).delete()


@needs_v1
def test_a_refused_update_puts_every_value_back(group: Manager) -> None:
    group.apply(Resources(memory=Memory(limit=64 * MB), cpu=CPU(shares=512)))
    with pytest.raises(CgroupError) as caught:
        group.apply(Resources(memory=Memory(limit=128 * MB), cpu=CPU(shares=100, quota=1)), update=True)
    assert (os.path.basename(caught.value.path), caught.value.errno) == ("cpu.cfs_quota_us", errno.EINVAL)
    assert read(group, "memory", "memory.limit_in_bytes") == str(64 * MB)
    assert read(group, "cpu", "cpu.shares") == "512"


@needs_v1
def test_shares_that_the_kernel_would_change_are_refused(group: Manager) -> None:
    with pytest.raises(CgroupError, match="the minimum allowed cpu-shares is 2"):
        group.apply(Resources(cpu=CPU(shares=1)))


@needs_v1
def test_a_memory_limit_below_the_usage_tells_the_usage(group: Manager, spawn: Spawn) -> None:
    process = spawn(group, sys.executable, "-c", "b = bytearray(40 << 20); import time; time.sleep(300)")
    wait_until(lambda: group.stats().memory.usage.usage > 40 * MB)
    with pytest.raises(CgroupError, match=r"unable to set memory limit .*current usage: [1-9]") as caught:
        group.apply(Resources(memory=Memory(limit=4096)), update=True)
    assert caught.value.errno == errno.EBUSY
    assert process.poll() is None


@needs_v1
def test_a_controller_that_is_not_there_is_unsupported(group: Manager) -> None:
    without = from_paths({key: path for key, path in group.paths.items() if key != "pids"})
    with pytest.raises(UnsupportedError, match="the cgroup controller pids"):
        without.apply(Resources(pids=Pids(5)))


@needs_v1
def test_device_rules_end_in_the_list_and_an_update_changes_only_what_differs(group: Manager) -> None:
    deny = DeviceCgroup(allow=False)
    group.apply(Resources(devices=(deny,)))
    assert "c 1:3 rwm" in read(group, "devices", "devices.list").splitlines()
    assert "a *:* rwm" not in read(group, "devices", "devices.list")
    fuse = DeviceCgroup(allow=True, type="c", major=10, minor=229)
    group.apply(Resources(devices=(deny, fuse)), update=True)
    assert "c 10:229 rwm" in read(group, "devices", "devices.list").splitlines()
    group.apply(Resources(devices=(deny,)), update=True)
    assert "c 10:229 rwm" not in read(group, "devices", "devices.list").splitlines()
    group.apply(Resources(devices=(DeviceCgroup(allow=True),)), update=True)
    assert read(group, "devices", "devices.list") == "a *:* rwm"


@needs_v1
def test_a_denied_device_cannot_be_opened(group: Manager, spawn: Spawn) -> None:
    group.apply(Resources(devices=(DeviceCgroup(allow=False),)))
    script = "cat /dev/null && ! head -c1 /dev/kmsg 2>/dev/null"
    assert spawn(group, "sh", "-c", script).wait(10) == 0


@needs_v1
def test_the_child_is_in_every_v1_hierarchy(group: Manager, spawn: Spawn, name: str) -> None:
    process = spawn(group)
    assert group.pids() == [process.pid]
    with open(f"/proc/{process.pid}/cgroup", encoding="utf-8") as handle:
        lines = [line.strip() for line in handle if not line.startswith("0::")]
    assert all(line.endswith(f"/{name}") for line in lines if line.split(":")[1] in LAYOUT.mounts)


@needs_v1
def test_freeze_stops_a_process_and_thaw_lets_it_go_on(group: Manager, spawn: Spawn) -> None:
    spawn(group, "sh", "-c", "while :; do :; done")
    wait_until(lambda: group.stats().cpu.usage.total > 0)
    group.freeze()
    assert group.is_frozen()
    used = group.stats().cpu.usage.total
    time.sleep(0.1)
    assert group.stats().cpu.usage.total == used
    group.thaw()
    assert not group.is_frozen()
    wait_until(lambda: group.stats().cpu.usage.total > used)


@needs_v1
def test_sigkill_ends_a_frozen_tree(group: Manager, spawn: Spawn) -> None:
    process = spawn(group, "sh", "-c", "sleep 300 & sleep 300 & wait")
    wait_until(lambda: len(group.pids()) == 3)
    group.freeze()
    group.kill_all(signal.SIGKILL)
    assert process.wait(5) == -signal.SIGKILL
    wait_until(lambda: group.pids() == [])


@needs_v1
def test_another_signal_leaves_a_frozen_group_frozen_until_thaw(group: Manager, spawn: Spawn) -> None:
    process = spawn(group)
    group.freeze()
    group.kill_all(signal.SIGTERM)
    assert group.is_frozen()
    assert process.poll() is None
    group.thaw()
    assert process.wait(5) == -signal.SIGTERM


@needs_v1
def test_kill_all_ends_a_fork_storm(group: Manager, spawn: Spawn) -> None:
    group.apply(Resources(pids=Pids(60)))
    storm = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    process = spawn(group, sys.executable, "-c", storm)
    wait_until(lambda: len(group.pids()) > 30)
    group.kill_all(signal.SIGKILL)
    process.wait(5)
    wait_until(lambda: group.pids() == [])


@needs_v1
def test_pids_and_delete_reach_groups_below(group: Manager, spawn: Spawn) -> None:
    process = spawn(group)
    below = os.path.join(group.paths["devices"], "inner")
    os.mkdir(below)
    with open(f"{below}/cgroup.procs", "w", encoding="utf-8") as handle:
        handle.write(str(process.pid))
    assert group.pids() == [process.pid]
    assert group.pids(recursive=False) == []
    process.kill()
    process.wait()
    group.delete()
    assert not os.path.exists(below)


@needs_v1
def test_a_group_in_use_is_refused_and_still_there(group: Manager, spawn: Spawn) -> None:
    spawn(group)
    with pytest.raises(CgroupError, match="container's cgroup is not empty: 1 process"):
        from_paths(group.paths).create()
    group.freeze()
    with pytest.raises(CgroupError, match=r"container's cgroup unexpectedly frozen|not empty"):
        from_paths(group.paths).create()
    group.thaw()
    assert len(group.pids()) == 1


@needs_v1
def test_delete_of_a_group_in_use_fails_after_a_second_and_keeps_it(group: Manager, spawn: Spawn) -> None:
    spawn(group)
    only = from_paths({"pids": group.paths["pids"]})
    start = time.monotonic()
    with pytest.raises(CgroupError) as caught:
        only.delete()
    assert caught.value.errno == errno.EBUSY
    assert 0.9 < time.monotonic() - start < 5
    assert len(group.pids()) == 1


@needs_v1
def test_stats_of_a_process_that_works(group: Manager, spawn: Spawn) -> None:
    group.apply(Resources(memory=Memory(limit=256 * MB), pids=Pids(10), cpu=CPU(quota=5_000, period=10_000)))
    spawn(group, sys.executable, "-c", "b = bytearray(20 << 20)\nwhile True: pass")
    # The time is counted when a period's throttling ends, so it follows the number.
    wait_until(lambda: group.stats().cpu.throttling.throttled_time > 0)
    stats = group.stats()
    assert stats.cpu.throttling.throttled_periods > 0
    assert stats.cpu.usage.total > 0
    assert sum(stats.cpu.usage.percpu) > 0
    wait_until(lambda: group.stats().memory.usage.usage > 20 * MB)
    stats = group.stats()
    assert stats.memory.usage.max_usage >= 20 * MB
    assert stats.memory.usage.limit == 256 * MB
    assert stats.memory.stats["rss"] > 0
    assert (stats.pids.current, stats.pids.limit) == (1, 10)


@needs_v1
def test_an_out_of_memory_kill_is_told_and_counted(group: Manager, spawn: Spawn) -> None:
    group.apply(Resources(memory=Memory(limit=16 * MB, swap=16 * MB)))
    with group.watch_oom() as watch:
        assert watch.take() == 0
        process = spawn(group, sys.executable, "-c", "b = bytearray(64 << 20)")
        assert select.select([watch], [], [], 20)[0] == [watch]
        assert (watch.take() or 0) >= 1
        assert process.wait(10) == -signal.SIGKILL
        wait_until(lambda: group.memory_oom_count() >= 1)
        group.delete()
        assert select.select([watch], [], [], 5)[0] == [watch]
        assert watch.take() is None


@needs_v1
def test_a_failed_create_leaves_nothing(name: str) -> None:
    broken = dataclasses.replace(
        LAYOUT, hierarchies=(*LAYOUT.hierarchies, Hierarchy(("extra",), "/proc/nowhere", "/"))
    )
    manager = make_manager(broken, f"/{name}/deep", "unused")
    with pytest.raises(CgroupError) as caught:
        manager.create()
    assert caught.value.path.startswith("/proc/nowhere/")
    assert not manager.exists()


# --- v2, in the unified tree -------------------------------------------------------------------------


def test_v2_create_changes_no_controller_that_nobody_asked_for(name: str) -> None:
    layout = unified_layout()
    path = f"{layout.mounts['']}/cgroup.subtree_control"
    with open(path, encoding="utf-8") as handle:
        before = handle.read()
    manager = make_manager(layout, f"/{name}/deep", "unused")
    manager.create()
    manager.delete()
    from_paths({"": f"{layout.mounts['']}/{name}"}).delete()
    with open(path, encoding="utf-8") as handle:
        assert (
            set(before.split())
            <= set(handle.read().split())
            <= {*before.split(), "cpu", "memory", "pids", "io", "cpuset"}
        )


def test_v2_freeze_stops_a_process(group_v2: Manager, spawn: Spawn) -> None:
    spawn(group_v2, "sh", "-c", "while :; do :; done")
    wait_until(lambda: group_v2.stats().cpu.usage.total > 0)
    group_v2.freeze()
    assert group_v2.is_frozen()
    used = group_v2.stats().cpu.usage.total
    time.sleep(0.1)
    assert group_v2.stats().cpu.usage.total == used
    group_v2.thaw()
    wait_until(lambda: not group_v2.is_frozen())


def test_v2_sigkill_ends_a_frozen_tree_at_once(group_v2: Manager, spawn: Spawn) -> None:
    process = spawn(group_v2, "sh", "-c", "sleep 300 & sleep 300 & wait")
    wait_until(lambda: len(group_v2.pids()) == 3)
    group_v2.freeze()
    group_v2.kill_all(signal.SIGKILL)
    assert process.wait(5) == -signal.SIGKILL
    wait_until(lambda: group_v2.pids() == [])


def test_v2_other_signals_reach_groups_below(group_v2: Manager, spawn: Spawn) -> None:
    process = spawn(group_v2)
    below = os.path.join(group_v2.paths[""], "inner")
    os.mkdir(below)
    with open(f"{below}/cgroup.procs", "w", encoding="utf-8") as handle:
        handle.write(str(process.pid))
    with group_v2.open_join(beside=process.pid) as join:
        assert os.path.samestat(os.fstat(join.cgroup_fd), os.stat(below))
    group_v2.kill_all(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM
    assert not group_v2.is_frozen()


def test_v2_a_limit_without_its_controller_names_the_file(group_v2: Manager) -> None:
    if os.path.exists(os.path.join(group_v2.paths[""], "pids.max")):
        pytest.skip("the pids controller is on v2 here")
    with pytest.raises(UnsupportedError, match=r"linux\.resources\.pids\.limit .*pids\.max"):
        group_v2.apply(Resources(pids=Pids(5)), skip_devices=True)


def test_v2_unified_values_are_written_and_put_back(group_v2: Manager) -> None:
    group_v2.apply(Resources(unified={"cgroup.max.descendants": "5"}), skip_devices=True)
    assert read(group_v2, "", "cgroup.max.descendants") == "5"
    bad = Resources(unified={"cgroup.max.descendants": "7", "cgroup.max.depth": "x"})
    with pytest.raises(CgroupError):
        group_v2.apply(bad, update=True, skip_devices=True)
    assert read(group_v2, "", "cgroup.max.descendants") == "5"


def test_v2_a_group_in_use_is_refused(group_v2: Manager, spawn: Spawn) -> None:
    spawn(group_v2)
    with pytest.raises(CgroupError, match="container's cgroup is not empty"):
        from_paths(group_v2.paths).create()


def test_v2_device_program_denies_what_no_rule_allows(group_v2: Manager, spawn: Spawn) -> None:
    core = core_or_skip()
    for _ in range(2):  # the second replaces the first
        group_v2.apply(Resources(devices=(DeviceCgroup(allow=False),)))
        with group_v2.open_join() as join:
            assert core.device_program_query(join.cgroup_fd) == 1
    script = "cat /dev/null && ! head -c1 /dev/kmsg 2>/dev/null"
    assert spawn(group_v2, "sh", "-c", script).wait(10) == 0


def core_or_skip():  # type: ignore[no-untyped-def]
    try:
        return importlib.import_module("kata_hybrid._core")
    except ImportError:
        pytest.skip("kata_hybrid._core is not built")
