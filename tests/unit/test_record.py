"""The light dataclasses, named tuples and enumerations behave as the real ones."""

from __future__ import annotations

import copy
import dataclasses
import enum
import pickle
from typing import Any, NamedTuple

import pytest
from kata_hybrid import _record as record
from kata_hybrid.oci import config
from kata_hybrid.plan import steps


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


@record.dataclass
class Basket:
    owner: str
    items: list[str] = record.field(default_factory=list)
    note: str = record.field(default="", repr=False, compare=False)


def test_a_record_that_is_not_frozen_can_be_changed_and_not_hashed() -> None:
    basket = Basket("me")
    basket.items.append("bread")
    basket.owner = "you"
    assert basket == Basket("you", ["bread"], note="not compared")
    assert repr(basket) == "Basket(owner='you', items=['bread'])"
    assert record.replace(basket, owner="me") == Basket("me", ["bread"])
    with pytest.raises(TypeError):
        hash(basket)


def test_options_of_fields_are_known_to_dataclasses() -> None:
    owner, items, note = dataclasses.fields(Basket)
    assert (owner.default, items.default_factory) == (dataclasses.MISSING, list)
    assert (note.default, note.repr, note.compare) == ("", False, False)
    assert Basket.__match_args__ == ("owner", "items", "note")


class Real2(NamedTuple):
    path: str
    flags: int = 0
    data: str = ""


class Ours(record.NamedTuple):
    path: str
    flags: int = 0
    data: str = ""


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("a",), {}),
        (("a", 1), {}),
        (("a", 1, "x"), {}),
        ((), {"path": "a"}),
        (("a",), {"data": "x"}),
        ((), {}),
        ((), {"flags": 1}),
        (("a", 1, "x", 2), {}),
        (("a",), {"path": "b"}),
        (("a",), {"odd": 1}),
    ],
)
def test_named_tuples_are_as_those_of_typing(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        real = Real2(*args, **kwargs)
    except TypeError:
        with pytest.raises(TypeError):
            Ours(*args, **kwargs)
        return
    ours = Ours(*args, **kwargs)
    assert ours == real
    assert hash(ours) == hash(real)
    assert repr(ours) == repr(real).replace("Real2", "Ours")
    assert (ours.path, ours.flags, ours.data) == real
    assert ours._asdict() == real._asdict()
    assert ours._replace(flags=7) == real._replace(flags=7)
    assert pickle.loads(pickle.dumps(ours)) == ours
    assert type(copy.deepcopy(ours)) is Ours


def test_a_named_tuple_has_names_that_hide_methods_of_tuples() -> None:
    assert steps.Hook("k", 3, "/p", (), (), 0, b"").index == 3
    assert steps.Setsid() == ()


class Real3(enum.Enum):
    HIGH = "high"
    LOW = "low"


class Light(record.Enum):
    HIGH = "high"
    LOW = "low"


def test_enumerations_are_as_those_of_enum() -> None:
    for kind in (Real3, Light):
        low: Any = kind("low")
        assert low is kind.LOW is kind["LOW"] is kind(low)
        assert (low.name, low.value, str(low)) == ("LOW", "low", f"{kind.__name__}.LOW")
        assert repr(low) == f"<{kind.__name__}.LOW: 'low'>"
        assert [item.value for item in kind] == ["high", "low"]
        assert len(kind) == 2
        assert list(kind.__members__) == ["HIGH", "LOW"]
        assert low in kind
        assert isinstance(low, kind)
        assert low != kind.HIGH
        assert {low: 1}[kind.LOW] == 1
        assert copy.deepcopy(low) is low
        assert pickle.loads(pickle.dumps(low)) is low
        with pytest.raises(ValueError, match="'middle' is not a valid"):
            kind("middle")
        with pytest.raises(KeyError):
            kind["MIDDLE"]
