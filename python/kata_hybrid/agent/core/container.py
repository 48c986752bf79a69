"""A container and its processes as the protocol names them.

Nothing here holds a lock across a blocking call: the runtime's container puts its own changes in order, and
the table of processes is locked only to look and to take a name.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from kata_hybrid import cgroups
from kata_hybrid.agent.core.errors import (
    ContainerPaused,
    ContainerStopped,
    InvalidRequest,
    NotCreated,
    RunFailed,
)
from kata_hybrid.agent.core.streams import ProcessStreams
from kata_hybrid.errors import (
    ConfigError,
    ContainerNotPaused,
    ContainerNotRunning,
    LaunchError,
    ProcessExists,
    ProcessNotFound,
    SignalError,
    StatusError,
)
from kata_hybrid.runtime import Status, Stdio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kata_hybrid.agent.core.model import ContainerRequest
    from kata_hybrid.agent.core.policy import VersionPolicy
    from kata_hybrid.cgroups import Stats
    from kata_hybrid.oci.config import Process as ProcessConfig
    from kata_hybrid.oci.config import Resources
    from kata_hybrid.runtime import Container, ExitStatus, Process
    from kata_hybrid.runtime.exits import ExitWatcher

MAX_EXEC_ID_BYTES: Final = 255
KEPT_PROCESSES: Final = 64
"""So many exec'd processes whose end has been told are remembered for late waiters; older ones are not."""


class AgentProcess:
    """A process under its exec id. Its status and unread output are kept when it has been waited for, its
    descriptors are not; see ``AgentContainer`` for how long.

    Attributes:
        waited: somebody has been told the status.
    """

    def __init__(self, process: Process, exec_id: str, exits: ExitWatcher, *, is_init: bool = False) -> None:
        self.process = process
        self._is_init = is_init
        self.exec_id = exec_id
        self.waited = False
        self._exits = exits
        self._streams: ProcessStreams | None = None

    @property
    def streams(self) -> ProcessStreams:
        """Made on first use, in the event loop."""
        if self._streams is None:
            self._streams = ProcessStreams(self.process, self.exited)
        return self._streams

    @property
    def is_free(self) -> bool:
        """Nothing of it is open any more."""
        return self._streams is not None and self._streams.stdout.ended and self._streams.stderr.ended

    def follow(self) -> None:
        """Take the status as soon as there is one, so that it is no zombie until somebody asks."""
        child = self.process.child
        if child is not None and self.process.poll() is None:
            self._exits.on_end(child, self.process.poll)

    @property
    def has_exited(self) -> bool:
        return self.process.poll() is not None

    async def exited(self) -> ExitStatus:
        """The exit status, once there is one; any number of tasks may wait."""
        status = self.process.poll()
        child = self.process.child
        if status is None and child is not None:
            await self._exits.ended(child)
            status = self.process.poll()
        return status if status is not None else await asyncio.to_thread(self.process.wait)

    async def wait(self) -> ExitStatus:
        """As :meth:`exited`, and remember that the status has been told."""
        await self.exited()
        return self.told()

    def told(self) -> ExitStatus:
        """The status of a process that has exited, for somebody who asked: its descriptors are let go."""
        status = self.process.wait(0)
        if not self.waited:
            self.waited = True
            self.streams.take_in()
            if not self._is_init:
                self.process.release()
        return status

    def close(self) -> None:
        """The container has gone: close the streams, let go of the pidfd; in the event loop."""
        if self._streams is not None:
            self._streams.close()
        self.process.close_streams()
        self.process.release()


class AgentContainer:
    """A container of the sandbox.

    Args:
        manager: its cgroups.
        mounted: mount points that belong to this container, the newest first.
    """

    def __init__(
        self,
        container: Container,
        request: ContainerRequest,
        *,
        policy: VersionPolicy,
        exits: ExitWatcher,
        manager: cgroups.Manager,
        mounted: list[str],
    ) -> None:
        self.container = container
        self.id = request.container_id
        self.manager = manager
        self.mounted = mounted
        self._policy = policy
        self._exits = exits
        self._lock = threading.Lock()
        self.init = AgentProcess(container.init, request.exec_id, exits, is_init=True)
        self._processes: dict[str, AgentProcess] = {request.exec_id: self.init}
        self._starting: set[str] = set()

    def process(self, exec_id: str) -> AgentProcess:
        """The process of this name.

        Raises:
            ProcessNotFound: there is none.
        """
        with self._lock:
            found = self._processes.get(exec_id)
        if found is None:
            raise ProcessNotFound("process does not exist", container_id=self.id, exec_id=exec_id)
        return found

    def all_processes(self) -> list[AgentProcess]:
        with self._lock:
            return list(self._processes.values())

    # Calls from here on block; they run in worker threads.

    def start(self) -> None:
        """Let the init process go on.

        Raises:
            NotCreated: it has been started, has ended, or is paused.
            StatusError: it died before it could be started.
        """
        status = self.container.status
        if status is not Status.CREATED:
            raise NotCreated(str(status), container_id=self.id)
        self.container.start()

    def exec(self, exec_id: str, config: ProcessConfig) -> AgentProcess:
        """Start another process.

        Raises:
            ContainerStopped, ContainerPaused: wrong status.
            ProcessExists: the name is in use.
            RunFailed: it could not be started; nothing is left.
        """
        _check_exec_id(exec_id)
        with self._reserved(exec_id):
            try:
                process = self.container.exec(
                    config, stdio=Stdio.pipes(), ignore_paused=self._policy.exec_in_paused
                )
            except ContainerNotRunning as err:
                refusal = ContainerPaused if err.status == "paused" else ContainerStopped
                raise refusal("exec", container_id=self.id) from err
            except (LaunchError, ConfigError) as err:
                program = config.args[0] if config.args else ""
                raise RunFailed(err, program=program, container_id=self.id, exec_id=exec_id) from err
            started = AgentProcess(process, exec_id, self._exits)
            with self._lock:
                self._processes.pop(exec_id, None)
                self._processes[exec_id] = started
                self._forget_oldest()
        return started

    def _forget_oldest(self) -> None:
        """A health check that execs for months must not fill memory and descriptors. The lock is held."""
        told = [name for name, known in self._processes.items() if self._is_over(known) and known.is_free]
        for name in told[:-KEPT_PROCESSES]:
            del self._processes[name]

    @contextmanager
    def _reserved(self, exec_id: str) -> Iterator[None]:
        with self._lock:
            known = self._processes.get(exec_id)
            if exec_id in self._starting or (known is not None and not self._is_over(known)):
                raise ProcessExists("process exists", container_id=self.id, exec_id=exec_id)
            self._starting.add(exec_id)
        try:
            yield
        finally:
            with self._lock:
                self._starting.discard(exec_id)

    def _is_over(self, process: AgentProcess) -> bool:
        """An exec'd process whose end has been told: its name may be given out again."""
        reusable = self._policy.exec_id_reusable_after_wait and process is not self.init
        return reusable and process.waited and process.process.poll() is not None

    def signal(self, exec_id: str, number: int) -> None:
        """Signal one process, or with an empty ``exec_id`` (or when paused) all of them.

        Raises:
            ProcessNotFound: no process of this name.
            SignalError: the kernel refused; EINVAL for an impossible number.
        """
        if not 0 <= number <= signal.SIGRTMAX:
            text = f"send signal {number}"
            raise SignalError(text, errno=errno.EINVAL, container_id=self.id, exec_id=exec_id)
        status = self.container.status
        if status is Status.STOPPED:
            self._signal_leftovers(number)
        elif not exec_id or status is Status.PAUSED:
            self._signal_all(number)
        else:
            self._signal_one(self.process(exec_id), number)

    def _signal_leftovers(self, number: int) -> None:
        """The init is dead: a kill still reaches what shares its pid namespace with others."""
        if number == signal.SIGKILL or not self._policy.stopped_drops_signals:
            self.container.kill(number, all=True)

    def _signal_all(self, number: int) -> None:
        if number:
            self.manager.kill_all(number)
        if self._policy.paused_signal_thaws:
            try:
                self.container.resume()
            except ContainerNotPaused:  # it was not, or the kill has thawed it
                return

    def _signal_one(self, target: AgentProcess, number: int) -> None:
        if target is not self.init:
            target.process.signal(number)
            return
        kills = self._policy.sigterm_kills_without_handler and number == signal.SIGTERM
        if kills and not catches(target.process.pid, number):
            number = signal.SIGKILL
        self.container.kill(number)

    def update(self, resources: Resources) -> None:
        """See ``Container.update``."""
        self.container.update(resources)

    def stats(self) -> Stats:
        """Counters; zeroes once it has stopped."""
        try:
            return self.container.stats()
        except ContainerNotRunning:
            return cgroups.Stats()

    def pids(self) -> list[int]:
        """Everything in its cgroups."""
        return self.container.processes()

    def pause(self) -> None:
        """See ``Container.pause``."""
        self.container.pause()

    def resume(self) -> None:
        """See ``Container.resume``."""
        self.container.resume()

    def destroy(self) -> None:
        """Remove the runtime's container: a created or stopped one.

        Raises:
            StatusError: it runs or is paused with a live init process.
            HookError: a poststop hook failed; it is gone all the same.
        """
        dead = self.init.process.poll() is not None
        try:
            self.container.delete(force=dead)
        except StatusError:
            if self.init.process.poll() is None:
                raise
            self.container.delete(force=True)


def catches(pid: int, number: int) -> bool:
    """The process has a handler for the signal (SigCgt of proc(5)); False when that cannot be read."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "SigCgt":
                    return bool(int(value, 16) >> (number - 1) & 1)
    except OSError:
        return False
    return False


def _check_exec_id(exec_id: str) -> None:
    """Refuse what no host sends: an empty, endless or unprintable name.

    Raises:
        InvalidRequest: with the reason.
    """
    if not exec_id:
        raise InvalidRequest("exec id must not be empty")
    too_long = len(exec_id.encode("utf-8", "replace")) > MAX_EXEC_ID_BYTES
    if too_long or "/" in exec_id or not exec_id.isprintable():
        raise InvalidRequest(f"invalid exec id {exec_id[:MAX_EXEC_ID_BYTES]!r}")
