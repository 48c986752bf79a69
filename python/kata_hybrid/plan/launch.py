"""What goes into a plan and what comes out, as frozen types. No decisions here."""

from __future__ import annotations

from _weakref import ref  # weakref itself imports three more

from .encode import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass
    from typing import Literal

    from ..oci.config import Spec
    from .steps import Step
else:
    from kata_hybrid._record import dataclass

FdRequest = str
"""A file the launcher must open, by symbol: ``cgroup:<n>`` (the n-th file of the cgroup join), ``ns:<path>``
(that namespace file, read-only), ``pidfd`` (of the container's init), ``fifo`` (O_PATH of the exec fifo),
``console`` (a socket that takes the pty master)."""
KEPT_BYTES = 64 * 1024
"""A plan whose encoding is longer is not kept for the next launch."""


@dataclass(frozen=True)
class CgroupMount:
    """One v1 hierarchy as the ``cgroup`` mount type shows it.

    Attributes:
        name: directory below the mount, such as ``cpu,cpuacct`` or ``systemd``.
        data: mount data that selects the hierarchy, such as ``cpu,cpuacct`` or ``none,name=systemd``.
        source: host path of the container's own cgroup there.
        links: other names of the same hierarchy, such as ``("cpu", "cpuacct")``.
    """

    name: str
    data: str
    source: str
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class CgroupJoin:
    """How init gets into its cgroup: ``tasks`` v1 files to write to; on v2 it is born there."""

    tasks: int = 0
    mode: Literal["v1", "v2"] = "v1"
    mounts: tuple[CgroupMount, ...] = ()
    own_path: str = "/sys/fs/cgroup"  # v2: host path of the container's cgroup


@dataclass(frozen=True)
class LaunchOptions:
    """What the caller decides about one launch, beside its configuration.

    Attributes:
        container_id: names the session keyring and stands in hook states.
        bundle: absolute; relative bind sources start here.
        fifo: create: wait at the exec fifo before ``execve``.
        preserve_fds: how many descriptors from 3 on the process keeps.
        home: HOME when the configuration has none.
        no_pivot: MS_MOVE and chroot in place of pivot_root (a rootfs on the initramfs).
        no_new_keyring: stay in the caller's session keyring.
        setgroups: False when the user namespace forbids setgroups (rootless).
        init_pid: exec without pidfd setns: whose ``/proc/<pid>/ns`` is entered.
    """

    container_id: str = ""
    bundle: str = "/"
    fifo: bool = False
    preserve_fds: int = 0
    home: str = "/"
    no_pivot: bool = False
    no_new_keyring: bool = False
    setgroups: bool = True
    init_pid: int = 0


@dataclass(frozen=True)
class LaunchPlan:
    """Every decision of one launch.

    Attributes:
        steps: what init does, in order.
        clone_flags: namespaces the first clone makes; 0 when a ``Fork`` step makes them.
        fds: files to open, in the order that the steps' ``fd`` fields count.
        user_maps: (uid_map, gid_map) texts to write at the USERMAP point, or None.
        preserve_fds: descriptors from 3 on that stay open.
    """

    steps: tuple[Step, ...]
    clone_flags: int = 0
    fds: tuple[FdRequest, ...] = ()
    user_maps: tuple[str, str] | None = None
    preserve_fds: int = 0

    @property
    def encoded(self) -> bytes:
        """The bytes for ``_core.spawn``; asked for once to find what is wrong, and again to launch.

        Raises:
            ConfigError: a text holds a NUL.
        """
        known: bytes | None = self.__dict__.get("_encoded")
        if known is None:
            known = self.__dict__["_encoded"] = encode(self.steps)
        return known


class KeptPlans:
    """The last plans, each for as long as its configuration lives: the object itself, not an equal one.

    A plan has the environment of its process, hence the bounds: ``limit`` plans of up to ``KEPT_BYTES``
    encoded, half a megabyte for eight, and none after the last reference to its ``Spec`` has gone.
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self._plans: list[tuple[ref[Spec], tuple[object, ...], LaunchPlan]] = []

    def find(self, spec: Spec, inputs: tuple[object, ...]) -> LaunchPlan | None:
        """The plan that was added with this ``spec`` and equal ``inputs``."""
        for known, of, plan in tuple(self._plans):
            if known() is spec and of == inputs:
                return plan
        return None

    def add(self, spec: Spec, inputs: tuple[object, ...], plan: LaunchPlan) -> None:
        """Keep ``plan`` in the place of the oldest, unless it is large.

        Raises:
            ConfigError: the plan cannot be encoded.
        """
        if len(plan.encoded) <= KEPT_BYTES:
            self._plans[:] = [*self._plans[1 - self._limit :], (ref(spec, self._forget), inputs, plan)]

    def _forget(self, gone: ref[Spec]) -> None:
        self._plans[:] = [entry for entry in tuple(self._plans) if entry[0] is not gone]
