"""Rules of ``linux.resources``: values become file contents, names become file names; neither may escape."""

from __future__ import annotations

from ._rule import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import DeviceCgroup, Memory, Resources


def resources_problems(resources: Resources, at: str) -> Iterator[Problem]:
    """What is wrong with limits at JSON path ``at``."""
    for index, rule in enumerate(resources.devices):
        yield from _rule_problems(rule, index, f"{at}.devices[{index}]")
    if resources.memory is not None:
        yield from _memory_problems(resources.memory, f"{at}.memory")
    if resources.cpu is not None:
        for field, text in (("cpus", resources.cpu.cpus), ("mems", resources.cpu.mems)):
            if set(text) - set("0123456789,- \n"):
                yield f"{at}.cpu.{field}", f"not a list of numbers and ranges: {quoted(text)}"
    yield from _name_problems(resources, at)


def _rule_problems(rule: DeviceCgroup, index: int, at: str) -> Iterator[Problem]:
    if rule.type not in ("a", "b", "c"):
        yield f"{at}.type", f"invalid cgroup device type {quoted(rule.type)}"
    if not rule.access:
        yield f"{at}.access", f"device access at {index} field cannot be empty"
    if set(rule.access) - set("rwm"):
        yield f"{at}.access", f"may only hold r, w and m, not {quoted(rule.access)}"
    for field, number in (("major", rule.major), ("minor", rule.minor)):
        if number is not None and not 0 <= number < 2**32:
            yield f"{at}.{field}", f"must be from 0 to {2**32 - 1} or absent for any, not {number}"


def _memory_problems(memory: Memory, at: str) -> Iterator[Problem]:
    for field, value in (
        ("limit", memory.limit),
        ("reservation", memory.reservation),
        ("swap", memory.swap),
        ("kernel", memory.kernel),
        ("kernelTCP", memory.kernel_tcp),
    ):
        if value is not None and value < -1:
            yield f"{at}.{field}", f"must be -1 for unlimited or at least 0 bytes, not {value}"
    if memory.swappiness is not None and memory.swappiness > 200:
        yield f"{at}.swappiness", f"must be from 0 to 200, not {memory.swappiness}"
    if memory.limit and memory.swap and 0 < memory.swap < memory.limit:
        yield f"{at}.swap", f"memory+swap limit {memory.swap} is below the memory limit {memory.limit}"


def _name_problems(resources: Resources, at: str) -> Iterator[Problem]:
    for name in resources.unified:
        if not name or "/" in name or "\0" in name or name in (".", ".."):
            yield f"{at}.unified", f"unified resource {quoted(name)} must be a file name (no slashes)"
    for index, page in enumerate(resources.hugepage_limits):
        if not page.page_size.isascii() or not page.page_size.isalnum():
            yield f"{at}.hugepageLimits[{index}].pageSize", f"not a page size: {quoted(page.page_size)}"
    for name in resources.rdma:
        if not name or any(char.isspace() or char == "\0" for char in name):
            yield f"{at}.rdma", f"not a device name: {quoted(name)}"
    for index, entry in enumerate(resources.network.priorities if resources.network else ()):
        if not entry.name or any(char.isspace() or char == "\0" for char in entry.name):
            yield f"{at}.network.priorities[{index}].name", f"not an interface name: {quoted(entry.name)}"
