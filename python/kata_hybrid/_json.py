"""JSON by the extension, with the ``json`` package for what is unusual or wrong.

``json`` takes ten milliseconds to import, half of what a command has. The extension reads and writes what
state and configuration files are made of, and refuses the rest, so values and error texts are always those
of ``json``.
"""

from __future__ import annotations

from kata_hybrid import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def loads(data: bytes | str, *, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """As ``json.loads`` of text; bytes that are no UTF-8 survive as surrogate escapes.

    Raises:
        ValueError: it is no JSON (then a ``json.JSONDecodeError``), or what ``parse_constant`` raises.
        RecursionError: it is nested too deep.
    """
    try:
        return _core.json_loads(data if isinstance(data, bytes) else data.encode())
    except ValueError:
        import json

        text = data if isinstance(data, str) else data.decode("utf-8", "surrogateescape")
        return json.loads(text, parse_constant=parse_constant)


def dumps(value: object, *, ensure_ascii: bool = True, indent: int = 0) -> str:
    """As ``json.dumps`` with ``separators=(",", ":")``, or with ``indent``.

    Raises:
        TypeError, ValueError, RecursionError: it has no JSON form.
    """
    try:
        return _core.json_dumps(value, ensure_ascii=ensure_ascii, indent=indent)
    except ValueError:
        import json

        separators = None if indent else (",", ":")
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent or None, separators=separators)
