"""The light dataclasses behave as the real ones."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest
from kata_hybrid.oci import config


@dataclasses.dataclass(frozen=True)
class Real:
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] | None = None
    timeout: int | None = None


RECORDS = [
    item for item in vars(config).values() if isinstance(item, type) and dataclasses.is_dataclass(item)
]


def test_every_type_of_the_spec_is_a_dataclass_with_a_generated_form() -> None:
    assert len(RECORDS) > 30
    for kind in RECORDS:
        assert [item.name for item in dataclasses.fields(kind)] == list(kind.__annotations__)


def test_construction_equality_hash_and_text_are_those_of_a_dataclass() -> None:
    ours, real = config.Hook("/x", ("a",), timeout=3), Real("/x", ("a",), timeout=3)
    assert repr(ours) == repr(real).replace("Real", "Hook")
    assert dataclasses.asdict(ours) == dataclasses.asdict(real)
    assert ours == config.Hook(path="/x", args=("a",), timeout=3)
    assert hash(ours) == hash(config.Hook("/x", ("a",), None, 3)) == hash(real)
    assert ours != dataclasses.replace(ours, timeout=4)
    assert ours != real


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), (("a", (), None, 1, 2), {}), (("a",), {"path": "b"}), (("a",), {"odd": 1})]
)
def test_wrong_arguments_are_a_type_error(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for kind in (config.Hook, Real):
        with pytest.raises(TypeError):
            kind(*args, **kwargs)


def test_fields_cannot_be_changed() -> None:
    hook: Any = config.Hook("/x")
    with pytest.raises(dataclasses.FrozenInstanceError):
        hook.path = "/y"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del hook.path


def test_default_factories_are_not_shared() -> None:
    assert config.Spec("1").annotations is not config.Spec("1").annotations


def test_copies_are_equal() -> None:
    spec = config.Spec("1", root=config.Root("r"))
    assert copy.deepcopy(spec) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
