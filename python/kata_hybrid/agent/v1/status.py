"""Errors to gRPC status: one table from exception class to code and text, with exceptions for single RPCs.

Texts are the ones of the Kata 1.x agent. UNKNOWN is what its gRPC library sends for every error that is not
a status; hosts rely on some of these texts and on the absence of others.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from kata_hybrid import errors
from kata_hybrid.agent.core import errors as agent
from kata_hybrid.agent.v1.codes import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    Render = Callable[[Exception], str]
    Status = tuple[Code, str]


def status_of(rpc: str, error: Exception) -> Status:
    """Code and text of ``error`` raised in ``rpc``. Total: an unknown exception is UNKNOWN with its text."""
    special = SPECIAL.get(rpc, {})
    for kind in type(error).__mro__:
        row = special.get(kind) or TABLE.get(kind)
        if row is not None:
            code, render = row
            return code, render(error)
    return Code.UNKNOWN, clean(str(error)) or type(error).__name__


def clean(text: str) -> str:
    """One message without blanks at its ends, and without what UTF-8 cannot carry."""
    return text.strip().encode("utf-8", "backslashreplace").decode()


def _message(error: Exception) -> str:
    """The sentence without the container's name."""
    return clean(error.message if isinstance(error, errors.KataHybridError) else str(error))


def _constant(text: str) -> Render:
    return lambda _: text


def _container(form: str) -> Render:
    return lambda error: form.format(_id(error))


def _id(error: Exception) -> str:
    return getattr(error, "container_id", None) or ""


def _exec_id(error: Exception) -> str:
    return getattr(error, "exec_id", None) or ""


def _process_not_found(error: Exception) -> str:
    return f"Process {_exec_id(error)} not found (container {_id(error)})"


def _wrapped(name: str, text: str) -> str:
    """A status inside another text, as the original's library prints it."""
    return f"rpc error: code = {name} desc = {text}"


def _signal_unknown_container(error: Exception) -> str:
    inner = _wrapped("NotFound", f"Container {_id(error)} not found")
    return f"Could not signal process {_exec_id(error)}: {inner}"


def _signal_unknown_process(error: Exception) -> str:
    return f"Could not signal process: {_wrapped('NotFound', _process_not_found(error))}"


def _errno_text(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else _message(error)


def _os_error(error: Exception) -> str:
    """``stat /dev/vdb: no such file or directory`` without the call's name, which Python does not know."""
    path = getattr(error, "filename", None)
    where = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
    return clean(f"{where}: {_errno_text(error)}" if where else _errno_text(error))


def _run_failed(error: Exception) -> str:
    if not isinstance(error, agent.RunFailed):
        return _message(error)
    return f"Could not run process: {launch_text(error.cause, error.program)}"


def launch_text(cause: Exception, program: str = "") -> str:
    """Why ``program`` did not start, with the phrases that engines look for."""
    if not isinstance(cause, errors.LaunchError) or cause.errno is None:
        return _message(cause)
    if cause.step.lower().replace(" ", "").replace("_", "") not in _LOOKUP_STEPS:
        return _message(cause)
    phrase = os.strerror(cause.errno).lower()
    name = program or cause.path
    if "/" in name:
        return clean(f'exec: "{name}": stat {name}: {phrase}')
    missing = cause.errno == errno.ENOENT
    return clean(f'exec: "{name}": {"executable file not found in $PATH" if missing else phrase}')


_LOOKUP_STEPS: Final = frozenset({"findexecutable", "exec", "execve"})


def _pause_refused(error: Exception) -> str:
    return f"container not running or created: {getattr(error, 'status', '')}"


def _remove_refused(error: Exception) -> str:
    paused = getattr(error, "status", "") == "paused"
    return "container is paused" if paused else "container is not destroyed"


def _should_be_created(error: Exception) -> str:
    return f"Container {_id(error)} status {getattr(error, 'status', '')}, should be created"


def _start_refused(error: Exception) -> str:
    running = getattr(error, "status", "") == "running"
    return "cannot start an already running container" if running else "container process is already dead"


def _timed_out(error: Exception) -> str:
    return f"Timeout reached after {getattr(error, 'seconds', 0)}s"


def _unexpected_pid(error: Exception) -> str:
    return f"Unexpected PID namespace received for container {_id(error)}, should have been cleared out"


def _exists(error: Exception) -> str:
    return f"Container {_id(error)} already exists, impossible to create"


TABLE: Final[dict[type, tuple[Code, Render]]] = {
    errors.KataHybridError: (Code.UNKNOWN, _message),
    errors.ConfigError: (Code.INVALID_ARGUMENT, _message),
    errors.ContainerNotFound: (Code.NOT_FOUND, _container("Container {} not found")),
    errors.ContainerExists: (Code.ALREADY_EXISTS, _exists),
    errors.ProcessNotFound: (Code.NOT_FOUND, _process_not_found),
    errors.ProcessExists: (Code.ALREADY_EXISTS, lambda e: f"Process {_exec_id(e)} already exists"),
    errors.StatusError: (Code.UNKNOWN, _message),
    errors.ContainerNotRunning: (Code.UNKNOWN, _constant("container not running")),
    errors.ContainerNotPaused: (Code.UNKNOWN, _constant("container not paused")),
    errors.ContainerNotStopped: (Code.UNKNOWN, _remove_refused),
    errors.StateError: (Code.UNKNOWN, _message),
    errors.CgroupError: (Code.UNKNOWN, _message),
    errors.LaunchError: (Code.INTERNAL, launch_text),
    errors.HookError: (Code.UNKNOWN, lambda e: f"error running hook: {getattr(e, 'problem', _message(e))}"),
    errors.UnsupportedError: (Code.UNKNOWN, _message),
    errors.SignalError: (Code.UNKNOWN, _errno_text),
    agent.AgentError: (Code.UNKNOWN, _message),
    agent.InvalidRequest: (Code.INVALID_ARGUMENT, _message),
    agent.SandboxNotStarted: (Code.FAILED_PRECONDITION, _constant("Sandbox not started")),
    agent.SandboxExists: (
        Code.ALREADY_EXISTS,
        _constant("Sandbox already started, impossible to start again"),
    ),
    agent.PidNamespaceGiven: (Code.FAILED_PRECONDITION, _unexpected_pid),
    agent.ContainerStopped: (Code.FAILED_PRECONDITION, _container("Cannot exec in stopped container {}")),
    agent.ContainerPaused: (Code.FAILED_PRECONDITION, _container("Cannot exec in paused container {}")),
    agent.NotCreated: (Code.FAILED_PRECONDITION, _should_be_created),
    agent.NoTerminal: (
        Code.FAILED_PRECONDITION,
        _constant("Terminal is not set, impossible to resize it"),
    ),
    agent.StreamEnded: (Code.OUT_OF_RANGE, _constant("EOF")),
    agent.StdinClosed: (Code.UNKNOWN, _constant("close |1: file already closed")),
    agent.RunFailed: (Code.INTERNAL, _run_failed),
    agent.OperationTimedOut: (Code.DEADLINE_EXCEEDED, _timed_out),
    agent.StorageError: (Code.INTERNAL, _message),
    agent.RootfsError: (Code.UNKNOWN, _message),
    agent.RequestRefused: (Code.UNKNOWN, _message),
    agent.GuestError: (Code.INTERNAL, _message),
    agent.TracingState: (Code.FAILED_PRECONDITION, _message),
    agent.NotSupported: (Code.UNIMPLEMENTED, _message),
    OSError: (Code.UNKNOWN, _os_error),
    UnicodeError: (Code.INVALID_ARGUMENT, _message),
}

SPECIAL: Final[dict[str, dict[type, tuple[Code, Render]]]] = {
    "CreateContainer": {
        agent.SandboxNotStarted: (
            Code.FAILED_PRECONDITION,
            _constant("Sandbox not started, impossible to run a new container"),
        ),
    },
    "StartContainer": {errors.StatusError: (Code.UNKNOWN, _start_refused)},
    "SignalProcess": {
        agent.SandboxNotStarted: (
            Code.FAILED_PRECONDITION,
            _constant("Sandbox not started, impossible to signal the container"),
        ),
        errors.ContainerNotFound: (Code.FAILED_PRECONDITION, _signal_unknown_container),
        errors.ProcessNotFound: (Code.NOT_FOUND, _signal_unknown_process),
    },
    "PauseContainer": {errors.ContainerNotRunning: (Code.UNKNOWN, _pause_refused)},
    "RemoveContainer": {errors.StatusError: (Code.UNKNOWN, _remove_refused)},
    "DestroySandbox": {errors.StatusError: (Code.UNKNOWN, _remove_refused)},
    "SetGuestDateTime": {agent.RequestRefused: (Code.FAILED_PRECONDITION, _message)},
}
