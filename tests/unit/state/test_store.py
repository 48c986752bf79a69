"""The state root: one winner per id, whole files, nothing outside touched."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kata_hybrid.errors import ConfigError, ContainerExists, ContainerNotFound, StateError
from kata_hybrid.state import Sidecar, StateDir, StateDocument, Store, parse_document


def a_document(pid: int = 1, filler: str = "") -> StateDocument:
    return parse_document({"id": "c1", "init_process_pid": pid, "filler": filler}, path="state.json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "root")


def test_reserve_makes_the_directories_with_runcs_modes(store: Store) -> None:
    before = os.umask(0o077)
    try:
        made = store.reserve("c1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(made.path).st_mode) == 0o711
    assert stat.S_IMODE(os.stat(store.root).st_mode) == 0o700


def test_second_reserve_is_refused(store: Store) -> None:
    store.reserve("c1")
    with pytest.raises(ContainerExists, match="already exists"):
        store.reserve("c1")


def test_one_of_many_racing_reserves_wins(store: Store) -> None:
    outcomes: list[bool] = []

    def race() -> None:
        try:
            store.reserve("c1")
        except ContainerExists:
            outcomes.append(False)
        else:
            outcomes.append(True)

    threads = [threading.Thread(target=race) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 15 + [True]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\n", "ä", "a" * 256])
def test_bad_id_is_a_config_error(store: Store, name: str) -> None:
    for call in (store.reserve, store.load):
        with pytest.raises(ConfigError):
            call(name)


def test_missing_container_and_missing_root(store: Store) -> None:
    assert store.list() == []
    with pytest.raises(ContainerNotFound, match="container c1: container does not exist"):
        store.load("c1")


def test_list_is_sorted_and_has_directories_only(store: Store) -> None:
    for name in ("b", "a"):
        store.reserve(name)
    Path(store.root, "file").touch()
    Path(store.root, "link").symlink_to("a")
    assert store.list() == ["a", "b"]


def test_link_in_place_of_a_container_is_not_followed(store: Store, tmp_path: Path) -> None:
    store.reserve("a")
    (tmp_path / "victim").mkdir()
    Path(store.root, "link").symlink_to(tmp_path / "victim")
    with pytest.raises(ContainerNotFound):
        store.load("link")


def test_document_is_read_back_with_mode_0600(store: Store) -> None:
    made = store.reserve("c1")
    assert not made.has_document()
    with pytest.raises(ContainerNotFound):
        made.read()
    made.write(a_document(7))
    assert made.read() == a_document(7)
    assert stat.S_IMODE(os.stat(made.document_path).st_mode) == 0o600
    assert os.listdir(made.path) == ["state.json"]


def test_torn_document_is_a_state_error(store: Store) -> None:
    made = store.reserve("c1")
    Path(made.document_path).write_bytes(a_document().to_bytes()[:-5])
    with pytest.raises(StateError, match=r"state\.json"):
        made.read()


def test_files_that_a_power_failure_left_empty_are_not_there(store: Store) -> None:
    made = store.reserve("c1")
    Path(made.document_path).touch()
    Path(made.sidecar_path).touch()
    assert not made.has_document()
    assert made.read_sidecar() is None
    with pytest.raises(ContainerNotFound):
        made.read()


def test_fifo_or_link_as_document_neither_hangs_nor_leads_away(store: Store, tmp_path: Path) -> None:
    made = store.reserve("c1")
    os.mkfifo(made.document_path)
    with pytest.raises(StateError):
        made.read()
    os.unlink(made.document_path)
    (tmp_path / "else").write_text("{}")
    os.symlink(tmp_path / "else", made.document_path)
    with pytest.raises(StateError):
        made.read()


def test_failed_write_keeps_the_old_document(store: Store) -> None:
    made = store.reserve("c1")
    made.write(a_document(1))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # the kernel takes 16 bytes, then refuses
    try:
        with pytest.raises(StateError, match="File too large"):
            made.write(a_document(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert made.read().pid == 1
    assert os.listdir(made.path) == ["state.json"]


def test_write_after_removal_is_not_found(store: Store) -> None:
    made = store.reserve("c1")
    made.remove()
    with pytest.raises(ContainerNotFound):
        made.write(a_document())
    with pytest.raises(ContainerNotFound), made.lock():
        pass


def test_remove_is_idempotent_and_follows_no_link(store: Store, tmp_path: Path) -> None:
    made = store.reserve("c1")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    os.symlink(tmp_path / "kept", os.path.join(made.path, "link"))
    os.mkfifo(made.fifo_path)
    made.remove()
    made.remove()
    assert (tmp_path / "kept" / "file").exists()
    assert store.list() == []


def test_sidecar_is_optional_and_read_back(store: Store) -> None:
    made = store.reserve("c1")
    assert made.read_sidecar() is None
    facts = Sidecar(bundle="/b\udcff", cgroup_paths={"": "/c"}, annotations={"bundle": "x"}, fifo=True)
    made.write_sidecar(facts)
    assert made.read_sidecar() == facts
    Path(made.sidecar_path).write_text('{"fifo":1}')
    with pytest.raises(StateError, match="fifo"):
        made.read_sidecar()


_WRITER = """
import sys
from kata_hybrid.state import StateDir, parse_document
path, number = sys.argv[1], int(sys.argv[2])
raw = {"id": "c1", "init_process_pid": number, "filler": str(number) * 20_000}
for _ in range(200):
    StateDir(path).write(parse_document(raw, path=path))
"""


def _in_another_process(path: str, number: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, path, str(number)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def test_readers_see_whole_documents_of_concurrent_writers(store: Store) -> None:
    made = store.reserve("c1")
    made.write(a_document(1, filler="1" * 20_000))
    writers = [_in_another_process(made.path, number) for number in (2, 3, 4)]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        found = made.read()
        assert set(found.raw["filler"]) == {str(found.pid)}
        seen.add(found.pid)
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(seen) > 1
    assert os.listdir(made.path) == ["state.json"]


def test_lock_orders_read_modify_write(store: Store) -> None:
    made = store.reserve("c1")
    made.write(a_document(0))

    def count() -> None:
        for _ in range(25):
            with StateDir(made.path).lock():
                made.write(a_document(made.read().pid + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.read().pid == 100


def test_lock_of_a_removed_container_is_not_found(store: Store) -> None:
    made = store.reserve("c1")
    outcome: list[str] = []

    def wait() -> None:
        try:
            with StateDir(made.path).lock():
                outcome.append("locked")
        except ContainerNotFound:
            outcome.append("gone")

    with made.lock():
        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(0.05)
        made.remove()
    waiter.join()
    assert outcome == ["gone"]


def test_shared_locks_do_not_exclude_each_other(store: Store) -> None:
    made = store.reserve("c1")
    with made.lock(exclusive=False), StateDir(made.path).lock(exclusive=False):
        assert made.path


def test_unknown_members_reach_the_file(store: Store) -> None:
    made = store.reserve("c1")
    made.write(a_document(filler="x"))
    assert json.loads(Path(made.document_path).read_text())["filler"] == "x"


def test_id_is_the_directorys_name(store: Store) -> None:
    made = store.reserve("c2")
    made.write(a_document())
    assert made.read().id == "c2"
