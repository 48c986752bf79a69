"""Steps to the bytes that kata-init reads. Knows no single step: a field's type decides its form.

Form: ``KHP1``, u32 count, then for each step u8 opcode, u8 number of fields, fields. A field is a tag (0 i64,
1 bytes, 2 list of bytes) and its value, little endian; bytes carry a NUL behind them that their length does
not count, so that init can use them as C strings where they lie.
"""

from __future__ import annotations

import struct

from ..errors import ConfigError
from .steps import OPCODES, PRIVATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .steps import Step

MAGIC = b"KHP1"
BINARY_FIELDS = frozenset({"data", "propagation", "groups", "bpf", "attr"})
"""Bytes fields that are packed numbers, where a NUL byte is a value and not an error."""
_KEPT_STEPS = 1024
_KEPT_BYTES = 1024


def encode(steps: Iterable[Step]) -> bytes:
    """The plan as bytes.

    Raises:
        ConfigError: a text holds a NUL, or a number does not fit 64 bits.
    """
    encoded = [_step(step) for step in steps]
    return b"".join((MAGIC, struct.pack("<I", len(encoded)), *encoded))


_kept: dict[tuple[int, Step], bytes] = {}
"""By opcode too, in which equal tuples differ. At most a megabyte of encodings, and as much again of what
was encoded; nothing private. All go when there are ``_KEPT_STEPS``."""


def _step(step: Step) -> bytes:
    """Most steps are small and the same for every container: those are encoded once."""
    kind = type(step)
    if kind in PRIVATE:
        return _encoded(OPCODES[kind], step)
    key = (OPCODES[kind], step)
    known = _kept.get(key)
    if known is None:
        known = _encoded(*key)
        if len(known) <= _KEPT_BYTES:
            if len(_kept) >= _KEPT_STEPS:
                _kept.clear()
            _kept[key] = known
    return known


def _encoded(opcode: int, step: Step) -> bytes:
    out = bytearray(struct.pack("<BB", opcode, len(step)))
    for name, value in zip(step._fields, step, strict=True):
        _field(out, type(step).__name__, name, value)
    return bytes(out)


def _field(out: bytearray, step: str, name: str, value: object) -> None:
    match value:
        case int():
            out += b"\x00" + _number(value, f"{step}.{name}")
        case str() | bytes():
            out += b"\x01"
            _blob(out, value, f"{step}.{name}")
        case tuple():
            out += b"\x02" + struct.pack("<I", len(value))
            for item in value:
                _blob(out, item, f"{step}.{name}")
        case _:
            raise TypeError(f"{step}.{name}: {type(value).__name__} has no encoding")


def _number(value: int, where: str) -> bytes:
    if not -(1 << 63) <= value < 1 << 64:
        raise ConfigError(where, f"{value} does not fit 64 bits")
    return (value & (1 << 64) - 1).to_bytes(8, "little")


def _blob(out: bytearray, value: str | bytes, where: str) -> None:
    if isinstance(value, str):
        data = text_bytes(value, where)
    elif b"\0" in value and where.rpartition(".")[2] not in BINARY_FIELDS:
        raise ConfigError(where, "contains a NUL byte")
    else:
        data = value
    out += struct.pack("<I", len(data))
    out += data
    out += b"\0"


def text_bytes(text: str, where: str) -> bytes:
    """Text as the kernel takes it: utf-8, undecodable bytes as they were read, no NUL.

    Raises:
        ConfigError: a NUL, or a lone surrogate that never was a byte.
    """
    if "\0" in text:
        raise ConfigError(where, "contains a NUL byte")
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ConfigError(where, "is not text that can be encoded") from None
