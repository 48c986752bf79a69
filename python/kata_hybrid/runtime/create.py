"""Creating a container: a flat list of steps, each undone in reverse when a later one fails.

Everything that can be wrong in the configuration is found before anything is touched. From ``reserve`` on
the state directory's lock is held, and the sidecar names the cgroups before they exist, so that whoever
comes after a ``kill -9`` in the middle knows what to remove.
"""

from __future__ import annotations

import os
import time

from kata_hybrid.cgroups.layout import detect
from kata_hybrid.cgroups.manager import make_manager
from kata_hybrid.errors import CgroupError, ConfigError
from kata_hybrid.oci.config import NamespaceType
from kata_hybrid.oci.load import load_spec
from kata_hybrid.oci.validate import validate_spec
from kata_hybrid.plan import steps
from kata_hybrid.plan.build import plan_create
from kata_hybrid.plan.capabilities import unknown_capabilities
from kata_hybrid.plan.host import host_facts
from kata_hybrid.plan.launch import LaunchOptions
from kata_hybrid.runtime.destroy import kill_and_reap, kill_everything
from kata_hybrid.runtime.home import home_of
from kata_hybrid.runtime.join import cgroup_join
from kata_hybrid.runtime.launch import FdSources, LaunchRequest, launch
from kata_hybrid.runtime.status import ContainerState, Status
from kata_hybrid.runtime.stdio import Stdio
from kata_hybrid.runtime.undo import Undo
from kata_hybrid.state.proc import process_start_time
from kata_hybrid.state.sidecar import Sidecar
from kata_hybrid.state.store import check_container_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from dataclasses import dataclass, field

    from kata_hybrid import _core
    from kata_hybrid.cgroups import Manager
    from kata_hybrid.oci.config import Capabilities, Spec
    from kata_hybrid.plan import LaunchPlan
    from kata_hybrid.runtime.console import Console
    from kata_hybrid.runtime.stdio import OpenedStdio
    from kata_hybrid.state import StateDir, StateDocument, Store
else:
    from kata_hybrid._light import ExitStack
    from kata_hybrid._record import dataclass, field


@dataclass(frozen=True)
class CreateOptions:
    """What the caller of ``create`` and ``run`` chooses beside the configuration.

    Attributes:
        console_socket: a listening unix socket that gets the terminal's master; None keeps it here.
        pid_file: written last, whole or not at all.
        no_pivot: MS_MOVE and chroot in place of pivot_root.
        no_new_keyring: stay in the caller's session keyring.
        preserve_fds: how many of our descriptors from 3 on the process gets.
    """

    stdio: Stdio = field(default_factory=Stdio.inherit)
    console_socket: str | None = None
    pid_file: str | None = None
    no_pivot: bool = False
    no_new_keyring: bool = True
    preserve_fds: int = 0


@dataclass(frozen=True)
class Blueprint:
    """What is decided before anything is touched."""

    container_id: str
    spec: Spec
    bundle: str
    rootfs: str
    manager: Manager
    plan: LaunchPlan
    options: CreateOptions
    fifo: bool
    keep_spec: bool


@dataclass
class Created:
    """What ``create`` leaves behind, for the ``Container`` object."""

    directory: StateDir
    document: StateDocument
    manager: Manager
    child: _core.Child
    stdio: OpenedStdio


def draw(
    store: Store,
    container_id: str,
    *,
    bundle: str | None,
    spec: Spec | None,
    options: CreateOptions,
    fifo: bool,
) -> Blueprint:
    """Read, validate and plan. Touches nothing.

    Args:
        bundle: where ``config.json`` is and relative paths start; without one, the state directory.
        spec: wins over the bundle's file.

    Raises:
        ConfigError: neither is given, or the configuration is wrong.
    """
    check_container_id(container_id)
    if bundle is None and spec is None:
        raise ConfigError("", "a bundle or a spec is needed", container_id=container_id)
    keep_spec = spec is not None
    bundle = os.path.abspath(bundle) if bundle is not None else os.path.join(store.root, container_id)
    if spec is None:
        spec = load_spec(bundle)
    validate_spec(spec, container_id=container_id)
    if spec.process is None:
        raise ConfigError("process", "must be set to create a container", container_id=container_id)
    if options.console_socket is not None and not spec.process.terminal:
        raise ConfigError("process.terminal", "a console socket needs a terminal", container_id=container_id)
    _check_preserved(options.preserve_fds, container_id)
    rootfs = os.path.realpath(os.path.join(bundle, spec.root.path if spec.root else "/"))
    layout = detect()
    manager = make_manager(layout, spec.linux.cgroups_path, container_id)
    facts = host_facts()
    _warn_of_capabilities(spec.process.capabilities, facts.last_cap)
    plan = plan_create(
        spec,
        rootfs=rootfs,
        facts=facts,
        cgroup=cgroup_join(layout, manager),
        options=LaunchOptions(
            container_id=container_id,
            bundle=bundle,
            fifo=fifo,
            preserve_fds=options.preserve_fds,
            home=home_of(spec.process, rootfs),
            no_pivot=options.no_pivot,
            no_new_keyring=options.no_new_keyring,
        ),
    )
    _ = plan.encoded  # finds what cannot be said to kata-init, while nothing has been touched
    return Blueprint(container_id, spec, bundle, rootfs, manager, plan, options, fifo, keep_spec)


def _warn_of_capabilities(wanted: Capabilities | None, last_cap: int) -> None:
    """A name that this kernel does not know is left out, as runc does: less is safe, but must be said."""
    if wanted is None:
        return
    sets = (wanted.bounding, wanted.effective, wanted.inheritable, wanted.permitted, wanted.ambient)
    unknown = unknown_capabilities((name for names in sets for name in names), last_cap)
    if unknown:
        import logging  # costs start-up time, and is needed by a faulty configuration only

        text = "ignoring unknown or unavailable capabilities: [%s]"
        logging.getLogger(__name__).warning(text, " ".join(unknown))


def build(store: Store, drawn: Blueprint) -> Created:
    """Make the container of a blueprint; on failure nothing of it is left.

    Raises:
        ContainerExists: the id is taken.
        LaunchError, HookError, CgroupError: a step failed.
    """
    with ExitStack() as borrowed, Undo() as undo:
        return _Builder(drawn, undo, borrowed).run(store)


class _Builder:
    """One ``create`` under way.

    Args:
        undo: what to take back, in reverse, if a later step fails.
        borrowed: what is closed in any case, after the undoing: the lock, sockets, the child's ends.
    """

    def __init__(self, drawn: Blueprint, undo: Undo, borrowed: ExitStack) -> None:
        self._drawn = drawn
        self._undo = undo
        self._borrowed = borrowed
        self._console: Console | None = None
        self._limit: Callable[[], None] | None = None
        self._document: StateDocument | None = None
        self._write: Callable[[], None] | None = None

    def run(self, store: Store) -> Created:
        drawn = self._drawn
        terminal = drawn.spec.process is not None and drawn.spec.process.terminal
        if terminal:
            from kata_hybrid.runtime.console import Console

            self._console = Console(self._borrowed, drawn.options.console_socket)
        directory = self._reserve(store)
        self._make_cgroup()
        stdio = drawn.options.stdio.open(self._borrowed, self._undo, terminal=terminal)
        child = self._launch(directory, stdio)
        self._take_master(stdio)
        if drawn.options.pid_file is not None:
            from kata_hybrid.runtime.pidfile import write_pid_file

            write_pid_file(drawn.options.pid_file, child.pid)
        assert self._document is not None
        self._undo.pop_all()
        return Created(directory, self._document, drawn.manager, child, stdio)

    def _reserve(self, store: Store) -> StateDir:
        directory = store.reserve(self._drawn.container_id)
        self._undo.add(directory.remove)
        self._borrowed.enter_context(directory.lock())
        self._write_facts(directory)
        if self._drawn.fifo:
            from kata_hybrid.runtime.fifo import make_fifo

            uid, gid = host_root(self._drawn.spec)
            make_fifo(directory.fifo_path, uid=uid, gid=gid)
        return directory

    def _write_facts(self, directory: StateDir) -> None:
        """Name the cgroups for who cleans up after us; but never groups that others live in already."""
        drawn = self._drawn
        if drawn.manager.pids():
            path = next(iter(drawn.manager.paths.values()))
            raise CgroupError("the group has processes already", path=path, container_id=drawn.container_id)
        directory.write_sidecar(
            Sidecar(
                bundle=drawn.bundle,
                rootfs=drawn.rootfs,
                oci_version=drawn.spec.oci_version,
                cgroup_paths=drawn.manager.paths,
                annotations=drawn.spec.annotations,
                fifo=drawn.fifo,
                created=now(),
            )
        )
        if drawn.keep_spec:
            from kata_hybrid.runtime.adopt import write_spec

            write_spec(directory, drawn.spec)

    def _make_cgroup(self) -> None:
        manager = self._drawn.manager
        manager.create()
        self._undo.add(manager.delete)
        self._undo.add(kill_everything, manager, None)

    def _launch(self, directory: StateDir, stdio: OpenedStdio) -> _core.Child:
        drawn = self._drawn
        join = drawn.manager.open_join()
        self._borrowed.callback(join.close)
        request = LaunchRequest(
            plan=drawn.plan,
            sources=FdSources(
                tasks=join.tasks,
                cgroup_fd=join.cgroup_fd,
                fifo_path=directory.fifo_path,
                console_fd=self._console.child_fd if self._console else -1,
            ),
            stdio=stdio.child,
            container_id=drawn.container_id,
            meanwhile=None if self._console else lambda pid: self._meanwhile(directory, pid),
            actions={
                steps.SYNC_HOOKS: self._limits_and_hooks,
                steps.SYNC_READY: lambda pid: self._ready(directory, pid),
            },
        )
        child = launch(request)
        self._undo.add(kill_and_reap, child)
        return child

    def _meanwhile(self, directory: StateDir, pid: int) -> None:
        """What can be worked out while kata-init makes its mounts."""
        self._prepare_limits()
        self._write = self._stage_document(directory, pid)

    def _limits_and_hooks(self, pid: int) -> None:
        self._write_limits()
        from kata_hybrid.runtime.hooks import run_hooks

        hooks = self._drawn.spec.hooks
        state_now = hook_state(self._drawn, pid)
        run_hooks("prestart", hooks.prestart, state_now)
        run_hooks("createRuntime", hooks.create_runtime, state_now)

    def _ready(self, directory: StateDir, pid: int) -> None:
        self._write_limits()
        if self._document is None or self._document.pid != pid or self._write is None:
            self._write = self._stage_document(directory, pid)
        self._write()

    def _prepare_limits(self) -> None:
        resources = self._drawn.spec.linux.resources
        self._limit = _nothing if resources is None else self._drawn.manager.prepare(resources)

    def _write_limits(self) -> None:
        """Late, so that a small share of CPU is the workload's and does not slow its setting up."""
        if self._limit is None:
            self._prepare_limits()
        assert self._limit is not None
        self._limit()
        self._limit = _nothing

    def _stage_document(self, directory: StateDir, pid: int) -> Callable[[], None]:
        """All but the last step of writing it: the file's own name appears when the container is ready."""
        from kata_hybrid.state.build import build_document  # while kata-init works

        drawn = self._drawn
        self._document = build_document(
            drawn.spec,
            container_id=drawn.container_id,
            pid=pid,
            start_time=process_start_time(pid),
            created=now(),
            rootfs=drawn.rootfs,
            bundle=drawn.bundle,
            cgroup_paths=drawn.manager.paths,
            no_pivot=drawn.options.no_pivot,
            no_new_keyring=drawn.options.no_new_keyring,
            external_descriptors=[_link_text(f"/proc/{pid}/fd/{number}") for number in range(3)],
            rootless=os.geteuid() != 0,
        )
        return directory.stage(self._document)

    def _take_master(self, stdio: OpenedStdio) -> None:
        if self._console is None:
            return
        master_fd = self._console.receive()
        if master_fd is not None:
            self._undo.callback(stdio.use_master(master_fd).close)


def hook_state(drawn: Blueprint, pid: int) -> ContainerState:
    """What hooks see while the container is being made."""
    return ContainerState(
        oci_version=drawn.spec.oci_version,
        id=drawn.container_id,
        pid=pid,
        status=Status.CREATING,
        bundle=drawn.bundle,
        rootfs=drawn.rootfs,
        created="",
        annotations=drawn.spec.annotations,
    )


def host_root(spec: Spec) -> tuple[int, int]:
    """Uid and gid on the host of the container's root."""
    if not any(ns.type is NamespaceType.USER for ns in spec.linux.namespaces):
        return (os.geteuid(), os.getegid())
    uids = (m.host_id for m in spec.linux.uid_mappings if m.container_id == 0)
    gids = (m.host_id for m in spec.linux.gid_mappings if m.container_id == 0)
    return next(uids, os.geteuid()), next(gids, os.getegid())


def now() -> str:
    """RFC 3339 in UTC with nine digits' room, trailing zeros trimmed, as Go prints it."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{nanoseconds:09d}".rstrip("0").rstrip(".") + "Z"


def _nothing() -> None:
    pass


def _link_text(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed by the caller's choice, or not ours to read
        return ""


def _check_preserved(count: int, container_id: str) -> None:
    for fd in range(3, 3 + count):
        try:
            os.fstat(fd)
        except OSError:
            problem = f"unable to stat preserved-fd {fd} (of {count}): no such descriptor"
            raise ConfigError("", problem, container_id=container_id) from None
