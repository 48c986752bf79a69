"""Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop.

Each gets the container's state as JSON on stdin, its output is kept for the error text, and a time-out
kills it. Input and output are memory files, not pipes: a hook that leaves a daemon behind holding its
stdout does not hold us. Texts are runc's. createContainer and startContainer hooks are steps of the
launch plan instead, run by the init process.

Sources: runtime-spec config.md#posix-platform-hooks; runc libcontainer/configs (behaviour).
"""

from __future__ import annotations

import os
import select

from kata_hybrid import _json
from kata_hybrid.errors import HookError
from kata_hybrid.runtime import orphans

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from contextlib import ExitStack
    from typing import Final

    from kata_hybrid.oci.config import Hook
    from kata_hybrid.runtime.status import ContainerState
else:
    from kata_hybrid._light import ExitStack

CAPTURED_BYTES: Final = 32 * 1024
"""How much of each output goes into an error text."""


def run_hooks(kind: str, hooks: Sequence[Hook], state: ContainerState) -> None:
    """Run ``hooks`` in order, in the bundle's directory; the first failure ends it.

    Args:
        kind: the hooks' name in config.json, such as ``"createRuntime"``.
        state: what they get on stdin.

    Raises:
        HookError: a hook could not be started, failed, or ran past its time-out.
    """
    if not hooks:
        return
    payload = _json.dumps(state.for_hooks()).encode()
    for index, hook in enumerate(hooks):
        problem = _run(hook, payload, cwd=state.bundle)
        if problem is not None:
            raise HookError(kind, index, problem, container_id=state.id)


def _run(hook: Hook, payload: bytes, *, cwd: str) -> str | None:
    """Run one hook; what went wrong, or None."""
    import subprocess  # most containers have no hooks

    with ExitStack() as stack, orphans.starting():
        stdin, stdout, stderr = (_memory_file(stack, name) for name in ("stdin", "stdout", "stderr"))
        os.write(stdin, payload)
        os.lseek(stdin, 0, os.SEEK_SET)
        try:
            process = subprocess.Popen(
                list(hook.args) or [hook.path],
                executable=hook.path,
                env=None if hook.env is None else _environment(hook.env),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=cwd if os.path.isdir(cwd) else "/",
            )
        except OSError as err:
            return f"fork/exec {hook.path}: {(err.strerror or str(err)).lower()}"
        with process:
            if not _ended_in_time(process, hook.timeout):
                return f"hook ran past specified timeout of {float(hook.timeout or 0):.1f}s"
            if process.returncode == 0:
                return None
            return f"{_ending(process.returncode)}, stdout: {_captured(stdout)}, stderr: {_captured(stderr)}"


def _ended_in_time(process: subprocess.Popen[bytes], timeout: int | None) -> bool:
    """Wait through a pidfd; past ``timeout`` seconds kill the hook and reap it."""
    pidfd = os.pidfd_open(process.pid)
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        in_time = bool(poller.poll(None if timeout is None else timeout * 1000))
    finally:
        os.close(pidfd)
    if not in_time:
        process.kill()
    process.wait()
    return in_time


def _environment(entries: Sequence[str]) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in entries)
    return {name: value for name, separator, value in pairs if separator and name}


def _ending(returncode: int) -> str:
    """``exit status 3``, or ``signal: 9`` as Go's exec package says it."""
    return f"exit status {returncode}" if returncode >= 0 else f"signal: {-returncode}"


def _captured(fd: int) -> str:
    return os.pread(fd, CAPTURED_BYTES, 0).decode("utf-8", "replace")


def _memory_file(stack: ExitStack, name: str) -> int:
    fd = os.memfd_create(f"hook-{name}", os.MFD_CLOEXEC)
    stack.callback(os.close, fd)
    return fd
