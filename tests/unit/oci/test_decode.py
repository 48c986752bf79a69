"""Decoding: any JSON gives a Spec or a ConfigError with a place, and nothing is lost on the way back."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kata_hybrid.errors import ConfigError
from kata_hybrid.oci import (
    config,
    default_spec,
    load_spec,
    parse_process,
    parse_resources,
    parse_spec,
    process_to_dict,
    resources_to_dict,
    spec_to_dict,
    validate_spec,
)
from kata_hybrid.oci._keys import I64, RANGES

if TYPE_CHECKING:
    from pathlib import Path


texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=12),
    st.binary(max_size=8).map(lambda data: data.decode("utf-8", "surrogateescape")),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=20,
)


def built(kind: type) -> st.SearchStrategy[Any]:
    """Instances of a dataclass of ``config`` with any values that JSON can carry."""
    return st.deferred(lambda: st.builds(kind, **{item.name: _field(kind, item) for item in fields(kind)}))


def _field(kind: type, item: Any) -> st.SearchStrategy[Any]:
    if (kind.__name__, item.name) == ("Namespace", "path"):
        return st.none() | texts.filter(bool)
    if kind.__name__ == "DeviceCgroup" and item.name in ("major", "minor"):
        return st.none() | st.integers(0, 2**32)
    return _annotated(str(item.type), kind.__name__, item.name)


def _annotated(text: str, kind_name: str, field_name: str) -> st.SearchStrategy[Any]:
    if text.endswith(" | None"):
        return st.none() | _annotated(text.removesuffix(" | None"), kind_name, field_name)
    if text.startswith("tuple["):
        inner = _annotated(text[len("tuple[") : -len(", ...]")], kind_name, field_name)
        return st.lists(inner, max_size=2).map(tuple)
    if text.startswith("Mapping[str, "):
        inner = _annotated(text[len("Mapping[str, ") : -1], kind_name, field_name)
        return st.dictionaries(texts, inner, max_size=2)
    if text == "int":
        return st.integers(*RANGES.get((kind_name, field_name), I64))
    kinds = st.sampled_from(list(config.NamespaceType))
    scalars = {"str": texts, "bool": st.booleans(), "NamespaceType": kinds}
    return scalars[text] if text in scalars else built(getattr(config, text))


relaxed = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def a_spec(**changes: Any) -> dict[str, Any]:
    return {**spec_to_dict(default_spec()), **changes}


@relaxed
@given(built(config.Spec))
def test_spec_survives_json(spec: config.Spec) -> None:
    assert parse_spec(json.dumps(spec_to_dict(spec)).encode()) == spec


@relaxed
@given(built(config.Process), built(config.Resources))
def test_parts_survive_json(process: config.Process, resources: config.Resources) -> None:
    assert parse_process(json.dumps(process_to_dict(process))) == process
    assert parse_resources(json.dumps(resources_to_dict(resources))) == resources


@relaxed
@given(json_values)
def test_any_json_is_a_spec_or_a_config_error(value: object) -> None:
    try:
        spec = parse_spec(json.dumps(value))
        validate_spec(spec)
    except ConfigError:
        return
    assert isinstance(spec, config.Spec)


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes_are_a_spec_or_a_config_error(data: bytes) -> None:
    with pytest.raises(ConfigError):
        validate_spec(parse_spec(data))


@relaxed
@given(built(config.Spec), st.data())
def test_any_damage_is_a_config_error_or_a_spec(spec: config.Spec, data: st.DataObject) -> None:
    value = spec_to_dict(spec)
    _damage(value, data)
    try:
        validate_spec(parse_spec(value))
    except ConfigError as err:
        texts_seen = str(err).splitlines()
    else:
        texts_seen = ["valid"]
    assert len(texts_seen) == 1


def _damage(value: Any, data: st.DataObject) -> None:
    while isinstance(value, (dict, list)) and value:
        keys = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(value[key], (dict, list)) or data.draw(st.booleans()):
            value[key] = data.draw(json_values)
            return
        value = value[key]


@pytest.mark.parametrize(
    ("change", "location", "part"),
    [
        ({"process": {"cwd": "/", "args": ["a", 7]}}, "process.args[1]", "must be a string, not 7"),
        ({"process": {"cwd": "/", "user": {"uid": -1}}}, "process.user.uid", "from 0 to 4294967295, not -1"),
        ({"process": {"terminal": "yes"}}, "process.terminal", 'true or false, not "yes"'),
        ({"process": {"user": {"gid": 1.0}}}, "process.user.gid", "must be an integer"),
        (
            {"process": {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1}]}},
            "process.rlimits[0].hard",
            "must be set",
        ),
        (
            {"linux": {"namespaces": [{"type": "pids"}]}},
            "linux.namespaces[0].type",
            'namespace "pids" does not',
        ),
        ({"linux": []}, "linux", "must be an object, not an array"),
        ({"root": {"readonly": True}}, "root.path", "must be set"),
        (
            {"linux": {"resources": {"memory": {"limit": 2**63}}}},
            "linux.resources.memory.limit",
            "integer from",
        ),
        ({"linux": {"sysctl": {"net.x": 1}}}, 'linux.sysctl["net.x"]', "must be a string"),
        ({"process": {"noNewprivileges": True}}, "process.noNewprivileges", "noNewPrivileges"),
        ({"process": {"capabilities": {"denied": []}}}, "process.capabilities.denied", "security setting"),
        ({"linux": {"seccomp": {"defaultAction": "x", "deny": 1}}}, "linux.seccomp.deny", "security setting"),
        ({"hostname": "\ud800"}, "hostname", "half a surrogate pair"),
    ],
)
def test_error_names_place_value_and_what_is_allowed(
    change: dict[str, Any], location: str, part: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_spec(a_spec(**change))
    assert caught.value.location == location
    assert part in caught.value.problem


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a":NaN}',
        "9" * 5000,
        '{"root":{"path":' + "9" * 5000 + "}}",
        "null",
        "[]",
        '"x"',
    ],
)
def test_text_that_is_no_configuration_is_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_spec(text)


def test_huge_number_in_a_mapping_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="beyond all ranges"):
        parse_process({"cwd": "/", "args": ["a"], "user": {"uid": 10**6000}})


def test_unknown_keys_and_nulls_are_ignored() -> None:
    plain = a_spec()
    noisy = copy.deepcopy(plain)
    noisy.update({"solaris": {"x": 1}, "hooks": None, "annotations": None})
    noisy["linux"].update({"memoryPolicy": {}, "cgroupsPath": None, "seccomp": None})
    assert parse_spec(noisy) == parse_spec(plain)


def test_bytes_that_are_no_utf8_survive() -> None:
    process = parse_process(b'{"cwd":"/","args":["\xff\xfe"],"env":["A=\x80"]}')
    assert [text.encode("utf-8", "surrogateescape") for text in process.args] == [b"\xff\xfe"]
    assert parse_process(json.dumps(process_to_dict(process))) == process


def test_absent_and_empty_seccomp_flags_differ() -> None:
    def flags(extra: dict[str, Any]) -> object:
        seccomp = parse_spec(
            a_spec(linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", **extra}})
        ).linux.seccomp
        return seccomp.flags if seccomp is not None else "none"

    assert flags({}) is None
    assert flags({"flags": []}) == ()


def test_device_number_minus_one_means_any() -> None:
    rule = parse_resources({"devices": [{"allow": True, "type": "c", "major": 1, "minor": -1}]}).devices[0]
    assert (rule.major, rule.minor, rule.access) == (1, None, "rwm")


def test_load_spec_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"JSON specification file config\.json not found"):
        load_spec(tmp_path)
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="cannot read"):
        load_spec(tmp_path)


def test_load_spec_waits_for_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(ConfigError, match=r"cannot read '.*/config\.json': not a regular file"):
        load_spec(tmp_path)


def test_load_spec_reads_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(a_spec()))
    assert load_spec(tmp_path) == default_spec()
