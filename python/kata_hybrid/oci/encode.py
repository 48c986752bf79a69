"""The dataclasses of :mod:`config` back to OCI JSON: what is absent or at its default is left out.

``json.dumps`` of the result with its default ``ensure_ascii`` keeps bytes that are no UTF-8 (surrogate
escapes) through a round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from ._keys import ALWAYS, json_key

if TYPE_CHECKING:
    from . import config

Json = dict[str, Any]


def spec_to_dict(spec: config.Spec) -> Json:
    """The content of ``config.json``."""
    return _object(spec)


def process_to_dict(process: config.Process) -> Json:
    """The content of a ``process.json`` as ``exec --process`` takes it."""
    return _object(process)


def resources_to_dict(resources: config.Resources) -> Json:
    """The content of ``linux.resources`` as ``update --resources`` takes it."""
    return _object(resources)


def hooks_to_dict(hooks: config.Hooks) -> Json:
    """The content of ``hooks``; kinds without hooks are left out."""
    return _object(hooks)


def to_json(value: object) -> Any:
    """Any one dataclass or value of :mod:`config`."""
    return _value(value)


_Row = tuple[str, str, Callable[[], Any] | None]
_rows: dict[type, tuple[_Row, ...]] = {}


def _rows_of(kind: type) -> tuple[_Row, ...]:
    """(attribute, key, its default or None when it is always written) of each field."""
    rows = _rows.get(kind)
    if rows is None:
        rows = _rows[kind] = tuple(_row(kind.__name__, item) for item in fields(kind))
    return rows


def _row(kind_name: str, item: Any) -> _Row:
    default: Callable[[], Any] | None = None
    if (kind_name, item.name) not in ALWAYS:
        if item.default is not MISSING:
            default = lambda value=item.default: value  # noqa: E731 - bound now, called later
        elif item.default_factory is not MISSING:
            default = item.default_factory
    return item.name, json_key(item.name), default


def _object(value: Any) -> Json:
    result: Json = {}
    for attribute, key, default in _rows_of(type(value)):
        item = getattr(value, attribute)
        if item is None or (default is not None and item == default()):
            continue
        result[key] = _value(item) if attribute != "net_devices" else _net_devices(item)
    return result


def _value(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    if is_dataclass(value):
        return _object(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _net_devices(devices: Mapping[str, str]) -> Json:
    return {host: {"name": name} if name else {} for host, name in devices.items()}
