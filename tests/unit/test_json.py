"""The extension's JSON is that of the ``json`` package, for values and for errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid import _core, _json

TEXTS = st.text(st.characters(codec=None, exclude_categories=()))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def outcome(call: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    try:
        return "value", repr(call(*args, **kwargs))  # 1, 1.0 and True are equal, their texts are not
    except (ValueError, TypeError, RecursionError) as err:
        return type(err), str(err)


def real_loads(data: bytes | str) -> Any:
    return json.loads(data if isinstance(data, str) else data.decode("utf-8", "surrogateescape"))


@given(VALUES, st.booleans(), st.sampled_from([0, 2, 4]))
def test_any_value_is_written_as_by_json_and_read_back(value: Any, ensure_ascii: bool, indent: int) -> None:
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent or None, separators=separators)
    assert _json.dumps(value, ensure_ascii=ensure_ascii, indent=indent) == text
    assert repr(_json.loads(text)) == repr(json.loads(text))
    data = text.encode("utf-8", "surrogatepass")
    assert outcome(_json.loads, data) == outcome(real_loads, data)


@given(PLAIN)
def test_plain_values_need_the_extension_only(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert repr(_core.json_loads(text.encode())) == repr(value)
    assert _core.json_dumps(value) == json.dumps(value, separators=(",", ":"))


@given(st.text('{}[]",:\\ \n\t0123456789-+.eEtrufalsn\x00é/b') | st.binary())
def test_any_text_is_read_or_refused_as_by_json(data: bytes | str) -> None:
    assert outcome(_json.loads, data) == outcome(real_loads, data)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2, "b": 3}',
        "-0",
        "1e400",
        "18446744073709551616",
        "-9223372036854775809",
        "0.1",
        "[NaN, -Infinity]",
        '"\\ud800"',
        '"\\ud83d\\ude00"',
        "\ufeff1",
        "[1,]",
        '{"a" 1}',
        "1 2",
        "",
        "[" * 100 + "]" * 100,
        "[" * 200 + "]" * 200,
        "[" * 100_000,
        "1" * 5000,
        '"\x01"',
        '"tab\there"',
    ],
    ids=lambda text: text[:20].encode("ascii", "backslashreplace").decode(),
)
def test_odd_texts_are_treated_as_by_json(text: str) -> None:
    assert outcome(_json.loads, text) == outcome(real_loads, text)
    assert outcome(_json.loads, text.encode()) == outcome(real_loads, text)


def test_bytes_that_are_no_utf8_survive() -> None:
    assert _json.loads(b'{"a\xff": "\xfe"}') == {"a\udcff": "\udcfe"}
    assert _json.dumps({"a\udcff": "\udcfe"}) == '{"a\\udcff":"\\udcfe"}'


def test_constants_that_are_no_json_can_be_refused() -> None:
    def refuse(word: str) -> object:
        raise ValueError(f"no {word}")

    with pytest.raises(ValueError, match="no NaN"):
        _json.loads("[NaN]", parse_constant=refuse)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [{1: 2}, object(), {"a": {3}}, 1.5, (1, "x"), Text("a"), True, 2**64, -(2**63)]
)
def test_values_beyond_the_plain_ones_are_written_as_by_json(value: object) -> None:
    real = outcome(json.dumps, value, separators=(",", ":"))
    assert outcome(_json.dumps, value) == real


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="Circular reference"):
        _json.dumps(value)
