"""Every error that kata_hybrid raises, as one tree.

::

    KataHybridError                    .container_id .exec_id
    ├── ConfigError                    .location "process.rlimits[1].hard"; nothing was touched
    ├── ContainerNotFound
    ├── ContainerExists
    ├── ProcessNotFound
    ├── ProcessExists
    ├── StatusError                    .status .verb: the container is in the wrong status for this call
    │   ├── ContainerNotRunning
    │   ├── ContainerNotPaused
    │   └── ContainerNotStopped
    ├── StateError                     .path: unreadable, foreign or torn state.json
    ├── CgroupError                    .path .errno
    ├── LaunchError                    .step .errno .path
    │   ├── HookError                  .hook .index
    │   └── UnsupportedError           .feature .needs
    └── SignalError                    .errno

Messages are lower case without a full stop: who, what was being done, errno by name, the path. The
texts that engines match on (runc's, Kata's) belong to the fronts, not here.
"""

from __future__ import annotations

import errno as _errno


def errno_name(code: int | None) -> str:
    """The symbolic name of an errno value (``EPERM``), or the number as text."""
    return "" if code is None else _errno.errorcode.get(code, str(code))


class KataHybridError(Exception):
    """Base of all errors of this package."""

    def __init__(self, message: str, *, container_id: str | None = None, exec_id: str | None = None) -> None:
        super().__init__(message)
        self.container_id = container_id
        self.exec_id = exec_id

    @property
    def message(self) -> str:
        """The sentence without the container's name."""
        return str(self.args[0])

    def __str__(self) -> str:
        who = f"container {self.container_id}" if self.container_id else ""
        if self.exec_id and self.exec_id != self.container_id:
            who = f"{who}, process {self.exec_id}" if who else f"process {self.exec_id}"
        return f"{who}: {self.message}" if who else self.message


class ConfigError(KataHybridError):
    """A configuration is wrong. Raised before anything is touched.

    ``location`` is a JSON path such as ``process.rlimits[2].type``.
    """

    def __init__(self, location: str, problem: str, *, container_id: str | None = None) -> None:
        super().__init__(f"{location}: {problem}" if location else problem, container_id=container_id)
        self.location = location
        self.problem = problem


class ContainerNotFound(KataHybridError):  # noqa: N818 - the field's word
    """No container of this id under this root."""


class ContainerExists(KataHybridError):  # noqa: N818
    """The id is taken."""


class ProcessNotFound(KataHybridError):  # noqa: N818
    """No process of this exec id in the container."""


class ProcessExists(KataHybridError):  # noqa: N818
    """The exec id is taken."""


class StatusError(KataHybridError):
    """The container's status does not allow the call. ``status`` and ``verb`` say which."""

    def __init__(self, message: str, *, status: str, verb: str, container_id: str | None = None) -> None:
        super().__init__(message, container_id=container_id)
        self.status = status
        self.verb = verb


class ContainerNotRunning(StatusError):  # noqa: N818
    """The call needs a live container."""


class ContainerNotPaused(StatusError):  # noqa: N818
    """Resume of a container that is not paused."""


class ContainerNotStopped(StatusError):  # noqa: N818
    """Delete without force of a container that still runs."""


class StateError(KataHybridError):
    """A state file is unreadable, foreign or torn."""

    def __init__(self, message: str, *, path: str, container_id: str | None = None) -> None:
        super().__init__(f"{message}: '{path}'", container_id=container_id)
        self.path = path


class CgroupError(KataHybridError):
    """A cgroup file refused a value."""

    def __init__(
        self, message: str, *, path: str, errno: int | None = None, container_id: str | None = None
    ) -> None:
        name = errno_name(errno)
        super().__init__(f"{message} on '{path}'" + (f": {name}" if name else ""), container_id=container_id)
        self.path = path
        self.errno = errno


class LaunchError(KataHybridError):
    """A process could not be started; whatever was half made has been undone.

    Attributes:
        step: what was being done, such as ``"mount"`` or ``"execve"``.
        errno: the system's number, or None when no system call failed.
        path: what it was being done to, may be empty.
        detail: more about the object, may be empty.
    """

    def __init__(
        self,
        step: str,
        errno: int | None = None,
        path: str = "",
        *,
        detail: str = "",
        container_id: str | None = None,
        exec_id: str | None = None,
    ) -> None:
        text = step
        if detail:
            text += f" {detail}"
        if path:
            text += f" on '{path}'"
        name = errno_name(errno)
        if name:
            text += f": {name}"
        super().__init__(text, container_id=container_id, exec_id=exec_id)
        self.step = step
        self.errno = errno
        self.path = path
        self.detail = detail


class HookError(LaunchError):
    """A hook failed. ``hook`` is its kind, ``index`` its place in the list."""

    def __init__(self, hook: str, index: int, problem: str, *, container_id: str | None = None) -> None:
        super().__init__(f"{hook} hook #{index}", detail=problem, container_id=container_id)
        self.hook = hook
        self.index = index
        self.problem = problem


class UnsupportedError(LaunchError):
    """This host or build lacks ``feature``; ``needs`` says what would provide it."""

    def __init__(self, feature: str, needs: str, *, container_id: str | None = None) -> None:
        super().__init__(f"{feature} is not supported", detail=f"({needs})", container_id=container_id)
        self.feature = feature
        self.needs = needs


class SignalError(KataHybridError):
    """The kernel refused a signal."""

    def __init__(
        self, message: str, *, errno: int, container_id: str | None = None, exec_id: str | None = None
    ) -> None:
        super().__init__(f"{message}: {errno_name(errno)}", container_id=container_id, exec_id=exec_id)
        self.errno = errno
