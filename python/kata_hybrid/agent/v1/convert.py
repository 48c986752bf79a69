"""Protobuf messages to the neutral model and back. The server imports generated code here only.

``METHODS`` names the message types of every RPC, for the server and for clients alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kata_hybrid.agent.core import model
from kata_hybrid.agent.core.errors import InvalidRequest
from kata_hybrid.agent.v1 import convert_oci
from kata_hybrid.agent.v1.convert_oci import text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import Message

    from kata_hybrid.agent._proto.v1 import agent_pb2 as pb
    from kata_hybrid.agent._proto.v1 import health_pb2 as health
    from kata_hybrid.agent._proto.v1 import types_pb2 as net
    from kata_hybrid.cgroups import BlkioEntry, MemoryData, Stats
    from kata_hybrid.oci.config import Process
else:
    from kata_hybrid.agent._proto.v1.descriptors import FILES
    from kata_hybrid.agent.messages import load

    _files = load(FILES)
    pb, health, net = (_files[f"v1/{name}.proto"] for name in ("agent", "health", "types"))
    Empty = _files["google/protobuf/empty.proto"].Empty

AGENT: Final = "grpc.AgentService"
HEALTH: Final = "grpc.Health"
EMPTY: Final = Empty()
SERVING: Final = health.HealthCheckResponse(status=health.HealthCheckResponse.SERVING)
GRPC_VERSION: Final = "0.0.1"

METHODS: Final[dict[str, tuple[str, type[Message], type[Message]]]] = {
    "Check": (HEALTH, health.CheckRequest, health.HealthCheckResponse),
    "Version": (HEALTH, health.CheckRequest, health.VersionCheckResponse),
    "CreateContainer": (AGENT, pb.CreateContainerRequest, Empty),
    "StartContainer": (AGENT, pb.StartContainerRequest, Empty),
    "RemoveContainer": (AGENT, pb.RemoveContainerRequest, Empty),
    "ExecProcess": (AGENT, pb.ExecProcessRequest, Empty),
    "SignalProcess": (AGENT, pb.SignalProcessRequest, Empty),
    "WaitProcess": (AGENT, pb.WaitProcessRequest, pb.WaitProcessResponse),
    "ListProcesses": (AGENT, pb.ListProcessesRequest, pb.ListProcessesResponse),
    "UpdateContainer": (AGENT, pb.UpdateContainerRequest, Empty),
    "StatsContainer": (AGENT, pb.StatsContainerRequest, pb.StatsContainerResponse),
    "PauseContainer": (AGENT, pb.PauseContainerRequest, Empty),
    "ResumeContainer": (AGENT, pb.ResumeContainerRequest, Empty),
    "WriteStdin": (AGENT, pb.WriteStreamRequest, pb.WriteStreamResponse),
    "ReadStdout": (AGENT, pb.ReadStreamRequest, pb.ReadStreamResponse),
    "ReadStderr": (AGENT, pb.ReadStreamRequest, pb.ReadStreamResponse),
    "CloseStdin": (AGENT, pb.CloseStdinRequest, Empty),
    "TtyWinResize": (AGENT, pb.TtyWinResizeRequest, Empty),
    "UpdateInterface": (AGENT, pb.UpdateInterfaceRequest, net.Interface),
    "UpdateRoutes": (AGENT, pb.UpdateRoutesRequest, pb.Routes),
    "ListInterfaces": (AGENT, pb.ListInterfacesRequest, pb.Interfaces),
    "ListRoutes": (AGENT, pb.ListRoutesRequest, pb.Routes),
    "AddARPNeighbors": (AGENT, pb.AddARPNeighborsRequest, Empty),
    "StartTracing": (AGENT, pb.StartTracingRequest, Empty),
    "StopTracing": (AGENT, pb.StopTracingRequest, Empty),
    "CreateSandbox": (AGENT, pb.CreateSandboxRequest, Empty),
    "DestroySandbox": (AGENT, pb.DestroySandboxRequest, Empty),
    "OnlineCPUMem": (AGENT, pb.OnlineCPUMemRequest, Empty),
    "ReseedRandomDev": (AGENT, pb.ReseedRandomDevRequest, Empty),
    "GetGuestDetails": (AGENT, pb.GuestDetailsRequest, pb.GuestDetailsResponse),
    "MemHotplugByProbe": (AGENT, pb.MemHotplugByProbeRequest, Empty),
    "SetGuestDateTime": (AGENT, pb.SetGuestDateTimeRequest, Empty),
    "CopyFile": (AGENT, pb.CopyFileRequest, Empty),
    "GetOOMEvent": (AGENT, pb.GetOOMEventRequest, pb.OOMEvent),
}
"""RPC name to its service, request and reply."""


# --- requests ----------------------------------------------------------------------------------------


def sandbox_request(message: pb.CreateSandboxRequest) -> model.SandboxRequest:
    return model.SandboxRequest(
        sandbox_id=message.sandbox_id,
        hostname=message.hostname,
        dns=texts(message.dns),
        storages=_storages(message.storages),
        sandbox_pidns=message.sandbox_pidns,
        guest_hook_path=text(message.guest_hook_path),
        kernel_modules=tuple(
            model.KernelModule(each.name, texts(each.parameters)) for each in message.kernel_modules
        ),
    )


def container_request(message: pb.CreateContainerRequest) -> model.ContainerRequest:
    """Raises:
    InvalidRequest: no spec, or a part of it is missing.
    """
    if not message.HasField("OCI"):
        raise InvalidRequest("the request has no OCI spec")
    return model.ContainerRequest(
        container_id=message.container_id,
        exec_id=message.exec_id,
        spec=convert_oci.spec(message.OCI),
        devices=tuple(
            model.DeviceRequest(each.id, each.type, text(each.vm_path), text(each.container_path))
            for each in message.devices
        ),
        storages=_storages(message.storages),
        sandbox_pidns=message.sandbox_pidns,
        agent_pidns=message.agent_pidns,
    )


def _storages(messages: Iterable[pb.Storage]) -> tuple[model.Storage, ...]:
    return tuple(
        model.Storage(
            each.driver, text(each.source), each.fstype, texts(each.options), text(each.mount_point)
        )
        for each in messages
    )


def process_ref(
    message: pb.WaitProcessRequest | pb.CloseStdinRequest | pb.ExecProcessRequest,
) -> model.ProcessRef:
    return model.ProcessRef(message.container_id, message.exec_id)


def exec_process(message: pb.ExecProcessRequest, own: Process | None) -> Process:
    """Args:
        own: the container's process, which gives what an exec cannot choose.

    Raises:
        InvalidRequest: no process, or no arguments.
    """
    if not message.HasField("process"):
        raise InvalidRequest("the request has no process")
    return convert_oci.exec_process(message.process, own)


def signal_request(message: pb.SignalProcessRequest) -> model.SignalRequest:
    return model.SignalRequest(model.ProcessRef(message.container_id, message.exec_id), message.signal)


def read_request(message: pb.ReadStreamRequest) -> model.ReadRequest:
    return model.ReadRequest(model.ProcessRef(message.container_id, message.exec_id), message.len)


def write_request(message: pb.WriteStreamRequest) -> model.WriteRequest:
    return model.WriteRequest(model.ProcessRef(message.container_id, message.exec_id), message.data)


def resize_request(message: pb.TtyWinResizeRequest) -> model.ResizeRequest:
    target = model.ProcessRef(message.container_id, message.exec_id)
    return model.ResizeRequest(target, message.row, message.column)


def list_request(message: pb.ListProcessesRequest) -> model.ListProcessesRequest:
    return model.ListProcessesRequest(message.container_id, message.format, texts(message.args))


def update_request(message: pb.UpdateContainerRequest) -> model.UpdateRequest:
    present = message.HasField("resources")
    return model.UpdateRequest(
        message.container_id, convert_oci.update_resources(message.resources) if present else None
    )


def file_chunk(message: pb.CopyFileRequest) -> model.FileChunk:
    return model.FileChunk(
        path=text(message.path),
        file_size=message.file_size,
        file_mode=message.file_mode,
        dir_mode=message.dir_mode,
        uid=message.uid,
        gid=message.gid,
        offset=message.offset,
        data=message.data,
    )


# --- replies -----------------------------------------------------------------------------------------


def version_reply(agent_version: str) -> health.VersionCheckResponse:
    return health.VersionCheckResponse(grpc_version=GRPC_VERSION, agent_version=agent_version)


def wait_reply(status: int) -> pb.WaitProcessResponse:
    return pb.WaitProcessResponse(status=status)


def read_reply(data: bytes) -> pb.ReadStreamResponse:
    return pb.ReadStreamResponse(data=data)


def write_reply(count: int) -> pb.WriteStreamResponse:
    return pb.WriteStreamResponse(len=count)


def list_reply(data: bytes) -> pb.ListProcessesResponse:
    return pb.ListProcessesResponse(process_list=data)


def oom_reply(container_id: str) -> pb.OOMEvent:
    return pb.OOMEvent(container_id=container_id)


def details_reply(details: model.GuestDetails) -> pb.GuestDetailsResponse:
    return pb.GuestDetailsResponse(
        mem_block_size_bytes=details.mem_block_size_bytes,
        support_mem_hotplug_probe=details.support_mem_hotplug_probe,
        agent_details=pb.AgentDetails(
            version=details.agent.version,
            init_daemon=details.agent.init_daemon,
            device_handlers=details.agent.device_handlers,
            storage_handlers=details.agent.storage_handlers,
            supports_seccomp=details.agent.supports_seccomp,
        ),
    )


def stats_reply(stats: Stats) -> pb.StatsContainerResponse:
    """Times in nanoseconds, sizes in bytes."""
    usage, memory = stats.cpu.usage, stats.memory
    return pb.StatsContainerResponse(
        cgroup_stats=pb.CgroupStats(
            cpu_stats=pb.CpuStats(
                cpu_usage=pb.CpuUsage(
                    total_usage=usage.total,
                    percpu_usage=usage.percpu,
                    usage_in_kernelmode=usage.kernel,
                    usage_in_usermode=usage.user,
                ),
                throttling_data=pb.ThrottlingData(
                    periods=stats.cpu.throttling.periods,
                    throttled_periods=stats.cpu.throttling.throttled_periods,
                    throttled_time=stats.cpu.throttling.throttled_time,
                ),
            ),
            memory_stats=pb.MemoryStats(
                cache=memory.cache,
                usage=_memory_data(memory.usage),
                swap_usage=_memory_data(memory.swap_usage),
                kernel_usage=_memory_data(memory.kernel_usage),
                use_hierarchy=memory.use_hierarchy,
                stats=dict(memory.stats),
            ),
            pids_stats=pb.PidsStats(current=stats.pids.current, limit=stats.pids.limit),
            blkio_stats=_blkio_stats(stats),
            hugetlb_stats={
                size: pb.HugetlbStats(usage=each.usage, max_usage=each.max_usage, failcnt=each.failcnt)
                for size, each in stats.hugetlb.items()
            },
        )
    )


def _memory_data(data: MemoryData) -> pb.MemoryData:
    return pb.MemoryData(usage=data.usage, max_usage=data.max_usage, failcnt=data.failcnt, limit=data.limit)


def _blkio_stats(stats: Stats) -> pb.BlkioStats:
    """Every list has the same name on both sides."""
    names = [field.name for field in pb.BlkioStats.DESCRIPTOR.fields]
    lists = {name: _blkio_entries(getattr(stats.blkio, name)) for name in names}
    return pb.BlkioStats(**lists)


def _blkio_entries(entries: Iterable[BlkioEntry]) -> list[pb.BlkioStatsEntry]:
    return [
        pb.BlkioStatsEntry(major=each.major, minor=each.minor, op=each.op, value=each.value)
        for each in entries
    ]
