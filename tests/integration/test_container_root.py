"""Roots that need something of the host: no pivot_root, shifted ids, namespaces joined by path."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.runtime import Runtime, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLEEP = ["sleep", "1000"]
SHIFTED = [{"containerID": 0, "hostID": 100000, "size": 65536}]
EVERYTHING = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]
FILES = {"network": "net", "mount": "mnt"}


@pytest.mark.parametrize(
    "parts",
    [{}, {"linux": {"rootfsPropagation": "slave"}}, {"root": {"readonly": True}}],
    ids=["plain", "slave", "readonly"],
)
def test_no_pivot(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    read_all: Callable[..., bytes],
    rootfs: Path,
    parts: dict[str, Any],
) -> None:
    if "root" in parts:
        parts = {**parts, "root": {"path": str(rootfs), **parts["root"]}}
    spec = make_spec(["sh", "-c", "hostname; ls /; cat /proc/1/comm; true"], **parts)
    container = runtime.run(container_id, spec=spec, stdio=Stdio.pipes(), no_pivot=True)
    found = read_all(container.init.stdout).split()
    assert container.wait(10).status == 0
    container.delete()
    container.init.close_streams()
    assert found[0] == b"box"
    assert {b"bin", b"etc", b"proc"} <= set(found)
    assert found[-1] == b"sh"


@pytest.fixture
def open_rootfs(rootfs: Path) -> Iterator[Path]:
    """A copy that a stranger may walk to: pytest's own directories are closed to them."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o755)
        copy = Path(directory) / "rootfs"
        shutil.copytree(rootfs, copy, symlinks=True, ignore=shutil.ignore_patterns("dev", "tmp"))
        (copy / "tmp").mkdir()
        for path in [copy, *copy.rglob("*")]:
            os.lchown(path, 100000, 100000)
        yield copy


def test_ids_of_a_user_namespace_are_shifted(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    read_all: Callable[..., bytes],
    open_rootfs: Path,
) -> None:
    spec = make_spec(
        ["sh", "-c", "id -u; touch /tmp/mine; cat /proc/self/uid_map; read word"],
        root={"path": str(open_rootfs)},
        namespaces=EVERYTHING,
        linux={"uidMappings": SHIFTED, "gidMappings": SHIFTED},
    )
    container = runtime.create(container_id, spec=spec, stdio=Stdio.pipes())
    assert os.stat(f"/proc/{container.init.pid}").st_uid in (0, 100000)
    container.start()
    container.init.close_stdin()
    found = read_all(container.init.stdout).split()
    container.wait(10)
    assert found == [b"0", b"0", b"100000", b"65536"], read_all(container.init.stderr)
    assert (open_rootfs / "tmp/mine").stat().st_uid == 100000
    container.delete()
    container.init.close_streams()


def test_namespaces_of_every_kind_joined_by_path(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    kinds = ["user", "ipc", "uts", "network", "pid", "cgroup", "time"]
    first = runtime.run(
        container_id,
        spec=make_spec(
            SLEEP,
            namespaces=[*kinds, "mount"],
            linux={"uidMappings": mapping, "gidMappings": mapping},
        ),
        stdio=Stdio.null(),
    )
    directory = f"/proc/{first.init.pid}/ns"
    listed = [{"type": kind, "path": f"{directory}/{FILES.get(kind, kind)}"} for kind in kinds]
    spec = make_spec(SLEEP, namespaces=[*listed, "mount"])
    second = runtime.run(container_id + "b", spec=spec, stdio=Stdio.null())
    for kind in kinds:
        name = FILES.get(kind, kind)
        theirs = os.readlink(f"/proc/{second.init.pid}/ns/{name}")
        assert theirs == os.readlink(f"{directory}/{name}"), kind
        assert theirs != os.readlink(f"/proc/self/ns/{name}"), kind
    process = second.exec(["true"], stdio=Stdio.null())
    assert process.wait(10).status == 0
    second.delete(force=True)
    first.delete(force=True)


@pytest.mark.parametrize("kind", ["user", "ipc", "uts", "network", "pid", "cgroup", "time"])
def test_one_namespace_joined_by_path(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any], kind: str
) -> None:
    mapping = [{"containerID": 0, "hostID": 0, "size": 65536}]
    linux = {"uidMappings": mapping, "gidMappings": mapping} if kind == "user" else {}
    first = runtime.run(
        container_id,
        spec=make_spec(SLEEP, namespaces=sorted({"mount", "pid", kind}), linux=linux),
        stdio=Stdio.null(),
    )
    path = f"/proc/{first.init.pid}/ns/{FILES.get(kind, kind)}"
    others = sorted({"mount", "pid"} - {kind})
    if kind == "user":
        others += ["ipc", "network", "uts"]
    spec = make_spec(SLEEP, namespaces=[{"type": kind, "path": path}, *others])
    second = runtime.run(container_id + "b", spec=spec, stdio=Stdio.null())
    assert os.readlink(f"/proc/{second.init.pid}/ns/{FILES.get(kind, kind)}") == os.readlink(path)
    second.delete(force=True)
    first.delete(force=True)


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs util-linux's unshare")
def test_a_mount_namespace_joined_by_path(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", "echo; exec sleep 1000"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n"
        path = f"/proc/{holder.pid}/ns/mnt"
        spec = make_spec(SLEEP, namespaces=[{"type": "mount", "path": path}, "pid", "ipc", "uts"])
        container = runtime.run(container_id, spec=spec, stdio=Stdio.null())
        assert os.readlink(f"/proc/{container.init.pid}/ns/mnt") == os.readlink(path)
        assert "proc" in os.listdir(f"/proc/{container.init.pid}/root")
        container.delete(force=True)
        holder.kill()
