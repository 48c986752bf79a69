"""Fixtures for tests with real containers: a rootfs, bundles, a runtime, and a look for what was left.

The test process is a child subreaper and reaps orphans itself: what a container leaves behind shows up
here and not at pid 1, which may be slow to notice.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from kata_hybrid.oci.config import Spec
    from kata_hybrid.runtime import Runtime

BUSYBOX = "/bin/busybox"
SETTLE_SECONDS = 5.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real containers need root; say so instead of failing one by one."""
    if os.geteuid() == 0:
        return
    for item in items:
        if "integration" in item.path.parts or "interop" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="needs root"))


# --- rootfs and bundles ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-mostly root file system with a shell; shared by all tests of the session."""
    root = tmp_path_factory.mktemp("image") / "rootfs"
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "home/user", "usr/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if os.path.exists(BUSYBOX):
        _install_busybox(root)
    else:
        _install_closure(root, ["sh", "sleep", "cat", "echo", "id", "readlink", "head", "sha256sum", "true"])
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    (root / "tmp").chmod(0o1777)
    return root


def _install_busybox(root: Path) -> None:
    shutil.copy(BUSYBOX, root / "bin/busybox")
    names = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in names:
        link = root / "bin" / name
        if not link.exists():
            link.symlink_to("busybox")


def _install_closure(root: Path, names: Sequence[str]) -> None:
    """Programs of the host with the libraries that ldd names."""
    for name in names:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"neither {BUSYBOX} nor {name} is here")
        shutil.copy(os.path.realpath(program), root / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for word in listed.split():
            if word.startswith("/"):
                target = root / word.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(os.path.realpath(word), target)


ALL_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_CHOWN",
)
DEFAULT_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")

MOUNTS: tuple[dict[str, Any], ...] = (
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {
        "destination": "/dev",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    {
        "destination": "/dev/shm",
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    },
)


def spec_dict(
    rootfs_path: Path | str,
    args: Sequence[str],
    *,
    terminal: bool = False,
    env: Sequence[str] = (),
    namespaces: Sequence[str | Mapping[str, str]] = DEFAULT_NAMESPACES,
    cgroups_path: str | None = None,
    process: Mapping[str, Any] | None = None,
    linux: Mapping[str, Any] | None = None,
    more_mounts: Sequence[Mapping[str, Any]] = (),
    **top: Any,
) -> dict[str, Any]:
    """A ``config.json`` as a dict; keyword arguments are laid over its parts."""
    capabilities = {kind: list(ALL_CAPABILITIES) for kind in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(rootfs_path), "readonly": False},
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": ["PATH=/bin:/usr/bin", *env],
            "cwd": "/",
            "capabilities": capabilities,
            **(process or {}),
        },
        "hostname": "box",
        "mounts": [dict(mount) for mount in (*MOUNTS, *more_mounts)],
        "linux": {
            "namespaces": [{"type": each} if isinstance(each, str) else dict(each) for each in namespaces],
            **({"cgroupsPath": cgroups_path} if cgroups_path else {}),
            **(linux or {}),
        },
        **top,
    }


@pytest.fixture
def make_spec(rootfs: Path) -> Callable[..., Spec]:
    """``make_spec(args, **parts)``: a parsed configuration on the shared rootfs."""

    from kata_hybrid.oci import parse_spec

    def make(args: Sequence[str], **parts: Any) -> Spec:
        return parse_spec(json.dumps(spec_dict(rootfs, args, **_without_uts_names(parts))))

    return make


@pytest.fixture
def make_bundle(rootfs: Path, tmp_path: Path) -> Callable[..., Path]:
    """``make_bundle(args, **parts)``: a directory with ``config.json`` on the shared rootfs."""
    count = 0

    def make(args: Sequence[str], **parts: Any) -> Path:
        nonlocal count
        count += 1
        bundle = tmp_path / f"bundle{count}"
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(spec_dict(rootfs, args, **_without_uts_names(parts))))
        return bundle

    return make


def _without_uts_names(parts: dict[str, Any]) -> dict[str, Any]:
    """A host name needs a uts namespace of its own."""
    if "uts" not in parts.get("namespaces", DEFAULT_NAMESPACES):
        return {"hostname": "", **parts}
    return parts


@pytest.fixture
def runtime(tmp_path: Path, leak_check: None) -> Iterator[Runtime]:
    """A runtime of its own; what a failed test leaves in it is deleted before the leak check looks."""
    from kata_hybrid.runtime import Runtime

    made = Runtime(str(tmp_path / "state"))
    yield made
    for state in made.list():
        made.delete(state.id, force=True)


@pytest.fixture
def command(tmp_path: Path, leak_check: None) -> Iterator[Command]:
    """Our command with a root of its own; what a failed test leaves in it is deleted."""
    root = tmp_path / "state"
    made = Command([sys.executable, "-m", "kata_hybrid"], root, meanwhile=_reap_beside)
    yield made
    for left in sorted(root.iterdir()) if root.exists() else ():
        made("delete", "--force", left.name)


@pytest.fixture
def runc(tmp_path: Path, leak_check: None) -> Command:
    """runc's command on the same root as ``command`` and ``runtime``; they clean up."""
    program = shutil.which("runc")
    if program is None:
        pytest.skip("runc is not installed")
    return Command([program], tmp_path / "state", meanwhile=_reap_beside)


def _reap_beside(pids: Collection[int]) -> None:
    """Reap orphans while commands of ours, ``pids``, run."""
    from kata_hybrid.runtime import orphans

    orphans.reap(also_owned=[*pids])


# --- what was left -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Footprint:
    """Everything that a container could leave behind."""

    fds: tuple[str, ...]
    children: tuple[int, ...]
    threads: tuple[str, ...]
    mounts: tuple[str, ...]
    cgroups: tuple[str, ...]

    @classmethod
    def take(cls) -> Footprint:
        from kata_hybrid.runtime import orphans

        orphans.reap()
        gc.collect()  # a pidfd belongs to its object, which a traceback or cycle may still hold
        return cls(
            fds=_open_files(),
            children=_children(),
            threads=tuple(sorted(thread.name for thread in threading.enumerate() if not thread.daemon)),
            mounts=_mounts(),
            cgroups=_cgroup_directories(),
        )

    def growth_since(self, before: Footprint) -> dict[str, list[Any]]:
        grown: dict[str, list[Any]] = {}
        for field in dataclasses.fields(self):
            rest = list(getattr(before, field.name))
            new = []
            for each in getattr(self, field.name):
                if each in rest:
                    rest.remove(each)
                else:
                    new.append(each)
            if new:
                grown[field.name] = new
        return grown


def _open_files() -> tuple[str, ...]:
    names = []
    for number in os.listdir("/proc/self/fd"):
        try:
            names.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # the listing's own descriptor
            continue
    return tuple(sorted(_kind(name) for name in names))


def _kind(name: str) -> str:
    """Inode numbers differ each time; the kind is what counts."""
    return name.split("[")[0] if name.startswith(("pipe:", "socket:")) else name


def _children() -> tuple[int, ...]:
    pids: list[int] = []
    for task in os.listdir("/proc/self/task"):
        try:
            text = Path(f"/proc/self/task/{task}/children").read_text()
        except (FileNotFoundError, ProcessLookupError):  # the thread has just ended
            continue
        pids += map(int, text.split())
    return tuple(sorted(pids))


def _mounts() -> tuple[str, ...]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return tuple(line.split()[4] for line in lines)


def _cgroup_directories() -> tuple[str, ...]:
    """Groups below our own, which is where a relative ``cgroupsPath`` leads."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = controllers.removeprefix("name=") or "unified"
        for base in (f"/sys/fs/cgroup/{name}{path}", f"/sys/fs/cgroup{path}"):
            if os.path.isdir(base):
                found += [entry.path for entry in os.scandir(base) if entry.is_dir() and _is_ours(entry.name)]
                break
    return tuple(sorted(found))


def _is_ours(name: str) -> bool:
    return name.startswith(f"kh-{os.getpid()}-")


@pytest.fixture
def leak_check(request: pytest.FixtureRequest, tmp_path: Path, subreaper: None) -> Iterator[None]:
    """Compare before and after; wait a little for what is just going away."""
    before = Footprint.take()
    yield
    request.node.funcargs.clear()  # pytest would keep the test's containers, and so their pidfds
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        grown = Footprint.take().growth_since(before)
        if not grown or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    assert not grown, f"left behind: {grown}"
    state_root = tmp_path / "state"
    left = sorted(entry.name for entry in state_root.iterdir()) if state_root.exists() else []
    assert not left, f"state directories left behind: {left}"


@pytest.fixture(scope="session")
def subreaper() -> Iterator[None]:
    """Orphans of containers come to this process."""
    from kata_hybrid import _core

    _core.set_child_subreaper(True)
    yield
    _core.set_child_subreaper(False)


@pytest.fixture
def container_id(request: pytest.FixtureRequest) -> str:
    """An id that the leak check recognises, unlike that of any test running beside this one."""
    return f"kh-{os.getpid()}-{abs(hash(request.node.nodeid)) % 10**8}"


@pytest.fixture(scope="session")
def read_all() -> Callable[..., bytes]:
    """``read_all(stream)``: everything up to EOF."""

    def read(stream: Any, timeout: float = 20.0) -> bytes:
        parts = []
        while part := stream.read(timeout=timeout):
            parts.append(part)
        return b"".join(parts)

    return read
