"""Rules of ``process``."""

from __future__ import annotations

from ._rule import quoted
from .names import IOPRIO_CLASSES, RLIMITS, SCHEDULER_FLAGS, SCHEDULER_POLICIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rule import Problem
    from .config import Process, Scheduler


def process_problems(process: Process, at: str) -> Iterator[Problem]:
    """What is wrong with a process at JSON path ``at``."""
    yield from _start_problems(process, at)
    yield from _env_problems(process, at)
    yield from _rlimit_problems(process, at)
    if process.oom_score_adj is not None and not -1000 <= process.oom_score_adj <= 1000:
        yield f"{at}.oomScoreAdj", f"must be from -1000 to 1000, not {process.oom_score_adj}"
    if process.user.umask is not None and process.user.umask > 0o7777:
        yield f"{at}.user.umask", f"must be at most 07777, not 0{process.user.umask:o}"
    labels = (("apparmorProfile", process.apparmor_profile), ("selinuxLabel", process.selinux_label))
    for field, text in labels:
        if "\0" in text:
            yield f"{at}.{field}", "contains nul byte (\\x00)"
    if process.scheduler is not None:
        yield from _scheduler_problems(process.scheduler, f"{at}.scheduler")
    yield from _io_priority_problems(process, at)
    yield from _affinity_problems(process, at)


def _start_problems(process: Process, at: str) -> Iterator[Problem]:
    if not process.cwd:
        yield f"{at}.cwd", "Cwd property must not be empty"
    elif not process.cwd.startswith("/"):
        yield f"{at}.cwd", "Cwd must be an absolute path"
    elif "\0" in process.cwd:
        yield f"{at}.cwd", "contains nul byte (\\x00)"
    if not process.args:
        yield f"{at}.args", "args must not be empty"
    for index, text in enumerate(process.args):
        if "\0" in text:
            yield f"{at}.args[{index}]", "contains nul byte (\\x00)"


def _env_problems(process: Process, at: str) -> Iterator[Problem]:
    for index, entry in enumerate(process.env):
        where = f"{at}.env[{index}]"
        name, equals, _ = entry.partition("=")
        if not equals:
            yield where, "invalid environment variable: missing '='"
        if not name:
            yield where, "invalid environment variable: name cannot be empty"
        if "\0" in entry:
            yield where, f"invalid environment variable {quoted(name)}: contains nul byte (\\x00)"


def _rlimit_problems(process: Process, at: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, limit in enumerate(process.rlimits):
        where = f"{at}.rlimits[{index}]"
        if limit.type not in RLIMITS:
            yield f"{where}.type", f"wrong rlimit value: {limit.type}"
        if limit.type in seen:
            yield f"{where}.type", f"rlimit {limit.type} is given twice"
        if limit.soft > limit.hard:
            yield f"{where}.soft", f"{limit.soft} is above the hard limit {limit.hard}"
        seen.add(limit.type)


def _scheduler_problems(scheduler: Scheduler, at: str) -> Iterator[Problem]:
    policy = scheduler.policy
    if not policy:
        yield f"{at}.policy", "scheduler policy is required"
    elif policy not in SCHEDULER_POLICIES:
        yield f"{at}.policy", f"invalid scheduler policy {quoted(policy)}"
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= scheduler.nice <= 19:
        yield f"{at}.nice", f"invalid scheduler.nice: {scheduler.nice} (from -20 to 19)"
    if scheduler.priority and policy not in ("SCHED_FIFO", "SCHED_RR"):
        yield f"{at}.priority", "scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR policy"
    for field in ("runtime", "deadline", "period"):
        if getattr(scheduler, field) and policy != "SCHED_DEADLINE":
            yield f"{at}.{field}", f"scheduler {field} can only be specified for SCHED_DEADLINE policy"
    for index, flag in enumerate(scheduler.flags):
        if flag not in SCHEDULER_FLAGS:
            yield f"{at}.flags[{index}]", f"invalid scheduler flag {quoted(flag)}"


def _io_priority_problems(process: Process, at: str) -> Iterator[Problem]:
    wanted = process.io_priority
    if wanted is None:
        return
    if not 0 <= wanted.priority <= 7:
        yield f"{at}.ioPriority.priority", f"invalid ioPriority.Priority: {wanted.priority}"
    if wanted.io_class not in IOPRIO_CLASSES:
        yield f"{at}.ioPriority.class", f"invalid ioPriority.Class: {quoted(wanted.io_class)}"


def _affinity_problems(process: Process, at: str) -> Iterator[Problem]:
    wanted = process.exec_cpu_affinity
    if wanted is None:
        return
    for field, word, text in (("initial", "Initial", wanted.initial), ("final", "Final", wanted.final)):
        if text and not is_cpu_list(text):
            yield f"{at}.execCPUAffinity.{field}", f"bad CPUAffinity.{word}: {quoted(text)}"


def is_cpu_list(text: str) -> bool:
    """Whether ``text`` has the form ``0-3,5`` (cpuset(7), list format)."""
    if not text.isascii():
        return False
    bounds = [bound for part in text.split(",") for bound in part.split("-", 1)]
    return all(bound.isdecimal() for bound in bounds)
