"""Our document against runc's own: a recorded one of 1.1.5, and a live runc that works on ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.oci import default_spec, load_spec, parse_spec, spec_to_dict
from kata_hybrid.oci.config import Memory, Pids, Resources
from kata_hybrid.state import StateDocument, Store, build_document, parse_document

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data"
RECORDED = json.loads((DATA / "runc-1.1.5-state.json").read_bytes())


def as_ours(raw: dict[str, Any], spec: Any, bundle: str) -> StateDocument:
    """Our document for the container that ``raw`` describes."""
    return build_document(
        spec,
        container_id=raw["id"],
        pid=raw["init_process_pid"],
        start_time=raw["init_process_start"],
        created=raw["created"],
        rootfs=raw["config"]["rootfs"],
        bundle=bundle,
        cgroup_paths=raw["cgroup_paths"],
        external_descriptors=raw["external_descriptors"],
    )


def without_empty(value: Any) -> Any:
    """Null, zero and absent are the same to every reader."""
    if isinstance(value, dict):
        kept = {key: without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in (None, False, 0, "", [], {})}
    return [without_empty(item) for item in value] if isinstance(value, list) else value


def test_document_equals_the_recorded_one() -> None:
    spec = parse_spec((DATA / "runc-1.1.5-config.json").read_bytes())
    made = json.loads(as_ours(RECORDED, spec, "/bundle").to_bytes())
    assert without_empty(made) == without_empty(RECORDED)


def test_keys_stand_in_the_recorded_order() -> None:
    spec = parse_spec((DATA / "runc-1.1.5-config.json").read_bytes())
    made = json.loads(as_ours(RECORDED, spec, "/bundle").to_bytes())
    for ours, theirs in (
        (made, RECORDED),
        (made["config"], RECORDED["config"]),
        (made["config"]["cgroups"], RECORDED["config"]["cgroups"]),
        (made["config"]["seccomp"], RECORDED["config"]["seccomp"]),
        (made["config"]["mounts"][7], RECORDED["config"]["mounts"][7]),
    ):
        shared = [key for key in theirs if key in ours]
        assert [key for key in ours if key in shared] == shared


def test_recorded_document_gives_its_limits() -> None:
    found = parse_document(json.dumps(RECORDED), path="p")
    assert found.annotations == {"com.example.k": "v", "org.x": "y"}
    assert found.resources().memory == Memory(limit=100000000, reservation=1000000, swap=200000000)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    (tmp_path / "rootfs" / "bin").mkdir(parents=True)
    shutil.copy(busybox, tmp_path / "rootfs" / "bin" / "busybox")
    raw = spec_to_dict(default_spec())
    raw["process"] |= {"terminal": False, "args": ["/bin/busybox", "sleep", "60"]}
    raw["linux"]["namespaces"] = [entry for entry in raw["linux"]["namespaces"] if entry["type"] != "cgroup"]
    (tmp_path / "config.json").write_text(json.dumps(raw))
    return tmp_path


class Runc:
    """runc on a root of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, *words: str) -> str:
        """Run a verb; its output goes to a file, which init may keep open."""
        output = self.root.parent / "output"
        with output.open("wb") as file:
            done = subprocess.run(
                ["runc", "--root", str(self.root), *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                check=False,
                timeout=30,
            )
        text = output.read_text()
        assert done.returncode == 0, f"runc {words}: {text}"
        return text


@pytest.fixture
def runc(tmp_path: Path) -> Iterator[Runc]:
    if shutil.which("runc") is None or os.geteuid() != 0:
        pytest.skip("needs runc and root")
    command = Runc(tmp_path / "root")
    yield command
    for name in Store(command.root).list():
        command("delete", "-f", name)


@pytest.mark.runc
def test_runc_works_on_a_container_described_by_us(runc: Runc, bundle: Path) -> None:
    name = f"kh-state-{os.getpid()}"
    runc("create", "-b", str(bundle), name)
    directory = Store(runc.root).load(name)
    directory.write(as_ours(dict(directory.read().raw), load_spec(bundle), str(bundle)))
    assert json.loads(runc("state", name))["status"] == "created"
    assert name in runc("list")
    runc("start", name)
    assert runc("exec", name, "/bin/busybox", "echo", "hello") == "hello\n"
    assert "sleep" in runc("ps", name)
    runc("pause", name)
    assert json.loads(runc("state", name))["status"] == "paused"
    runc("resume", name)
    runc("update", "--pids-limit", "77", name)
    assert directory.read().resources().pids == Pids(limit=77)
    directory.write(directory.read().with_resources(Resources(memory=Memory(limit=1 << 26))))
    runc("kill", name, "KILL")
    runc("delete", "-f", name)
    assert Store(runc.root).list() == []
