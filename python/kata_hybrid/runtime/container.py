"""A container: its lifecycle after ``create``.

::

    creating ──► created ──► running ◄──► paused
                    │           │            │
                    └──────► stopped ◄───────┘ ──► gone

Calls that change a container are put in order by a lock per container: a thread lock here, a file lock
for other processes. ``wait``, ``state`` and the streams never take it.

Sources: runtime-spec runtime.md#lifecycle; runc's table of statuses and verbs (behaviour).
"""

from __future__ import annotations

import os
from _thread import allocate_lock as Lock  # noqa: N812 - threading itself takes three milliseconds
from errno import ESRCH

from kata_hybrid.errors import (
    ContainerNotFound,
    ContainerNotPaused,
    ContainerNotRunning,
    ContainerNotStopped,
    ProcessNotFound,
    SignalError,
    StatusError,
)
from kata_hybrid.runtime import adopt
from kata_hybrid.runtime.process import parse_signal
from kata_hybrid.runtime.status import ContainerState, Status, compute_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import contextmanager
    from signal import SIGKILL
    from typing import Final

    from kata_hybrid.cgroups import Manager, Stats
    from kata_hybrid.oci.config import Hooks, Resources, Spec
    from kata_hybrid.oci.config import Process as ProcessConfig
    from kata_hybrid.runtime.exectable import ExecTable
    from kata_hybrid.runtime.process import ExitStatus, Process
    from kata_hybrid.runtime.stdio import Stdio
    from kata_hybrid.state import StateDir, StateDocument
else:
    from _signal import SIGKILL  # signal makes enumerations of them

    from kata_hybrid._light import contextmanager

_table_lock = Lock()


class Container:
    """One container; made by ``Runtime.create``, ``run`` or ``load``.

    Attributes:
        init: its first process.
    """

    def __init__(
        self,
        *,
        directory: StateDir,
        document: StateDocument,
        manager: Manager,
        init: Process,
        spec: Spec | None = None,
        on_gone: Callable[[Container], None] | None = None,
    ) -> None:
        self._directory = directory
        self._document = document
        self._manager = manager
        self._spec = spec
        self._lock = Lock()
        self._gone = False
        self._on_gone = on_gone
        self.id = document.id
        self.init = init
        self._table: ExecTable | None = None

    def __repr__(self) -> str:
        return f"Container({self.id}, pid={self.init.pid})"

    @property
    def bundle(self) -> str:
        """The bundle's directory; its files may have changed or gone since."""
        return self._document.bundle

    @property
    def spec(self) -> Spec:
        """The configuration it was created from; read from disk for a container that was found there.

        Raises:
            ConfigError: the bundle's file is gone or wrong.
        """
        if self._spec is None:
            self._spec = adopt.spec_of(self._directory, self._document)
        return self._spec

    @property
    def _hooks(self) -> Hooks:
        """From memory or the state file; never from a bundle that may have changed since."""
        return self._spec.hooks if self._spec is not None else self._document.hooks

    @property
    def _execs(self) -> ExecTable:
        """Made when it is first asked for: who only looks at containers does without."""
        from kata_hybrid.runtime.exectable import ExecTable

        with _table_lock:
            if self._table is None:
                self._table = ExecTable(container_id=self.id, init=self.init)
            return self._table

    def is_of(self, document: StateDocument) -> bool:
        """This object stands for the container that ``document`` describes, not for a namesake."""
        mine = self._document
        return not self._gone and (mine.pid, mine.start_time) == (document.pid, document.start_time)

    @contextmanager
    def _ordered(self) -> Iterator[None]:
        """Hold the container's lock, in this process and among processes."""
        with self._lock:
            self._check_there()
            with self._directory.lock():
                self._check_there()
                yield

    def _check_there(self) -> None:
        if self._gone or not self._directory.has_document():
            raise ContainerNotFound("container does not exist", container_id=self.id)

    # --- looking -------------------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        """The status now. Asks the kernel each time; takes no lock.

        Raises:
            ContainerNotFound: it has been deleted.
        """
        self._check_there()
        return compute_status(
            frozen=self._manager.is_frozen(),
            alive=not self.init.ended(),
            fifo=os.path.exists(self._directory.fifo_path),
        )

    def state(self) -> ContainerState:
        """As ``runc state``: pid 0 when stopped.

        Raises:
            ContainerNotFound: it has been deleted.
        """
        return self._state(self.status)

    def _state(self, status: Status) -> ContainerState:
        document = self._document
        return ContainerState(
            oci_version=document.oci_version,
            id=self.id,
            pid=0 if status is Status.STOPPED else self.init.pid,
            status=status,
            bundle=document.bundle,
            rootfs=document.rootfs,
            created=document.created,
            annotations=document.annotations,
        )

    def processes(self) -> list[int]:
        """Pids of everything in the container's cgroups, in our pid namespace."""
        self._check_there()
        return self._manager.pids()

    def stats(self) -> Stats:
        """Counters of its cgroups.

        Raises:
            ContainerNotRunning: it is stopped.
        """
        self._require_alive("events", f"container with id {self.id} is not running")
        return self._manager.stats()

    def wait(self, timeout: float | None = None) -> ExitStatus:
        """The init process's exit status; see :meth:`Process.wait`."""
        return self.init.wait(timeout)

    def process(self, exec_id: str) -> Process:
        """The process of this exec id; its status is kept until the container is deleted.

        Raises:
            ProcessNotFound: no such process.
        """
        found = self._execs.get(exec_id)
        if found is None:
            raise ProcessNotFound("process does not exist", container_id=self.id, exec_id=exec_id)
        return found

    def _require_alive(self, verb: str, message: str) -> Status:
        status = self.status
        if status is Status.STOPPED:
            raise ContainerNotRunning(message, status=str(status), verb=verb, container_id=self.id)
        return status

    # --- changing ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let the created container's init process run its program; then poststart hooks.

        Raises:
            StatusError: it is not ``created``.
            HookError: a poststart hook failed; the container has been killed.
        """
        with self._ordered():
            status = self.status
            if status is not Status.CREATED or self.init.child is None:
                raise StatusError(
                    _START_REFUSED[status], status=str(status), verb="start", container_id=self.id
                )
            from kata_hybrid.runtime.fifo import release_init

            release_init(self._directory.fifo_path, self.init.child, container_id=self.id)
        self.run_poststart()

    def run_poststart(self) -> None:
        """Run the poststart hooks; a failure ends the container, as runc and the spec have it.

        The lock is not held: a hook may well call us for this container.

        Raises:
            HookError: a hook failed.
        """
        hooks = self._hooks.poststart
        if not hooks:
            return
        from kata_hybrid.runtime import destroy
        from kata_hybrid.runtime.hooks import run_hooks

        try:
            run_hooks("poststart", hooks, self._state(Status.RUNNING))
        except BaseException:
            destroy.kill_everything(self._manager, self.init)
            raise

    def exec(
        self,
        command: Sequence[str] | ProcessConfig,
        *,
        exec_id: str | None = None,
        stdio: Stdio | None = None,
        env: Sequence[str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        terminal: bool | None = None,
        console_socket: str | None = None,
        pid_file: str | None = None,
        preserve_fds: int = 0,
        ignore_paused: bool = False,
    ) -> Process:
        """Start another process in the container.

        Args:
            command: arguments, run with the settings of the container's own process; or a whole
                ``process`` object.
            exec_id: its name; one is made up when None, and forgotten once it has been seen to end.
            env: ``NAME=value`` entries added to the process's.
            user: ``uid`` or ``uid:gid``.

        Raises:
            ContainerNotRunning: the container is stopped, or paused without ``ignore_paused``.
            ProcessExists: ``exec_id`` is taken.
            ConfigError: the process is wrong.
            LaunchError: a step failed; nothing is left.
        """
        from kata_hybrid.runtime.execute import ExecOptions, launch_exec, process_of
        from kata_hybrid.runtime.stdio import Stdio

        config = process_of(self.spec, command, env=env, cwd=cwd, user=user, terminal=terminal)
        options = ExecOptions(
            stdio=stdio if stdio is not None else Stdio.inherit(),
            console_socket=console_socket,
            pid_file=pid_file,
            preserve_fds=preserve_fds,
        )
        with self._ordered():
            status = self._require_alive("exec", "cannot exec in a stopped container")
            if status is Status.PAUSED and not ignore_paused:
                message = "cannot exec in a paused container (use --ignore-paused to override)"
                raise ContainerNotRunning(message, status=str(status), verb="exec", container_id=self.id)
            with self._execs.reserve(exec_id) as slot:
                slot.process = launch_exec(
                    self.spec,
                    config,
                    options,
                    bundle=self.bundle,
                    exec_id=slot.exec_id,
                    init=self.init,
                    manager=self._manager,
                )
                return slot.process

    def kill(self, signal: str | int = "TERM", *, all: bool = False) -> None:  # noqa: A002 - runc's word
        """Signal the init process; SIGKILL without a pid namespace of its own, or ``all``: every process.

        SIGKILL also reaches a paused container: it is thawed to die.

        Raises:
            ContainerNotRunning: it is stopped (no error with ``all``).
            ConfigError: no such signal.
        """
        number = parse_signal(signal)
        with self._ordered():
            if all and self.status is Status.STOPPED:
                self._manager.kill_all(number)
                return
            status = self._require_alive("kill", "container not running")
            everyone = all or (number == SIGKILL and not self._has_pid_namespace())
            # The init first, while it is alive to be found; and no signal but SIGKILL comes to it twice.
            if not everyone or number == SIGKILL or self.init.pid not in self._manager.pids():
                self._signal_init(number)
            if everyone:
                self._manager.kill_all(number)
            if number == SIGKILL and status is Status.PAUSED:
                self._manager.thaw()

    def _signal_init(self, number: int) -> None:
        try:
            self.init.signal(number)
        except SignalError as err:
            if err.errno != ESRCH:
                raise
            message = "container not running"
            raise ContainerNotRunning(message, status="stopped", verb="kill", container_id=self.id) from err

    def _has_pid_namespace(self) -> bool:
        return adopt.has_private_pid_namespace(self._document)

    def pause(self) -> None:
        """Freeze every process.

        Raises:
            ContainerNotRunning: it is neither running nor created.
        """
        with self._ordered():
            status = self.status
            if status not in (Status.RUNNING, Status.CREATED):
                raise ContainerNotRunning(
                    "container not running", status=str(status), verb="pause", container_id=self.id
                )
            self._manager.freeze()

    def resume(self) -> None:
        """Thaw every process; a container paused while created is created again.

        Raises:
            ContainerNotPaused: it is not paused.
        """
        with self._ordered():
            status = self.status
            if status is not Status.PAUSED:
                raise ContainerNotPaused(
                    "container not paused", status=str(status), verb="resume", container_id=self.id
                )
            self._manager.thaw()

    def update(self, resources: Resources) -> None:
        """Change limits; fields left None keep their value, devices are not touched.

        Raises:
            ContainerNotRunning: it is stopped.
            CgroupError: the kernel refused a value; earlier writes were put back.
        """
        with self._ordered():
            self._require_alive("update", "container not running")
            self._manager.apply(resources, update=True, skip_devices=True)
            self._document = self._directory.read().with_resources(resources)
            self._directory.write(self._document)

    def delete(self, force: bool = False) -> None:
        """Remove the container: processes, cgroups, state directory; then poststop hooks.

        A stopped one is removed, a created one is killed first, any other only with ``force``. When a
        step fails the state directory is kept, so that it can be called again.

        Raises:
            ContainerNotStopped: it runs, or will not die.
            CgroupError: a cgroup could not be removed.
            HookError: a poststop hook failed; the container is gone all the same.
        """
        from kata_hybrid.runtime import destroy

        with self._ordered():
            status = self.status
            if status in (Status.RUNNING, Status.PAUSED) and not force:
                message = f"cannot delete container {self.id} that is not stopped: {status}"
                raise ContainerNotStopped(message, status=str(status), verb="delete", container_id=self.id)
            hooks = self._hooks.poststop
            last = self._state(Status.STOPPED)
            destroy.kill_everything(self._manager, self.init)
            if self._table is not None:
                self._table.settle()
            self._manager.delete()
            self._directory.remove()
            self._gone = True
        if self._on_gone is not None:
            self._on_gone(self)
        if hooks:
            from kata_hybrid.runtime.hooks import run_hooks

            run_hooks("poststop", hooks, last)


_START_REFUSED: Final = {
    Status.CREATING: "cannot start a container that is being created",
    Status.CREATED: "cannot start a container that has stopped",
    Status.RUNNING: "cannot start an already running container",
    Status.PAUSED: "cannot start a container in the paused state",
    Status.STOPPED: "cannot start a container that has stopped",
}
