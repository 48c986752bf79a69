"""The order of steps is what keeps a launch safe: it is checked for any configuration."""

from __future__ import annotations

from itertools import pairwise

import pytest
import specs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kata_hybrid.errors import ConfigError, UnsupportedError
from kata_hybrid.oci import config as oci
from kata_hybrid.oci.config import NamespaceType as Ns
from kata_hybrid.plan import (
    CgroupJoin,
    CgroupMount,
    HostFacts,
    LaunchOptions,
    LaunchPlan,
    plan_create,
    plan_exec,
    steps,
)

FACTS = HostFacts()
JOIN = CgroupJoin(
    2, "v1", (CgroupMount("cpu,cpuacct", "cpu,cpuacct", "/sys/fs/cgroup/cpu/c", ("cpu", "cpuacct")),)
)
AFTER_USER = {
    steps.Caps,
    steps.FindExecutable,
    steps.Seccomp,
    steps.ExecFifo,
    steps.Hook,
    steps.Exec,
}
BEFORE_PIVOT = {
    steps.PrepareRootfs,
    steps.MountFs,
    steps.BindMount,
    steps.Device,
    steps.Symlink,
    steps.MaskPath,
    steps.ReadonlyPath,
    steps.Sysctl,
    steps.RootfsReadonly,
    steps.Remount,
    steps.MakeCwd,
}


def create(spec: oci.Spec, **options: object) -> LaunchPlan:
    chosen = LaunchOptions(container_id="c", bundle="/b", fifo=True, **options)  # type: ignore[arg-type]
    return plan_create(spec, rootfs="/b/rootfs", facts=FACTS, cgroup=JOIN, options=chosen)


def places(plan: LaunchPlan, kind: type) -> list[int]:
    return [index for index, step in enumerate(plan.steps) if type(step) is kind]


@given(spec=specs.specs, no_pivot=st.booleans())
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_spec_gives_an_ordered_plan_or_a_refusal(spec: oci.Spec, no_pivot: bool) -> None:
    try:
        plan = create(spec, no_pivot=no_pivot)
        _ = plan.encoded
    except (ConfigError, UnsupportedError):
        return
    check_order(plan)
    hooks = (*spec.hooks.prestart, *spec.hooks.create_runtime, *spec.hooks.create_container)
    points = [step.point for step in plan.steps if isinstance(step, steps.Sync)]
    assert (steps.SYNC_HOOKS in points) == bool(hooks)


def check_order(plan: LaunchPlan) -> None:
    kinds = [type(step) for step in plan.steps]
    user, pivot = kinds.index(steps.User), kinds.index(steps.Pivot)
    assert set(kinds[user + 1 :]) <= AFTER_USER
    assert not BEFORE_PIVOT & set(kinds[pivot:])
    assert kinds[-1] is steps.Exec
    assert kinds.count(steps.Exec) == kinds.count(steps.User) == kinds.count(steps.Pivot) == 1
    assert kinds.index(steps.BoundingCaps) < user < kinds.index(steps.Caps)
    points = [step.point for step in plan.steps if isinstance(step, steps.Sync)]
    assert points in ([3], [2, 3], [1, 3], [1, 2, 3])
    assert (1 in points) == (plan.user_maps is not None)
    assert kinds.index(steps.FindExecutable) < max(places(plan, steps.Sync)) < user
    if steps.Fork in kinds:
        assert plan.clone_flags == 0
        assert max(places(plan, steps.JoinCgroup)) < kinds.index(steps.Fork) < kinds.index(steps.Setsid)
    used = {step.fd for step in plan.steps if hasattr(step, "fd")}
    assert used == set(range(len(plan.fds)))


def test_without_no_new_privs_the_filter_goes_in_before_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = fake_filter(monkeypatch)
    kinds = [type(s) for s in create(specs.spec(linux=specs.linux(seccomp=loaded))).steps]
    assert (
        kinds.index(steps.Sync, kinds.index(steps.Pivot))
        < kinds.index(steps.Seccomp)
        < kinds.index(steps.User)
    )


def test_with_no_new_privs_the_filter_is_last_before_the_fifo(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = fake_filter(monkeypatch)
    spec = specs.spec(process=specs.process(no_new_privileges=True), linux=specs.linux(seccomp=loaded))
    kinds = [type(s) for s in create(spec).steps]
    assert kinds[-3:] == [steps.Seccomp, steps.ExecFifo, steps.Exec]
    assert kinds.index(steps.NoNewPrivs) < kinds.index(steps.User)


def fake_filter(monkeypatch: pytest.MonkeyPatch) -> oci.Seccomp:
    monkeypatch.setattr("kata_hybrid.plan.build.seccomp_step", lambda profile: steps.Seccomp(0, b"\0" * 8))
    return oci.Seccomp("SCMP_ACT_ALLOW")


def test_the_first_clone_makes_the_pid_namespace_and_init_the_others() -> None:
    plan = create(specs.spec())
    assert plan.clone_flags == 0x20000000
    (unshare,) = (step for step in plan.steps if isinstance(step, steps.Unshare))
    assert unshare.flags == 0x40000000 | 0x08000000 | 0x04000000 | 0x00020000
    assert not places(plan, steps.Fork)
    assert len(places(plan, steps.LoopbackUp)) == 1


def test_cgroup_namespace_is_unshared_after_the_join() -> None:
    plan = create(specs.spec(linux=specs.linux(Ns.MOUNT, Ns.CGROUP)))
    assert plan.clone_flags == 0
    assert max(places(plan, steps.JoinCgroup)) < places(plan, steps.Unshare)[0]


def test_new_user_namespace_is_staged_and_takes_its_limits_before_the_fork() -> None:
    maps = (oci.IDMapping(0, 100000, 65536),)
    process = specs.process(rlimits=(oci.Rlimit("RLIMIT_NOFILE", 100, 200),))
    kinds = (*specs.BASIC_KINDS, Ns.USER)
    plan = create(
        specs.spec(process=process, linux=specs.linux(*kinds, uid_mappings=maps, gid_mappings=maps))
    )
    fork = places(plan, steps.Fork)[0]
    assert places(plan, steps.Rlimit)[0] < fork
    assert plan.steps[fork + 1 : fork + 3] == (steps.Sync(steps.SYNC_USERMAP), steps.BecomeRoot())
    assert plan.user_maps == ("0 100000 65536\n", "0 100000 65536\n")
    fork_step = plan.steps[fork]
    assert isinstance(fork_step, steps.Fork)
    assert fork_step.flags & 0x10000000


def test_unmapped_user_is_refused() -> None:
    maps = (oci.IDMapping(0, 100000, 10),)
    process = specs.process(user=oci.User(uid=11))
    spec = specs.spec(
        process=process, linux=specs.linux(Ns.MOUNT, Ns.USER, uid_mappings=maps, gid_mappings=maps)
    )
    with pytest.raises(ConfigError, match="cannot setuid to unmapped uid 11"):
        create(spec)


def test_joins_follow_the_fixed_order() -> None:
    wanted = [Ns.TIME, Ns.CGROUP, Ns.MOUNT, Ns.PID, Ns.NETWORK, Ns.UTS, Ns.IPC, Ns.USER]
    spaces = tuple(oci.Namespace(kind, f"/ns/{kind.value}") for kind in wanted)
    plan = create(specs.spec(linux=oci.Linux(namespaces=spaces)))
    joined = [step.path.rpartition("/")[2] for step in plan.steps if isinstance(step, steps.Setns)]
    assert joined == ["user", "ipc", "uts", "network", "pid", "mount", "cgroup", "time"]
    assert not places(plan, steps.LoopbackUp)


def test_time_offsets_are_set_between_unshare_and_fork() -> None:
    offsets = {"boottime": oci.TimeOffset(5, 6)}
    plan = create(specs.spec(linux=specs.linux(Ns.MOUNT, Ns.TIME, time_offsets=offsets)))
    unshare, offset, fork = (places(plan, kind)[0] for kind in (steps.Unshare, steps.TimeOffsets, steps.Fork))
    assert (offset - unshare, fork - offset) == (1, 1)
    assert plan.steps[offset] == steps.TimeOffsets(b"boottime 5 6\n")


def test_read_only_root_and_late_remounts_come_after_everything_written() -> None:
    mounts = (*specs.spec().mounts, oci.Mount("/ro", "tmpfs", "tmpfs", ("ro",)))
    spec = specs.spec(
        root=oci.Root("rootfs", readonly=True), mounts=mounts, process=specs.process(terminal=True)
    )
    plan = create(spec)
    order = [
        places(plan, kind)[-1] for kind in (steps.Console, steps.MakeCwd, steps.Remount, steps.RootfsReadonly)
    ]
    assert all(before < after for before, after in pairwise(order))
    assert steps.Remount("/ro", 1) in plan.steps


def test_hooks_stand_on_their_side_of_the_pivot() -> None:
    hook = (oci.Hook("/h", timeout=3),)
    plan = create(specs.spec(hooks=oci.Hooks(create_container=hook, start_container=hook)))
    before, after = (plan.steps[index] for index in places(plan, steps.Hook))
    assert isinstance(before, steps.Hook)
    assert isinstance(after, steps.Hook)
    assert (before.kind, before.timeout_ms, before.args) == ("createContainer", 3000, ("/h",))
    assert places(plan, steps.Hook)[0] < places(plan, steps.Pivot)[0] < places(plan, steps.ExecFifo)[0]
    assert b'"status":"creating"' in before.state
    assert b'"status":"created"' in after.state


@pytest.mark.parametrize(
    "change",
    [
        {"linux": specs.linux(mount_label="x")},
        {"linux": specs.linux(intel_rdt=oci.IntelRdt("x"))},
        {"linux": specs.linux(net_devices={"eth0": ""})},
        {"process": specs.process(apparmor_profile="docker-default")},
        {"process": specs.process(selinux_label="x")},
        {"mounts": (oci.Mount("/x", "bind", "/y", ("bind", "idmap")),)},
        {"linux": specs.linux(seccomp=oci.Seccomp("SCMP_ACT_NOTIFY"))},
    ],
)
def test_what_cannot_be_kept_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UnsupportedError):
        create(specs.spec(**change))


@given(spec=specs.specs, process=specs.processes)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_exec_gives_a_plan_or_a_refusal(spec: oci.Spec, process: oci.Process) -> None:
    try:
        plan = plan_exec(spec, process, facts=FACTS, cgroup=JOIN)
        _ = plan.encoded
    except (ConfigError, UnsupportedError):
        return
    kinds = [type(step) for step in plan.steps]
    assert set(kinds[kinds.index(steps.User) + 1 :]) <= AFTER_USER
    assert kinds.index(steps.JoinCgroup) < kinds.index(steps.Setns)
    assert not {steps.Pivot, steps.MountFs, steps.ExecFifo} & set(kinds)


def test_exec_enters_by_pidfd_at_once_or_one_by_one_on_old_kernels() -> None:
    new = plan_exec(specs.spec(), specs.process(), facts=FACTS)
    assert new.fds == ("pidfd",)
    old = plan_exec(
        specs.spec(), specs.process(), facts=HostFacts(pidfd_setns=False), options=LaunchOptions(init_pid=7)
    )
    assert old.fds == tuple(f"ns:/proc/7/ns/{name}" for name in ("ipc", "uts", "net", "pid", "mnt"))
    assert len(places(old, steps.Fork)) == 1


def test_exec_takes_what_it_leaves_open_from_the_container() -> None:
    first = specs.process(
        oom_score_adj=5, rlimits=(oci.Rlimit("RLIMIT_CORE", 0, 0),), user=oci.User(umask=0o77)
    )
    plan = plan_exec(specs.spec(process=first), specs.process(), facts=FACTS)
    assert plan.steps[0] == steps.OomScoreAdj(5)
    assert steps.Rlimit(4, 0, 0) in plan.steps
    assert steps.Umask(0o77) in plan.steps
