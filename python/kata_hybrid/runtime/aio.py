"""The same containers for asyncio.

Nothing is decided here: each call runs the threaded one in an executor, so that it never blocks the loop.
Process exits come through the loop itself, by one ``_core.Reaper`` (an epoll over pidfds), and streams
through the loop's own readers and writers. A create, run or exec that is cancelled leaves nothing: what
its thread still makes is taken back.
"""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kata_hybrid.runtime.exits import ExitWatcher
from kata_hybrid.runtime.runtime import DEFAULT_ROOT, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self, Unpack

    from kata_hybrid.cgroups import Stats
    from kata_hybrid.oci.config import Process as ProcessConfig
    from kata_hybrid.oci.config import Resources, Spec
    from kata_hybrid.runtime.container import Container
    from kata_hybrid.runtime.process import ExitStatus, Process
    from kata_hybrid.runtime.runtime import CreateArguments
    from kata_hybrid.runtime.status import ContainerState, Status
    from kata_hybrid.runtime.stdio import Stdio
    from kata_hybrid.runtime.streams import Stream

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_THREADS = 16


class AsyncRuntime:
    """:class:`Runtime` for one event loop. Use it as ``async with``, or call :meth:`aclose`.

    Args:
        runtime: share the containers of this one; else one of its own under ``root``.
        threads: how many blocking calls may run at a time.
    """

    def __init__(
        self, root: str = DEFAULT_ROOT, *, runtime: Runtime | None = None, threads: int = DEFAULT_THREADS
    ) -> None:
        self.runtime = runtime if runtime is not None else Runtime(root)
        self._workers = _Workers(threads)
        self._exits = ExitWatcher()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for calls under way and for what cancelled ones have to take back; containers stay."""
        await self._workers.aclose()
        self._exits.close()

    async def create(
        self,
        container_id: str,
        *,
        bundle: str | None = None,
        spec: Spec | None = None,
        **arguments: Unpack[CreateArguments],
    ) -> AsyncContainer:
        """See :meth:`Runtime.create`."""
        call = functools.partial(self.runtime.create, container_id, bundle=bundle, spec=spec, **arguments)
        return self._wrap(await self._workers.call_or_undo(_delete_by_force, call))

    async def run(
        self,
        container_id: str,
        *,
        bundle: str | None = None,
        spec: Spec | None = None,
        **arguments: Unpack[CreateArguments],
    ) -> AsyncContainer:
        """See :meth:`Runtime.run`."""
        call = functools.partial(self.runtime.run, container_id, bundle=bundle, spec=spec, **arguments)
        return self._wrap(await self._workers.call_or_undo(_delete_by_force, call))

    def _wrap(self, container: Container) -> AsyncContainer:
        return AsyncContainer(container, self._workers, self._exits)

    async def load(self, container_id: str) -> AsyncContainer:
        """See :meth:`Runtime.load`."""
        return self._wrap(await self._workers.call(self.runtime.load, container_id))

    async def list(self) -> list[ContainerState]:
        """See :meth:`Runtime.list`."""
        return await self._workers.call(self.runtime.list)

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """See :meth:`Runtime.delete`."""
        await self._workers.call(self.runtime.delete, container_id, force=force)


class AsyncContainer:
    """:class:`Container` for asyncio; ``container`` is the threaded one."""

    def __init__(self, container: Container, workers: _Workers, exits: ExitWatcher) -> None:
        self.container = container
        self._workers = workers
        self._exits = exits
        self.init = AsyncProcess(container.init, workers, exits)

    @property
    def id(self) -> str:
        return self.container.id

    @property
    def bundle(self) -> str:
        return self.container.bundle

    @property
    def spec(self) -> Spec:
        return self.container.spec

    async def status(self) -> Status:
        return await self._workers.call(lambda: self.container.status)

    async def state(self) -> ContainerState:
        return await self._workers.call(self.container.state)

    async def start(self) -> None:
        await self._workers.call(self.container.start)

    async def exec(
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
    ) -> AsyncProcess:
        """See :meth:`Container.exec`."""
        process = await self._workers.call_or_undo(
            _kill_and_wait,
            self.container.exec,
            command,
            exec_id=exec_id,
            stdio=stdio,
            env=env,
            cwd=cwd,
            user=user,
            terminal=terminal,
            console_socket=console_socket,
            pid_file=pid_file,
            preserve_fds=preserve_fds,
            ignore_paused=ignore_paused,
        )
        return AsyncProcess(process, self._workers, self._exits)

    def process(self, exec_id: str) -> AsyncProcess:
        return AsyncProcess(self.container.process(exec_id), self._workers, self._exits)

    async def kill(self, signal: str | int = "TERM", *, all: bool = False) -> None:  # noqa: A002 - runc's word
        await self._workers.call(self.container.kill, signal, all=all)

    async def pause(self) -> None:
        await self._workers.call(self.container.pause)

    async def resume(self) -> None:
        await self._workers.call(self.container.resume)

    async def update(self, resources: Resources) -> None:
        await self._workers.call(self.container.update, resources)

    async def stats(self) -> Stats:
        return await self._workers.call(self.container.stats)

    async def processes(self) -> list[int]:
        return await self._workers.call(self.container.processes)

    async def wait(self) -> ExitStatus:
        """The init process's status; holds no thread while it waits."""
        return await self.init.wait()

    async def delete(self, force: bool = False) -> None:
        await self._workers.call(self.container.delete, force)


class AsyncProcess:
    """:class:`Process` for asyncio; ``process`` is the threaded one, its streams have async calls too."""

    def __init__(self, process: Process, workers: _Workers, exits: ExitWatcher) -> None:
        self.process = process
        self._workers = workers
        self._exits = exits

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def exec_id(self) -> str:
        return self.process.exec_id

    @property
    def stdin(self) -> Stream | None:
        return self.process.stdin

    @property
    def stdout(self) -> Stream | None:
        return self.process.stdout

    @property
    def stderr(self) -> Stream | None:
        return self.process.stderr

    def poll(self) -> ExitStatus | None:
        return self.process.poll()

    async def wait(self) -> ExitStatus:
        """The exit status; any number of tasks may wait. Use ``asyncio.timeout`` for a limit."""
        status = self.process.poll()
        if status is None and self.process.child is not None:
            await self._exits.ended(self.process.child)
            status = self.process.poll()
        return status if status is not None else await self._workers.call(self.process.wait)

    async def signal(self, signal: str | int) -> None:
        await self._workers.call(self.process.signal, signal)

    def resize(self, rows: int, columns: int) -> None:
        self.process.resize(rows, columns)

    async def close_stdin(self) -> None:
        await self._workers.call(self.process.close_stdin)

    def close_streams(self) -> None:
        self.process.close_streams()


class _Workers:
    """The executor that blocking calls run in."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="kata-hybrid")
        self._undoing: set[asyncio.Future[None]] = set()

    async def call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, functools.partial(call, *args, **kwargs))

    async def call_or_undo(
        self, undo: Callable[[T], None], call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As :meth:`call`; when the caller is cancelled, what the thread still makes is given to ``undo``."""
        future = asyncio.ensure_future(self.call(call, *args, **kwargs))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            undoing = asyncio.ensure_future(self._undo_later(future, undo))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)
            raise

    async def _undo_later(self, future: asyncio.Future[T], undo: Callable[[T], None]) -> None:
        await asyncio.wait([future])
        if future.exception() is None:
            await self.call(undo, future.result())

    async def aclose(self) -> None:
        problems: list[BaseException] = []
        while self._undoing:
            done = await asyncio.gather(*self._undoing, return_exceptions=True)
            problems += [each for each in done if isinstance(each, BaseException)]
        await asyncio.to_thread(self._pool.shutdown)
        if problems:
            raise problems[0]


def _delete_by_force(container: Container) -> None:
    container.delete(force=True)


def _kill_and_wait(process: Process) -> None:
    if process.poll() is None:
        process.signal("KILL")
    process.wait()
    process.close_streams()
