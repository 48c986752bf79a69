"""The core alone: processes from hand-made plans, their pidfds and statuses, and what does not leak."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kata_hybrid import _core
from kata_hybrid.plan import steps
from kata_hybrid.plan.encode import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kata_hybrid.plan.steps import Step

SH = "/bin/sh"
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000  # mount, uts, ipc, pid
CLONE_NEWPID = 0x20000000
CLONE_NEWNS = 0x00020000
MS_REC_SLAVE = 16384 | 1 << 19
MS_PRIVATE = 1 << 18


def plan_of(script: str, *before: Step, preserve: int = 0) -> bytes:
    """A plan that does ``before`` and then runs a shell script."""
    return encode(
        (
            *before,
            steps.FindExecutable((SH,)),
            steps.Exec((SH, "-c", script), ("PATH=/usr/bin:/bin",), preserve),
        )
    )


def finish(launch: _core.Launch) -> _core.Child:
    """Answer every sync point."""
    while launch.next() is not None:
        launch.proceed()
    return launch.child()


def run(script: str, *before: Step, **options: object) -> tuple[int, int] | None:
    return finish(_core.spawn(plan_of(script, *before), **options)).wait(20)  # type: ignore[arg-type]


@contextlib.contextmanager
def forced(*names: str) -> Iterator[None]:
    for name in names:
        _core.force_fallback(name, True)
    try:
        yield
    finally:
        for name in names:
            _core.force_fallback(name, False)


@contextlib.contextmanager
def output() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe."""
    read_fd, write_fd = os.pipe()
    try:
        yield read_fd, write_fd
    finally:
        for fd in (read_fd, write_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


def captured(script: str, *before: Step, preserve: int = 0, **options: object) -> str:
    """What a script writes."""
    with output() as (read_fd, write_fd):
        plan = plan_of(script, *before, preserve=preserve)
        child = finish(_core.spawn(plan, stdio=(0, write_fd, 2), preserve_fds=preserve, **options))  # type: ignore[arg-type]
        os.close(write_fd)
        with os.fdopen(os.dup(read_fd), "rb") as stream:
            text = stream.read().decode()
        assert child.wait(20) == (0, 0)
    return text


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- statuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("true", (0, 0)),
        ("false", (1, 0)),
        ("exit 255", (255, 0)),
        ("kill -9 $$", (0, 9)),
        ("kill -TERM $$", (0, 15)),
    ],
)
def test_a_status_is_code_or_signal(script: str, status: tuple[int, int]) -> None:
    assert run(script) == status


def test_every_wait_gives_the_same_status() -> None:
    child = finish(_core.spawn(plan_of("exit 4")))
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(child.wait(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(4, 0)] * 8
    assert child.poll() == (4, 0)
    with pytest.raises(ProcessLookupError):
        child.send_signal(signal.SIGTERM)


def test_wait_gives_none_at_the_timeout_and_the_signal_later() -> None:
    child = finish(_core.spawn(plan_of("exec sleep 1000")))
    assert child.poll() is None
    assert child.wait(0.02) is None
    child.send_signal(signal.SIGKILL)
    assert child.wait() == (0, 9)


def test_the_pidfd_is_readable_when_the_process_has_ended() -> None:
    child = finish(_core.spawn(plan_of("true")))
    assert select.select([child], [], [], 20)[0] == [child]
    assert child.fileno() == child.pidfd()
    assert child.wait() == (0, 0)


def test_a_zombie_of_another_has_ended_though_its_status_is_not_to_be_had() -> None:
    parent = subprocess.Popen(["sh", "-c", "true & echo $!; exec sleep 1000"], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        start_time = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        child = _core.Child.open(pid, start_time)
        assert child.ended(20.0)
        assert child.ended()
    finally:
        parent.kill()
        parent.wait()
        assert parent.stdout is not None
        parent.stdout.close()


def test_whether_a_child_has_ended_can_be_asked_without_taking_its_status() -> None:
    child = finish(_core.spawn(plan_of("sleep 0.1; exit 3")))
    assert not child.ended()
    assert child.ended(None)
    assert child.wait() == (3, 0)
    assert child.ended()


def test_wait_runs_signal_handlers_and_goes_on() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: seen.append(number))
    try:
        child = finish(_core.spawn(plan_of("sleep 0.3; exit 6")))
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert child.wait() == (6, 0)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [signal.SIGUSR1]


# --- the conversation --------------------------------------------------------------------------------


def test_sync_points_come_in_order_and_wait_for_the_answer() -> None:
    launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_HOOKS), steps.Sync(steps.SYNC_READY)))
    assert launch.next() == steps.SYNC_HOOKS
    assert Path(f"/proc/{launch.pid}/comm").read_text() == "kata-init\n"
    launch.proceed()
    assert launch.next() == steps.SYNC_READY
    launch.proceed()
    assert launch.next() is None
    assert launch.next() is None
    assert launch.fileno() == -1
    assert launch.child().wait(20) == (0, 0)


def test_a_failed_step_is_told_and_the_process_is_reaped() -> None:
    launch = _core.spawn(encode((steps.Setsid(), steps.Chdir("/nonexistent"), steps.Exec((SH,), (), 0))))
    pid = launch.pid
    with pytest.raises(_core.InitError) as caught:
        launch.next()
    err = caught.value
    assert (err.index, err.errno, err.path) == (1, errno.ENOENT, "/nonexistent")
    assert "chdir" in err.step
    assert not Path(f"/proc/{pid}").exists()


def test_init_killed_at_a_sync_point_is_a_failure() -> None:
    launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_READY)))
    assert launch.next() == steps.SYNC_READY
    os.kill(launch.pid, signal.SIGKILL)
    with pytest.raises(_core.InitError, match="signal 9"):
        launch.next()
    assert launch.abort() == (0, 9)


def test_a_workload_that_dies_at_once_is_no_launch_failure() -> None:
    for _ in range(50):
        assert run("kill -9 $$") == (0, 9)


def test_init_waits_at_the_exec_fifo(tmp_path: Path, rootfs: Path) -> None:
    path = tmp_path / "exec.fifo"
    os.mkfifo(path)
    fd = os.open(path, os.O_PATH)
    enter = (
        steps.RootPropagation(MS_REC_SLAVE),
        steps.PrepareRootfs(str(rootfs), MS_PRIVATE),
        steps.Pivot(steps.PIVOT_ROOT),
    )
    try:
        launch = _core.spawn(plan_of("exit 9", *enter, steps.ExecFifo(0)), fds=[fd], clone_flags=CLONE_NEWNS)
        assert launch.next() is None
        child = launch.child()
        assert child.wait(0.05) is None
        assert path.read_bytes() == b"0"
        assert child.wait(20) == (9, 0)
    finally:
        os.close(fd)


def test_abort_kills_and_can_be_repeated() -> None:
    launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_READY)))
    assert launch.next() == steps.SYNC_READY
    assert launch.abort() == (0, 9)
    assert launch.abort() == (0, 9)
    with pytest.raises(BrokenPipeError):
        launch.proceed()


def test_a_forgotten_launch_leaves_no_process() -> None:
    launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_READY)))
    pid = launch.pid
    del launch
    assert not Path(f"/proc/{pid}").exists()


def test_after_a_fork_the_child_is_the_final_process() -> None:
    launch = _core.spawn(plan_of("exit 3", steps.Fork(CLONE_NEWPID), steps.Sync(steps.SYNC_READY)))
    first = launch.pid
    assert launch.next() == steps.SYNC_READY
    assert launch.pid != first
    assert not Path(f"/proc/{first}").exists()
    status = Path(f"/proc/{launch.pid}/status").read_text()
    assert f"PPid:\t{os.getpid()}\n" in status
    assert f"NSpid:\t{launch.pid}\t1\n" in status
    launch.proceed()
    assert finish(launch).wait(20) == (3, 0)


def test_the_first_of_a_pid_namespace_ends_although_nobody_asks_after_the_others() -> None:
    """The kernel keeps it until the last member is reaped, also a member that we started."""
    first = finish(_core.spawn(plan_of("exec sleep 1000"), clone_flags=CLONE_NEWPID))
    fd = os.open(f"/proc/{first.pid}/ns/pid", os.O_RDONLY)
    try:
        join = (steps.Setns(0, CLONE_NEWPID, "pid"), steps.Fork(0))
        member = finish(_core.spawn(plan_of("exec sleep 1000", *join), fds=[fd]))
    finally:
        os.close(fd)
    first.send_signal(signal.SIGKILL)
    assert first.wait(20) == (0, 9)
    assert member.poll() == (0, 9)


def test_namespaces_of_the_first_clone_are_new() -> None:
    assert captured("echo $$", clone_flags=NAMESPACES) == "1\n"


def test_a_user_namespace_is_refused() -> None:
    with pytest.raises(ValueError, match="clone_flags"):
        _core.spawn(plan_of("true"), clone_flags=0x10000000)


def test_a_closed_descriptor_is_an_os_error() -> None:
    with pytest.raises(OSError, match="fds") as caught:
        _core.spawn(plan_of("true"), fds=[99_999])
    assert caught.value.errno == errno.EBADF


# --- what the workload gets --------------------------------------------------------------------------


LIST_FDS = "cd /proc/self/fd && for each in *; do [ -e $each ] && echo $each; done; true"


@pytest.mark.parametrize("fallbacks", [(), ("close_range",)])
def test_inheritable_descriptors_of_the_parent_do_not_leak(fallbacks: Sequence[str]) -> None:
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
        with forced(*fallbacks):
            names = captured(LIST_FDS).split()
    finally:
        for fd in fds:
            os.close(fd)
    assert names == ["0", "1", "2"]


def test_preserved_descriptors_stay_open() -> None:
    script = (
        "import os\n"
        "read_fd, write_fd = os.pipe()\n"
        "os.dup2(write_fd, 100); os.closerange(3, 100)\n"
        "os.dup2(100, 3); os.dup2(100, 4); os.close(100)\n"
        "from test_core_spawn import captured, LIST_FDS\n"
        "assert captured(LIST_FDS, preserve=2).split() == ['0', '1', '2', '3', '4']\n"
    )
    done = _python(script)
    assert done.returncode == 0, done.stderr


def test_stdio_may_be_crossed_and_given_twice() -> None:
    with output() as (read_fd, write_fd):
        child = finish(_core.spawn(plan_of("echo out; echo err >&2"), stdio=(0, write_fd, write_fd)))
        assert child.wait(20) == (0, 0)
        assert os.read(read_fd, 100) == b"out\nerr\n"


def test_signals_start_with_their_defaults_and_nothing_is_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        text = captured("grep -E 'Sig(Blk|Ign)' /proc/self/status")
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    assert text == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"


def test_our_own_signal_mask_is_what_it_was() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    assert run("true") == (0, 0)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, set()) == before


def test_the_environment_is_only_the_plans() -> None:
    assert captured("exec /usr/bin/env").split() == ["PATH=/usr/bin:/bin", "PWD=" + os.getcwd()]


# --- fallbacks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [("clone3",), ("memfd_exec",), ("close_range",), ("clone3", "memfd_exec", "close_range")],
    ids="+".join,
)
def test_every_fallback_starts_the_same_process(names: tuple[str, ...]) -> None:
    with forced(*names):
        assert captured("echo $$", clone_flags=NAMESPACES) == "1\n"
        launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_READY)))
        assert launch.next() == steps.SYNC_READY
        target = os.readlink(f"/proc/{launch.pid}/exe")
        assert target.startswith("/memfd:kata-init") is ("memfd_exec" not in names)
        os.kill(launch.pid, signal.SIGKILL)
        with pytest.raises(_core.InitError, match="signal 9"):
            launch.next()


def test_there_is_no_unknown_fallback() -> None:
    with pytest.raises(ValueError, match="teleport"):
        _core.force_fallback("teleport", True)


def test_the_running_image_cannot_be_written() -> None:
    launch = _core.spawn(plan_of("true", steps.Sync(steps.SYNC_READY)))
    assert launch.next() == steps.SYNC_READY
    with pytest.raises(OSError, match=r"Operation not permitted|Text file busy"):
        os.open(f"/proc/{launch.pid}/exe", os.O_WRONLY)
    launch.abort()


# --- many at once ------------------------------------------------------------------------------------


def test_two_hundred_ends_come_through_one_reaper() -> None:
    before = open_fds()
    reaper = _core.Reaper()
    children = {}
    for token in range(200):
        child = finish(_core.spawn(plan_of(f"exit {token}")))
        children[token] = child
        reaper.add(child, token)
    ended: dict[int, tuple[int, int]] = {}
    while len(ended) < 200:
        assert select.select([reaper], [], [], 20)[0]
        for token, status in reaper.drain():
            assert token not in ended
            ended[token] = status
    assert ended == {token: (token, 0) for token in range(200)}
    assert all(child.poll() == ended[token] for token, child in children.items())
    assert reaper.drain() == []
    reaper.close()
    with pytest.raises(ValueError, match="closed"):
        reaper.fileno()
    children.clear()
    del child
    assert open_fds() == before


def test_a_dead_child_can_be_added_twice_and_is_reported_to_both() -> None:
    child = finish(_core.spawn(plan_of("exit 2")))
    assert child.wait(20) == (2, 0)
    reaper = _core.Reaper()
    reaper.add(child, 1)
    reaper.add(child, 2)
    assert sorted(reaper.drain()) == [(1, (2, 0)), (2, (2, 0))]
    reaper.close()


def test_threads_spawn_at_the_same_time() -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(25):
                assert run(f"exit {number}") == (number, 0)
        except BaseException as err:  # noqa: BLE001 - shown by the main thread
            failures.append(err)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_launches_leave_no_descriptor() -> None:
    run("true")
    before = open_fds()
    for _ in range(20):
        run("true")
        with pytest.raises(_core.InitError):
            _core.spawn(encode((steps.Chdir("/nonexistent"),))).next()
    assert open_fds() == before


def test_a_large_heap_does_not_slow_the_launch() -> None:
    """A fork of 300 MB takes ten milliseconds and more; the bound is wide, for slow machines."""
    small = _fastest()
    ballast = bytearray(os.urandom(1 << 20)) * 300
    large = _fastest()
    assert len(ballast) == 300 << 20
    assert large < max(3 * small, 0.005)


def _fastest() -> float:
    times = []
    for _ in range(15):
        start = time.perf_counter()
        launch = _core.spawn(plan_of("true"))
        times.append(time.perf_counter() - start)
        finish(launch).wait(20)
    return min(times)


# --- processes of others -----------------------------------------------------------------------------


def _start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_open_checks_the_start_time() -> None:
    child = finish(_core.spawn(plan_of("exec sleep 1000")))
    start_time = _start_time(child.pid)
    with pytest.raises(ProcessLookupError):
        _core.Child.open(child.pid, start_time + 1)
    other = _core.Child.open(child.pid, start_time)
    other.send_signal(signal.SIGTERM)
    assert other.wait(20) == (0, 15)
    assert child.wait(20) == (0, 15)
    with pytest.raises(ProcessLookupError):
        _core.Child.open(child.pid, start_time)


def test_a_foreign_process_gives_its_status_or_says_it_is_unknown() -> None:
    script = "sleep 1000 & echo $!; wait $!"
    with subprocess.Popen([SH, "-c", script], stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        pid = int(shell.stdout.readline())
        child = _core.Child.open(pid, _start_time(pid))
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) in ((0, 15), (-1, -1))


def test_orphans_are_reaped_and_owned_children_are_left() -> None:
    _core.set_child_subreaper(True)
    owned = finish(_core.spawn(plan_of("exit 7")))
    select.select([owned], [], [], 20)
    with subprocess.Popen([SH, "-c", "(sleep 0.1; exit 5) & exit 0"]) as shell:
        assert os.waitid(os.P_PID, shell.pid, os.WEXITED | os.WNOWAIT) is not None
        reaped: list[tuple[int, int, int]] = []
        deadline = time.monotonic() + 20
        while not reaped and time.monotonic() < deadline:
            reaped += _core.reap_orphans([shell.pid])
            time.sleep(0.01)
        assert [(code, number) for _, code, number in reaped] == [(5, 0)]
        assert shell.wait() == 0
    assert owned.wait(20) == (7, 0)


def _python(script: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter that sees this module and the package as we do."""
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)])}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


FULL_GROUP = """
import os, sys
from kata_hybrid import _core
from kata_hybrid.plan import steps
from kata_hybrid.plan.encode import encode

plan = encode((steps.FindExecutable(("/bin/true",)), steps.Exec(("/bin/true",), (), 0)))
_core.force_fallback("clone3", True)  # the child joins by itself, before it has executed anything
directory = os.open(sys.argv[1], os.O_RDONLY)
try:
    started = _core.spawn(plan, cgroup_fd=directory)
    while started.next() is not None:
        started.proceed()
    started.child().wait(10)
except (OSError, _core.InitError):
    pass
print("the caller lives")
"""


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/memory"), reason="no v1 memory controller")
def test_a_full_memory_group_does_not_cost_the_caller_its_life() -> None:
    """The child has our memory for a moment: what it is killed for there must not hit us."""
    with open("/proc/self/cgroup") as file:
        own = next(line.split(":")[2].strip() for line in file if line.split(":")[1] == "memory")
    group = f"/sys/fs/cgroup/memory{own.rstrip('/')}/kh-full-{os.getpid()}"
    os.mkdir(group)
    try:
        Path(group, "memory.limit_in_bytes").write_text("4096")
        done = subprocess.run(
            [sys.executable, "-c", FULL_GROUP, group], capture_output=True, text=True, check=False
        )
    finally:
        os.rmdir(group)
    assert (done.returncode, done.stdout) == (0, "the caller lives\n"), done.stderr


@pytest.mark.skipif(not os.path.isdir("/sys/fs/cgroup/freezer"), reason="no v1 freezer")
def test_a_child_killed_before_it_has_executed_anything_is_a_failure() -> None:
    """It bears our name, not kata-init's: its end must not be taken for a workload's."""
    group = Path(f"/sys/fs/cgroup/freezer/kh-frozen-{os.getpid()}")
    group.mkdir()

    def kill_in_the_group() -> None:
        deadline = time.monotonic() + 10
        while not (pids := (group / "cgroup.procs").read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.001)
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        (group / "freezer.state").write_text("THAWED")

    directory = os.open(group, os.O_RDONLY)
    try:
        (group / "freezer.state").write_text("FROZEN")
        killer = threading.Thread(target=kill_in_the_group)
        killer.start()
        with forced("clone3"), pytest.raises(_core.InitError, match="signal 9"):
            finish(_core.spawn(plan_of("true"), cgroup_fd=directory))
        killer.join()
    finally:
        os.close(directory)
        (group / "freezer.state").write_text("THAWED")
        group.rmdir()
