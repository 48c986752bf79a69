"""Namespaces to clone flags or to join, unshare and fork steps.

Without a user namespace, without a path and without a time namespace the first clone makes everything
(direct). In all other cases the first process stays where it is, joins, and a ``Fork`` makes the rest
(staged). The cgroup namespace is unshared last in both, for it must show the container's own cgroup.

Sources: namespaces(7), setns(2), user_namespaces(7), time_namespaces(7); runtime-spec,
config-linux.md#namespaces.
"""

from __future__ import annotations

from ..errors import ConfigError, UnsupportedError
from ..oci.config import NamespaceType as Ns
from .steps import SYNC_USERMAP, BecomeRoot, Fork, Setns, Sync, TimeOffsets, Unshare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from dataclasses import dataclass

    from ..oci.config import IDMapping, Linux, TimeOffset
    from .host import HostFacts
    from .launch import FdRequest
    from .steps import Step
else:
    from kata_hybrid._record import dataclass

CLONE_FLAGS: dict[Ns, int] = {
    Ns.USER: 0x10000000,
    Ns.IPC: 0x08000000,
    Ns.UTS: 0x04000000,
    Ns.NETWORK: 0x40000000,
    Ns.PID: 0x20000000,
    Ns.MOUNT: 0x00020000,
    Ns.CGROUP: 0x02000000,
    Ns.TIME: 0x00000080,
}
"""In the order of joining: the user namespace gives rights for the rest, mounts change what paths mean."""

PROC_NAMES: dict[Ns, str] = {
    Ns.USER: "user",
    Ns.IPC: "ipc",
    Ns.UTS: "uts",
    Ns.NETWORK: "net",
    Ns.PID: "pid",
    Ns.MOUNT: "mnt",
    Ns.CGROUP: "cgroup",
    Ns.TIME: "time",
}


@dataclass(frozen=True)
class NamespaceSet:
    """``new`` ones to make and ``joined`` ones (type to path)."""

    new: frozenset[Ns]
    joined: Mapping[Ns, str]

    def has(self, kind: Ns) -> bool:
        """The container does not share this namespace with the caller."""
        return kind in self.new or kind in self.joined

    @property
    def staged(self) -> bool:
        """A second process is needed."""
        return bool(self.joined) or Ns.USER in self.new or Ns.TIME in self.new

    def flags(self, *without: Ns) -> int:
        """CLONE_NEW* of the new ones except ``without``."""
        return sum(CLONE_FLAGS[kind] for kind in self.new if kind not in without)


def namespace_set(linux: Linux, facts: HostFacts) -> NamespaceSet:
    """Sort ``linux.namespaces`` into new and joined ones.

    Raises:
        ConfigError: a duplicate, or a path that is not absolute.
        UnsupportedError: a time namespace on a kernel without.
    """
    new: set[Ns] = set()
    joined: dict[Ns, str] = {}
    for index, namespace in enumerate(linux.namespaces):
        at = f"linux.namespaces[{index}]"
        if namespace.type in new or namespace.type in joined:
            raise ConfigError(at, f"malformed spec file: duplicated ns {namespace.type.value}")
        if namespace.path is None or not namespace.path:
            new.add(namespace.type)
        elif not namespace.path.startswith("/"):
            raise ConfigError(f"{at}.path", "must be an absolute path")
        else:
            joined[namespace.type] = namespace.path
    if (Ns.TIME in new or Ns.TIME in joined) and not facts.time_namespace:
        raise UnsupportedError("time namespace", "Linux 5.6 with CONFIG_TIME_NS")
    return NamespaceSet(frozenset(new), joined)


def enter_steps(
    spaces: NamespaceSet, linux: Linux, *, before_fork: Sequence[Step], fd: Callable[[FdRequest], int]
) -> tuple[list[Step], int]:
    """Steps into all namespaces, and the clone flags of the first process.

    Args:
        spaces: what to enter.
        linux: time offsets.
        before_fork: steps that need the caller's rights (rlimits); taken when the user namespace changes.
        fd: gives the index of a file to open.
    """
    if not spaces.staged:
        # Only the pid namespace needs a clone. A network namespace takes the kernel half a millisecond, which
        # the caller of the clone would wait for; kata-init makes it while the caller goes on. The cgroup
        # namespace has to come after the join anyway.
        rest = spaces.flags(Ns.PID)
        return [Unshare(rest)] if rest else [], spaces.flags() & ~rest
    steps: list[Step] = []
    if spaces.has(Ns.USER):
        steps.extend(before_fork)
    for kind, flag in CLONE_FLAGS.items():
        if kind in spaces.joined:
            path = spaces.joined[kind]
            steps.append(Setns(fd(f"ns:{path}"), flag, path))
            if kind is Ns.USER:
                steps.append(BecomeRoot())
    rest = spaces.flags(Ns.CGROUP, Ns.TIME)
    if Ns.USER in spaces.new and Ns.TIME in spaces.new:
        # The time namespace must belong to the user namespace, or nobody inside could ever join it: the
        # user namespace comes alone, and one more process has the time namespace from its birth.
        user = CLONE_FLAGS[Ns.USER]
        steps += [Fork(user), Sync(SYNC_USERMAP), BecomeRoot()]
        steps += [*_time_ns(spaces, linux.time_offsets), Fork(rest & ~user)]
    else:
        steps += [*_time_ns(spaces, linux.time_offsets), Fork(rest)]
        if Ns.USER in spaces.new:
            steps += [Sync(SYNC_USERMAP), BecomeRoot()]
    steps.extend(_cgroup_ns(spaces))
    return steps, 0


def _cgroup_ns(spaces: NamespaceSet) -> list[Step]:
    return [Unshare(CLONE_FLAGS[Ns.CGROUP])] if Ns.CGROUP in spaces.new else []


def _time_ns(spaces: NamespaceSet, offsets: Mapping[str, TimeOffset]) -> list[Step]:
    """A time namespace takes effect for the next child, and its offsets can be set until then."""
    if Ns.TIME not in spaces.new:
        return []
    steps: list[Step] = [Unshare(CLONE_FLAGS[Ns.TIME])]
    lines = [_offset_line(clock, offset) for clock, offset in offsets.items()]
    if lines:
        steps.append(TimeOffsets("".join(lines).encode()))
    return steps


def _offset_line(clock: str, offset: TimeOffset) -> str:
    if clock not in {"monotonic", "boottime"}:
        raise ConfigError(f"linux.timeOffsets.{clock}", "the clock must be monotonic or boottime")
    return f"{clock} {offset.secs} {offset.nanosecs}\n"


def join_process_steps(
    kinds: Iterable[Ns], *, facts: HostFacts, init_pid: int, fd: Callable[[FdRequest], int]
) -> list[Step]:
    """Steps of ``exec`` into the namespaces of a running container.

    One setns of a pidfd where the kernel has it, else one for each namespace of ``init_pid``.

    Raises:
        ConfigError: no pidfd setns and no ``init_pid``.
    """
    wanted = set(kinds)
    ordered = [kind for kind in CLONE_FLAGS if kind in wanted]
    if not ordered:
        return []
    steps: list[Step] = []
    if facts.pidfd_setns:
        steps.append(Setns(fd("pidfd"), sum(CLONE_FLAGS[kind] for kind in ordered), ""))
    elif init_pid <= 0:
        raise ConfigError("", "joining a container on this kernel needs the pid of its init process")
    else:
        for kind in ordered:
            path = f"/proc/{init_pid}/ns/{PROC_NAMES[kind]}"
            steps.append(Setns(fd(f"ns:{path}"), CLONE_FLAGS[kind], path))
    if Ns.PID in wanted or Ns.TIME in wanted:
        steps.append(Fork(0))
    if Ns.USER in wanted:
        steps.append(BecomeRoot())
    return steps


def user_maps(spaces: NamespaceSet, linux: Linux) -> tuple[str, str] | None:
    """Texts for ``uid_map`` and ``gid_map`` of a new user namespace, None when there is none.

    Raises:
        ConfigError: a new user namespace without both mappings.
    """
    if Ns.USER not in spaces.new:
        return None
    if not (linux.uid_mappings and linux.gid_mappings):
        raise ConfigError(
            "linux.namespaces",
            "user namespaces enabled, but no namespace path to join nor mappings to apply specified",
        )
    return _map_text(linux.uid_mappings), _map_text(linux.gid_mappings)


def _map_text(mappings: Iterable[IDMapping]) -> str:
    return "".join(f"{entry.container_id} {entry.host_id} {entry.size}\n" for entry in mappings)


def is_mapped(number: int, mappings: Iterable[IDMapping]) -> bool:
    """A container uid or gid has a host id."""
    return any(entry.container_id <= number < entry.container_id + entry.size for entry in mappings)
