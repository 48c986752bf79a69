"""Rules of the core that need no container: copies, storages, tables, policy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.agent.core import spec
from kata_hybrid.agent.core.copyfile import FileCopies
from kata_hybrid.agent.core.errors import InvalidRequest, NotSupported, RequestRefused, RootfsError
from kata_hybrid.agent.core.guest import parse_cpu_list
from kata_hybrid.agent.core.model import FileChunk, Storage
from kata_hybrid.agent.core.mounts import MS_BIND, MS_RDONLY, parse_options
from kata_hybrid.agent.core.policy import V1
from kata_hybrid.agent.core.processes import filter_table, list_processes
from kata_hybrid.agent.core.storage import Storages
from kata_hybrid.oci.config import Namespace, NamespaceType

if TYPE_CHECKING:
    from pathlib import Path


def _chunk(path: str, data: bytes, offset: int = 0, size: int | None = None) -> FileChunk:
    import os

    return FileChunk(
        path=path,
        file_size=len(data) if size is None else size,
        file_mode=0o100640,
        dir_mode=0x800001E8,
        uid=os.getuid(),
        gid=os.getgid(),
        offset=offset,
        data=data,
    )


def test_chunks_in_any_order_make_the_file(tmp_path: Path) -> None:
    copies, target = FileCopies(str(tmp_path)), tmp_path / "a/b/file"
    copies.write(_chunk(str(target), b"world", 5, 10))
    assert not target.exists()
    copies.write(_chunk(str(target), b"hello", 0, 10))
    assert target.read_bytes() == b"helloworld"
    assert target.stat().st_mode & 0o7777 == 0o640
    assert target.parent.stat().st_mode & 0o7777 == 0o750
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_an_empty_file_is_complete_at_once(tmp_path: Path) -> None:
    FileCopies(str(tmp_path)).write(_chunk(f"{tmp_path}/empty", b""))
    assert (tmp_path / "empty").read_bytes() == b""


def test_a_sender_that_starts_anew_replaces_what_it_sent(tmp_path: Path) -> None:
    copies = FileCopies(str(tmp_path))
    copies.write(_chunk(f"{tmp_path}/f", b"old", 0, 6))
    copies.write(_chunk(f"{tmp_path}/f", b"new", 0, 6))
    copies.write(_chunk(f"{tmp_path}/f", b"end", 3, 6))
    assert (tmp_path / "f").read_bytes() == b"newend"


@pytest.mark.parametrize("path", ["", "/", "/etc/x", "/run/../etc/x", "/runaway/x", "/run"])
def test_a_path_outside_is_refused(path: str) -> None:
    with pytest.raises(RequestRefused, match="Only is possible to copy files into the /run directory"):
        FileCopies().write(_chunk(path, b"x"))


def test_a_symlink_on_the_way_is_not_followed(tmp_path: Path) -> None:
    base, outside = tmp_path / "run", tmp_path / "outside"
    base.mkdir()
    outside.mkdir()
    (base / "link").symlink_to(outside)
    with pytest.raises(OSError, match=r"."):
        FileCopies(str(base)).write(_chunk(f"{base}/link/f", b"x"))
    assert list(outside.iterdir()) == []


def test_data_behind_the_end_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        FileCopies(str(tmp_path)).write(_chunk(f"{tmp_path}/f", b"abc", 2, 4))


@pytest.mark.parametrize(
    ("storage", "error"),
    [
        (Storage("odd", mount_point="/m"), InvalidRequest),
        (Storage("9p", source="kataShared", fstype="9p", mount_point="/m"), NotSupported),
        (Storage("bind", mount_point="/m"), RequestRefused),
        (Storage("bind", source="/s"), RequestRefused),
        (Storage("bind", source="/s", mount_point="/a/../b"), InvalidRequest),
        (Storage("local", mount_point="relative"), InvalidRequest),
    ],
)
def test_wrong_storages_are_found_before_anything_is_touched(
    storage: Storage, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Storages(V1).check([storage])


def test_a_local_storage_lives_until_its_last_user(tmp_path: Path) -> None:
    storages, path = Storages(V1), tmp_path / "local"
    wanted = [Storage("local", options=("mode=0700",), mount_point=str(path))]
    storages.attach(wanted)
    storages.attach(wanted)
    assert path.stat().st_mode & 0o777 == 0o700
    storages.forget_container(wanted)
    assert path.exists()
    storages.forget_container(wanted)
    assert not path.exists()


def test_option_words() -> None:
    assert parse_options(["bind", "ro", "rw", "size=1m"]) == (MS_BIND | MS_RDONLY, "rw,size=1m")


def test_ps_output_keeps_the_header_and_the_containers_lines() -> None:
    table = b"UID PID CMD\nroot 1 init\nroot 22 sh\n"
    assert filter_table(table, {22}) == b"UID PID CMD\nroot 22 sh\n"
    with pytest.raises(RequestRefused, match="failed to find PID field in ps output"):
        filter_table(b"", {1})
    with pytest.raises(RequestRefused, match="failed to convert pid to int: x"):
        filter_table(b"PID\nx\n", {1})


def test_list_formats() -> None:
    assert list_processes([3, 1], "json", ()) == b"[1,3]"
    with pytest.raises(RequestRefused, match="invalid format option"):
        list_processes([], "", ())


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-2,7") == {0, 1, 2, 7}


def test_the_sandboxes_namespaces_take_the_specs_place() -> None:
    own = [Namespace(NamespaceType.MOUNT), Namespace(NamespaceType.IPC)]
    joined = spec.join_namespaces(own, {NamespaceType.IPC: "/ns/ipc", NamespaceType.PID: ""})
    assert [(each.type.value, each.path) for each in joined] == [
        ("mount", None),
        ("ipc", "/ns/ipc"),
        ("pid", None),
    ]


def test_a_rootfs_is_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    spec.check_rootfs(str(tmp_path / "real"))
    for path in (str(tmp_path / "link"), "relative"):
        with pytest.raises(RootfsError, match="is not an absolute path or is a symlink"):
            spec.check_rootfs(path)
    with pytest.raises(RootfsError, match="does not exist"):
        spec.check_rootfs(str(tmp_path / "missing"))


def test_the_policy_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        V1.name = "other"  # type: ignore[misc]
