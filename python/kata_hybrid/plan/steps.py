"""What kata-init can be told to do: one NamedTuple per step, fields in the order they are encoded.

A step is data and has no behaviour. An int is an i64 on the wire (``Rlimit`` carries u64 bit patterns), text
and bytes are one field, a tuple of text is a list field. An ``fd`` is an index into ``LaunchPlan.fds``, -1 is
none. Targets named ``path`` or ``target`` are inside the rootfs until ``Pivot`` has run.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, TypeAlias
else:
    from kata_hybrid._record import NamedTuple


SYNC_USERMAP = 1
SYNC_HOOKS = 2
SYNC_READY = 3

PIVOT_ROOT = 0
PIVOT_MOVE = 1
PIVOT_CHROOT = 2


class Sync(NamedTuple):
    """Tell the parent that ``point`` is reached and wait for its answer."""

    point: int


class JoinCgroup(NamedTuple):
    """Write ``0`` into the open ``tasks`` or ``cgroup.procs`` file."""

    fd: int


class OomScoreAdj(NamedTuple):
    value: int


class Setns(NamedTuple):
    """Enter the namespace(s) of an open file or pidfd; ``path`` is only for the error text."""

    fd: int
    flags: int
    path: str


class Unshare(NamedTuple):
    flags: int


class TimeOffsets(NamedTuple):
    """Lines of ``/proc/self/timens_offsets``; before the first child of the new time namespace."""

    data: bytes


class Fork(NamedTuple):
    """Go on in a new sibling process (CLONE_PARENT) that has the namespaces of ``flags`` new."""

    flags: int


class BecomeRoot(NamedTuple):
    """Uid and gid 0 of the current user namespace."""


class Setsid(NamedTuple):
    pass


class LoopbackUp(NamedTuple):
    pass


class RootPropagation(NamedTuple):
    flags: int


class PrepareRootfs(NamedTuple):
    path: str
    propagation_flags: int


class MountFs(NamedTuple):
    """A new filesystem on ``target``; ``propagation`` is packed u32 LE, attributes are MOUNT_ATTR_*."""

    source: str
    target: str
    fstype: str
    flags: int
    data: str
    propagation: bytes = b""
    set_attr: int = 0
    clr_attr: int = 0
    rec: int = 0


class BindMount(NamedTuple):
    """A bind of the host's ``source``; remounted when ``flags`` or ``cleared`` ask for more than a bind."""

    source: str
    target: str
    flags: int
    cleared: int
    propagation: bytes = b""
    set_attr: int = 0
    clr_attr: int = 0
    rec_attr: int = 0


class Remount(NamedTuple):
    target: str
    flags: int


class Symlink(NamedTuple):
    target: str
    path: str
    replace: int = 0


class Device(NamedTuple):
    """``type`` is the character code of c, b or p."""

    path: str
    type: int
    major: int
    minor: int
    mode: int
    uid: int
    gid: int


class MaskPath(NamedTuple):
    path: str


class ReadonlyPath(NamedTuple):
    path: str


class Sysctl(NamedTuple):
    """``path`` is below ``/proc/sys``."""

    path: str
    value: str


class MakeCwd(NamedTuple):
    path: str


class Pivot(NamedTuple):
    mode: int


class RootfsReadonly(NamedTuple):
    pass


class Hostname(NamedTuple):
    name: str


class Domainname(NamedTuple):
    name: str


class Rlimit(NamedTuple):
    resource: int
    soft: int
    hard: int


class NoNewPrivs(NamedTuple):
    pass


class Seccomp(NamedTuple):
    flags: int
    bpf: bytes


class BoundingCaps(NamedTuple):
    mask: int


class User(NamedTuple):
    """``groups`` is packed u32 LE; ``setgroups`` 0 leaves the supplementary groups alone."""

    uid: int
    gid: int
    groups: bytes
    setgroups: int


class Caps(NamedTuple):
    effective: int
    permitted: int
    inheritable: int
    ambient: int


class Umask(NamedTuple):
    mask: int


class Chdir(NamedTuple):
    path: str


class Console(NamedTuple):
    """A pty of the container: its master goes over ``fd``; ``mount`` 1 also binds it on ``/dev/console``."""

    fd: int
    rows: int
    cols: int
    mount: int


class ChownStdio(NamedTuple):
    uid: int


class StdioNull(NamedTuple):
    pass


class FindExecutable(NamedTuple):
    candidates: tuple[str, ...]


class ExecFifo(NamedTuple):
    fd: int


class Hook(NamedTuple):
    """Run a hook with ``state`` on its stdin; ``timeout_ms`` 0 is no limit."""

    kind: str
    index: int  # type: ignore[assignment]  # the name on the wire; hides tuple.index
    path: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    timeout_ms: int
    state: bytes


class Exec(NamedTuple):
    args: tuple[str, ...]
    env: tuple[str, ...]
    preserve: int


class Personality(NamedTuple):
    domain: int


class IOPriority(NamedTuple):
    ioclass: int
    priority: int


class Scheduler(NamedTuple):
    """``attr`` is a struct sched_attr."""

    attr: bytes


class SessionKeyring(NamedTuple):
    name: str
    join: int


if TYPE_CHECKING:
    Step: TypeAlias = (
        Sync
        | JoinCgroup
        | OomScoreAdj
        | Setns
        | Unshare
        | TimeOffsets
        | Fork
        | BecomeRoot
        | Setsid
        | LoopbackUp
        | RootPropagation
        | PrepareRootfs
        | MountFs
        | BindMount
        | Remount
        | Symlink
        | Device
        | MaskPath
        | ReadonlyPath
        | Sysctl
        | MakeCwd
        | Pivot
        | RootfsReadonly
        | Hostname
        | Domainname
        | Rlimit
        | NoNewPrivs
        | Seccomp
        | BoundingCaps
        | User
        | Caps
        | Umask
        | Chdir
        | Console
        | ChownStdio
        | StdioNull
        | FindExecutable
        | ExecFifo
        | Hook
        | Exec
        | Personality
        | IOPriority
        | Scheduler
        | SessionKeyring
    )

OPCODES: dict[type[Step], int] = {
    Sync: 1,
    JoinCgroup: 2,
    OomScoreAdj: 3,
    Setns: 4,
    Unshare: 5,
    TimeOffsets: 6,
    Fork: 7,
    BecomeRoot: 8,
    Setsid: 9,
    LoopbackUp: 10,
    RootPropagation: 11,
    PrepareRootfs: 12,
    MountFs: 13,
    BindMount: 14,
    Remount: 15,
    Symlink: 16,
    Device: 17,
    MaskPath: 18,
    ReadonlyPath: 19,
    Sysctl: 20,
    MakeCwd: 21,
    Pivot: 22,
    RootfsReadonly: 23,
    Hostname: 24,
    Domainname: 25,
    Rlimit: 26,
    NoNewPrivs: 27,
    Seccomp: 28,
    BoundingCaps: 29,
    User: 30,
    Caps: 31,
    Umask: 32,
    Chdir: 33,
    Console: 34,
    ChownStdio: 35,
    StdioNull: 36,
    FindExecutable: 37,
    ExecFifo: 38,
    Hook: 39,
    Exec: 40,
    Personality: 42,
    IOPriority: 43,
    Scheduler: 44,
    SessionKeyring: 45,
}
"""Number of each step on the wire. Both sides of the wire read this table's twin in the Rust plan crate."""

PRIVATE: frozenset[type[Step]] = frozenset({Exec, Hook, Seccomp})
"""Steps with what may be secret (an environment, a hook's arguments and state) or is large: they live no
longer than their plan."""
