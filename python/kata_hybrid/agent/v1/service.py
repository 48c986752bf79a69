"""The RPCs: look up, call the core in a worker thread, convert the answer.

Nothing blocks in a handler. Calls that park (WaitProcess, ReadStdout, ReadStderr, GetOOMEvent) hold no
thread, only a callback in the event loop, so any number of them leaves Check answering at once. A handler
that has its answer at hand (Check, a status or output that is there) gives it without becoming a task. A call
whose client has gone is carried to its end when it changes something; what a read had taken is put back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kata_hybrid.agent.core import guest
from kata_hybrid.agent.core.container import AgentProcess
from kata_hybrid.agent.core.copyfile import FileCopies
from kata_hybrid.agent.core.errors import NotSupported, OperationTimedOut, RequestRefused, TracingState
from kata_hybrid.agent.core.model import DateTime, GuestDetailsRequest
from kata_hybrid.agent.core.oom import OomEvents
from kata_hybrid.agent.core.processes import list_processes
from kata_hybrid.agent.core.workers import Workers
from kata_hybrid.agent.v1 import convert
from kata_hybrid.agent.v1.guard import Blocking
from kata_hybrid.errors import ContainerNotFound, ProcessNotFound

if TYPE_CHECKING:
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import Message

    from kata_hybrid.agent.core.container import AgentContainer
    from kata_hybrid.agent.core.model import ProcessRef
    from kata_hybrid.agent.core.policy import VersionPolicy
    from kata_hybrid.agent.core.sandbox import Sandbox
    from kata_hybrid.agent.core.streams import OutputStream
    from kata_hybrid.agent.v1.connection import Call
    from kata_hybrid.agent.v1.guard import Handler, Reply

UNSUPPORTED = (
    "UpdateInterface",
    "UpdateRoutes",
    "ListInterfaces",
    "ListRoutes",
    "AddARPNeighbors",
    "OnlineCPUMem",
    "MemHotplugByProbe",
)
"""Network and hot-plug of a VM: answered by UNIMPLEMENTED."""


class AgentService:
    """One per server; lives in the server's event loop.

    Args:
        allow_set_time: SetGuestDateTime may change the clock.
    """

    def __init__(self, sandbox: Sandbox, policy: VersionPolicy, *, allow_set_time: bool) -> None:
        self._sandbox = sandbox
        self._policy = policy
        self._allow_set_time = allow_set_time
        self._workers = Workers()
        self._blocking = self._workers.run
        self._copies = FileCopies()
        self._oom = OomEvents()
        self._tracing = False

    def handlers(self) -> dict[str, Handler]:
        """RPC name to handler, for every RPC of the protocol."""
        named = {rpc: getattr(self, rpc) for rpc in convert.METHODS if rpc not in UNSUPPORTED}
        return named | {rpc: _unsupported(rpc) for rpc in UNSUPPORTED}

    async def close(self) -> None:
        """Wait for calls under way. Containers stay."""
        self._oom.close()
        await self._workers.close()

    def _process(self, ref: ProcessRef) -> AgentProcess:
        self._sandbox.require_started()
        return self._sandbox.container(ref.container_id).process(ref.exec_id)

    # --- health and guest ----------------------------------------------------------------------------

    def Check(self, _: Any, __: Call) -> Message:  # noqa: N802 - RPC names
        return convert.SERVING

    def Version(self, _: Any, __: Call) -> Message:  # noqa: N802
        return convert.version_reply(guest.agent_version())

    async def GetGuestDetails(self, request: Any, _: Call) -> Message:  # noqa: N802
        asked = GuestDetailsRequest(request.mem_block_size, request.mem_hotplug_probe)
        return convert.details_reply(await self._blocking(guest.guest_details, asked, self._policy))

    def SetGuestDateTime(self, request: Any, _: Call) -> Empty:  # noqa: N802
        wanted = DateTime(request.Sec, request.Usec)
        guest.set_date_time(wanted, allowed=self._allow_set_time)
        return convert.EMPTY

    async def ReseedRandomDev(self, request: Any, _: Call) -> Empty:  # noqa: N802
        await self._blocking(guest.reseed_random, request.data)
        return convert.EMPTY

    async def CopyFile(self, request: Any, _: Call) -> Empty:  # noqa: N802
        await self._blocking(self._copies.write, convert.file_chunk(request))
        return convert.EMPTY

    async def GetOOMEvent(self, _: Any, __: Call) -> Message:  # noqa: N802
        return convert.oom_reply(await self._oom.next())

    def StartTracing(self, _: Any, __: Call) -> Empty:  # noqa: N802
        if self._tracing:
            raise TracingState("tracing already enabled")
        self._tracing = True
        return convert.EMPTY

    def StopTracing(self, _: Any, __: Call) -> Empty:  # noqa: N802
        if not self._tracing:
            raise TracingState("tracing not enabled")
        self._tracing = False
        return convert.EMPTY

    # --- sandbox and containers ----------------------------------------------------------------------

    async def CreateSandbox(self, request: Any, _: Call) -> Empty:  # noqa: N802
        await self._blocking(self._sandbox.create, convert.sandbox_request(request))
        return convert.EMPTY

    async def DestroySandbox(self, _: Any, __: Call) -> Empty:  # noqa: N802
        await self._blocking(self._sandbox.destroy)
        return convert.EMPTY

    def CreateContainer(self, request: Any, _: Call) -> Reply:  # noqa: N802
        self._sandbox.require_started()
        wanted = convert.container_request(request)
        create = self._sandbox.create_container
        return Blocking(self._workers, create, wanted, then=lambda made: made.init.follow())

    def StartContainer(self, request: Any, _: Call) -> Reply:  # noqa: N802
        self._sandbox.require_started()
        container = self._sandbox.container(request.container_id)
        self._oom.watch(container.id, container.manager)
        return Blocking(self._workers, container.start)

    async def RemoveContainer(self, request: Any, _: Call) -> Empty:  # noqa: N802
        container = self._sandbox.container(request.container_id)
        removing = self._blocking(self._remove, container, then=lambda _: self._let_go(container))
        try:
            failure = await (asyncio.wait_for(removing, request.timeout) if request.timeout else removing)
        except TimeoutError as err:
            raise OperationTimedOut(request.timeout, container_id=request.container_id) from err
        if failure is not None:
            raise failure
        return convert.EMPTY

    def _remove(self, container: AgentContainer) -> Exception | None:
        """In a thread. A failure is given back: the container may be gone all the same."""
        try:
            self._sandbox.remove_container(container.id)
        except Exception as err:  # noqa: BLE001 - raised by the caller
            return err
        return None

    def _let_go(self, container: AgentContainer) -> None:
        if not self._knows(container):
            self._oom.forget(container.id)
            for process in container.all_processes():
                process.close()

    def _knows(self, container: AgentContainer) -> bool:
        try:
            return self._sandbox.container(container.id) is container
        except ContainerNotFound:
            return False

    async def UpdateContainer(self, request: Any, _: Call) -> Empty:  # noqa: N802
        wanted = convert.update_request(request)
        if wanted.resources is None:
            raise RequestRefused("Resources in the request are nil")
        container = self._sandbox.container(wanted.container_id)
        await self._blocking(container.update, wanted.resources)
        return convert.EMPTY

    async def StatsContainer(self, request: Any, _: Call) -> Message:  # noqa: N802
        container = self._sandbox.container(request.container_id)
        return convert.stats_reply(await self._blocking(container.stats))

    async def PauseContainer(self, request: Any, _: Call) -> Empty:  # noqa: N802
        await self._blocking(self._sandbox.container(request.container_id).pause)
        return convert.EMPTY

    async def ResumeContainer(self, request: Any, _: Call) -> Empty:  # noqa: N802
        await self._blocking(self._sandbox.container(request.container_id).resume)
        return convert.EMPTY

    async def ListProcesses(self, request: Any, _: Call) -> Message:  # noqa: N802
        wanted = convert.list_request(request)
        container = self._sandbox.container(wanted.container_id)
        pids = await self._blocking(container.pids)
        return convert.list_reply(await self._blocking(list_processes, pids, wanted.format, wanted.args))

    # --- processes -----------------------------------------------------------------------------------

    def ExecProcess(self, request: Any, _: Call) -> Reply:  # noqa: N802
        self._sandbox.require_started()
        ref = convert.process_ref(request)
        container = self._sandbox.container(ref.container_id)
        config = convert.exec_process(request, container.container.spec.process)
        return Blocking(self._workers, container.exec, ref.exec_id, config, then=AgentProcess.follow)

    async def SignalProcess(self, request: Any, _: Call) -> Empty:  # noqa: N802
        wanted = convert.signal_request(request)
        self._sandbox.require_started()
        try:
            container = self._sandbox.container(wanted.target.container_id)
            await self._blocking(container.signal, wanted.target.exec_id, wanted.signal)
        except (ContainerNotFound, ProcessNotFound) as err:
            err.exec_id = wanted.target.exec_id
            raise
        return convert.EMPTY

    def WaitProcess(self, request: Any, _: Call) -> Reply:  # noqa: N802
        process = self._process(convert.process_ref(request))
        if process.has_exited:
            return convert.wait_reply(process.told().status)
        return self._wait(process)

    async def _wait(self, process: AgentProcess) -> Message:
        return convert.wait_reply((await process.wait()).status)

    def ReadStdout(self, request: Any, call: Call) -> Reply:  # noqa: N802
        wanted = convert.read_request(request)
        return _read(self._process(wanted.target).streams.stdout, wanted.length, call)

    def ReadStderr(self, request: Any, call: Call) -> Reply:  # noqa: N802
        wanted = convert.read_request(request)
        return _read(self._process(wanted.target).streams.stderr, wanted.length, call)

    async def WriteStdin(self, request: Any, _: Call) -> Message:  # noqa: N802
        wanted = convert.write_request(request)
        return convert.write_reply(await self._process(wanted.target).streams.stdin.write(wanted.data))

    def CloseStdin(self, request: Any, _: Call) -> Empty:  # noqa: N802
        self._process(convert.process_ref(request)).streams.stdin.close()
        return convert.EMPTY

    def TtyWinResize(self, request: Any, _: Call) -> Empty:  # noqa: N802
        wanted = convert.resize_request(request)
        self._process(wanted.target).streams.resize(wanted.rows, wanted.columns)
        return convert.EMPTY


def _read(stream: OutputStream, length: int, call: Call) -> Reply:
    """What is there already, at once."""
    data = stream.read_ready(length)
    if data is None:
        return _read_later(stream, length, call)
    call.taken = (stream.give_back, data)
    return convert.read_reply(data)


async def _read_later(stream: OutputStream, length: int, call: Call) -> Message:
    data = await stream.read(length)
    call.taken = (stream.give_back, data)
    return convert.read_reply(data)


def _unsupported(rpc: str) -> Handler:
    def refuse(_: Any, __: Call) -> Message:
        raise NotSupported(rpc)

    return refuse
