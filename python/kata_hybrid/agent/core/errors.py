"""Errors of the agent that the container library has no word for.

::

    KataHybridError
    └── AgentError
        ├── InvalidRequest        a message lacks a part or holds an impossible value; nothing was touched
        ├── SandboxNotStarted
        ├── SandboxExists
        ├── PidNamespaceGiven     the spec has a pid namespace, which the sandbox decides
        ├── ContainerStopped      .verb: the container has ended
        ├── ContainerPaused       .verb: the container is frozen
        ├── NotCreated            .status: StartContainer of a container that is not created
        ├── NoTerminal
        ├── StreamEnded           the stream's last byte has been read
        ├── StdinClosed           CloseStdin for the second time
        ├── RunFailed             .cause: a process could not be started
        ├── OperationTimedOut     .seconds
        ├── StorageError          a storage could not be set up or taken down
        ├── RootfsError           the rootfs is missing, relative or a symlink
        ├── RequestRefused        the request is well formed and impossible; the text says why
        ├── GuestError            a guest operation failed
        ├── TracingState
        └── NotSupported          .feature
"""

from __future__ import annotations

from kata_hybrid.errors import KataHybridError


class AgentError(KataHybridError):
    """Base of the agent's own errors."""


class InvalidRequest(AgentError):  # noqa: N818 - reads as what it is
    """A message lacks a part or holds an impossible value. Nothing was touched."""


class SandboxNotStarted(AgentError):  # noqa: N818
    """The call needs a sandbox."""


class SandboxExists(AgentError):  # noqa: N818
    """A sandbox has been made already."""


class PidNamespaceGiven(AgentError):  # noqa: N818
    """The container's spec names a pid namespace."""


class ContainerStopped(AgentError):  # noqa: N818
    """The container has ended; ``verb`` cannot be done to it."""

    def __init__(self, verb: str, *, container_id: str) -> None:
        super().__init__(f"cannot {verb} in a stopped container", container_id=container_id)
        self.verb = verb


class ContainerPaused(AgentError):  # noqa: N818
    """The container is frozen; ``verb`` would hang."""

    def __init__(self, verb: str, *, container_id: str) -> None:
        super().__init__(f"cannot {verb} in a paused container", container_id=container_id)
        self.verb = verb


class NotCreated(AgentError):  # noqa: N818
    """A container can be started once only; ``status`` is what it is in."""

    def __init__(self, status: str, *, container_id: str) -> None:
        super().__init__(f"status is {status}, should be created", container_id=container_id)
        self.status = status


class NoTerminal(AgentError):  # noqa: N818
    """The process has no terminal."""


class StreamEnded(AgentError):  # noqa: N818
    """All writers have closed and the last byte has been read."""


class StdinClosed(AgentError):  # noqa: N818
    """The process's stdin has been closed before."""


class RunFailed(AgentError):  # noqa: N818
    """``program`` could not be started; ``cause`` is why, nothing is left."""

    def __init__(self, cause: Exception, *, program: str, container_id: str, exec_id: str) -> None:
        super().__init__("could not run process", container_id=container_id, exec_id=exec_id)
        self.cause = cause
        self.program = program


class OperationTimedOut(AgentError):  # noqa: N818
    """``seconds`` have passed; the work goes on."""

    def __init__(self, seconds: int, *, container_id: str) -> None:
        super().__init__(f"not done after {seconds}s", container_id=container_id)
        self.seconds = seconds


class StorageError(AgentError):
    """A storage could not be set up or taken down."""


class RootfsError(AgentError):
    """The rootfs of a container is missing, relative or a symlink."""


class RequestRefused(AgentError):  # noqa: N818
    """The request is well formed and impossible; the text is complete."""


class GuestError(AgentError):
    """An operation on the guest itself failed."""


class TracingState(AgentError):  # noqa: N818
    """Tracing is not in the state that the call needs."""


class NotSupported(AgentError):  # noqa: N818
    """This build does not do ``feature``."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"{feature} is not supported by this agent")
        self.feature = feature
