"""The parts of a launch one by one: ``pytest benches/test_micro.py --benchmark-only``.

"Seen again" is a configuration like one before; the others are new each time, so that nothing kept helps.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid import _core, cgroups
from kata_hybrid.oci import load_spec, parse_spec, spec_to_dict, validate_spec
from kata_hybrid.plan import LaunchOptions, host_facts, plan_create, steps
from kata_hybrid.plan.encode import encode
from kata_hybrid.plan.seccomp import rules
from kata_hybrid.runtime import Runtime
from kata_hybrid.runtime.join import cgroup_join
from kata_hybrid.state import Store, build_document

from benches.bundle import write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from kata_hybrid.oci.config import Spec
    from kata_hybrid.plan import LaunchPlan
    from kata_hybrid.state import StateDocument
    from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 200


def each_new(benchmark: BenchmarkFixture, function: Any, make: Any) -> None:
    """Time ``function`` on what ``make(number)`` gives, another number each time."""
    numbers = itertools.count()
    pedantic: Any = benchmark.pedantic  # untyped
    pedantic(function, setup=lambda: ((make(next(numbers)),), {}), rounds=ROUNDS, warmup_rounds=3)


def renamed(spec: Spec, number: int) -> Spec:
    return replace(spec, hostname=f"host{number}")


def planned(spec: Spec) -> LaunchPlan:
    assert spec.root is not None
    layout = cgroups.detect()
    manager = cgroups.make_manager(layout, spec.linux.cgroups_path, "micro")
    return plan_create(
        spec,
        rootfs=spec.root.path,
        facts=host_facts(),
        cgroup=cgroup_join(layout, manager),
        options=LaunchOptions(container_id="micro"),
    )


def document(spec: Spec, container_id: str) -> StateDocument:
    """Of a container that nobody runs."""
    return build_document(
        spec,
        container_id=container_id,
        pid=1,
        start_time=1,
        created="2026-01-01T00:00:00Z",
        rootfs="/rootfs",
        bundle="/bundle",
        cgroup_paths={"pids": "/sys/fs/cgroup/pids/micro"},
    )


def test_parse(benchmark: BenchmarkFixture, spec: Spec) -> None:
    each_new(benchmark, parse_spec, lambda n: json.dumps(spec_to_dict(renamed(spec, n))).encode())


def test_load_seen_again(benchmark: BenchmarkFixture, spec: Spec, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, spec)
    benchmark(load_spec, bundle.directory)


def test_validate(benchmark: BenchmarkFixture, spec: Spec) -> None:
    each_new(benchmark, validate_spec, lambda n: renamed(spec, n))


def test_plan(benchmark: BenchmarkFixture, spec: Spec) -> None:
    each_new(benchmark, planned, lambda n: renamed(spec, n))


def test_encode(benchmark: BenchmarkFixture, spec: Spec) -> None:
    benchmark(encode, planned(spec).steps)


def test_compile_filter(benchmark: BenchmarkFixture, spec: Spec) -> None:
    assert spec.linux.seccomp is not None
    default, table = rules(spec.linux.seccomp)
    benchmark(_core.seccomp_compile, default, spec.linux.seccomp.architectures, table)


def test_detect_cgroups(benchmark: BenchmarkFixture) -> None:
    benchmark(cgroups.detect)


def test_state_write(benchmark: BenchmarkFixture, spec: Spec, tmp_path: Path) -> None:
    directory = Store(str(tmp_path)).reserve("micro")
    benchmark(directory.write, document(spec, "micro"))


def test_state_read(benchmark: BenchmarkFixture, spec: Spec, tmp_path: Path) -> None:
    directory = Store(str(tmp_path)).reserve("micro")
    directory.write(document(spec, "micro"))
    benchmark(directory.read)


@pytest.mark.parametrize("count", [1, 100])
def test_list(benchmark: BenchmarkFixture, spec: Spec, tmp_path: Path, count: int) -> None:
    """From disk, of containers that ended long ago."""
    store = Store(str(tmp_path))
    for number in range(count):
        store.reserve(f"c{number}").write(document(spec, f"c{number}"))
    listed = benchmark(Runtime(str(tmp_path)).list)
    assert len(listed) == count


def test_spawn(benchmark: BenchmarkFixture) -> None:
    """One clone, kata-init, execve, the end: no namespace, no set-up."""
    plan = encode((steps.FindExecutable(("/bin/true",)), steps.Exec(("/bin/true",), ("PATH=/bin",), 0)))

    def spawn() -> tuple[int, int] | None:
        launch = _core.spawn(plan)
        while launch.next() is not None:
            launch.proceed()
        return launch.child().wait(10)

    assert benchmark(spawn) == (0, 0)
