"""How the dataclasses of :mod:`config` are spelled in JSON: names, ranges of integers, odd shapes.

Both directions (:mod:`_decode`, :mod:`encode`) read these tables, so they cannot disagree.
Source: runtime-spec, config.md, config-linux.md and schema/*.json.
"""

from __future__ import annotations

from .._light import kept

_WORDS = {"id": "ID", "io": "IO", "oom": "OOM", "cpu": "CPU", "tcp": "TCP", "iops": "IOPS"}
_ODD_KEYS = {
    "io_class": "class",
    "oom_score_adj": "oomScoreAdj",
    "io_priority": "ioPriority",
    "disable_oom_killer": "disableOOMKiller",
}


@kept(256)
def json_key(name: str) -> str:
    """The JSON key of a dataclass field: ``block_io`` gives ``blockIO``."""
    if name in _ODD_KEYS:
        return _ODD_KEYS[name]
    first, *rest = name.split("_")
    return first + "".join(_WORDS.get(word, word.capitalize()) for word in rest)


U16 = (0, 2**16 - 1)
U32 = (0, 2**32 - 1)
U64 = (0, 2**64 - 1)
I32 = (-(2**31), 2**31 - 1)
I64 = (-(2**63), 2**63 - 1)

RANGES: dict[tuple[str, str], tuple[int, int]] = {
    ("Box", "height"): U32,
    ("Box", "width"): U32,
    ("User", "uid"): U32,
    ("User", "gid"): U32,
    ("User", "umask"): U32,
    ("User", "additional_gids"): U32,
    ("IDMapping", "container_id"): U32,
    ("IDMapping", "host_id"): U32,
    ("IDMapping", "size"): U32,
    ("Rlimit", "soft"): U64,
    ("Rlimit", "hard"): U64,
    ("Scheduler", "nice"): I32,
    ("Scheduler", "priority"): I32,
    ("Scheduler", "runtime"): U64,
    ("Scheduler", "deadline"): U64,
    ("Scheduler", "period"): U64,
    ("Device", "file_mode"): U32,
    ("Device", "uid"): U32,
    ("Device", "gid"): U32,
    ("Memory", "swappiness"): U64,
    ("CPU", "shares"): U64,
    ("CPU", "burst"): U64,
    ("CPU", "period"): U64,
    ("CPU", "realtime_period"): U64,
    ("BlockIO", "weight"): U16,
    ("BlockIO", "leaf_weight"): U16,
    ("WeightDevice", "weight"): U16,
    ("WeightDevice", "leaf_weight"): U16,
    ("ThrottleDevice", "rate"): U64,
    ("HugepageLimit", "limit"): U64,
    ("Network", "class_id"): U32,
    ("InterfacePriority", "priority"): U32,
    ("Rdma", "hca_handles"): U32,
    ("Rdma", "hca_objects"): U32,
    ("Syscall", "errno_ret"): U32,
    ("Seccomp", "default_errno_ret"): U32,
    ("SyscallArg", "index"): U32,
    ("SyscallArg", "value"): U64,
    ("SyscallArg", "value_two"): U64,
    ("TimeOffset", "nanosecs"): U32,
}
"""(class, field) to its least and greatest value; what is not here is a signed 64-bit number."""

LENIENT: frozenset[tuple[str, str]] = frozenset(
    {("Spec", "oci_version"), ("Process", "cwd"), ("Process", "args"), ("Scheduler", "policy")}
)
"""Required fields whose absence decodes to empty: :mod:`validate` refuses them with the known texts, and
``ociVersion`` is never compared."""

ALWAYS: frozenset[tuple[str, str]] = frozenset(
    {("User", "uid"), ("User", "gid"), ("DeviceCgroup", "type"), ("DeviceCgroup", "access")}
)
"""Fields with a default that are written all the same."""

CLOSED: frozenset[str] = frozenset({"Capabilities", "Seccomp", "Syscall", "SyscallArg"})
"""Objects where an unknown key could mean a protection we would not apply: refused, not ignored."""

IGNORED: frozenset[tuple[str, str]] = frozenset({("Seccomp", "archMap"), ("Syscall", "comment")})
"""Known keys of engines in closed objects that mean nothing to a runtime."""
