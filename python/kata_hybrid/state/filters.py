"""``linux.seccomp`` in libcontainer's spelling: numbers for actions and operators, one entry per name."""

from __future__ import annotations

from .._light import kept
from ..oci.names import SECCOMP_ARCHITECTURES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..oci.config import Seccomp, Syscall

_ACTIONS = {
    "SCMP_ACT_KILL": 1,
    "SCMP_ACT_ERRNO": 2,
    "SCMP_ACT_TRAP": 3,
    "SCMP_ACT_ALLOW": 4,
    "SCMP_ACT_TRACE": 5,
    "SCMP_ACT_LOG": 6,
    "SCMP_ACT_NOTIFY": 7,
    "SCMP_ACT_KILL_THREAD": 8,
    "SCMP_ACT_KILL_PROCESS": 9,
}
_OPERATORS = {
    "SCMP_CMP_EQ": 1,
    "SCMP_CMP_NE": 2,
    "SCMP_CMP_GT": 3,
    "SCMP_CMP_GE": 4,
    "SCMP_CMP_LT": 5,
    "SCMP_CMP_LE": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}


@kept(8)
def seccomp_members(seccomp: Seccomp) -> Mapping[str, Any]:
    """The ``seccomp`` object. ``flags`` is absent or a list, as in the configuration: they differ.

    The documents of all containers with one profile share it: docker's has 360 entries.

    Raises:
        KeyError: a word that ``validate_spec`` would have refused.
    """
    found: dict[str, Any] = {
        "default_action": _ACTIONS[seccomp.default_action],
        "architectures": [SECCOMP_ARCHITECTURES[name] for name in seccomp.architectures],
    }
    if seccomp.flags is not None:
        found["flags"] = list(seccomp.flags)
    found["syscalls"] = [entry for rule in seccomp.syscalls for entry in _entries(rule)]
    found["default_errno_ret"] = seccomp.default_errno_ret
    if seccomp.listener_path:
        found["listener_path"] = seccomp.listener_path
        found["listener_metadata"] = seccomp.listener_metadata
    return found


def _entries(rule: Syscall) -> list[dict[str, Any]]:
    args = [
        {"index": arg.index, "value": arg.value, "value_two": arg.value_two, "op": _OPERATORS[arg.op]}
        for arg in rule.args
    ]
    action = _ACTIONS[rule.action]
    return [{"name": name, "action": action, "errnoRet": rule.errno_ret, "args": args} for name in rule.names]
