"""A plan is kept for the next container of the same configuration, and for no other."""

from __future__ import annotations

from dataclasses import replace
from weakref import ref

import pytest
import specs
from kata_hybrid.oci import config as oci
from kata_hybrid.oci.config import NamespaceType as Ns
from kata_hybrid.plan import (
    CgroupJoin,
    CgroupMount,
    HostFacts,
    LaunchOptions,
    LaunchPlan,
    encode,
    plan_create,
    steps,
)
from kata_hybrid.plan.launch import KEPT_BYTES, KeptPlans

CGROUP_MOUNT = oci.Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",))


def join(name: str) -> CgroupJoin:
    return CgroupJoin(1, "v1", (CgroupMount("cpu", "cpu", f"/sys/fs/cgroup/cpu/{name}"),))


def create(
    spec: oci.Spec, name: str, *, rootfs: str = "/b/rootfs", facts: HostFacts | None = None, **options: object
) -> LaunchPlan:
    chosen = LaunchOptions(container_id=name, bundle="/b", no_new_keyring=True)
    chosen = replace(chosen, **options)  # type: ignore[arg-type]
    return plan_create(spec, rootfs=rootfs, facts=facts or HostFacts(), cgroup=join(name), options=chosen)


def with_cgroup_mount(*kinds: Ns) -> oci.Spec:
    spec = specs.spec(linux=specs.linux(namespaces=tuple(oci.Namespace(kind) for kind in (Ns.MOUNT, *kinds))))
    return replace(spec, mounts=(CGROUP_MOUNT,))


def test_the_next_container_shares_the_plan() -> None:
    spec = with_cgroup_mount(Ns.CGROUP)
    assert create(spec, "one") is create(spec, "two")


def test_an_equal_configuration_is_another() -> None:
    spec = with_cgroup_mount(Ns.CGROUP)
    assert create(spec, "one") is not create(replace(spec), "one")


def test_where_the_own_cgroup_is_bound_its_path_is_in_the_plan() -> None:
    spec = with_cgroup_mount()
    sources = [
        next(step.source for step in create(spec, name).steps if isinstance(step, steps.BindMount))
        for name in ("one", "two")
    ]
    assert sources == ["/sys/fs/cgroup/cpu/one", "/sys/fs/cgroup/cpu/two"]


def test_what_a_hook_reads_has_the_own_id() -> None:
    spec = replace(with_cgroup_mount(Ns.CGROUP), hooks=oci.Hooks(start_container=(oci.Hook("/bin/h"),)))
    states = [
        next(step.state for step in create(spec, name).steps if isinstance(step, steps.Hook))
        for name in ("one", "two")
    ]
    assert b'"id":"one"' in states[0]
    assert b'"id":"two"' in states[1]


def test_a_session_keyring_has_the_own_id() -> None:
    spec = with_cgroup_mount(Ns.CGROUP)
    plans = [create(spec, name, no_new_keyring=False) for name in ("one", "two")]
    assert [
        steps.SessionKeyring(f"_ses.{name}", 1) in plan.steps
        for name, plan in zip(("one", "two"), plans, strict=True)
    ] == [True, True]


@pytest.mark.parametrize(
    "changes",
    [
        {"rootfs": "/other"},
        {"facts": HostFacts(last_cap=39)},
        {"bundle": "/c"},
        {"fifo": True},
        {"preserve_fds": 1},
        {"home": "/root"},
        {"no_pivot": True},
        {"setgroups": False},
    ],
)
def test_every_other_input_makes_a_new_plan(changes: dict[str, object]) -> None:
    spec = with_cgroup_mount(Ns.CGROUP)
    assert create(spec, "one") is not create(spec, "one", **changes)  # type: ignore[arg-type]


def test_a_plan_goes_with_its_configuration() -> None:
    spec = with_cgroup_mount(Ns.CGROUP)
    gone = ref(create(spec, "one"))
    assert gone() is not None
    del spec
    assert gone() is None


def test_a_large_plan_is_not_kept() -> None:
    process = specs.process(env=("LARGE=" + "x" * KEPT_BYTES,))
    spec = replace(with_cgroup_mount(Ns.CGROUP), process=process)
    assert create(spec, "one") is not create(spec, "two")


def test_no_more_plans_than_the_limit_are_kept() -> None:
    kept, all_specs = KeptPlans(2), [with_cgroup_mount(Ns.CGROUP) for _ in range(3)]
    plans = [create(spec, "one") for spec in all_specs]
    for spec, plan in zip(all_specs, plans, strict=True):
        kept.add(spec, (), plan)
    assert [kept.find(spec, ()) for spec in all_specs] == [None, *plans[1:]]


@pytest.mark.parametrize(
    "step",
    [
        steps.Exec(("true",), ("SECRET=kept",), 0),
        steps.Hook("poststop", 0, "/bin/h", ("h", "SECRET"), ("SECRET=kept",), 0, b"SECRET"),
        steps.Seccomp(0, b"SECRET"),
        steps.MountFs("none", "/m", "tmpfs", 0, "SECRET" * 1000),
    ],
)
def test_no_step_outlives_its_plan_that_is_private_or_large(step: steps.Step) -> None:
    assert b"SECRET" in encode.encode([step])
    encode.encode([steps.Chdir("/kept")])
    held = repr(list(encode._kept.items()))
    assert "SECRET" not in held
    assert "/kept" in held


def test_the_steps_that_are_kept_have_an_end() -> None:
    for number in range(3000):
        encode.encode([steps.Chdir(f"/{number}")])
    assert len(encode._kept) <= 1024
