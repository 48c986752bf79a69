from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kata_hybrid.cgroups import convert, resources_v1, resources_v2
from kata_hybrid.cgroups.resources_v2 import Present
from kata_hybrid.errors import ConfigError
from kata_hybrid.oci.config import (
    CPU,
    BlockIO,
    HugepageLimit,
    InterfacePriority,
    Memory,
    Network,
    Pids,
    Rdma,
    Resources,
    ThrottleDevice,
    WeightDevice,
)

MB = 1 << 20


def v1(resources: Resources, memory_limit: int | None = None) -> list[tuple[str, str]]:
    return [
        (each.files[0], each.value) for each in resources_v1.settings(resources, memory_limit=memory_limit)
    ]


def v2(resources: Resources, present: Present | None = None) -> list[tuple[str, str]]:
    return [(each.files[0], each.value) for each in resources_v2.settings(resources, present or Present())]


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (1024, 100), (262144, 10000), (999999, 10000), (512, 59), (2048, 174)],
)
def test_cpu_weight_keeps_minimum_default_and_maximum(shares: int, weight: int) -> None:
    assert convert.cpu_weight(shares) == weight


@given(st.integers(2, 262144), st.integers(2, 262144))
def test_cpu_weight_is_in_range_and_keeps_order(left: int, right: int) -> None:
    low, high = sorted((left, right))
    assert 1 <= convert.cpu_weight(low) <= convert.cpu_weight(high) <= 10000


@pytest.mark.parametrize(("weight", "expected"), [(10, 1), (1000, 10000), (100, 910), (5, 1)])
def test_io_weight_is_linear(weight: int, expected: int) -> None:
    assert convert.io_weight(weight) == expected


@pytest.mark.parametrize(("limit", "text"), [(5, "5"), (0, "1"), (-1, "max")])
def test_pids_limit_zero_is_one_and_negative_is_max(limit: int, text: str) -> None:
    assert v1(Resources(pids=Pids(limit))) == [("pids.max", text)]
    assert v2(Resources(pids=Pids(limit))) == [("pids.max", text)]


def test_absent_and_zero_values_write_nothing() -> None:
    empty = Resources(memory=Memory(limit=0, swap=0), cpu=CPU(shares=0, quota=0, period=0), pids=Pids())
    assert v1(empty) == []
    assert v2(empty) == []


@pytest.mark.parametrize(
    ("current", "order"),
    [
        (64 * MB, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
        (512 * MB, ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]),
        (None, ["memory.memsw.limit_in_bytes", "memory.limit_in_bytes"]),
    ],
)
def test_v1_memory_and_swap_grow_and_shrink_in_the_kernels_order(
    current: int | None, order: list[str]
) -> None:
    resources = Resources(memory=Memory(limit=128 * MB, swap=256 * MB))
    assert [name for name, _ in v1(resources, current)] == order


def test_unlimited_memory_lifts_the_swap_limit_too() -> None:
    resources = Resources(memory=Memory(limit=-1))
    assert sorted(v1(resources, MB)) == [
        ("memory.limit_in_bytes", "-1"),
        ("memory.memsw.limit_in_bytes", "-1"),
    ]
    assert v2(resources) == [("memory.swap.max", "max"), ("memory.max", "max")]


@pytest.mark.parametrize(
    ("limit", "swap", "present", "expected"),
    [
        (10, 30, None, "20"),
        (10, 10, None, "0"),
        (10, -1, None, "max"),
        (None, 30, 10, "20"),
        (-1, None, 10, "max"),
        (10, None, 10, None),
    ],
)
def test_v2_swap_is_the_total_less_memory(
    limit: int | None, swap: int | None, present: int | None, expected: str | None
) -> None:
    assert resources_v2.swap_max(limit, swap, present) == expected


@pytest.mark.parametrize(
    ("memory", "problem"),
    [
        (Memory(limit=20, swap=10), "memory\\+swap limit should be >= memory limit"),
        (Memory(swap=10), "unable to set swap limit without memory limit"),
    ],
)
def test_contradicting_swap_limits_are_refused(memory: Memory, problem: str) -> None:
    for plan in (v1, v2):
        with pytest.raises(ConfigError, match=problem):
            plan(Resources(memory=memory))


def test_check_before_update_compares_with_the_usage() -> None:
    memory = Memory(limit=10, check_before_update=True)
    with pytest.raises(ConfigError, match="rejecting memory limit 10 <= usage 20"):
        v2(Resources(memory=memory), Present(memory_current=20))


def test_swappiness_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"memory\.swappiness"):
        v1(Resources(memory=Memory(swappiness=101)))


@pytest.mark.parametrize(
    ("cpu", "present", "expected"),
    [
        (CPU(quota=50000, period=200000), "", "50000 200000"),
        (CPU(quota=50000), "max 30000", "50000 30000"),
        (CPU(period=20000), "7000 100000", "7000 20000"),
        (CPU(quota=-1), "7000 30000", "max 30000"),
    ],
)
def test_v2_quota_and_period_keep_what_is_not_given(cpu: CPU, present: str, expected: str) -> None:
    assert v2(Resources(cpu=cpu), Present(cpu_max=present)) == [("cpu.max", expected)]


def test_an_idle_group_gets_no_weight() -> None:
    cpu = CPU(shares=1024, idle=1)
    assert v1(Resources(cpu=cpu)) == [("cpu.idle", "1")]
    assert v2(Resources(cpu=cpu)) == [("cpu.idle", "1")]


def test_unified_is_refused_on_v1_and_last_on_v2() -> None:
    resources = Resources(pids=Pids(5), unified={"memory.high": "max", "cgroup.max.depth": "3"})
    with pytest.raises(ConfigError, match="cannot use unified on cgroup v1"):
        v1(resources)
    assert v2(resources) == [("pids.max", "5"), ("memory.high", "max"), ("cgroup.max.depth", "3")]


@pytest.mark.parametrize("key", ["../x", "a/b", "", ".."])
def test_unified_keys_are_file_names(key: str) -> None:
    with pytest.raises(ConfigError, match="must be a file name"):
        v2(Resources(unified={key: "1"}))


def test_block_io_of_v1_and_v2() -> None:
    block = BlockIO(
        weight=100,
        weight_device=(WeightDevice(8, 0, weight=200),),
        throttle_read_bps_device=(ThrottleDevice(8, 0, 1000),),
        throttle_write_iops_device=(ThrottleDevice(8, 16, 0),),
    )
    assert v1(Resources(block_io=block)) == [
        ("blkio.weight", "100"),
        ("blkio.weight_device", "8:0 200"),
        ("blkio.throttle.read_bps_device", "8:0 1000"),
        ("blkio.throttle.write_iops_device", "8:16 0"),
    ]
    tail = [("io.bfq.weight", "8:0 200"), ("io.max", "8:0 rbps=1000"), ("io.max", "8:16 wiops=max")]
    assert v2(Resources(block_io=block)) == [("io.weight", "910"), *tail]
    assert v2(Resources(block_io=block), Present(has_bfq=True)) == [("io.bfq.weight", "100"), *tail]


def test_hugepages_network_and_rdma() -> None:
    resources = Resources(
        hugepage_limits=(HugepageLimit("2MB", 4 * MB),),
        network=Network(class_id=7, priorities=(InterfacePriority("eth0", 3),)),
        rdma={"mlx5_0": Rdma(hca_handles=2, hca_objects=3)},
    )
    assert v1(resources) == [
        ("hugetlb.2MB.limit_in_bytes", str(4 * MB)),
        ("hugetlb.2MB.rsvd.limit_in_bytes", str(4 * MB)),
        ("net_cls.classid", "7"),
        ("net_prio.ifpriomap", "eth0 3"),
        ("rdma.max", "mlx5_0 hca_handle=2 hca_object=3"),
    ]
    assert v2(resources)[:2] == [("hugetlb.2MB.max", str(4 * MB)), ("hugetlb.2MB.rsvd.max", str(4 * MB))]
