"""The two plans: a container's first process, and one more process in a running container.

The order is the safe one: everything that needs the host's paths before ``Pivot``, everything that needs
privilege before ``User``, and nothing of the host's reachable when ``Exec`` runs.

Sources: runtime-spec, runtime.md#lifecycle; pivot_root(2), capabilities(7), seccomp(2).
"""

from __future__ import annotations

import posixpath

from ..errors import ConfigError
from ..oci.config import NamespaceType as Ns
from . import steps
from .launch import CgroupJoin, FdRequest, KeptPlans, LaunchOptions, LaunchPlan
from .limits import refuse_process, refuse_spec
from .namespaces import enter_steps, is_mapped, join_process_steps, namespace_set, user_maps
from .options import MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE, PROPAGATION
from .process import (
    check_process,
    executable_candidates,
    final_env,
    identity_steps,
    rlimit_steps,
    scheduling_steps,
    umask_step,
)
from .seccomp import seccomp_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import replace

    from ..oci.config import Hook, Process, Spec
    from .host import HostFacts
    from .namespaces import NamespaceSet
    from .steps import Step
else:
    from kata_hybrid._record import replace


class _Files:
    """Counts the files a plan asks for; the same request twice is one file."""

    def __init__(self) -> None:
        self.requests: list[FdRequest] = []

    def __call__(self, request: FdRequest) -> int:
        if request not in self.requests:
            self.requests.append(request)
        return self.requests.index(request)


def plan_create(
    spec: Spec,
    *,
    rootfs: str,
    facts: HostFacts,
    cgroup: CgroupJoin | None = None,
    options: LaunchOptions | None = None,
) -> LaunchPlan:
    """Plan a container's first process.

    Args:
        spec: the configuration; ``process`` is required.
        rootfs: absolute host path.
        facts: what the host has.
        cgroup: how it gets into its cgroup; none: it stays where the caller is.
        options: the caller's choices.

    Raises:
        ConfigError: the configuration is wrong.
        UnsupportedError: it asks for what this build or host cannot do.
    """
    cgroup, options = cgroup or CgroupJoin(), options or LaunchOptions()
    inputs = _what_matters(spec, rootfs, facts, cgroup, options)
    plan = _kept.find(spec, inputs)
    if plan is None:
        plan = _plan_create(spec, rootfs=rootfs, facts=facts, cgroup=cgroup, options=options)
        _kept.add(spec, inputs, plan)
    return plan


_kept = KeptPlans()
"""The last plans: containers that are started one after the other mostly differ in their names only."""


def _what_matters(
    spec: Spec, rootfs: str, facts: HostFacts, cgroup: CgroupJoin, options: LaunchOptions
) -> tuple[object, ...]:
    """What two launches of ``spec`` must share to share a plan: seldom the id and the own cgroup."""
    hooks = bool(spec.hooks.create_container or spec.hooks.start_container)
    named = hooks or not options.no_new_keyring
    own_view = any(space.type is Ns.CGROUP and space.path is None for space in spec.linux.namespaces)
    shown = tuple((each.name, each.data, each.links) for each in cgroup.mounts) if own_view else cgroup
    chosen = (options.bundle, options.fifo, options.preserve_fds, options.home, options.no_pivot)
    return (
        rootfs,
        facts,
        (cgroup.tasks, cgroup.mode, shown),
        chosen,
        (options.setgroups, options.no_new_keyring, options.container_id if named else ""),
    )


def _plan_create(
    spec: Spec, *, rootfs: str, facts: HostFacts, cgroup: CgroupJoin, options: LaunchOptions
) -> LaunchPlan:
    process = _first_process(spec)
    spaces = namespace_set(spec.linux, facts)
    refuse_spec(spec, facts, spaces)
    refuse_process(process, facts)
    maps = user_maps(spaces, spec.linux)
    _check_mapped(process, spec, spaces)
    fd = _Files()
    limits = rlimit_steps(process.rlimits)

    entered = _join_first(process, cgroup, fd)
    enter, clone_flags = enter_steps(spaces, spec.linux, before_fork=limits, fd=fd)
    if spaces.has(Ns.USER):
        limits = []
    inside = _session(options)
    if Ns.NETWORK in spaces.new:
        inside.append(steps.LoopbackUp())
    inside += _rootfs(spec, rootfs=rootfs, facts=facts, cgroup=cgroup, options=options, spaces=spaces, fd=fd)
    inside += _after_pivot(spec, process)
    inside += scheduling_steps(process, spec.linux.personality)
    inside += _hand_over(spec, process, options, facts, limits, sync=True)
    if options.fifo:
        inside.append(steps.ExecFifo(fd("fifo")))
    pid = 1 if Ns.PID in spaces.new else 0
    inside += _hooks("startContainer", spec.hooks.start_container, spec, options, status="created", pid=pid)
    inside.append(steps.Exec(process.args, final_env(process.env, options.home), options.preserve_fds))
    return LaunchPlan(
        steps=(*entered, *enter, *inside),
        clone_flags=clone_flags,
        fds=tuple(fd.requests),
        user_maps=maps,
        preserve_fds=options.preserve_fds,
    )


def plan_exec(
    spec: Spec,
    process: Process,
    *,
    facts: HostFacts,
    cgroup: CgroupJoin | None = None,
    options: LaunchOptions | None = None,
) -> LaunchPlan:
    """Plan one more process in a running container.

    What the process leaves open comes from the container's configuration: rlimits, oom score, umask, seccomp.

    Raises:
        ConfigError: the process is wrong.
        UnsupportedError: it asks for what this build or host cannot do.
    """
    options = options or LaunchOptions()
    cgroup = cgroup or CgroupJoin()
    check_process(process)
    spaces = namespace_set(spec.linux, facts)
    refuse_spec(spec, facts, spaces)
    refuse_process(process, facts, additional=True)
    process = _inherit(process, spec.process)
    _check_mapped(process, spec, spaces)
    fd = _Files()
    limits = rlimit_steps(process.rlimits)

    result = _join_first(process, cgroup, fd)
    if spaces.has(Ns.USER):
        result += limits
        limits = []
    kinds = spaces.new | frozenset(spaces.joined)
    result += join_process_steps(kinds, facts=facts, init_pid=options.init_pid, fd=fd)
    result += _session(options)
    if process.terminal:
        result.append(_console(process, fd, mount=0))
    result += [steps.StdioNull(), umask_step(process)]
    result += scheduling_steps(process, spec.linux.personality)
    result += _hand_over(spec, process, options, facts, limits, sync=False)
    result.append(steps.Exec(process.args, final_env(process.env, options.home), options.preserve_fds))
    return LaunchPlan(steps=tuple(result), fds=tuple(fd.requests), preserve_fds=options.preserve_fds)


def _first_process(spec: Spec) -> Process:
    if spec.process is None:
        raise ConfigError("process", "process property must not be empty")
    check_process(spec.process)
    return spec.process


def _inherit(process: Process, first: Process | None) -> Process:
    """Fill what ``process`` leaves open from the container's first process."""
    if first is None:
        return process
    user = process.user
    if user.umask is None and first.user.umask is not None:
        user = replace(user, umask=first.user.umask)
    score = process.oom_score_adj if process.oom_score_adj is not None else first.oom_score_adj
    return replace(process, user=user, oom_score_adj=score, rlimits=process.rlimits or first.rlimits)


def _check_mapped(process: Process, spec: Spec, spaces: NamespaceSet) -> None:
    """A new user namespace must map the ids that the process takes on."""
    if Ns.USER not in spaces.new:
        return
    user, linux = process.user, spec.linux
    if not is_mapped(user.uid, linux.uid_mappings):
        raise ConfigError("process.user.uid", f"cannot setuid to unmapped uid {user.uid} in user namespace")
    for gid in (user.gid, *user.additional_gids):
        if not is_mapped(gid, linux.gid_mappings):
            raise ConfigError("process.user.gid", f"cannot setgid to unmapped gid {gid} in user namespace")


def _join_first(process: Process, cgroup: CgroupJoin, fd: _Files) -> list[Step]:
    """What the caller's rights are needed for: the oom score and the cgroups."""
    result: list[Step] = []
    if process.oom_score_adj is not None:
        if not -1000 <= process.oom_score_adj <= 1000:
            raise ConfigError("process.oomScoreAdj", "must be -1000 to 1000")
        result.append(steps.OomScoreAdj(process.oom_score_adj))
    result.extend(steps.JoinCgroup(fd(f"cgroup:{index}")) for index in range(cgroup.tasks))
    return result


def _session(options: LaunchOptions) -> list[Step]:
    result: list[Step] = [steps.Setsid()]
    if not options.no_new_keyring:
        result.append(steps.SessionKeyring(f"_ses.{options.container_id}", 1))
    return result


def _console(process: Process, fd: _Files, *, mount: int) -> Step:
    size = process.console_size
    return steps.Console(fd("console"), size.height if size else 0, size.width if size else 0, mount)


def _rootfs(
    spec: Spec,
    *,
    rootfs: str,
    facts: HostFacts,
    cgroup: CgroupJoin,
    options: LaunchOptions,
    spaces: NamespaceSet,
    fd: _Files,
) -> list[Step]:
    """From the untouched mount namespace to the pivot."""
    from .devices import device_steps  # an exec does without
    from .mounts import mount_steps

    if not rootfs.startswith("/"):
        raise ConfigError("root.path", "invalid rootfs: not an absolute path, or a symlink")
    propagation = root_propagation(spec.linux.rootfs_propagation, no_pivot=options.no_pivot)
    parent = MS_SLAVE if spec.linux.rootfs_propagation in {"slave", "rslave"} else MS_PRIVATE
    mounts, late = mount_steps(
        spec,
        bundle=options.bundle,
        cgroup=cgroup,
        new_cgroup_ns=Ns.CGROUP in spaces.new,
        in_user_ns=spaces.has(Ns.USER),
    )
    result: list[Step] = [steps.RootPropagation(propagation), steps.PrepareRootfs(rootfs, parent)]
    result += mounts
    result += device_steps(spec, facts)
    if spec.process is not None and spec.process.terminal:
        result.append(_console(spec.process, fd, mount=1))
    if spec.hooks.prestart or spec.hooks.create_runtime or spec.hooks.create_container:
        result.append(steps.Sync(steps.SYNC_HOOKS))
    hooks, pid = spec.hooks.create_container, 1 if Ns.PID in spaces.new else 0
    result += _hooks("createContainer", hooks, spec, options, status="creating", pid=pid)
    if spec.process is not None:
        result.append(steps.MakeCwd(posixpath.normpath("/" + spec.process.cwd.lstrip("/"))))
    if spec.linux.sysctl:
        from .sysctl import sysctl_steps

        result += sysctl_steps(spec.linux.sysctl, spaces)
    result += [steps.ReadonlyPath(path) for path in dict.fromkeys(spec.linux.readonly_paths)]
    result += [steps.MaskPath(path) for path in dict.fromkeys(spec.linux.masked_paths)]
    result += late
    if spec.root is not None and spec.root.readonly:
        result.append(steps.RootfsReadonly())
    result.append(steps.Pivot(steps.PIVOT_MOVE if options.no_pivot else steps.PIVOT_ROOT))
    if propagation & (MS_SHARED | MS_UNBINDABLE):
        result.append(steps.RootPropagation(propagation))
    return result


def _hooks(
    kind: str, hooks: tuple[Hook, ...], spec: Spec, options: LaunchOptions, *, status: str, pid: int
) -> list[Step]:
    if not hooks:
        return []
    from .hooks import hook_steps, state_json

    return hook_steps(kind, hooks, state_json(spec, options, status=status, pid=pid))


def root_propagation(name: str, *, no_pivot: bool = False) -> int:
    """``linux.rootfsPropagation`` as MS_* flags; recursive slave when absent.

    Raises:
        ConfigError: an unknown name, or private without pivot_root.
    """
    if not name:
        return MS_SLAVE | MS_REC
    if name not in PROPAGATION:
        raise ConfigError("linux.rootfsPropagation", f"rootfsPropagation={name} is not supported")
    if no_pivot and PROPAGATION[name] & MS_PRIVATE:
        raise ConfigError(
            "linux.rootfsPropagation", "rootfsPropagation of [r]private is not safe without pivot_root"
        )
    return PROPAGATION[name]


def _after_pivot(spec: Spec, process: Process) -> list[Step]:
    result: list[Step] = [steps.StdioNull()]
    if spec.hostname:
        result.append(steps.Hostname(spec.hostname))
    if spec.domainname:
        result.append(steps.Domainname(spec.domainname))
    result.append(umask_step(process))
    return result


def _hand_over(
    spec: Spec,
    process: Process,
    options: LaunchOptions,
    facts: HostFacts,
    limits: list[Step],
    *,
    sync: bool,
) -> list[Step]:
    """From root of the container to the configured user.

    A filter goes in before the privileges go, for loading it needs them; with no_new_privs it goes in last,
    so that it may forbid what the steps before it use.
    """
    env = final_env(process.env, options.home)
    find = steps.FindExecutable(executable_candidates(process.args[0], env))
    secure = [seccomp_step(spec.linux.seccomp)] if spec.linux.seccomp is not None else []
    no_new_privs = process.no_new_privileges
    result: list[Step] = [*limits, steps.ChownStdio(process.user.uid)]
    if no_new_privs:
        result.append(steps.NoNewPrivs())
    result += [steps.Chdir(process.cwd), find]
    if sync:
        result.append(steps.Sync(steps.SYNC_READY))
    if not no_new_privs:
        result += secure
    result += identity_steps(process, facts=facts, setgroups=options.setgroups)
    if no_new_privs or not secure:
        if process.user.uid != 0:
            result.append(find)  # once more with the user's rights, while the caller still hears of it
        result += secure
    return result
