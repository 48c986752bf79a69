"""Typed reading of a state file's object: absent, null and zero are the same; a wrong type is one error.

runc 1.1 writes null and zero members, 1.4 and later leave them out; readers must not care.
"""

from __future__ import annotations

from ..errors import StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_INT64 = (-(2**63), 2**64 - 1)


class Reader:
    """One JSON object of a state file.

    Args:
        value: what was parsed; None counts as an empty object.
        path: of the file, for errors.
        at: JSON path of the object, empty for the whole.
    """

    def __init__(self, value: Any, *, path: str, at: str = "") -> None:
        self._path = path
        self._at = at
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self._wrong("", "an object", value)
        self._value: dict[str, Any] = value

    def text(self, key: str) -> str:
        """A string, ``""`` when absent."""
        value = self._value.get(key)
        if value is None:
            return ""
        if not isinstance(value, str) or not _is_text(value):
            raise self._wrong(key, "text", value)
        return value

    def number(self, key: str) -> int:
        """An integer, 0 when absent."""
        return self.number_or_none(key) or 0

    def number_or_none(self, key: str) -> int | None:
        """An integer, None when absent."""
        value = self._value.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not _INT64[0] <= value <= _INT64[1]:
            raise self._wrong(key, "an integer of 64 bits", value)
        return value

    def flag(self, key: str) -> bool:
        """A boolean, False when absent."""
        value = self._value.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def object(self, key: str) -> Reader:
        """An object, empty when absent."""
        return Reader(self._value.get(key), path=self._path, at=self._name(key))

    def objects(self, key: str) -> list[Reader]:
        """An array of objects, empty when absent."""
        items = self._array(key)
        return [Reader(item, path=self._path, at=f"{self._name(key)}[{i}]") for i, item in enumerate(items)]

    def texts(self, key: str) -> tuple[str, ...]:
        """An array of strings, empty when absent."""
        items = self._array(key)
        if not all(isinstance(item, str) and _is_text(item) for item in items):
            raise self._wrong(key, "an array of texts", items)
        return tuple(items)

    def text_map(self, key: str) -> dict[str, str]:
        """An object with strings, empty when absent."""
        entries = self.object(key)
        return {_key: entries.text(_key) for _key in entries._value if entries._checked(_key)}

    def keys(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._value)

    def _checked(self, key: str) -> bool:
        if not _is_text(key):
            raise self._wrong("", "an object with text keys", key)
        return True

    def _array(self, key: str) -> list[Any]:
        value = self._value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "an array", value)
        return value

    def _name(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key

    def _wrong(self, key: str, wanted: str, value: Any) -> StateError:
        where = self._name(key) if key else self._at or "the document"
        return StateError(f"{where} must be {wanted}, not {type(value).__name__}", path=self._path)


def _is_text(value: str) -> bool:
    """Whether it can be turned into bytes: no half surrogate pairs but escapes of single bytes."""
    if value.isascii():
        return True
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True
