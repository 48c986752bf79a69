"""State documents: what is written is read back, foreign forms are understood, nothing is trusted."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.errors import StateError
from kata_hybrid.oci import config, default_spec, parse_spec, spec_to_dict
from kata_hybrid.oci.config import CPU, Memory, NamespaceType, Pids, Resources
from kata_hybrid.state import StateDocument, build_document, parse_document

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=20,
)

RUNC_1_1: dict[str, Any] = {
    "id": "c1",
    "init_process_pid": 7424,
    "init_process_start": 140132,
    "created": "2026-11-24T18:48:48.74431626Z",
    "config": {
        "no_pivot_root": False,
        "rootfs": "/b/rootfs",
        "umask": None,
        "mounts": None,
        "namespaces": [{"type": "NEWPID", "path": ""}, {"type": "NEWNET", "path": "/proc/1/ns/net"}],
        "cgroups": {"name": "c1", "path": "", "devices": None, "memory": 4096, "cpu_shares": 0, "rdma": None},
        "Hooks": {"poststop": [{"path": "/x", "args": None, "env": None, "dir": "", "timeout": 1500000000}]},
        "version": "1.0.2-dev",
        "labels": ["a=b=c", "bundle=/b"],
        "no_new_keyring": False,
    },
    "rootless": False,
    "cgroup_paths": {"": "/sys/fs/cgroup/unified/c1", "memory": "/sys/fs/cgroup/memory/c1"},
    "namespace_paths": {"NEWPID": "/proc/7424/ns/pid"},
    "intel_rdt_path": "",
}


def document(raw: dict[str, Any] = RUNC_1_1) -> StateDocument:
    return parse_document(json.dumps(raw).encode(), path="/r/c1/state.json")


def built(spec: config.Spec | None = None, **changes: Any) -> StateDocument:
    facts: dict[str, Any] = {
        "container_id": "c1",
        "pid": 42,
        "start_time": 7,
        "created": "2026-01-02T03:04:05.6Z",
        "rootfs": "/b/rootfs",
        "bundle": "/b",
        "cgroup_paths": {"freezer": "/sys/fs/cgroup/freezer/c1"},
    }
    return build_document(spec or default_spec(), **{**facts, **changes})


def test_nulls_of_old_runc_are_read() -> None:
    found = document()
    assert (found.pid, found.start_time, found.bundle, found.rootfs) == (7424, 140132, "/b", "/b/rootfs")
    assert found.annotations == {"a": "b=c"}
    assert found.namespaces == {NamespaceType.PID: "", NamespaceType.NETWORK: "/proc/1/ns/net"}
    assert found.hooks.poststop == (config.Hook(path="/x", timeout=2),)
    assert found.resources() == Resources(memory=Memory(limit=4096))


def test_omitted_members_mean_the_same_as_nulls() -> None:
    def dropped(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: dropped(item) for key, item in value.items() if item not in (None, "", False, 0)}
        return [dropped(item) for item in value] if isinstance(value, list) else value

    short = document(dropped(RUNC_1_1))
    assert {**vars(short), "raw": None} == {**vars(document()), "raw": None}
    assert short.resources() == document().resources()


def test_smallest_document_that_runc_works_with_is_read() -> None:
    assert document({"id": "x", "config": {"cgroups": {"devices": []}}}).resources() == Resources()


def test_unknown_keys_survive_a_rewrite() -> None:
    raw = copy.deepcopy(RUNC_1_1)
    raw["future"] = {"x": [1]}
    raw["config"]["odd"] = "y"
    raw["config"]["cgroups"]["new_limit"] = 5
    again = json.loads(document(raw).with_resources(Resources(pids=Pids(limit=9))).to_bytes())
    assert again["config"]["cgroups"].pop("pids_limit") == 9
    assert again == raw


def test_update_keeps_what_it_does_not_name() -> None:
    first = document().with_resources(Resources(cpu=CPU(quota=5000, period=10000)))
    second = first.with_resources(Resources(cpu=CPU(quota=7000)))
    assert second.resources().cpu == CPU(quota=7000, period=10000)
    assert second.resources().memory == Memory(limit=4096)


def test_shares_bring_their_weight() -> None:
    for shares, weight in ((2, 1), (512, 20), (1024, 39), (262144, 10000)):
        raw = document().with_resources(Resources(cpu=CPU(shares=shares))).raw
        assert raw["config"]["cgroups"]["cpu_weight"] == weight


def test_built_document_is_read_back() -> None:
    found = built()
    assert parse_document(found.to_bytes(), path="x") == found
    assert (found.id, found.pid, found.bundle, found.oci_version) == (
        "c1",
        42,
        "/b",
        default_spec().oci_version,
    )
    assert found.raw["namespace_paths"]["NEWNS"] == "/proc/42/ns/mnt"


def test_built_document_has_libcontainers_numbers() -> None:
    mounts = [
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755"],
        },
        {"destination": "m", "type": "bind", "source": "data", "options": ["rbind", "ro", "rslave"]},
    ]
    spec = parse_spec({**spec_to_dict(default_spec()), "mounts": mounts})
    made = built(spec).raw["config"]
    assert made["mounts"][0]["flags"] == 16777218
    assert made["mounts"][0]["data"] == "mode=755"
    assert made["mounts"][1] == {
        "source": "/b/data",
        "destination": "/m",
        "device": "bind",
        "flags": 20481,
        "propagation_flags": [540672],
    }
    assert made["cgroups"]["devices"][0] == {
        "type": 97,
        "major": -1,
        "minor": -1,
        "permissions": "rwm",
        "allow": False,
    }


def test_built_document_names_the_cgroup_as_runc_does() -> None:
    spec = parse_spec({**spec_to_dict(default_spec()), "linux": {"cgroupsPath": "/p/c1"}})
    assert built().raw["config"]["cgroups"]["name"] == "c1"
    assert [built(spec).raw["config"]["cgroups"][key] for key in ("name", "path")] == ["", "/p/c1"]


def test_seccomp_is_one_entry_per_name() -> None:
    rule = {"names": ["a", "b"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}
    filters = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}
    made = built(parse_spec({**spec_to_dict(default_spec()), "linux": {"seccomp": filters}})).raw["config"][
        "seccomp"
    ]
    assert made["architectures"] == ["amd64"]
    assert [entry["name"] for entry in made["syscalls"]] == ["a", "b"]
    assert "flags" not in made


def test_annotation_called_bundle_cannot_move_the_bundle() -> None:
    spec = parse_spec({**spec_to_dict(default_spec()), "annotations": {"bundle": "/evil", "k": "v"}})
    assert built(spec).raw["config"]["labels"] == ["k=v", "bundle=/b"]


def test_hooks_go_out_in_nanoseconds() -> None:
    hooks = {"poststop": [{"path": "/x", "args": ["x"], "env": [], "timeout": 3}]}
    made = built(parse_spec({**spec_to_dict(default_spec()), "hooks": hooks}))
    assert made.raw["config"]["Hooks"]["poststop"][0]["timeout"] == 3_000_000_000
    assert made.hooks.poststop[0].timeout == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\x00",
        b"[" * 100_000,
        b'{"id":' + b"9" * 5000 + b"}",
        json.dumps(RUNC_1_1).encode()[:-9],
    ],
)
def test_torn_file_is_a_state_error_with_its_path(data: bytes) -> None:
    with pytest.raises(StateError) as caught:
        parse_document(data, path="/r/c1/state.json")
    assert caught.value.path == "/r/c1/state.json"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", 1),
        ("init_process_pid", "1"),
        ("init_process_pid", -1),
        ("init_process_pid", True),
        ("config", []),
        ("cgroup_paths", {"a": 1}),
    ],
)
def test_wrong_type_is_a_state_error_that_names_the_member(key: str, value: object) -> None:
    with pytest.raises(StateError, match=key):
        document({**RUNC_1_1, key: value})


@given(json_values)
def test_any_json_is_a_document_or_a_state_error(value: object) -> None:
    try:
        parse_document(json.dumps(value), path="p").resources()
    except StateError:
        return


@given(st.data())
def test_any_damage_is_a_document_or_a_state_error(data: st.DataObject) -> None:
    raw = copy.deepcopy(RUNC_1_1)
    value: Any = raw
    while isinstance(value, (dict, list)) and value:
        key = data.draw(
            st.sampled_from(sorted(value) if isinstance(value, dict) else list(range(len(value))))
        )
        if not isinstance(value[key], (dict, list)) or data.draw(st.booleans()):
            value[key] = data.draw(json_values)
            break
        value = value[key]
    try:
        found = document(raw)
        found.resources()
        found.with_resources(Resources(pids=Pids(limit=1)))
    except StateError:
        return
    assert parse_document(found.to_bytes(), path="p") == found


numbers = st.integers(1, 2**40)


@given(
    st.builds(Memory, limit=numbers, swap=st.none() | numbers, swappiness=st.none() | st.integers(0, 100)),
    st.builds(
        CPU, shares=numbers, quota=st.none() | numbers, cpus=st.sampled_from(["", "0-3"]), idle=st.none()
    ),
    st.dictionaries(st.sampled_from(["memory.high", "cpu.max"]), st.text("0123456789", min_size=1)),
    st.dictionaries(
        st.sampled_from(["mlx5_1", "x"]), st.builds(config.Rdma, hca_handles=st.none() | numbers)
    ),
    st.lists(st.builds(config.ThrottleDevice, numbers, numbers, numbers), max_size=2).map(tuple),
)
def test_limits_survive(
    memory: Memory,
    cpu: CPU,
    unified: dict[str, str],
    rdma: dict[str, config.Rdma],
    throttles: tuple[config.ThrottleDevice, ...],
) -> None:
    block_io = config.BlockIO(throttle_read_bps_device=throttles) if throttles else None
    wanted = Resources(memory=memory, cpu=cpu, unified=unified, rdma=rdma, block_io=block_io)
    assert built().with_resources(wanted).resources() == wanted
