"""Exceptions to the sentences that engines match on. Each text is part of runc's interface.

containerd looks for ``does not exist`` and ``container not running``; docker and podman turn ``executable
file not found in $PATH``, ``no such file or directory`` and ``permission denied`` into exit statuses.
"""

from __future__ import annotations

import errno
import os

from ..errors import (
    ConfigError,
    ContainerExists,
    ContainerNotFound,
    HookError,
    KataHybridError,
    LaunchError,
    UnsupportedError,
)

FIXED: dict[type[KataHybridError], str] = {
    ContainerNotFound: "container does not exist",
    ContainerExists: "container with given ID already exists",
}

_LOOKUP_STEPS = frozenset({"findexecutable", "exec", "execve"})
_MOUNT_STEPS = frozenset({"mountfs", "bindmount", "mount", "bind"})


class CommandError(Exception):
    """A failure that is already a sentence. ``status`` is the command's exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def describe(err: BaseException) -> str:
    """The sentence for an error, without the verb."""
    for kind, text in FIXED.items():
        if isinstance(err, kind):
            return text
    if isinstance(err, ConfigError):
        return config_text(err)
    if isinstance(err, UnsupportedError):
        return err.message
    if isinstance(err, LaunchError):
        return launch_text(err)
    if isinstance(err, KataHybridError):
        return err.message
    if isinstance(err, OSError):
        return os_error(err)
    return str(err) or type(err).__name__


def start_failure(err: BaseException, *, program: str, init: bool) -> str:
    """The sentence for a process that could not be started.

    Args:
        err: what happened.
        program: the first argument as configured.
        init: it was to be the container's first process.
    """
    if not isinstance(err, LaunchError) or isinstance(err, UnsupportedError):
        return describe(err)
    start = "unable to start container process: "
    if _step(err) in _LOOKUP_STEPS:
        return start + executable_text(program or err.path, err.errno)
    return start + ("error during container init: " if init else "") + launch_text(err)


def executable_text(program: str, code: int | None) -> str:
    """Why ``program`` cannot be run."""
    reason = _reason(code) or "cannot be run"
    if code == errno.ENOENT:
        reason = f"stat {program}: {reason}" if "/" in program else "executable file not found in $PATH"
    return f'exec: "{program}": {reason}'


_NEEDS_SUBJECT = ("must ", "contains ", "longer ")


def config_text(err: ConfigError) -> str:
    """runc's sentences stand alone; one without a subject gets the JSON path it is about."""
    if err.location and err.problem.startswith(_NEEDS_SUBJECT):
        return f"{err.location}: {err.problem}"
    return err.problem


def launch_text(err: LaunchError) -> str:
    """The step that failed, on what and why."""
    if isinstance(err, HookError):
        return f"error running {err.hook} hook #{err.index}: {err.problem}"
    reason = _reason(err.errno)
    step = _step(err)
    if step in _MOUNT_STEPS and err.path:
        source = f'"{err.detail}" ' if err.detail else ""
        return f'error mounting {source}to rootfs at "{err.path}": {reason}'
    if step in {"chdir", "chdirtocwd"}:
        return f'chdir to cwd ("{err.path}") set in config.json failed: {reason}'
    parts = [part for part in (f"{err.step} {err.path}".rstrip(), err.detail, reason) if part]
    return ": ".join(parts)


def os_error(err: OSError) -> str:
    """``open /x: no such file or directory``: the path where one is known, the reason in lower case."""
    reason = _reason(err.errno) or str(err)
    return f"open {err.filename}: {reason}" if err.filename else reason


def _step(err: LaunchError) -> str:
    return err.step.replace("_", "").replace("-", "").replace(" ", "").lower()


def _reason(code: int | None) -> str:
    return os.strerror(code).lower() if code else ""
