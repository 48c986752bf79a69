"""The programs beside us: started as a person would start them, and what they took.

A :class:`Runtime` is what any runtime can do with a container, so that operations are written once for the
library, for our command and for every peer with runc's verbs. ``find`` knows where the peers are.
"""

from __future__ import annotations

import os
import select
import subprocess
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, Protocol

from kata_hybrid import _core
from kata_hybrid.plan.seccomp import rules

from benches.bundle import CAPABILITIES
from benches.floor_script import write_script
from benches.model import Usage
from benches.spawner import PeerFailedError, Program, Spawner, stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from kata_hybrid.oci.config import Seccomp

    from benches.bundle import Bundle

ENDED_SECONDS: Final = 10.0
SHM_SIZE: Final = 64 << 20


class Runtime(Protocol):
    """A container's life in verbs. ``name`` is the contender's.

    A verb gives seconds by a clock of its own, or None where the caller's is as good.
    """

    name: str

    def run(self, container_id: str, bundle: Bundle) -> float | None:
        """Make it, wait for its end, remove it."""

    def launch(self, container_id: str, bundle: Bundle) -> float | None:
        """Make and start it, and let it run."""

    def create(self, container_id: str, bundle: Bundle) -> float | None: ...
    def start(self, container_id: str) -> float | None: ...
    def execute(self, container_id: str) -> float | None:
        """Run ``true`` in it and wait for that."""

    def kill(self, container_id: str) -> float | None:
        """Send SIGKILL."""

    def await_end(self, container_id: str) -> None:
        """Wait until its first process has ended."""

    def state(self, container_id: str) -> float | None: ...
    def list_all(self) -> float | None: ...
    def delete(self, container_id: str, *, force: bool = False) -> float | None: ...
    def usage(self) -> Usage: ...


class RuntimeCommand:
    """A program with runc's verbs: runc, crun, youki, ours."""

    def __init__(self, name: str, words: Sequence[str], directory: Path, spawner: Spawner) -> None:
        self.name = name
        self.root = directory / f"{name}-root"
        self.bare = Program(words, spawner)
        self.program = Program([*words, "--root", str(self.root)], spawner)
        self._pid_files = directory / f"{name}-pids"
        self._pid_files.mkdir()

    def run(self, container_id: str, bundle: Bundle) -> float:
        return self.program("run", "--bundle", str(bundle.directory), container_id)

    def launch(self, container_id: str, bundle: Bundle) -> float:
        return self._make(("run", "--detach"), container_id, bundle)

    def create(self, container_id: str, bundle: Bundle) -> float:
        return self._make(("create",), container_id, bundle)

    def _make(self, verb: Sequence[str], container_id: str, bundle: Bundle) -> float:
        pid_file = str(self._pid_files / container_id)
        words = (*verb, "--bundle", str(bundle.directory), "--pid-file", pid_file, container_id)
        return self.program(*words)

    def start(self, container_id: str) -> float:
        return self.program("start", container_id)

    def execute(self, container_id: str) -> float:
        return self.program("exec", container_id, "true")

    def kill(self, container_id: str) -> float:
        return self.program("kill", container_id, "KILL")

    def await_end(self, container_id: str) -> None:
        await_exit(self.pid(container_id))

    def pid(self, container_id: str) -> int:
        """Of the container's first process."""
        return int((self._pid_files / container_id).read_text())

    def state(self, container_id: str) -> float:
        return self.program("state", container_id)

    def list_all(self) -> float:
        return self.program("list")

    def delete(self, container_id: str, *, force: bool = False) -> float:
        return self.program("delete", *(("--force",) if force else ()), container_id)

    def usage(self) -> Usage:
        return self.program.usage()


def await_exit(pid: int, seconds: float = ENDED_SECONDS) -> None:
    """Wait until a process that is not our child has ended, reaped or not.

    Raises:
        TimeoutError: it did not in time.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([pidfd], [], [], seconds)[0]:
            raise TimeoutError(f"process {pid} goes on")
    finally:
        os.close(pidfd)


class Bubblewrap:
    """bwrap on the same root: new pid, ipc, uts and net namespaces, the same mounts as far as its flags go,
    the same capabilities and filter. It has no cgroup, no masked and no read-only paths.
    """

    def __init__(self, path: Path, floor: Path, profile: Seccomp, directory: Path, stack: ExitStack) -> None:
        self.name = "bwrap"
        file = directory / "bwrap.bpf"
        file.write_bytes(compiled(profile))
        self.filter_fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, self.filter_fd)
        self._path = str(path)
        spawner = Spawner(floor, directory / "bwrap.stderr", stack, files=[self.filter_fd])
        self._program = Program([], spawner)

    def run(self, bundle: Bundle) -> float:
        """The bundle's program to its end."""
        return self._program(*self.words(bundle))

    def words(self, bundle: Bundle) -> list[str]:
        """The command line; it reads ``filter_fd`` from where that stands, so it is put to the start."""
        assert bundle.spec.process is not None
        os.lseek(self.filter_fd, 0, os.SEEK_SET)
        words = [self._path, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--as-pid-1"]
        words += ["--hostname", bundle.spec.hostname, "--bind", bundle.rootfs, "/"]
        words += ["--proc", "/proc", "--dev", "/dev", "--mqueue", "/dev/mqueue", "--ro-bind", "/sys", "/sys"]
        words += ["--perms", "1777", "--size", str(SHM_SIZE), "--tmpfs", "/dev/shm", "--new-session"]
        words += ["--cap-drop", "ALL"]
        for name in CAPABILITIES:
            words += ["--cap-add", name]
        return [*words, "--seccomp", str(self.filter_fd), "--", *bundle.spec.process.args]

    def usage(self) -> Usage:
        return self._program.usage()


def compiled(profile: Seccomp) -> bytes:
    """A profile as the kernel's classic BPF."""
    default, table = rules(profile)
    return bytes(_core.seccomp_compile(default, profile.architectures, table))


class FloorServer:
    """The floor program, kept running on one script."""

    def __init__(self, program: Path, script: Path, stack: ExitStack) -> None:
        self._process = subprocess.Popen(
            [program, "serve", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # an interrupt is for us, who stop it in order
        )
        stack.callback(stop, self._process)

    def once(self) -> tuple[float, Usage]:
        """Seconds of one container's life by the floor's own clock, and what all of them took.

        Raises:
            PeerFailedError: a call of the script failed.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 3:
            raise PeerFailedError("the floor ended; its words are on stderr")
        return float(answer[0]), Usage(float(answer[1]), int(answer[2]))


class Floor:
    """Floors that are already there, so that a library launch and they pay alike for no process start.

    Args:
        bundles: of one container each, with different cgroups: so many may run at a time.
    """

    def __init__(self, program: Path, bundles: Sequence[Bundle], directory: Path, stack: ExitStack) -> None:
        self.name = "floor"
        self._free: SimpleQueue[int] = SimpleQueue()
        self._usages = [Usage(0.0, 0)] * len(bundles)
        self._servers = [
            FloorServer(program, write_script(directory / f"floor-{number}", bundle.spec), stack)
            for number, bundle in enumerate(bundles)
        ]
        for number in range(len(bundles)):
            self._free.put(number)

    def once(self, _: int) -> float:
        number = self._free.get()
        try:
            seconds, self._usages[number] = self._servers[number].once()
        finally:
            self._free.put(number)
        return seconds

    def usage(self) -> Usage:
        cpu = sum(usage.cpu_seconds for usage in self._usages)
        return Usage(cpu, max(usage.peak_rss_kb for usage in self._usages))


def undo(action: Callable[[], object]) -> None:
    """Do it, and let it fail: for what tidies up behind something that may not have happened."""
    try:
        action()
    except Exception:  # noqa: BLE001  # the first failure is the one that is reported
        return
