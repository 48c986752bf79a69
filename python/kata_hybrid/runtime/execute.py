"""Starting another process in a live container.

The new process enters the namespaces through the init's pidfd, so a reused pid cannot lead it elsewhere,
and is in the container's cgroups before it has anything to lose.
"""

from __future__ import annotations

from kata_hybrid.cgroups.layout import detect
from kata_hybrid.errors import ConfigError, ContainerNotRunning
from kata_hybrid.oci.config import Process as ProcessConfig
from kata_hybrid.oci.config import User
from kata_hybrid.plan.build import plan_exec
from kata_hybrid.plan.host import host_facts
from kata_hybrid.plan.launch import KeptPlans, LaunchOptions
from kata_hybrid.runtime.destroy import kill_and_reap
from kata_hybrid.runtime.home import home_of
from kata_hybrid.runtime.join import process_join
from kata_hybrid.runtime.launch import FdSources, LaunchRequest, launch
from kata_hybrid.runtime.process import Process
from kata_hybrid.runtime.undo import Undo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from dataclasses import dataclass, replace

    from kata_hybrid.cgroups import Manager
    from kata_hybrid.oci.config import Spec
    from kata_hybrid.plan import LaunchPlan
    from kata_hybrid.runtime.console import Console
    from kata_hybrid.runtime.stdio import Stdio
else:
    from kata_hybrid._light import ExitStack
    from kata_hybrid._record import dataclass, replace


@dataclass(frozen=True)
class ExecOptions:
    """As ``CreateOptions``, for one exec."""

    stdio: Stdio
    console_socket: str | None = None
    pid_file: str | None = None
    preserve_fds: int = 0


def process_of(
    spec: Spec,
    command: Sequence[str] | ProcessConfig,
    *,
    env: Sequence[str] | None = None,
    cwd: str | None = None,
    user: str | None = None,
    terminal: bool | None = None,
) -> ProcessConfig:
    """The whole ``process`` object of an exec: the container's own, with what the caller gives in its place.

    Raises:
        ConfigError: no arguments, or a user that is not ``uid[:gid]``.
    """
    if isinstance(command, ProcessConfig):
        base = command
    else:
        own = spec.process or ProcessConfig(cwd="/", args=())
        base = replace(own, args=tuple(command), terminal=False)
    if not base.args:
        raise ConfigError("process.args", "process args cannot be empty")
    changes: dict[str, object] = {}
    if env:
        changes["env"] = (*base.env, *env)
    if cwd is not None:
        changes["cwd"] = cwd
    if user is not None:
        changes["user"] = _user(user)
    if terminal is not None:
        changes["terminal"] = terminal
    return replace(base, **changes)  # type: ignore[arg-type]


def _user(text: str) -> User:
    uid, separator, gid = text.partition(":")
    if not uid.isdecimal() or (separator and not gid.isdecimal()):
        raise ConfigError("process.user", f"must be uid or uid:gid in numbers, not '{text}'")
    return User(uid=int(uid), gid=int(gid) if gid else 0)


def launch_exec(
    spec: Spec,
    config: ProcessConfig,
    options: ExecOptions,
    *,
    bundle: str,
    exec_id: str,
    init: Process,
    manager: Manager,
) -> Process:
    """Start ``config`` in the container of ``init``.

    Raises:
        ContainerNotRunning: the init process has gone meanwhile.
        LaunchError: a step failed; nothing is left.
    """
    if init.child is None or init.ended():
        raise ContainerNotRunning(
            "cannot exec in a stopped container",
            status="stopped",
            verb="exec",
            container_id=init.container_id,
        )
    plan = _plan(spec, config, options, bundle=bundle, init=init, manager=manager)
    with ExitStack() as borrowed, Undo() as undo:
        console: Console | None = None
        if config.terminal:
            from kata_hybrid.runtime.console import Console

            console = Console(borrowed, options.console_socket)
        join = manager.open_join(beside=init.pid)
        borrowed.callback(join.close)
        stdio = options.stdio.open(borrowed, undo, terminal=config.terminal)
        sources = FdSources(
            tasks=join.tasks,
            cgroup_fd=join.cgroup_fd,
            init_pidfd=init.child.pidfd(),
            console_fd=console.child_fd if console else -1,
        )
        child = launch(LaunchRequest(plan, sources, stdio.child, init.container_id, exec_id))
        undo.add(kill_and_reap, child)
        master_fd = console.receive() if console else None
        if master_fd is not None:
            undo.callback(stdio.use_master(master_fd).close)
        if options.pid_file is not None:
            from kata_hybrid.runtime.pidfile import write_pid_file

            write_pid_file(options.pid_file, child.pid)
        undo.pop_all()
    process = Process(
        child, container_id=init.container_id, exec_id=exec_id, stdio=stdio, terminal=config.terminal
    )
    process.own()
    return process


def _plan(
    spec: Spec, config: ProcessConfig, options: ExecOptions, *, bundle: str, init: Process, manager: Manager
) -> LaunchPlan:
    """Made anew only for another process, container or home: health checks say the same over and over."""
    cgroup = process_join(detect(), manager)
    chosen = LaunchOptions(
        container_id=init.container_id,
        bundle=bundle,
        preserve_fds=options.preserve_fds,
        home=home_of(config, f"/proc/{init.pid}/root"),
        init_pid=init.pid,
    )
    inputs = (config, cgroup, chosen)
    plan = _kept.find(spec, inputs)
    if plan is None:
        plan = plan_exec(spec, config, facts=host_facts(), cgroup=cgroup, options=chosen)
        _kept.add(spec, inputs, plan)  # encodes it: finds what kata-init cannot take before anything is done
    return plan


_kept = KeptPlans()
