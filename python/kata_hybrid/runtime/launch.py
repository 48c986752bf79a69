"""The one place that turns a launch plan into a process.

It opens the files the plan asks for, spawns ``kata-init`` on the encoded plan, answers each sync point,
and gives the final process. On any failure the child is killed and reaped, every file is closed, and the
error says which step failed, on what, with which errno. It decides nothing: what happens at a sync point
comes in as a function.
"""

from __future__ import annotations

import os

from kata_hybrid import _core
from kata_hybrid.errors import HookError, KataHybridError, LaunchError
from kata_hybrid.plan import steps
from kata_hybrid.runtime import orphans
from kata_hybrid.runtime.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from dataclasses import dataclass, field

    from kata_hybrid.plan import LaunchPlan

    SyncAction = Callable[[int], None]
else:
    from kata_hybrid._record import dataclass, field


@dataclass(frozen=True)
class FdSources:
    """Where the files behind a plan's symbolic requests come from; all borrowed for the launch.

    Attributes:
        tasks: open v1 ``tasks`` (or v2 ``cgroup.procs``) files, ``cgroup:<n>``.
        cgroup_fd: v2: the directory to be born in; -1 for none.
        init_pidfd: ``pidfd`` of the container to join.
        fifo_path: ``fifo``.
        console_fd: ``console``.
    """

    tasks: Sequence[int] = ()
    cgroup_fd: int = -1
    init_pidfd: int = -1
    fifo_path: str = ""
    console_fd: int = -1


@dataclass(frozen=True)
class LaunchRequest:
    """One launch: the plan and everything of the caller's that goes with it.

    Attributes:
        stdio: the child's 0, 1 and 2, borrowed.
        meanwhile: what to do while kata-init is at its first steps, with its pid; not called for a plan
            that forks, whose process comes later.
        actions: what to do at a sync point (``steps.SYNC_*``), with the pid of the process; USERMAP
            is answered here.
    """

    plan: LaunchPlan
    sources: FdSources
    stdio: tuple[int, int, int]
    container_id: str
    exec_id: str | None = None
    meanwhile: SyncAction | None = None
    actions: Mapping[int, SyncAction] = field(default_factory=dict)


def launch(request: LaunchRequest) -> _core.Child:
    """Start the process; returns once it waits at the exec fifo, or once ``execve`` has succeeded.

    Raises:
        LaunchError: a step failed; :class:`HookError` when the step was a hook.
        KataHybridError: whatever an action raised.
    """
    plan = request.plan
    encoded = plan.encoded
    with Undo() as undo, orphans.starting():
        fds = _open_requests(request, undo)
        try:
            started = _core.spawn(
                encoded,
                fds=fds,
                stdio=request.stdio,
                clone_flags=plan.clone_flags,
                cgroup_fd=request.sources.cgroup_fd,
                preserve_fds=plan.preserve_fds,
            )
        except OSError as err:
            raise _named(LaunchError("clone", err.errno, detail=err.strerror or ""), request) from err
        with Undo() as abort:
            abort.add(started.abort)
            _converse(started, request)
            child = started.child()
            abort.pop_all()
        return child


def _converse(started: _core.Launch, request: LaunchRequest) -> None:
    """Answer sync points until the socket closes."""
    answered: set[int] = set()
    wanted = {step.point for step in request.plan.steps if type(step) is steps.Sync}
    try:
        if request.meanwhile is not None and not any(type(step) is steps.Fork for step in request.plan.steps):
            request.meanwhile(started.pid)
        while (point := started.next()) is not None:
            _act(point, started.pid, request)
            started.proceed()
            answered.add(point)
    except _core.InitError as err:
        raise _named(_launch_error(err, request.plan), request) from err
    except OSError as err:
        raise _named(_died(started, err), request) from err
    if not answered >= wanted:
        raise _named(_died(started, None), request)


def _act(point: int, pid: int, request: LaunchRequest) -> None:
    if point == steps.SYNC_USERMAP and request.plan.user_maps is not None:
        from kata_hybrid.runtime.idmap import write_user_maps

        try:
            write_user_maps(pid, *request.plan.user_maps)
        except LaunchError as err:
            raise _named(err, request) from err.__cause__
    action = request.actions.get(point)
    if action is not None:
        action(pid)


def _launch_error(err: _core.InitError, plan: LaunchPlan) -> LaunchError:
    """The step at ``err.index`` tells what the numbers mean."""
    step = plan.steps[err.index] if 0 <= err.index < len(plan.steps) else None
    if isinstance(step, steps.Hook):
        return HookError(step.kind, step.index, err.detail or os.strerror(err.errno).lower())
    return LaunchError(err.step, err.errno or None, err.path, detail=err.detail)


def _died(started: _core.Launch, err: OSError | None) -> LaunchError:
    """The init process ended without a word: killed from outside, mostly for memory."""
    status = started.abort()
    how = (
        f"by signal {status[1]}" if status and status[1] > 0 else f"with status {status[0]}" if status else ""
    )
    return LaunchError("start init", err.errno if err else None, detail=f"ended early {how}".rstrip())


def _named(error: LaunchError, request: LaunchRequest) -> LaunchError:
    error.container_id = request.container_id
    error.exec_id = request.exec_id
    return error


def _open_requests(request: LaunchRequest, undo: Undo) -> list[int]:
    """Descriptors for the plan's requests, in their order; those opened here close with ``undo``."""
    try:
        return [_open_request(wanted, request.sources, undo) for wanted in request.plan.fds]
    except LaunchError as err:
        raise _named(err, request) from err.__cause__


def _open_request(request: str, sources: FdSources, undo: Undo) -> int:
    kind, _, rest = request.partition(":")
    if kind == "cgroup":
        return sources.tasks[int(rest)]
    if kind == "pidfd":
        return sources.init_pidfd
    if kind == "console":
        return sources.console_fd
    path, flags = (sources.fifo_path, os.O_PATH) if kind == "fifo" else (rest, os.O_RDONLY)
    if kind not in ("fifo", "ns"):
        raise KataHybridError(f"the plan asks for an unknown file '{request}'")
    try:
        fd = os.open(path, flags | os.O_CLOEXEC)
    except OSError as err:
        raise LaunchError("open namespace" if kind == "ns" else "open exec fifo", err.errno, path) from err
    undo.callback(os.close, fd)
    return fd
