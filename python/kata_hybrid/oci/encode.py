"""The dataclasses of :mod:`config` back to OCI JSON: what is absent or at its default is left out.

``json.dumps`` of the result with its default ``ensure_ascii`` keeps bytes that are no UTF-8 (surrogate
escapes) through a round trip.
"""

from __future__ import annotations

from _collections_abc import Mapping  # collections.abc imports all of collections

from .._record import described
from . import config
from ._keys import ALWAYS, json_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]
    _Row = tuple[str, str, Callable[[], Any] | None]


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


_rows: dict[type, tuple[_Row, ...]] = {}


def _rows_of(kind: type) -> tuple[_Row, ...]:
    """(attribute, key, its default or None when it is always written) of each field."""
    rows = _rows.get(kind)
    if rows is None:
        rows = _rows[kind] = tuple(
            (name, json_key(name), None if (kind.__name__, name) in ALWAYS else default)
            for name, _, default in described(kind)
        )
    return rows


def _object(value: Any) -> Json:
    result: Json = {}
    for attribute, key, default in _rows_of(type(value)):
        item = getattr(value, attribute)
        if item is None or (default is not None and item == default()):
            continue
        result[key] = _value(item) if attribute != "net_devices" else _net_devices(item)
    return result


def _value(value: Any) -> Any:
    if isinstance(value, (str, int)):
        return value
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in value.items()}
    if isinstance(value, config.NamespaceType):
        return value.value
    if hasattr(value, "__record__"):
        return _object(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _net_devices(devices: Mapping[str, str]) -> Json:
    return {host: {"name": name} if name else {} for host, name in devices.items()}
