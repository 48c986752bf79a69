from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.cgroups import devices
from kata_hybrid.cgroups.devices import DEFAULT_RULES, DeviceList
from kata_hybrid.errors import ConfigError, UnsupportedError
from kata_hybrid.oci.config import DeviceCgroup

DENY_ALL = DeviceCgroup(allow=False)
ALLOW_ALL = DeviceCgroup(allow=True)
NULL = DeviceCgroup(allow=True, type="c", major=1, minor=3, access="rw")

rules = st.lists(
    st.builds(
        DeviceCgroup,
        allow=st.booleans(),
        type=st.sampled_from(["b", "c", "c", "a"]),
        major=st.integers(1, 2),
        minor=st.integers(1, 2),
        access=st.sampled_from(["r", "w", "m", "rw", "rwm"]),
    ),
    max_size=8,
)


def replay(start: DeviceList, writes: list[tuple[str, str]]) -> DeviceList:
    """The kernel: one write after the other."""
    state = DeviceList(start.default_allow, dict(start.exceptions))
    for file, text in writes:
        allow = file == "devices.allow"
        if text == "a":
            state.apply(DeviceCgroup(allow=allow))
            continue
        kind, numbers, access = text.split()
        major, minor = (None if word == "*" else int(word) for word in numbers.split(":"))
        state.apply(DeviceCgroup(allow=allow, type=kind, major=major, minor=minor, access=access))
    return state


def test_rules_start_from_deny_all_and_get_the_default_ones() -> None:
    wanted = devices.wanted_list([DENY_ALL, *DEFAULT_RULES])
    assert not wanted.default_allow
    assert wanted.exceptions["c", 136, -1] == frozenset("rwm")
    assert wanted.exceptions["b", -1, -1] == frozenset("m")


def test_a_fresh_group_is_denied_before_it_is_allowed() -> None:
    now = devices.parse_list("a *:* rwm")
    assert devices.changes(now, devices.wanted_list([NULL])) == [
        ("devices.deny", "a"),
        ("devices.allow", "c 1:3 rw"),
    ]


def test_only_the_difference_is_written() -> None:
    now = devices.parse_list("c 1:3 rwm\nc 1:5 rwm")
    wanted = devices.wanted_list([NULL, DeviceCgroup(allow=True, type="b", major=8, access="r")])
    assert devices.changes(now, wanted) == [
        ("devices.allow", "b 8:* r"),
        ("devices.deny", "c 1:3 m"),
        ("devices.deny", "c 1:5 rwm"),
    ]


def test_the_same_list_needs_no_write() -> None:
    text = "c *:* m\nc 1:3 rwm"
    assert devices.changes(devices.parse_list(text), devices.parse_list(text)) == []


def test_a_privileged_container_allows_all() -> None:
    wanted = devices.wanted_list([ALLOW_ALL, *DEFAULT_RULES])
    assert devices.changes(devices.parse_list("c 1:3 r"), wanted) == [("devices.allow", "a")]


def test_a_hole_in_a_wildcard_is_unsupported_on_v1() -> None:
    hole = [
        DeviceCgroup(allow=True, type="c", major=1),
        DeviceCgroup(allow=False, type="c", major=1, minor=3, access="w"),
    ]
    with pytest.raises(UnsupportedError, match=r"c 1:3 w"):
        devices.wanted_list(hole)


@pytest.mark.parametrize(
    ("rule", "location"),
    [
        (DeviceCgroup(allow=True, type="p"), "linux.resources.devices[0].type"),
        (DeviceCgroup(allow=True, access=""), "linux.resources.devices[0].access"),
        (DeviceCgroup(allow=True, access="rx"), "linux.resources.devices[0].access"),
    ],
)
def test_wrong_rules_name_their_place(rule: DeviceCgroup, location: str) -> None:
    with pytest.raises(ConfigError) as caught:
        devices.wanted_list([rule])
    assert caught.value.location == location


def test_program_rules_have_minus_one_for_any() -> None:
    assert devices.program_rule(DENY_ALL) == (False, "a", -1, -1, "rwm")
    assert devices.program_rule(NULL) == (True, "c", 1, 3, "rw")


@given(rules, rules)
def test_the_writes_lead_from_any_list_to_any_other(
    first: list[DeviceCgroup], second: list[DeviceCgroup]
) -> None:
    now, wanted = devices.wanted_list(first), devices.wanted_list(second)
    assert replay(now, devices.changes(now, wanted)) == wanted
