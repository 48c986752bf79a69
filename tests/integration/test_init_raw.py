"""kata-init by itself: plans encoded here, run in real namespaces, without the extension.

Each test says what the parent hears on the sync socket and what the workload sees. A fixture looks for what
is left: nothing that a plan mounts may reach the host.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import select
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.plan import steps
from kata_hybrid.plan.encode import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kata_hybrid.plan.steps import Step

    Run = Callable[..., "Outcome"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
CONTAINER = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 1, 2, 4, 8, 0x1000, 0x4000
MS_PRIVATE, MS_SLAVE = 1 << 18, 1 << 19
ATTR_RDONLY = 1
ENV = ("PATH=/bin", "HOME=/")
WORKSPACE = Path(__file__).parents[2]
APPLETS = "sh cat id ls hostname readlink sleep test echo tty grep ip stty touch env"
LIBC = ctypes.CDLL(None, use_errno=True)
INIT_FLAGS = (
    "link-arg=-nostartfiles",
    "link-arg=-nostdlib",
    "link-arg=-static",
    "relocation-model=static",
    "target-feature=+crt-static",
)


@pytest.fixture(autouse=True)
def looked_after(tmp_path: Path) -> Iterator[None]:
    """In place of the shared leak check, which needs the extension: no mount, no child and no file stays."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = len(os.listdir("/proc/self/fd")), children.read_text()
    yield
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert (len(os.listdir("/proc/self/fd")), children.read_text()) == before


@pytest.fixture(scope="session")
def init(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program: KATA_INIT when given, else built here."""
    if given := os.environ.get("KATA_INIT"):
        return given
    if shutil.which("cargo") is None:
        pytest.skip("needs KATA_INIT or cargo")
    target = tmp_path_factory.mktemp("kata-init")
    flags = [word for flag in INIT_FLAGS for word in ("-C", flag)]
    command = ["cargo", "rustc", "-q", "-p", "kata-init", "--bin", "kata-init", "--profile", "init"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(target)}
    environment.pop("RUSTFLAGS", None)
    subprocess.run([*command, "--", *flags], cwd=WORKSPACE, env=environment, check=True)
    return str(target / "init/kata-init")


@pytest.fixture
def box(tmp_path: Path) -> Path:
    """A root file system of its own for each test, with a shell."""
    return make_box(tmp_path / "rootfs")


def make_box(root: Path) -> Path:
    busybox = shutil.which("busybox") or pytest.skip("needs a static busybox")
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for name in APPLETS.split():
        (root / "bin" / name).symlink_to("busybox")
    return root


@dataclass
class Failure:
    """An ERROR message."""

    step: int
    index: int
    errno: int
    path: str
    detail: str


@dataclass
class Outcome:
    """What the parent heard and saw."""

    points: list[int] = field(default_factory=list)
    failure: Failure | None = None
    status: int = -1
    out: str = ""
    err: str = ""


class Launched:
    """A kata-init that runs; ``finish`` answers its messages and waits for it."""

    def __init__(self, init: str, plan: Sequence[Step] | bytes, fds: Sequence[int], flags: int) -> None:
        self.sync, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self.out, self.err = out_read, err_read
        self.pidfd = -1
        passed = [*fds, theirs.fileno()]
        content = struct.pack(f"<I{len(passed)}i", len(fds), *passed) + (
            plan if isinstance(plan, bytes) else encode(plan)
        )
        memfd = os.memfd_create("plan", 0)
        os.write(memfd, content)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(init, memfd, (out_write, err_write), passed, flags)
            finally:
                os._exit(99)
        for fd in (memfd, out_write, err_write):
            os.close(fd)
        theirs.close()

    def finish(self, on_sync: Callable[[Launched, int], None] | None = None) -> Outcome:
        outcome = Outcome()
        while True:
            data, fds, _, _ = socket.recv_fds(self.sync, 16384, 1)
            if not data:
                break
            (kind,) = struct.unpack_from("<I", data)
            if kind == 1:
                (point,) = struct.unpack_from("<I", data, 4)
                outcome.points.append(point)
                if on_sync:
                    on_sync(self, point)
                self.sync.send(b"g")
            elif kind == 2:
                os.waitpid(self.pid, 0)
                (self.pid,) = struct.unpack_from("<I", data, 4)
                self.pidfd = fds[0]
            elif kind == 3:
                step, index, number = struct.unpack_from("<IIi", data, 4)
                path, _, detail = data[16:].partition(b"\0")
                outcome.failure = Failure(step, index, number, path.decode(), detail.decode())
        return self.wait(outcome)

    def wait(self, outcome: Outcome) -> Outcome:
        self.sync.close()
        outcome.out, outcome.err = _drain(self.out), _drain(self.err)
        outcome.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if self.pidfd >= 0:
            os.close(self.pidfd)
        return outcome


def _drain(fd: int) -> str:
    with os.fdopen(fd, "rb") as file:
        return file.read().decode()


def _become(init: str, memfd: int, output: tuple[int, int], passed: Sequence[int], flags: int) -> None:
    """In the forked child: namespaces, streams, execve; with a pid namespace one process more."""
    null = os.open("/dev/null", os.O_RDONLY)
    for fd, stream in ((null, 0), (output[0], 1), (output[1], 2)):
        os.dup2(fd, stream)
    if flags and LIBC.unshare(flags) != 0:
        os._exit(98)
    if flags & NEWPID and (pid := os.fork()) != 0:
        os.closerange(0, 1024)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    keep = {0, 1, 2, memfd, *passed}
    for fd in range(1024):
        with contextlib.suppress(OSError):
            os.set_inheritable(fd, fd in keep)
    os.execve(init, ["kata-init", str(memfd)], {})


@pytest.fixture
def run(init: str) -> Run:
    """Run a plan to its end."""

    def run(
        plan: Sequence[Step] | bytes,
        *,
        fds: Sequence[int] = (),
        flags: int = CONTAINER,
        on_sync: Callable[[Launched, int], None] | None = None,
    ) -> Outcome:
        return Launched(init, plan, fds, flags).finish(on_sync)

    return run


def root(box: Path) -> list[Step]:
    return [steps.RootPropagation(MS_SLAVE | MS_REC), steps.PrepareRootfs(str(box), MS_PRIVATE)]


def filesystems() -> list[Step]:
    safe = MS_NOSUID | MS_NODEV | MS_NOEXEC
    return [
        steps.MountFs("proc", "/proc", "proc", safe, ""),
        steps.MountFs("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=64k"),
        steps.MountFs(
            "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
        ),
        steps.MountFs("sysfs", "/sys", "sysfs", safe | MS_RDONLY, ""),
    ]


def shell(script: str, *, preserve: int = 0) -> list[Step]:
    return [steps.FindExecutable(("/none/sh", "/bin/sh")), steps.Exec(("sh", "-c", script), ENV, preserve)]


PIVOT: list[Step] = [steps.Pivot(steps.PIVOT_ROOT)]


# --- the way through ---------------------------------------------------------------------------------


def test_mounts_devices_masks_and_identity_are_what_the_workload_sees(run: Run, box: Path) -> None:
    (box / "etc/secret").write_text("hush")
    (box / "etc/hidden").mkdir()
    (box / "etc/hidden/treasure").write_text("x")
    plan = [
        *root(box),
        *filesystems(),
        steps.Device("/dev/null", ord("c"), 1, 3, 0o666, 0, 0),
        steps.Device("/dev/fifo", ord("p"), 0, 0, 0o640, 7, 8),
        steps.Symlink("/proc/self/fd", "/dev/fd"),
        steps.Symlink("pts/ptmx", "/dev/ptmx", 1),
        steps.Sync(steps.SYNC_HOOKS),
        steps.MakeCwd("/srv/here"),
        steps.Sysctl("net/ipv4/ip_forward", "1"),
        steps.ReadonlyPath("/proc/sys"),
        steps.MaskPath("/proc/kcore"),
        steps.MaskPath("/etc/secret"),
        steps.MaskPath("/etc/hidden"),
        steps.MaskPath("/not/there"),
        steps.Remount("/dev", MS_NOSUID | MS_RDONLY),
        steps.RootfsReadonly(),
        *PIVOT,
        steps.StdioNull(),
        steps.LoopbackUp(),
        steps.Hostname("box"),
        steps.Domainname("example"),
        steps.Umask(0o027),
        steps.Setsid(),
        steps.SessionKeyring("_ses.test", 1),
        steps.Rlimit(7, 128, 256),
        steps.Personality(0),
        steps.IOPriority(2, 3),
        steps.Scheduler(struct.pack("<IIQiIQQQII", 56, 3, 0, 5, 0, 0, 0, 0, 0, 0)),
        steps.ChownStdio(1000),
        steps.NoNewPrivs(),
        steps.Chdir("/srv/here"),
        steps.Sync(steps.SYNC_READY),
        steps.BoundingCaps(0x401),
        steps.User(1000, 100, struct.pack("<2I", 5, 6), 1),
        steps.Caps(0x400, 0x400, 0x400, 0x400),
        *shell(
            "id; hostname; pwd; umask; ulimit -n; cat /etc/secret; ls /etc/hidden; ls -l /dev/fifo;"
            "readlink /dev/fd;"
            "grep -E '^(Cap|NoNewPrivs|NSpid)' /proc/self/status; cat /proc/sys/net/ipv4/ip_forward;"
            "touch /x 2>&1; touch /dev/x 2>&1; ip link show lo; ls /proc/self/fd; cat /proc/$$/stat; env"
        ),
    ]
    outcome = run(plan)
    assert outcome.failure is None, outcome
    assert (outcome.points, outcome.status) == ([2, 3], 0), outcome
    out = outcome.out
    assert "uid=1000 gid=100 groups=5,6" in out
    assert "\nbox\n/srv/here\n0027\n128\n" in out
    assert "hush" not in out
    assert "treasure" not in out
    assert re.search(r"^prw-r----- +1 7 +8 ", out, re.MULTILINE)
    for name, mask in (("Inh", 0x400), ("Prm", 0x400), ("Eff", 0x400), ("Bnd", 0x401), ("Amb", 0x400)):
        assert f"Cap{name}:\t{mask:016x}" in out
    assert "NoNewPrivs:\t1\n" in out
    assert "touch: /x: Read-only file system" in out
    assert "touch: /dev/x: Read-only file system" in out
    assert "LOOPBACK,UP" in out
    assert "\n0\n1\n2\n3\n" in out  # 3 is ls's own
    assert "\n4\n" not in out


def test_nothing_but_the_preserved_descriptors_reaches_the_workload(run: Run, box: Path) -> None:
    extra = os.open("/", os.O_RDONLY)
    try:
        plan = [*root(box), *filesystems(), *PIVOT, *shell("ls /proc/self/fd")]
        outcome = run(plan, fds=[extra, extra])
    finally:
        os.close(extra)
    assert outcome.out.split() == ["0", "1", "2", "3"], outcome  # 3 is the directory that ls reads


def test_bind_mounts_take_flags_and_recursive_attributes(run: Run, box: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_text("content")
    plan = [
        *root(box),
        *filesystems(),
        steps.BindMount(str(tmp_path / "data"), "/mnt/a/b", MS_BIND | MS_RDONLY | MS_NOSUID, 0),
        steps.BindMount(
            str(tmp_path / "data"),
            "/mnt/c",
            MS_BIND | MS_REC,
            0,
            struct.pack("<I", MS_PRIVATE),
            ATTR_RDONLY,
            0,
            1,
        ),
        steps.BindMount(str(tmp_path / "data/file"), "/mnt/file", MS_BIND, 0),
        *PIVOT,
        *shell("cat /mnt/file; grep ' /mnt/' /proc/self/mountinfo; touch /mnt/a/b/x /mnt/c/x 2>&1"),
    ]
    outcome = run(plan)
    assert outcome.failure is None, outcome
    assert outcome.out.startswith("content")
    assert re.search(r" /mnt/a/b ro,nosuid", outcome.out)
    assert re.search(r" /mnt/c ro", outcome.out)
    assert outcome.out.count("Read-only file system") == 2
    assert sorted(os.listdir(tmp_path / "data")) == ["file"]


@pytest.mark.parametrize("mode", [steps.PIVOT_ROOT, steps.PIVOT_MOVE])
def test_the_old_root_is_out_of_sight(run: Run, box: Path, mode: int) -> None:
    plan = [
        *root(box),
        *filesystems(),
        steps.Pivot(mode),
        *shell("ls -d / /lib /usr 2>&1; grep -c . /proc/mounts"),
    ]
    outcome = run(plan)
    assert outcome.failure is None, outcome
    assert "ls: /usr: No such file" in outcome.out


def test_chroot_without_a_mount_namespace_of_its_own(run: Run, box: Path) -> None:
    plan = [*root(box), steps.Pivot(steps.PIVOT_CHROOT), *shell("ls /")]
    assert "busybox" not in run(plan).out
    assert run(plan).out.split() == ["bin", "dev", "etc", "proc", "sys", "tmp"]


def test_the_console_connection_ends_before_the_workload_starts(init: str, box: Path) -> None:
    ours, theirs = socket.socketpair()
    plan = [
        steps.Setsid(),
        *root(box),
        *filesystems(),
        steps.Console(0, 0, 0, 0),
        steps.Sync(steps.SYNC_READY),
    ]
    with ours:
        with theirs:
            launched = Launched(init, plan, [theirs.fileno()], CONTAINER)
        _, fds, _, _ = socket.recv_fds(ours, 100, 1)
        os.close(fds[0])
        ours.settimeout(10)
        assert ours.recv(1) == b""
    launched.wait(Outcome())


def test_console_is_the_controlling_terminal_and_its_master_comes_over(run: Run, box: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        plan = [
            steps.Setsid(),
            *root(box),
            *filesystems(),
            steps.Console(0, 40, 100, 1),
            *PIVOT,
            *shell("tty; stty size; test -c /dev/console && echo console; echo to-tty > /dev/tty"),
        ]
        plan.insert(6, steps.Device("/dev/tty", ord("c"), 5, 0, 0o666, 0, 0))
        screen: list[bytes] = []

        outcome = run(plan, fds=[theirs.fileno()])
        name, fds, _, _ = socket.recv_fds(ours, 100, 1)
        with contextlib.suppress(OSError):  # EIO: no process has the slave any more
            while True:
                screen.append(os.read(fds[0], 4096))
        os.close(fds[0])
    assert outcome.failure is None, outcome
    assert name == b"/dev/ptmx"
    assert b"".join(screen).split(b"\r\n") == [b"/dev/pts/0", b"40 100", b"console", b"to-tty", b""]


@pytest.fixture
def open_box() -> Iterator[Path]:
    """A root file system that ids other than root's can reach."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        box = make_box(Path(directory) / "rootfs")
        subprocess.run(["chown", "-R", "100000:100000", str(box)], check=True)
        yield box


def test_user_namespace_by_a_fork_with_maps_from_the_parent(run: Run, open_box: Path) -> None:

    def write_maps(launched: Launched, point: int) -> None:
        if point == steps.SYNC_USERMAP:
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{launched.pid}/{name}").write_text("0 100000 65536\n")

    plan = [
        steps.OomScoreAdj(321),
        steps.Fork(NEWUSER | NEWNS | NEWPID | NEWIPC | NEWUTS | NEWNET),
        steps.Sync(steps.SYNC_USERMAP),
        steps.BecomeRoot(),
        steps.Setsid(),
        steps.LoopbackUp(),
        *root(open_box),
        *filesystems(),
        steps.Device("/dev/null", ord("c"), 1, 3, 0o666, 0, 0),
        steps.MaskPath("/proc/kcore"),
        steps.ReadonlyPath("/proc/sys"),
        *PIVOT,
        steps.StdioNull(),
        steps.Sync(steps.SYNC_READY),
        steps.User(1000, 1000, b"", 1),
        *shell("id -u; cat /proc/self/uid_map /proc/self/oom_score_adj; echo $$; echo x > /dev/null"),
    ]
    outcome = run(plan, flags=0, on_sync=write_maps)
    assert outcome.failure is None, outcome
    assert outcome.points == [1, 3]
    assert outcome.out.split() == ["1000", "0", "100000", "65536", "321", "1"], outcome


def test_joining_by_setns_gives_a_direct_child(run: Run, init: str, box: Path) -> None:
    holder = Launched(
        init, [*root(box), *filesystems(), *PIVOT, *shell("hostname held; sleep 30")], (), CONTAINER
    )
    assert not holder.sync.recv(10)
    pid = int(Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text())
    for _ in range(100):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "sleep":
            break
        time.sleep(0.02)
    pidfd = os.pidfd_open(pid)
    try:
        plan = [
            steps.Setns(0, CONTAINER, ""),
            steps.Fork(0),
            steps.Setsid(),
            *shell("hostname; ls /proc | grep -c '^[0-9]'"),
        ]
        outcome = run(plan, fds=[pidfd], flags=0)
    finally:
        os.kill(pid, 9)
        os.close(pidfd)
        holder.wait(Outcome())
    assert outcome.failure is None, outcome
    assert outcome.out.split()[0] == "held", outcome


def test_exec_fifo_holds_the_workload_and_the_parent_is_let_go(init: str, box: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "exec.fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o622)
    tmp_path.chmod(0o755)
    held = os.open(fifo, os.O_PATH)
    plan = [
        *root(box),
        *filesystems(),
        *PIVOT,
        steps.User(1000, 1000, b"", 1),
        shell("echo started; id -u")[0],
    ]
    launched = Launched(init, [*plan, steps.ExecFifo(0), shell("echo started; id -u")[1]], [held], CONTAINER)
    os.close(held)
    assert launched.sync.recv(100) == b""
    assert not select.select([launched.out], [], [], 0.1)[0]
    assert fifo.read_bytes() == b"0"
    outcome = launched.wait(Outcome())
    assert (outcome.out, outcome.status) == ("started\n1000\n", 0), outcome


def refusing(numbers: Sequence[int], number: int) -> Step:
    """A filter that answers the system calls ``numbers`` with an errno."""
    code = [struct.pack("<HBBI", 0x20, 0, 0, 0)]
    for at, call in enumerate(numbers):
        code.append(struct.pack("<HBBI", 0x15, len(numbers) - at, 0, call))
    code += [struct.pack("<HBBI", 0x06, 0, 0, 0x7FFF0000), struct.pack("<HBBI", 0x06, 0, 0, 0x50000 | number)]
    return steps.Seccomp(0, b"".join(code))


def test_seccomp_filter_is_in_force(run: Run, box: Path) -> None:
    mkdir = {"x86_64": 83, "aarch64": 34}[os.uname().machine]
    (box / "bin/mkdir").symlink_to("busybox")
    plan = [
        *root(box),
        *PIVOT,
        steps.NoNewPrivs(),
        refusing([mkdir], errno.EPERM),
        *shell("mkdir /tmp/x 2>&1"),
    ]
    assert "Operation not permitted" in run(plan).out


NEW_CALLS = {"clone3": 435, "close_range": 436, "openat2": 437, "faccessat2": 439, "mount_setattr": 442}


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_calls_that_an_older_kernel_or_an_outer_filter_lacks_have_stand_ins(
    run: Run, box: Path, tmp_path: Path, number: int
) -> None:
    (tmp_path / "data").mkdir()
    refused = NEW_CALLS if number == errno.ENOSYS else ("close_range", "openat2")
    lacking = [NEW_CALLS[name] for name in refused]
    plan = [
        refusing(lacking, number),
        *root(box),
        *filesystems(),
        steps.BindMount(str(tmp_path / "data"), "/mnt/a", MS_BIND, 0, b"", ATTR_RDONLY, 0, 0),
        steps.Device("/dev/null", ord("c"), 1, 3, 0o666, 0, 0),
        hook("exit 0"),
        steps.ReadonlyPath("/proc/sys"),
        steps.MaskPath("/proc/kcore"),
        *PIVOT,
        *shell("touch /mnt/a/x 2>&1; ls /proc/self/fd"),
    ]
    extra = os.open("/", os.O_RDONLY)
    try:
        outcome = run(plan, fds=[extra])
        forked = run(
            [refusing(lacking, number), steps.Fork(0), *root(box), *PIVOT, *shell("echo on")], flags=NEWNS
        )
    finally:
        os.close(extra)
    assert outcome.failure is None, outcome
    assert outcome.out.split("\n", 1) == ["touch: /mnt/a/x: Read-only file system", "0\n1\n2\n3\n"]
    assert forked.out == "on\n", forked


def test_recursive_attributes_have_no_stand_in(run: Run, box: Path) -> None:
    plan = [
        refusing([NEW_CALLS["mount_setattr"]], errno.ENOSYS),
        *root(box),
        steps.BindMount("/tmp", "/tmp", MS_BIND | MS_REC, 0, b"", ATTR_RDONLY, 0, 1),
    ]
    failure = run(plan).failure
    assert failure == Failure(14, 3, errno.ENOSYS, "/tmp", "recursive mount attributes need Linux 5.12")


# --- hooks -------------------------------------------------------------------------------------------


def hook(script: str, *, timeout_ms: int = 0, path: str = "/bin/sh") -> Step:
    return steps.Hook("createContainer", 0, path, ("sh", "-c", script), ("A=b",), timeout_ms, b'{"id":"x"}')


def test_a_hook_gets_the_state_and_its_environment_and_runs_in_the_rootfs(
    run: Run, box: Path, tmp_path: Path
) -> None:
    script = "PATH=/bin:/usr/bin; cat > D/state; pwd > D/cwd; env > D/env; ls /proc/self/fd > D/fds"
    plan = [*root(box), hook(script.replace("D/", f"{tmp_path}/")), *PIVOT, *shell("echo on")]
    assert run(plan).out == "on\n"
    assert (tmp_path / "state").read_text() == '{"id":"x"}'
    assert (tmp_path / "cwd").read_text().strip() == str(box)
    assert "A=b" in (tmp_path / "env").read_text().split()
    assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("step", "number", "detail"),
    [
        (hook("echo text; echo more >&2; exit 3"), errno.ECANCELED, "exit status 3, output: text\nmore\n"),
        (hook("kill -9 $$"), errno.ECANCELED, "signal 9, output: "),
        (hook("sleep 20", timeout_ms=300), errno.ETIMEDOUT, "hook ran past specified timeout of 0.3s"),
        (
            hook("", path="/nonexist"),
            errno.ECANCELED,
            "exit status 127, output: fork/exec /nonexist: no such file or directory",
        ),
    ],
)
def test_a_failed_hook_says_how(run: Run, box: Path, step: steps.Hook, number: int, detail: str) -> None:
    failure = run([*root(box), step, *PIVOT]).failure
    assert failure == Failure(39, 2, number, step.path, detail)


def test_a_start_container_hook_that_fails_is_told_on_stderr(init: str, box: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "exec.fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_PATH)
    failing = steps.Hook("startContainer", 1, "/bin/sh", ("sh", "-c", "pwd; exit 3"), ENV, 0, b"{}")
    plan = [*root(box), *PIVOT, steps.Chdir("/tmp"), shell("")[0], steps.ExecFifo(0), failing, shell("")[1]]
    launched = Launched(init, plan, [held], CONTAINER)
    os.close(held)
    assert fifo.read_bytes() == b"0"
    outcome = launched.wait(Outcome())
    assert outcome.err == "error running startContainer hook #1: exit status 3, output: /\n\n"
    assert outcome.status == 255


# --- failures: step, index, errno, path --------------------------------------------------------------


def failures() -> list[tuple[str, Sequence[Step], tuple[int, int, str]]]:
    return [
        ("prepare", [steps.PrepareRootfs("/nonexist", MS_PRIVATE)], (12, errno.ENOENT, "/nonexist")),
        ("mount", [steps.MountFs("x", "/tmp", "nofs", 0, "")], (13, errno.ENODEV, "/tmp")),
        ("top", [steps.MountFs("x", "/.", "tmpfs", 0, "")], (13, errno.EINVAL, "/.")),
        ("bind", [steps.BindMount("/nonexist", "/mnt", MS_BIND, 0)], (14, errno.ENOENT, "/mnt")),
        ("remount", [steps.Remount("/nonexist", MS_RDONLY)], (15, errno.ENOENT, "/nonexist")),
        ("device", [steps.Device("/bin/sub", ord("x"), 1, 3, 0o666, 0, 0)], (17, errno.EINVAL, "/bin/sub")),
        ("sysctl", [steps.Sysctl("net/none", "1")], (20, errno.ENOENT, "net/none")),
        ("climb", [steps.Sysctl("../self/oom_score_adj", "1")], (20, errno.ENOENT, "../self/oom_score_adj")),
        ("hostname", [steps.Hostname("x" * 65)], (24, errno.EINVAL, "")),
        ("rlimit", [steps.Rlimit(99, 0, 0)], (26, errno.EINVAL, "")),
        ("seccomp", [steps.Seccomp(0, b"")], (28, errno.EINVAL, "")),
        ("fd", [steps.JoinCgroup(5)], (2, errno.EINVAL, "")),
        ("pivot", [steps.Pivot(9)], (22, errno.EINVAL, "")),
        ("cwd", [*PIVOT, steps.Chdir("/nonexist")], (33, errno.ENOENT, "/nonexist")),
        ("missing", [*PIVOT, steps.FindExecutable(("/a", "/b"))], (37, errno.ENOENT, "/a")),
        ("denied", [*PIVOT, steps.FindExecutable(("/a", "/etc/text"))], (37, errno.EACCES, "/etc/text")),
        ("directory", [*PIVOT, steps.FindExecutable(("/etc",))], (37, errno.EISDIR, "/etc")),
        ("console", [steps.Console(0, 0, 0, 1)], (34, errno.ENOENT, "")),
        (
            "format",
            [*PIVOT, steps.FindExecutable(("/etc/garbage",)), steps.Exec(("garbage",), ENV, 0)],
            (40, errno.ENOEXEC, "/etc/garbage"),
        ),
    ]


@pytest.mark.parametrize(
    ("plan", "expected"), [case[1:] for case in failures()], ids=[case[0] for case in failures()]
)
def test_a_failure_names_step_errno_and_path(
    run: Run, box: Path, plan: Sequence[Step], expected: tuple[int, int, str]
) -> None:
    (box / "etc/text").write_text("no program")
    (box / "etc/garbage").write_bytes(b"\x01\x02\x03")
    (box / "etc/garbage").chmod(0o755)
    outcome = run([*root(box), *plan])
    failure = outcome.failure
    assert failure is not None, outcome
    assert (failure.step, failure.errno, failure.path) == expected, failure
    assert failure.index == 1 + len(plan)
    assert outcome.status == 1


@pytest.mark.parametrize("target", ["/proc", "/alias"])
def test_proc_is_not_mounted_through_a_symlink(run: Run, box: Path, target: str) -> None:
    (box / "proc").rmdir()
    (box / "proc").symlink_to("/tmp")
    (box / "alias").symlink_to("proc")
    failure = run([*root(box), steps.MountFs("proc", target, "proc", 0, "")]).failure
    assert failure == Failure(
        13, 2, errno.ENOTDIR, target, "filesystem must be mounted on ordinary directory"
    )


def test_nothing_is_mounted_inside_proc_by_another_name(run: Run, box: Path) -> None:
    (box / "alias").symlink_to("/proc/sys")
    plan = [*root(box), *filesystems(), steps.MountFs("tmpfs", "/alias", "tmpfs", 0, "")]
    failure = run(plan).failure
    assert failure is not None
    assert (failure.step, failure.errno) == (13, errno.EPERM)


def test_links_in_the_rootfs_do_not_lead_to_the_host(run: Run, box: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (box / "out").symlink_to(outside)
    (box / "up").symlink_to("../../../../../../.." + str(outside))
    plan = [
        *root(box),
        steps.MakeCwd("/etc/made"),
        steps.Device("/up/node", ord("p"), 0, 0, 0o600, 0, 0),
        *PIVOT,
        *shell("ls -d /etc/made"),
    ]
    (box / str(outside).lstrip("/")).mkdir(parents=True)
    outcome = run(plan)
    assert outcome.failure is None, outcome
    assert os.listdir(outside) == []
    assert os.listdir(box / str(outside).lstrip("/")) == ["node"]


def test_steps_work_in_what_a_path_leads_to_now(run: Run, box: Path) -> None:
    """The directory of the last step stays open: mounts over it and replaced links must not be missed."""
    for name in ("data", "other"):
        (box / name).mkdir()
    (box / "link").symlink_to("data")
    (box / "turning").symlink_to("data")

    def node(path: str) -> Step:
        return steps.Device(path, ord("p"), 0, 0, 0o600, 0, 0)

    plan = [
        *root(box),
        node("/data/rootfs"),
        steps.MountFs("tmpfs", "/link", "tmpfs", 0, ""),
        node("/data/first"),
        node("/turning/first-too"),
        steps.Symlink("other", "/turning", 1),
        node("/turning/rootfs"),
        steps.BindMount(str(box / "etc"), "/data/below", MS_BIND, 0),
        node("/data/beside"),
        steps.MountFs("tmpfs", "/data", "tmpfs", 0, ""),
        node("/data/second"),
        steps.Symlink("x", "/data/second-too"),
        *PIVOT,
        *shell("ls /data; busybox umount /data; ls /data"),
    ]
    outcome = run(plan)
    assert outcome.failure is None, outcome
    assert outcome.out.split() == ["second", "second-too", "below", "beside", "first", "first-too"]
    assert os.listdir(box / "data") == os.listdir(box / "other") == ["rootfs"]


def test_a_device_that_is_there_is_made_right_and_another_is_refused(run: Run, box: Path) -> None:
    os.mknod(box / "etc/null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(box / "etc/zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    os.chown(box / "etc/null", 5, 6)
    right = [*root(box), steps.Device("/etc/null", ord("c"), 1, 3, 0o666, 0, 0)]
    outcome = run([*right, *PIVOT, *shell("ls -ln /etc/null")])
    assert outcome.out.split()[:4] == ["crw-rw-rw-", "1", "0", "0"]
    failure = run([*right, steps.Device("/etc/zero", ord("c"), 1, 3, 0o666, 0, 0)]).failure
    assert failure is not None
    assert (failure.step, failure.errno) == (17, errno.EEXIST)


def test_a_console_link_is_refused(run: Run, box: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        plan = [
            *root(box),
            *filesystems(),
            steps.Symlink("/etc/x", "/dev/console"),
            steps.Console(0, 0, 0, 1),
        ]
        failure = run(plan, fds=[theirs.fileno()]).failure
    assert failure is not None
    assert (failure.step, failure.errno) == (34, errno.ELOOP)


def test_a_parent_that_is_gone_ends_it(init: str, box: Path) -> None:
    launched = Launched(
        init, [*root(box), steps.Sync(steps.SYNC_HOOKS), *PIVOT, *shell("echo on")], (), CONTAINER
    )
    launched.sync.recv(100)
    outcome = launched.wait(Outcome())
    assert (outcome.out, outcome.status) == ("", 1)


def test_a_plan_without_execve_is_a_failure(run: Run, box: Path) -> None:
    failure = run(root(box)).failure
    assert failure is not None
    assert failure.detail == "the plan ends without execve"


@pytest.mark.parametrize(
    ("plan", "index", "detail"),
    [
        (b"KHP2\0\0\0\0", 0, "undecodable plan at byte 0: expected magic KHP1"),
        (encode([steps.Umask(0)])[:-1], 0, "undecodable plan at byte 11: expected eight bytes"),
        (
            encode([steps.Umask(0)]).replace(b"\1\0\0\0", b"\2\0\0\0", 1),
            1,
            "undecodable plan at byte 19: expected opcode",
        ),
        (
            encode([steps.Umask(0)]).replace(b"\x20", b"\xfa", 1),
            0,
            "undecodable plan at byte 10: expected known opcode",
        ),
    ],
)
def test_a_torn_plan_is_refused_with_its_place(run: Run, plan: bytes, index: int, detail: str) -> None:
    assert run(plan, flags=0).failure == Failure(0, index, errno.EINVAL, "", detail)
