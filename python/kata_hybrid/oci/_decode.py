"""JSON to the dataclasses of :mod:`config`, with the place of each error.

A decoder per dataclass is derived once from its annotations. Each level adds its own name to an error on
the way up, so nothing is spent on places while all is well. Rules between fields are in :mod:`validate`.

What is read: ``null`` is absence; unknown keys are ignored as the spec demands, except where they could
be a protection that would silently be missing: in capabilities and seccomp, and any key that differs from
a known one in case only (Go's decoder would have taken it).
"""

from __future__ import annotations

from _collections_abc import Mapping  # collections.abc imports all of collections

from .. import _json
from .._record import described
from ..errors import ConfigError
from . import config
from ._keys import CLOSED, I64, IGNORED, LENIENT, RANGES, json_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Decoder = Callable[[Any], Any]

_MAX_SHOWN = 60


class _Wrong(Exception):  # noqa: N818 - never leaves this module
    """A wrong value; ``parts`` is its place from the inside out."""

    def __init__(self, problem: str, *parts: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.parts = list(parts)


def load_json(data: bytes | str, what: str) -> object:
    """The value of a JSON text; bytes that are no UTF-8 survive as surrogate escapes.

    Raises:
        ConfigError: it is no JSON, or nested too deep, or a number has thousands of digits.
    """
    try:
        text = data if isinstance(data, str) else bytes(data)
        return _json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise ConfigError(what, f"not JSON: {_problem(err)}") from None


def _problem(err: Exception) -> str:
    from json import JSONDecodeError

    if isinstance(err, JSONDecodeError):
        return f"{err.msg} at line {err.lineno} column {err.colno}"
    return str(err).partition(";")[0]


def decode(kind: type[T], value: object, at: str = "") -> T:
    """``value`` (a JSON object as a mapping) as the dataclass ``kind``.

    Args:
        at: JSON path of the value, the start of every error's location.

    Raises:
        ConfigError: with ``location``, the value found and what is allowed.
    """
    try:
        result: T = _decoder_of(kind)(value)
    except _Wrong as wrong:
        raise ConfigError(_path(at, wrong.parts), wrong.problem) from None
    except RecursionError:
        raise ConfigError(at, "nested too deep") from None
    return result


def _path(at: str, parts: list[str]) -> str:
    text = at
    for part in reversed(parts):
        text += part if part.startswith("[") or not text else f".{part}"
    return text


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not a JSON number")


# One decoder per dataclass, made when first needed.
_decoders: dict[type, Decoder] = {}


def _decoder_of(kind: type) -> Decoder:
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = _make_object_decoder(kind)
    return decoder


def _make_object_decoder(kind: type) -> Decoder:
    name = kind.__name__
    table: dict[str, tuple[str, Decoder]] = {}
    required: list[tuple[str, str, Any]] = []
    for field, annotation, default in described(kind):
        decoder = _SPECIAL.get((name, field)) or _for_annotation(annotation, name, field)
        key = json_key(field)
        table[key] = (field, decoder)
        if default is None:
            empty = "" if annotation == "str" else ()
            required.append((field, key, empty if (name, field) in LENIENT else None))
    folded = {key.lower(): key for key in table}

    def decode_object(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Wrong(f"must be an object, not {_shown(value)}")
        found: dict[str, Any] = {}
        for key, item in value.items():
            entry = table.get(key) if isinstance(key, str) else None
            if entry is None:
                _check_unknown(name, key, folded)
            elif item is not None:
                try:
                    found[entry[0]] = entry[1](item)
                except _Wrong as wrong:
                    wrong.parts.append(key)
                    raise
        for attribute, key, empty in required:
            if attribute not in found:
                if empty is None:
                    raise _Wrong("must be set", key)
                found[attribute] = empty
        return kind(**found)

    return decode_object


def _check_unknown(kind_name: str, key: object, folded: dict[str, str]) -> None:
    if not isinstance(key, str):
        raise _Wrong(f"a key must be a string, not {_shown(key)}")
    meant = folded.get(key.lower())
    if meant is not None:
        raise _Wrong(f"unknown key, {_shown(meant)} is spelled differently", _clip(key))
    if kind_name in CLOSED and (kind_name, key) not in IGNORED:
        raise _Wrong("unknown key of a security setting, it would not be applied", _clip(key))


def _for_annotation(annotation: str, kind_name: str, field_name: str) -> Decoder:
    """The decoder for an annotation of :mod:`config`, which uses a small and fixed grammar."""
    text = annotation.removesuffix(" | None")
    if text.startswith("tuple["):
        inner = text.removeprefix("tuple[").removesuffix(", ...]")
        return _array_of(_for_annotation(inner, kind_name, field_name))
    if text.startswith("Mapping[str, "):
        inner = text.removeprefix("Mapping[str, ").removesuffix("]")
        return _map_of(_for_annotation(inner, kind_name, field_name))
    if text == "int":
        return _integer(*RANGES.get((kind_name, field_name), I64))
    if text in _SCALARS:
        return _SCALARS[text]
    kind: type = getattr(config, text)

    def decode_later(value: Any) -> Any:
        return _decoder_of(kind)(value)

    return decode_later


def _array_of(decoder: Decoder) -> Decoder:
    def decode_array(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            raise _Wrong(f"must be an array, not {_shown(value)}")
        items: list[Any] = []
        try:
            for item in value:
                items.append(decoder(item))  # noqa: PERF401 - its length is the index of a wrong item
        except _Wrong as wrong:
            wrong.parts.append(f"[{len(items)}]")
            raise
        return tuple(items)

    return decode_array


def _map_of(decoder: Decoder) -> Decoder:
    def decode_map(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise _Wrong(f"must be an object, not {_shown(value)}")
        items: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise _Wrong(f"a key must be a string, not {_shown(key)}")
            try:
                items[_string(key)] = decoder(item)
            except _Wrong as wrong:
                wrong.parts.append(f"[{_shown(key)}]")
                raise
        return items

    return decode_map


def _integer(low: int, high: int) -> Decoder:
    def decode_integer(value: Any) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise _Wrong(f"must be an integer from {low} to {high}, not {_shown(value)}")

    return decode_integer


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"must be a string, not {_shown(value)}")
    if not value.isascii():
        try:
            value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise _Wrong("must be text, it has half a surrogate pair") from None
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _Wrong(f"must be true or false, not {_shown(value)}")


def _namespace_type(value: Any) -> config.NamespaceType:
    word = _string(value)
    try:
        return config.NamespaceType(word)
    except ValueError:
        allowed = ", ".join(kind.value for kind in config.NamespaceType)
        raise _Wrong(f"namespace {_shown(word)} does not exist, allowed are {allowed}") from None


def _net_device(value: Any) -> str:
    """``{"name": "eth1"}``: the name in the container; absent means it stays as it is."""
    if not isinstance(value, Mapping):
        raise _Wrong(f"must be an object, not {_shown(value)}")
    name = value.get("name")
    return "" if name is None else _string(name)


def _device_number(value: Any) -> int | None:
    number: int = _integer(*I64)(value)
    return None if number == -1 else number  # runc's way to say any


def _path_or_none(value: Any) -> str | None:
    return _string(value) or None


_SCALARS: dict[str, Decoder] = {"str": _string, "bool": _boolean, "NamespaceType": _namespace_type}

_SPECIAL: dict[tuple[str, str], Decoder] = {
    ("Linux", "net_devices"): _map_of(_net_device),
    ("DeviceCgroup", "major"): _device_number,
    ("DeviceCgroup", "minor"): _device_number,
    ("Namespace", "path"): _path_or_none,
}


def _clip(text: str) -> str:
    clipped = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
    return clipped.encode("ascii", "backslashreplace").decode("ascii")


def _shown(value: object) -> str:
    """A value for an error text: short, one line, printable."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _json.dumps(value if len(value) <= _MAX_SHOWN else value[:_MAX_SHOWN] + "...")
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 128 else "a number beyond all ranges"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, (list, tuple)) else f"a {type(value).__name__}"
