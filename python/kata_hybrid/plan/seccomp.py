"""``linux.seccomp`` to one ``Seccomp`` step: names to numbers here, the program itself in ``_core``.

Sources: seccomp(2), <linux/seccomp.h>; runtime-spec, config-linux.md#seccomp.
"""

from __future__ import annotations

import errno

from .._light import kept
from ..errors import ConfigError, UnsupportedError
from . import steps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..oci.config import Seccomp, Syscall

KILL_PROCESS = 0x80000000
KILL_THREAD = 0x00000000
TRAP = 0x00030000
ERRNO = 0x00050000
TRACE = 0x7FF00000
LOG = 0x7FFC0000
ALLOW = 0x7FFF0000

ACTIONS: dict[str, int] = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
}
_WITH_DATA = frozenset({ERRNO, TRACE})

FLAGS: dict[str, int] = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # init has one thread
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0,  # says something of a listener only; there is none
}
DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)

OPERATORS = frozenset("SCMP_CMP_" + name for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))


def action_code(name: str, errno_ret: int | None, at: str) -> int:
    """The SECCOMP_RET_* value of an action, its data included; the default errno is EPERM.

    Raises:
        UnsupportedError: SCMP_ACT_NOTIFY.
        ConfigError: an unknown name, or data that does not fit 16 bits.
    """
    if name == "SCMP_ACT_NOTIFY":
        raise UnsupportedError("seccomp action SCMP_ACT_NOTIFY", "a build with seccomp listeners")
    if name not in ACTIONS:
        raise ConfigError(at, f"string {name} is not a valid action for seccomp")
    code = ACTIONS[name]
    if code not in _WITH_DATA:
        return code
    data = errno.EPERM if errno_ret is None else errno_ret
    if not 0 <= data <= 0xFFFF:
        raise ConfigError(at, f"errno {data} does not fit 16 bits")
    return code | data


def flag_mask(flags: tuple[str, ...] | None) -> int:
    """Flags of the filter; absent ones mean SPEC_ALLOW, an empty list means none.

    Raises:
        ConfigError: an unknown flag.
    """
    mask = 0
    for index, name in enumerate(DEFAULT_FLAGS if flags is None else flags):
        if name not in FLAGS:
            raise ConfigError(f"linux.seccomp.flags[{index}]", f"unknown seccomp flag {name}")
        mask |= FLAGS[name]
    return mask


Rule = tuple[tuple[str, ...], int, tuple[tuple[int, int, int, str], ...]]


def rules(profile: Seccomp) -> tuple[int, list[Rule]]:
    """Default action and rules as ``_core.seccomp_compile`` takes them.

    Raises:
        ConfigError, UnsupportedError: as ``action_code``; an unknown operator or argument index.
    """
    default = action_code(profile.default_action, profile.default_errno_ret, "linux.seccomp.defaultAction")
    return default, [_rule(entry, f"linux.seccomp.syscalls[{i}]") for i, entry in enumerate(profile.syscalls)]


def _rule(entry: Syscall, at: str) -> Rule:
    for index, arg in enumerate(entry.args):
        if arg.op not in OPERATORS:
            problem = f"string {arg.op} is not a valid operator for seccomp"
            raise ConfigError(f"{at}.args[{index}].op", problem)
        if not 0 <= arg.index <= 5:
            raise ConfigError(f"{at}.args[{index}].index", "must be 0 to 5")
    args = tuple((arg.index, arg.value, arg.value_two, arg.op) for arg in entry.args)
    return entry.names, action_code(entry.action, entry.errno_ret, f"{at}.action"), args


@kept(8)
def seccomp_step(profile: Seccomp) -> steps.Seccomp:
    """The step that loads ``profile``. Kept, for most containers of a host have the same profile.

    Raises:
        ConfigError, UnsupportedError: as above; also an architecture that the compiler does not know.
    """
    default, table = rules(profile)
    mask = flag_mask(profile.flags)
    from .. import _core  # only a configuration with a filter pays for the extension

    try:
        program = _core.seccomp_compile(default, profile.architectures, table)
    except ValueError as err:
        raise ConfigError("linux.seccomp", str(err)) from err
    return steps.Seccomp(mask, bytes(program))
