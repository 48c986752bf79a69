"""``process`` to steps: identity, capabilities, limits, scheduling, environment and the program's name.

Sources: capabilities(7), credentials(7), getrlimit(2), sched_setattr(2), ioprio_set(2), personality(2);
runtime-spec, config.md#process.
"""

from __future__ import annotations

import struct

from ..errors import ConfigError
from ..oci.names import RLIMITS
from . import steps
from .capabilities import capability_mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..oci.config import IOPriority, Personality, Process, Rlimit, Scheduler, User
    from .host import HostFacts
    from .steps import Step

POLICIES: dict[str, int] = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHED_FLAGS: dict[str, int] = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES: dict[str, int] = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
PERSONALITIES: dict[str, int] = {"LINUX": 0x0, "LINUX32": 0x8}

DEFAULT_UMASK = 0o022
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SCHED_ATTR_SIZE = 56
_ID_LIMIT = 0xFFFFFFFE  # the number above is "no change" to the kernel


def rlimit_steps(rlimits: Iterable[Rlimit]) -> list[Step]:
    """One step for each limit.

    Raises:
        ConfigError: unknown or repeated names, or soft above hard.
    """
    seen: set[str] = set()
    result: list[Step] = []
    for index, limit in enumerate(rlimits):
        at = f"process.rlimits[{index}]"
        if limit.type not in RLIMITS:
            raise ConfigError(f"{at}.type", f"wrong rlimit value: {limit.type}")
        if limit.type in seen:
            raise ConfigError(f"{at}.type", f"{limit.type} is given twice")
        if not 0 <= limit.soft <= limit.hard < 1 << 64:
            raise ConfigError(at, f"soft limit {limit.soft} and hard limit {limit.hard} do not go together")
        seen.add(limit.type)
        result.append(steps.Rlimit(RLIMITS[limit.type], limit.soft, limit.hard))
    return result


def scheduling_steps(process: Process, personality: Personality | None) -> list[Step]:
    """Execution domain, scheduler and I/O priority, those that are set.

    Raises:
        ConfigError: an unknown name or a value out of range.
    """
    result: list[Step] = []
    if personality is not None:
        if personality.domain not in PERSONALITIES:
            raise ConfigError("linux.personality.domain", f"invalid personality domain {personality.domain}")
        result.append(steps.Personality(PERSONALITIES[personality.domain]))
    if process.scheduler is not None:
        result.append(steps.Scheduler(sched_attr(process.scheduler)))
    if process.io_priority is not None:
        result.append(_io_priority(process.io_priority))
    return result


def _io_priority(wanted: IOPriority) -> Step:
    if wanted.io_class not in IO_CLASSES:
        raise ConfigError("process.ioPriority.class", f'invalid ioPriority.Class: "{wanted.io_class}"')
    if not 0 <= wanted.priority <= 7:
        raise ConfigError("process.ioPriority.priority", f"invalid ioPriority.Priority: {wanted.priority}")
    return steps.IOPriority(IO_CLASSES[wanted.io_class], wanted.priority)


def sched_attr(wanted: Scheduler) -> bytes:
    """A struct sched_attr (sched_setattr(2)).

    Raises:
        ConfigError: an unknown policy or flag, or a number that its field cannot hold.
    """
    at = "process.scheduler"
    if wanted.policy not in POLICIES:
        raise ConfigError(f"{at}.policy", f"invalid scheduler policy {wanted.policy}")
    flags = 0
    for name in wanted.flags:
        if name not in SCHED_FLAGS:
            raise ConfigError(f"{at}.flags", f"invalid scheduler flag {name}")
        flags |= SCHED_FLAGS[name]
    try:
        return struct.pack(
            "<IIQiIQQQII", SCHED_ATTR_SIZE, POLICIES[wanted.policy], flags, wanted.nice, wanted.priority,
            wanted.runtime, wanted.deadline, wanted.period, 0, 0,
        )  # fmt: skip
    except struct.error as err:
        raise ConfigError(at, str(err)) from err


def umask_step(process: Process) -> Step:
    """The umask, 0022 when none is set."""
    mask = DEFAULT_UMASK if process.user.umask is None else process.user.umask
    return steps.Umask(mask & 0o777)


def identity_steps(process: Process, *, facts: HostFacts, setgroups: bool) -> list[Step]:
    """Bounding set, user and groups, capability sets: the end of all privilege.

    Without ``capabilities`` every set is empty. Names that this kernel lacks are left out. An ambient
    capability that is not permitted and inheritable cannot be raised and is left out too.

    Args:
        process: whose ``user`` and ``capabilities`` count.
        facts: the kernel's highest capability.
        setgroups: False when the user namespace forbids it.

    Raises:
        ConfigError: ids out of range, or additional groups where setgroups is forbidden.
    """
    caps = process.capabilities
    last = facts.last_cap
    bounding = capability_mask(caps.bounding, last) if caps else 0
    permitted = capability_mask(caps.permitted, last) if caps else 0
    inheritable = capability_mask(caps.inheritable, last) if caps else 0
    effective = capability_mask(caps.effective, last) if caps else 0
    ambient = (capability_mask(caps.ambient, last) if caps else 0) & permitted & inheritable
    return [
        steps.BoundingCaps(bounding),
        _user(process.user, setgroups=setgroups),
        steps.Caps(effective, permitted, inheritable, ambient),
    ]


def _user(user: User, *, setgroups: bool) -> Step:
    for name, number in (("uid", user.uid), ("gid", user.gid)):
        _check_id(number, f"process.user.{name}")
    for index, number in enumerate(user.additional_gids):
        _check_id(number, f"process.user.additionalGids[{index}]")
    if user.additional_gids and not setgroups:
        raise ConfigError(
            "process.user.additionalGids", "cannot set any additional groups in a rootless container"
        )
    groups = struct.pack(f"<{len(user.additional_gids)}I", *user.additional_gids)
    return steps.User(user.uid, user.gid, groups, int(setgroups))


def _check_id(number: int, at: str) -> None:
    if not 0 <= number <= _ID_LIMIT:
        raise ConfigError(at, f"{number} is not a user or group id")


def final_env(env: Iterable[str], home: str) -> tuple[str, ...]:
    """The environment as the program gets it: of equal names the last counts, HOME is never absent.

    Raises:
        ConfigError: an entry without a name or without ``=``.
    """
    values: dict[str, str] = {}
    for index, entry in enumerate(env):
        name, equals, value = entry.partition("=")
        if not equals:
            raise ConfigError(f"process.env[{index}]", "invalid environment variable: missing '='")
        if not name:
            raise ConfigError(f"process.env[{index}]", "invalid environment variable: name cannot be empty")
        values[name] = value
    if not values.get("HOME"):
        values["HOME"] = home
    return tuple(f"{name}={value}" for name, value in values.items())


def executable_candidates(program: str, env: Iterable[str]) -> tuple[str, ...]:
    """Where ``program`` may be: itself when it has a slash, else each absolute PATH directory of ``env``.

    Relative PATH entries are skipped: they would run what lies in the working directory.
    """
    if "/" in program:
        return (program,)
    path = DEFAULT_PATH
    for entry in env:
        if entry.startswith("PATH="):
            path = entry[len("PATH=") :]
    found = tuple(f"{part.rstrip('/')}/{program}" for part in path.split(":") if part.startswith("/"))
    return found or (f"/{program}",)


def check_process(process: Process) -> None:
    """What every launch needs of a process.

    Raises:
        ConfigError: no arguments, an empty program name, or a working directory that is not absolute.
    """
    if not process.args or not process.args[0]:
        raise ConfigError("process.args", "args must not be empty")
    if not process.cwd:
        raise ConfigError("process.cwd", "Cwd property must not be empty")
    if not process.cwd.startswith("/"):
        raise ConfigError("process.cwd", "Cwd must be an absolute path")
