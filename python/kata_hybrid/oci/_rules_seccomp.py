"""Rules of ``linux.seccomp``: a filter is applied exactly as written, or the configuration is refused."""

from __future__ import annotations

from ._rule import quoted
from .names import SECCOMP_ACTIONS, SECCOMP_ARCHITECTURES, SECCOMP_FLAGS, SECCOMP_OPERATORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import Seccomp, Syscall

_AT = "linux.seccomp"
_NOTIFY = "SCMP_ACT_NOTIFY"
_MAX_TRACE_DATA = 0xFFFF  # SECCOMP_RET_DATA
_MAX_ERRNO = 4095


def seccomp_problems(seccomp: Seccomp) -> Iterator[Problem]:
    """What is wrong with a filter."""
    if seccomp.default_action == _NOTIFY:
        yield f"{_AT}.defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action"
    yield from _action_problems(seccomp.default_action, f"{_AT}.defaultAction")
    yield from _errno_problems(seccomp.default_action, seccomp.default_errno_ret, f"{_AT}.defaultErrnoRet")
    for index, name in enumerate(seccomp.architectures):
        if name not in SECCOMP_ARCHITECTURES:
            yield f"{_AT}.architectures[{index}]", f"string {name} is not a valid arch for seccomp"
    for index, flag in enumerate(seccomp.flags or ()):
        if flag not in SECCOMP_FLAGS:
            yield f"{_AT}.flags[{index}]", f"seccomp flag {quoted(flag)} is not supported"
    for index, rule in enumerate(seccomp.syscalls):
        yield from _syscall_problems(rule, f"{_AT}.syscalls[{index}]")


def _syscall_problems(rule: Syscall, at: str) -> Iterator[Problem]:
    if not rule.names:
        yield f"{at}.names", "must not be empty"
    if rule.action == _NOTIFY and "write" in rule.names:
        yield f"{at}.action", "SCMP_ACT_NOTIFY cannot be used for the write syscall"
    yield from _action_problems(rule.action, f"{at}.action")
    yield from _errno_problems(rule.action, rule.errno_ret, f"{at}.errnoRet")
    for index, arg in enumerate(rule.args):
        if arg.op not in SECCOMP_OPERATORS:
            yield f"{at}.args[{index}].op", f"string {arg.op} is not a valid operator for seccomp"
        if arg.index > 5:
            yield f"{at}.args[{index}].index", f"must be from 0 to 5, not {arg.index}"


def _action_problems(action: str, at: str) -> Iterator[Problem]:
    if action == _NOTIFY:
        yield at, "SCMP_ACT_NOTIFY is not supported"
    elif action not in SECCOMP_ACTIONS:
        yield at, f"string {action} is not a valid action for seccomp"


def _errno_problems(action: str, number: int | None, at: str) -> Iterator[Problem]:
    if number is None:
        return
    if action == "SCMP_ACT_ERRNO":
        if number > _MAX_ERRNO:
            yield at, f"must be at most {_MAX_ERRNO}, not {number}"
    elif action == "SCMP_ACT_TRACE":
        if number > _MAX_TRACE_DATA:
            yield at, f"must be at most {_MAX_TRACE_DATA}, not {number}"
    else:
        yield at, f"the action {action} takes no errnoRet"
