"""Device rules: the default ones, the v1 list and the smallest change to it, the v2 program.

The kernel's v1 list is a default (allow or deny all) and exceptions to it. The list is computed here by the
kernel's own rules and only the difference is written, so a running container keeps its devices during an
update. Sources: Linux Documentation/admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c;
runtime-spec config-linux.md#allowed-device-list.
"""

from __future__ import annotations

import os
from itertools import groupby

from kata_hybrid.cgroups.files import failure, read_text, write_each
from kata_hybrid.errors import CgroupError, ConfigError, UnsupportedError
from kata_hybrid.oci.config import DeviceCgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from dataclasses import dataclass, field
else:
    from kata_hybrid._record import dataclass, field

_AT = "linux.resources.devices"
_ACCESS = "rwm"

Key = tuple[str, int, int]  # type, major, minor; -1 is any


def _allow(kind: str, major: int | None, minor: int | None, access: str = _ACCESS) -> DeviceCgroup:
    return DeviceCgroup(allow=True, type=kind, major=major, minor=minor, access=access)


# Appended to every container's rules: mknod of anything, and the devices of the default /dev.
DEFAULT_RULES: tuple[DeviceCgroup, ...] = (
    _allow("c", None, None, "m"),
    _allow("b", None, None, "m"),
    _allow("c", 1, 3),  # null
    _allow("c", 1, 8),  # random
    _allow("c", 1, 7),  # full
    _allow("c", 5, 0),  # tty
    _allow("c", 1, 5),  # zero
    _allow("c", 1, 9),  # urandom
    _allow("c", 136, None),  # pts/*
    _allow("c", 5, 2),  # ptmx
    _allow("c", 10, 200),  # net/tun
)


@dataclass(slots=True)
class DeviceList:
    """A group's rules as the kernel keeps them: a default and exceptions (access letters as a set)."""

    default_allow: bool = False
    exceptions: dict[Key, frozenset[str]] = field(default_factory=dict)

    def apply(self, rule: DeviceCgroup) -> None:
        """Do what the kernel does for a write of ``rule``.

        Raises:
            UnsupportedError: the rule takes a part out of a wildcard, which v1 cannot express.
        """
        if rule.type == "a":
            self.default_allow = rule.allow
            self.exceptions = {}
            return
        key = _key(rule)
        access = frozenset(rule.access)
        if rule.allow != self.default_allow:
            self.exceptions[key] = self.exceptions.get(key, frozenset()) | access
            return
        for wider, letters in self.exceptions.items():
            if wider != key and _covers(wider, key) and letters & access:
                raise UnsupportedError(
                    f"the device rule '{rule_text(key, access)}' inside '{rule_text(wider, letters)}'",
                    "cgroup v2; v1 cannot except a part of a wildcard",
                )
        left = self.exceptions.get(key, frozenset()) - access
        if left:
            self.exceptions[key] = left
        else:
            self.exceptions.pop(key, None)


def wanted_list(rules: Iterable[DeviceCgroup]) -> DeviceList:
    """The list that ``rules`` amount to, starting from "deny all"."""
    found = DeviceList()
    for index, rule in enumerate(rules):
        check_rule(rule, f"{_AT}[{index}]")
        found.apply(rule)
    return found


def check_rule(rule: DeviceCgroup, at: str) -> None:
    """Raise ``ConfigError`` for a rule that no kernel would take."""
    if rule.type not in ("a", "b", "c"):
        raise ConfigError(f"{at}.type", f"invalid cgroup device type {rule.type!r}")
    if not rule.access or not set(rule.access) <= set(_ACCESS):
        raise ConfigError(f"{at}.access", f"must be letters of {_ACCESS!r}, not {rule.access!r}")


def parse_list(text: str) -> DeviceList:
    """``devices.list``. The exceptions of an allow-all list are not shown by the kernel."""
    found = DeviceList()
    for line in text.splitlines():
        kind, device, access = line.split()
        if kind == "a":
            return DeviceList(default_allow=True)
        major, _, minor = device.partition(":")
        key = (kind, -1 if major == "*" else int(major), -1 if minor == "*" else int(minor))
        found.exceptions[key] = found.exceptions.get(key, frozenset()) | frozenset(access)
    return found


def changes(now: DeviceList, wanted: DeviceList) -> list[tuple[str, str]]:
    """(file, text) writes that lead from ``now`` to ``wanted``, allowing before denying."""
    if now.default_allow or wanted.default_allow:
        verb, other = ("allow", "deny") if wanted.default_allow else ("deny", "allow")
        writes = [(f"devices.{verb}", "a")]
        return writes + [(f"devices.{other}", rule_text(*item)) for item in wanted.exceptions.items()]
    more = _difference(wanted, now)
    less = _difference(now, wanted)
    return [("devices.allow", rule_text(*item)) for item in more.items()] + [
        ("devices.deny", rule_text(*item)) for item in less.items()
    ]


def rule_text(key: Key, access: Iterable[str]) -> str:
    """``c 1:3 rwm`` as the kernel reads it."""
    letters = set(access)
    major, minor = ("*" if number < 0 else str(number) for number in key[1:])
    return f"{key[0]} {major}:{minor} {''.join(each for each in _ACCESS if each in letters)}"


def prepare_v1(directory: str, wanted: DeviceList) -> Callable[[], None]:
    """What brings ``devices.list`` of ``directory`` to ``wanted``, and puts it back on failure.

    Raises:
        CgroupError: the kernel refused a rule, for instance one that the parent group does not have.
    """
    now = parse_list(read_text(os.path.join(directory, "devices.list")))
    writes = changes(now, wanted)

    def write() -> None:
        try:
            _write_changes(directory, writes)
        except CgroupError as err:
            _restore(directory, now, err)
            raise

    return write


def apply_v2(directory: str, rules: Sequence[DeviceCgroup]) -> None:
    """Attach a program for ``rules`` and the default ones, in place of the previous program.

    Raises:
        CgroupError: the kernel refused the program.
        ConfigError: a rule is wrong; nothing was attached.
    """
    from kata_hybrid import _core

    every = [*rules, *DEFAULT_RULES]
    for index, rule in enumerate(every):
        check_rule(rule, f"{_AT}[{index}]")
    program = _core.device_program([program_rule(rule) for rule in every])
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _core.device_program_attach(fd, program)
        finally:
            os.close(fd)
    except OSError as err:
        raise failure("attach the device program", directory, err) from err


def program_rule(rule: DeviceCgroup) -> tuple[bool, str, int, int, str]:
    """(allow, type, major, minor, access); -1 is any."""
    kind, major, minor = _key(rule)
    return rule.allow, kind, major, minor, rule.access


def _restore(directory: str, old: DeviceList, err: CgroupError) -> None:
    try:
        now = parse_list(read_text(os.path.join(directory, "devices.list")))
        _write_changes(directory, changes(now, old))
    except CgroupError as second:
        err.add_note(f"while putting the device rules back: {second.message}")


def _write_changes(directory: str, writes: Iterable[tuple[str, str]]) -> None:
    for name, same in groupby(writes, key=lambda change: change[0]):
        write_each(os.path.join(directory, name), (text for _, text in same))


def _difference(left: DeviceList, right: DeviceList) -> dict[Key, frozenset[str]]:
    """What ``left`` excepts and ``right`` does not."""
    rest = {key: access - right.exceptions.get(key, frozenset()) for key, access in left.exceptions.items()}
    return {key: access for key, access in rest.items() if access}


def _key(rule: DeviceCgroup) -> Key:
    major = -1 if rule.major is None or rule.major < 0 else rule.major
    minor = -1 if rule.minor is None or rule.minor < 0 else rule.minor
    return rule.type, major, minor


def _covers(wide: Key, narrow: Key) -> bool:
    if wide[0] != narrow[0]:
        return False
    return all(big in (-1, small) for big, small in zip(wide[1:], narrow[1:], strict=True))
