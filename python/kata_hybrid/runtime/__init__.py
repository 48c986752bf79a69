"""The lifecycle of containers: :class:`Runtime`, :class:`Container`, :class:`Process`, and asyncio twins."""

from __future__ import annotations

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
