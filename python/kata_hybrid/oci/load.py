"""Reading ``config.json`` and its parts into the types of :mod:`config`."""

from __future__ import annotations

import os
from _collections_abc import Mapping  # collections.abc imports all of collections

from .._core import read_file
from .._light import kept
from ..errors import ConfigError
from ._decode import decode, load_json
from .config import Process, Resources, Spec

MAX_CONFIG_BYTES = 16 * 1024 * 1024
"""A larger ``config.json`` is refused unread; engines write some hundred kilobytes at most."""
_KEPT_BYTES = 64 * 1024
"""So many bytes of file, eight times, and what was read from them: some megabytes, environments too."""


def parse_spec(data: bytes | str | Mapping[str, object]) -> Spec:
    """``config.json`` as JSON text or as the object it holds. Checks shapes, not rules between fields.

    Raises:
        ConfigError: with the JSON path.
    """
    return decode(Spec, _value_of(data, "config.json"))


def parse_process(data: bytes | str | Mapping[str, object], *, at: str = "process") -> Process:
    """A ``process`` object. ``at`` is its JSON path for errors.

    Raises:
        ConfigError: with the JSON path.
    """
    return decode(Process, _value_of(data, at), at)


def parse_resources(data: bytes | str | Mapping[str, object], *, at: str = "linux.resources") -> Resources:
    """A ``linux.resources`` object. ``at`` is its JSON path for errors.

    Raises:
        ConfigError: with the JSON path.
    """
    return decode(Resources, _value_of(data, at), at)


def load_spec(bundle_dir: str | os.PathLike[str]) -> Spec:
    """The ``config.json`` of a bundle.

    Raises:
        ConfigError: missing, unreadable, too large or wrong.
    """
    path = os.path.join(os.fspath(bundle_dir), "config.json")
    try:
        data = read_file(path, limit=MAX_CONFIG_BYTES, regular=True)
    except FileNotFoundError:
        raise ConfigError("", "JSON specification file config.json not found") from None
    except OSError as err:
        raise ConfigError("", f"cannot read '{path}': {err.strerror}") from err
    except ValueError as err:
        raise ConfigError("", f"cannot read {path!r}: {err}") from None
    if len(data) > MAX_CONFIG_BYTES:
        raise ConfigError("config.json", f"larger than {MAX_CONFIG_BYTES} bytes")
    return _kept_spec(data) if len(data) <= _KEPT_BYTES else parse_spec(data)


@kept(8)
def _kept_spec(data: bytes) -> Spec:
    """The file is read each time, but parsed only when it is not one of the last: a Spec is immutable."""
    return parse_spec(data)


def _value_of(data: bytes | str | Mapping[str, object], what: str) -> object:
    return data if isinstance(data, Mapping) else load_json(data, what)
