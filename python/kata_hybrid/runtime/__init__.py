"""The lifecycle of containers: :class:`Runtime`, :class:`Container`, :class:`Process`, and asyncio twins."""

from __future__ import annotations

from kata_hybrid._light import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kata_hybrid.runtime.container import Container
    from kata_hybrid.runtime.create import CreateOptions
    from kata_hybrid.runtime.process import ExitStatus, Process
    from kata_hybrid.runtime.runtime import Runtime
    from kata_hybrid.runtime.status import ContainerState, Status
    from kata_hybrid.runtime.stdio import Stdio
    from kata_hybrid.runtime.streams import Stream

__all__ = [
    "Container",
    "ContainerState",
    "CreateOptions",
    "ExitStatus",
    "Process",
    "Runtime",
    "Status",
    "Stdio",
    "Stream",
]

__getattr__ = attributes(
    __name__,
    {
        "Container": "container",
        "ContainerState": "status",
        "CreateOptions": "create",
        "ExitStatus": "process",
        "Process": "process",
        "Runtime": "runtime",
        "Status": "status",
        "Stdio": "stdio",
        "Stream": "streams",
    },
)
