"""The sandbox: one per agent, with its containers, namespaces and storages.

::

    stopped ──create──► starting ──► running ──destroy──► stopping ──► stopped

The lock guards the state word and the table of containers and is never held while something blocks. A
container is in the table only once it is complete; while it is being made its name is taken. Whatever fails
takes back all that it had made.
"""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kata_hybrid import cgroups
from kata_hybrid.agent.core.container import AgentContainer
from kata_hybrid.agent.core.errors import (
    InvalidRequest,
    RequestRefused,
    RunFailed,
    SandboxExists,
    SandboxNotStarted,
)
from kata_hybrid.agent.core.guest import Resolver, load_modules
from kata_hybrid.agent.core.namespaces import PERSISTENT, SandboxNamespaces
from kata_hybrid.agent.core.spec import check_request, guest_spec, scan_guest_hooks
from kata_hybrid.agent.core.storage import Storages
from kata_hybrid.errors import ConfigError, ContainerExists, ContainerNotFound, HookError, LaunchError
from kata_hybrid.oci.config import Hooks, NamespaceType
from kata_hybrid.runtime import Runtime, Stdio
from kata_hybrid.runtime.undo import Undo
from kata_hybrid.state import Store, check_container_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from dataclasses import dataclass
    from enum import Enum

    from kata_hybrid.agent.core.model import ContainerRequest, SandboxRequest
    from kata_hybrid.agent.core.policy import VersionPolicy
    from kata_hybrid.runtime import Container
    from kata_hybrid.runtime.exits import ExitWatcher
else:
    from kata_hybrid._record import Enum, dataclass

log = logging.getLogger(__name__)


class Phase(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Places:
    """Directories of the guest that the sandbox uses."""

    state_root: str
    namespace_root: str


@dataclass
class _Running:
    """What exists while the sandbox runs."""

    request: SandboxRequest
    runtime: Runtime
    namespaces: SandboxNamespaces
    storages: Storages
    resolver: Resolver
    mounted: list[str]
    hooks: Hooks


class Sandbox:
    """All methods but the look-ups block and run in worker threads."""

    def __init__(self, policy: VersionPolicy, exits: ExitWatcher, places: Places) -> None:
        self._policy = policy
        self._exits = exits
        self._places = places
        self._lock = threading.Lock()
        self._phase = Phase.STOPPED
        self._running: _Running | None = None
        self._containers: dict[str, AgentContainer] = {}
        self._creating: set[str] = set()
        self._shared_pid_path = ""

    # --- looking up ----------------------------------------------------------------------------------

    def require_started(self) -> None:
        """Raises:
        SandboxNotStarted: there is no sandbox.
        """
        with self._lock:
            self._check_running()

    def _check_running(self) -> _Running:
        if self._phase is not Phase.RUNNING or self._running is None:
            raise SandboxNotStarted("sandbox is not started")
        return self._running

    def container(self, container_id: str) -> AgentContainer:
        """The container of this id.

        Raises:
            ContainerNotFound: there is none, or it is still being made.
        """
        with self._lock:
            found = self._containers.get(container_id)
        if found is None:
            raise ContainerNotFound("container does not exist", container_id=container_id)
        return found

    # --- the sandbox ---------------------------------------------------------------------------------

    def create(self, request: SandboxRequest) -> None:
        """Make the sandbox.

        Raises:
            SandboxExists: there is one.
            InvalidRequest: a sandbox id that is no name.
            AgentError: a step failed; nothing is left and it may be tried again.
        """
        self._enter(Phase.STOPPED, Phase.STARTING)
        try:
            running = self._make(request)
        except BaseException:
            self._leave(Phase.STOPPED, None)
            raise
        self._leave(Phase.RUNNING, running)

    def _enter(self, expected: Phase, following: Phase) -> None:
        with self._lock:
            if self._phase is not expected:
                raise SandboxExists("sandbox has been started")
            self._phase = following

    def _leave(self, phase: Phase, running: _Running | None) -> None:
        with self._lock:
            self._phase = phase
            self._running = running
            self._shared_pid_path = running.namespaces.paths.get(NamespaceType.PID, "") if running else ""

    def _make(self, request: SandboxRequest) -> _Running:
        if request.sandbox_id:
            _check_name(request.sandbox_id)
        storages = Storages(self._policy)
        storages.check(request.storages)
        load_modules(request.kernel_modules)
        found = scan_guest_hooks(request.guest_hook_path) if request.guest_hook_path else {}
        root = self._state_root(request.sandbox_id)
        runtime = Runtime(root)
        if request.sandbox_id:  # without one the directory is not ours alone
            remove_stale(runtime)
        name = request.sandbox_id or "sandbox"
        namespaces = SandboxNamespaces(os.path.join(self._places.namespace_root, name))
        resolver = Resolver()
        with Undo() as undo:
            undo.add(self._remove_root, root)
            namespaces.make(shared_pid=request.sandbox_pidns)
            undo.add(namespaces.close)
            mounted = storages.attach(request.storages)
            undo.add(storages.close)
            undo.add(storages.detach, mounted)
            resolver.set(request.dns)
            undo.pop_all()
        return _Running(request, runtime, namespaces, storages, resolver, mounted, Hooks(**found))

    def _state_root(self, sandbox_id: str) -> str:
        if sandbox_id and self._policy.state_below_sandbox:
            return os.path.join(self._places.state_root, sandbox_id)
        return self._places.state_root

    def destroy(self) -> None:
        """End the sandbox; without one nothing is done.

        Raises:
            StatusError: a container still runs; the sandbox stays as it is.
            AgentError, CgroupError: a step failed; the sandbox stays and it may be tried again.
        """
        with self._lock:
            if self._phase is not Phase.RUNNING or self._running is None:
                return
            if self._creating:
                raise RequestRefused("a container is being created")
            running = self._running
            containers = list(self._containers.values())
            self._phase = Phase.STOPPING
        try:
            for container in containers:
                self._remove(container, running)
            self._unmake(running)
        except BaseException:
            with self._lock:
                self._phase = Phase.RUNNING
            raise
        self._leave(Phase.STOPPED, None)
        os.sync()

    def _unmake(self, running: _Running) -> None:
        running.resolver.reset()
        running.storages.detach(running.mounted)
        running.storages.close()
        running.namespaces.close()
        self._remove_root(running.runtime.root)

    def _remove_root(self, root: str) -> None:
        """Remove the empty state directory of the sandbox; the common one stays."""
        if root != self._places.state_root and os.path.isdir(root) and not os.listdir(root):
            os.rmdir(root)

    # --- containers ----------------------------------------------------------------------------------

    def create_container(self, request: ContainerRequest) -> AgentContainer:
        """Make a container whose init process waits for its start.

        Raises:
            SandboxNotStarted, ContainerExists, PidNamespaceGiven: in this order.
            InvalidRequest, RootfsError, AgentError: the request is wrong; nothing was touched.
            RunFailed: the init process could not be started; nothing is left.
        """
        with self._being_created(request) as running:
            _check_name(request.container_id)
            check_request(request, self._policy)
            running.storages.check(request.storages)
            with Undo() as undo:
                mounted = running.storages.attach(request.storages)
                undo.add(running.storages.forget_container, request.storages)
                undo.add(running.storages.detach, mounted)
                container = self._start_init(request, running)
                undo.pop_all()
            made = AgentContainer(
                container,
                request,
                policy=self._policy,
                exits=self._exits,
                manager=cgroups.from_paths(Store(running.runtime.root).load(container.id).read().cgroup_paths),
                mounted=mounted,
            )
            self._publish(request, made)
        return made

    @contextmanager
    def _being_created(self, request: ContainerRequest) -> Iterator[_Running]:
        name = request.container_id
        with self._lock:
            running = self._check_running()
            if name in self._containers or name in self._creating:
                raise ContainerExists("container exists", container_id=name)
            self._creating.add(name)
        try:
            yield running
        finally:
            with self._lock:
                self._creating.discard(name)

    def _start_init(self, request: ContainerRequest, running: _Running) -> Container:
        spec = guest_spec(
            request,
            self._policy,
            namespaces=self._namespaces_for(request, running),
            guest_hooks=running.hooks,
        )
        root_path = spec.root.path if spec.root else "/"
        try:
            return running.runtime.create(
                request.container_id, bundle=os.path.dirname(root_path), spec=spec, stdio=Stdio.pipes()
            )
        except (LaunchError, ConfigError) as err:
            program = spec.process.args[0] if spec.process and spec.process.args else ""
            raise RunFailed(
                err, program=program, container_id=request.container_id, exec_id=request.exec_id
            ) from err

    def _namespaces_for(self, request: ContainerRequest, running: _Running) -> dict[NamespaceType, str]:
        joined: dict[NamespaceType, str] = {}
        if self._policy.share_ipc_and_uts:
            joined.update({kind: running.namespaces.paths[kind] for kind in PERSISTENT})
        if not request.agent_pidns:
            shared = request.sandbox_pidns or running.request.sandbox_pidns
            joined[NamespaceType.PID] = self._shared_pid_path if shared else ""
        return joined

    def _publish(self, request: ContainerRequest, made: AgentContainer) -> None:
        with self._lock:
            first = not self._containers and not self._shared_pid_path
            if first and not request.agent_pidns:
                self._shared_pid_path = f"/proc/{made.init.process.pid}/ns/pid"
            self._containers[made.id] = made

    def remove_container(self, container_id: str) -> AgentContainer:
        """Remove a created or stopped container; gives it back so that its streams can be closed.

        Raises:
            ContainerNotFound: there is none.
            StatusError: it runs or is paused.
            StorageError, CgroupError: a step failed; it stays known.
            HookError: a poststop hook failed; it is gone all the same.
        """
        found = self.container(container_id)
        with self._lock:
            running = self._running
        if running is None:
            raise ContainerNotFound("container does not exist", container_id=container_id)
        self._remove(found, running)
        return found

    def _remove(self, container: AgentContainer, running: _Running) -> None:
        hook_failure: HookError | None = None
        try:
            container.destroy()
        except HookError as err:
            hook_failure = err
        except ContainerNotFound:  # destroyed before; a mount was busy then
            log.debug("container %s was destroyed before", container.id)
        running.storages.detach(container.mounted)
        with self._lock:
            if self._containers.get(container.id) is container:
                del self._containers[container.id]
            if self._shared_pid_path == f"/proc/{container.init.process.pid}/ns/pid":
                self._shared_pid_path = ""
        if hook_failure is not None:
            raise hook_failure


def remove_stale(runtime: Runtime) -> None:
    """Remove what an agent that died left below the state directory; its processes are killed.

    Raises:
        CgroupError: a cgroup could not be removed.
    """
    for container_id in Store(runtime.root).list():
        log.warning("removing container %s of an earlier agent", container_id)
        runtime.delete(container_id, force=True)


def _check_name(name: str) -> None:
    """Raises:
    InvalidRequest: it cannot be a directory's name.
    """
    try:
        check_container_id(name)
    except ConfigError as err:
        raise InvalidRequest(f"invalid id format: {name[:300]!r}: {err.problem}") from err
