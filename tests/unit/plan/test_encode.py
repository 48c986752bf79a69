"""The bytes of a plan, read back by an own decoder and, where it is built, by the Rust one."""

from __future__ import annotations

import struct

import pytest
import specs
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.errors import ConfigError
from kata_hybrid.plan import HostFacts, LaunchOptions, plan_create, steps
from kata_hybrid.plan.encode import MAGIC, encode


def decode(data: bytes) -> list[tuple[int, list[object]]]:
    """An independent reading of the format's description."""
    assert data[:4] == MAGIC
    (count,) = struct.unpack_from("<I", data, 4)
    at = 8
    result: list[tuple[int, list[object]]] = []
    for _ in range(count):
        opcode, number = data[at], data[at + 1]
        at += 2
        fields: list[object] = []
        for _ in range(number):
            value, at = field(data, at)
            fields.append(value)
        result.append((opcode, fields))
    assert at == len(data)
    return result


def field(data: bytes, at: int) -> tuple[object, int]:
    tag = data[at]
    if tag == 0:
        return struct.unpack_from("<q", data, at + 1)[0], at + 9
    if tag == 1:
        return blob(data, at + 1)
    assert tag == 2
    (count,) = struct.unpack_from("<I", data, at + 1)
    at += 5
    items = []
    for _ in range(count):
        item, at = blob(data, at)
        items.append(item)
    return items, at


def blob(data: bytes, at: int) -> tuple[bytes, int]:
    (size,) = struct.unpack_from("<I", data, at)
    assert data[at + 4 + size] == 0
    return data[at + 4 : at + 4 + size], at + 5 + size


def wire(value: object) -> object:
    if isinstance(value, int):
        return value - (1 << 64) if value >= 1 << 63 else value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return [wire(item) for item in value] if isinstance(value, tuple) else value


def sample() -> tuple[steps.Step, ...]:
    options = LaunchOptions(container_id="c", fifo=True)
    return plan_create(specs.spec(), rootfs="/r", facts=HostFacts(), options=options).steps


def test_a_plan_reads_back_as_it_was() -> None:
    plan = sample()
    expected = [(steps.OPCODES[type(step)], [wire(value) for value in step]) for step in plan]
    assert decode(encode(plan)) == expected


def test_every_step_has_a_number_of_its_own() -> None:
    assert len(set(steps.OPCODES.values())) == len(steps.OPCODES)
    assert set(steps.OPCODES.values()) == {*range(1, 41), 42, 43, 44, 45}


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_numbers_keep_their_64_bits(number: int) -> None:
    assert decode(encode([steps.Rlimit(0, number, number)]))[0][1][1] == wire(number)


@given(st.binary(max_size=20).filter(lambda data: b"\0" not in data))
def test_any_bytes_survive_as_text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert decode(encode([steps.Hostname(text)])) == [(24, [data])]


@pytest.mark.parametrize(
    "bad", [steps.Hostname("a\0"), steps.Exec(("\0",), (), 0), steps.Rlimit(0, 1 << 64, 0)]
)
def test_what_init_could_not_read_is_refused(bad: steps.Step) -> None:
    with pytest.raises(ConfigError):
        encode([bad])


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(ConfigError):
        encode([steps.Hostname("\ud800")])


def test_rust_reads_the_same_steps() -> None:
    core = pytest.importorskip("kata_hybrid._core", reason="the extension is not built")
    plan = sample()
    lines = core.describe_plan(encode(plan))
    assert len(lines) == len(plan)
    for line, step in zip(lines, plan, strict=True):
        numbers = [value for value in step if isinstance(value, int)]
        assert line.startswith(type(step).__name__), line
        assert all(f": {number}" in line for number in numbers), line
