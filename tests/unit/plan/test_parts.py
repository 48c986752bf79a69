"""Mounts, devices, seccomp, sysctl and process: single decisions."""

from __future__ import annotations

import pytest
import specs
from kata_hybrid.errors import ConfigError, UnsupportedError
from kata_hybrid.oci import config as oci
from kata_hybrid.oci.config import NamespaceType as Ns
from kata_hybrid.plan import CgroupJoin, CgroupMount, HostFacts, process, seccomp, steps, sysctl
from kata_hybrid.plan.capabilities import capability_mask, unknown_capabilities
from kata_hybrid.plan.devices import device_steps
from kata_hybrid.plan.mounts import mount_steps
from kata_hybrid.plan.namespaces import NamespaceSet

V1 = CgroupJoin(1, "v1", (CgroupMount("cpu,cpuacct", "cpu,cpuacct", "/cg/cpu/c", ("cpu", "cpuacct")),))


def mounted(
    *mounts: oci.Mount, cgroup: CgroupJoin = V1, fresh: bool = False, user: bool = False
) -> tuple[list[steps.Step], list[steps.Step]]:
    spec = specs.spec(mounts=mounts)
    return mount_steps(spec, bundle="/b", cgroup=cgroup, new_cgroup_ns=fresh, in_user_ns=user)


@pytest.mark.parametrize(
    "mount",
    [
        oci.Mount("/", "tmpfs", "tmpfs"),
        oci.Mount("/a/..", "tmpfs", "tmpfs"),
        oci.Mount("/proc", "tmpfs", "tmpfs"),
        oci.Mount("/x/../proc", "bind", "/etc"),
        oci.Mount("/proc/sys", "bind", "/etc"),
        oci.Mount("", "tmpfs", "tmpfs"),
        oci.Mount("/a\0", "tmpfs", "tmpfs"),
        oci.Mount("/a", "", "x"),
        oci.Mount("/a", "bind", "/x", ("bind", "size=1")),
    ],
)
def test_unsafe_mounts_are_refused(mount: oci.Mount) -> None:
    with pytest.raises(ConfigError):
        mounted(mount)


def test_relative_bind_sources_start_at_the_bundle() -> None:
    (bind,), _ = mounted(oci.Mount("etc/x", "bind", "data", ("rbind", "ro")))
    assert bind == steps.BindMount("/b/data", "/etc/x", 0x5001, 0)


def test_own_cgroup_is_bound_without_a_namespace_and_mounted_with_one() -> None:
    mount = oci.Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro",))
    bound, late = mounted(mount)
    assert bound[0] == steps.MountFs("tmpfs", "/sys/fs/cgroup", "tmpfs", 14, "mode=755")
    assert bound[1] == steps.BindMount("/cg/cpu/c", "/sys/fs/cgroup/cpu,cpuacct", 0x500F, 0)
    assert bound[2:] == [
        steps.Symlink("cpu,cpuacct", "/sys/fs/cgroup/cpu"),
        steps.Symlink("cpu,cpuacct", "/sys/fs/cgroup/cpuacct"),
    ]
    assert late == [steps.Remount("/sys/fs/cgroup", 15)]
    fresh, _ = mounted(mount, fresh=True)
    assert fresh[1] == steps.MountFs("cgroup", "/sys/fs/cgroup/cpu,cpuacct", "cgroup", 15, "cpu,cpuacct")


def test_unified_cgroup_is_bound_where_the_kernel_forbids_a_mount() -> None:
    mount = oci.Mount("/sys/fs/cgroup", "cgroup", "cgroup")
    unified = CgroupJoin(mode="v2", own_path="/sys/fs/cgroup/c")
    (plain,), _ = mounted(mount, cgroup=unified)
    (bound,), _ = mounted(mount, cgroup=unified, user=True)
    assert type(plain) is steps.MountFs
    assert bound == steps.BindMount("/sys/fs/cgroup/c", "/sys/fs/cgroup", 0x100E, 0)


def test_a_configured_device_replaces_the_default_one() -> None:
    spec = specs.spec(linux=specs.linux(devices=(oci.Device("/dev/null", "c", 7, 7, 0o600),)))
    found = [step for step in device_steps(spec, HostFacts()) if step[:1] == ("/dev/null",)]
    assert found == [steps.Device("/dev/null", ord("c"), 7, 7, 0o600, 0, 0)]


def test_nothing_is_made_in_a_bound_dev() -> None:
    spec = specs.spec(mounts=(oci.Mount("/dev", "bind", "/dev", ("rbind",)),))
    assert device_steps(spec, HostFacts()) == []


def test_core_is_linked_only_where_the_host_has_kcore() -> None:
    links = [
        s.path for s in device_steps(specs.spec(), HostFacts(kcore=False)) if isinstance(s, steps.Symlink)
    ]
    assert links == ["/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/ptmx"]


@pytest.mark.parametrize(
    ("key", "path"),
    [("net.ipv4.conf.eth0", "net/ipv4/conf/eth0"), ("net/ipv4/conf/eth0.1/x", "net/ipv4/conf/eth0.1/x")],
)
def test_the_first_separator_of_a_sysctl_decides(key: str, path: str) -> None:
    assert sysctl.sysctl_path(key) == path


@pytest.mark.parametrize(
    "key", ["kernel.shmmax", "net.core.somaxconn", "vm.swappiness", "kernel.hostname", "net/../vm/x", ""]
)
def test_sysctls_of_the_host_are_refused(key: str) -> None:
    with pytest.raises(ConfigError):
        sysctl.sysctl_steps({key: "1"}, NamespaceSet(frozenset({Ns.MOUNT}), {}))


def test_seccomp_names_become_the_kernels_numbers() -> None:
    profile = oci.Seccomp(
        "SCMP_ACT_ERRNO",
        syscalls=(oci.Syscall(("read",), "SCMP_ACT_ALLOW", args=(oci.SyscallArg(0, 1, "SCMP_CMP_EQ"),)),),
    )
    default, rules = seccomp.rules(profile)
    assert default == 0x00050001
    assert rules == [(("read",), 0x7FFF0000, ((0, 1, 0, "SCMP_CMP_EQ"),))]


def test_seccomp_flags_default_only_when_absent() -> None:
    assert (seccomp.flag_mask(None), seccomp.flag_mask(())) == (4, 0)


@pytest.mark.parametrize(
    ("profile", "error"),
    [
        (oci.Seccomp("SCMP_ACT_NOTIFY"), UnsupportedError),
        (oci.Seccomp("SCMP_ACT_FOO"), ConfigError),
        (oci.Seccomp("SCMP_ACT_ERRNO", default_errno_ret=70000), ConfigError),
        (oci.Seccomp("SCMP_ACT_ALLOW", syscalls=(oci.Syscall(("x",), "SCMP_ACT_NOTIFY"),)), UnsupportedError),
    ],
)
def test_seccomp_that_cannot_be_compiled_is_refused(profile: oci.Seccomp, error: type[Exception]) -> None:
    with pytest.raises(error):
        seccomp.rules(profile)


def test_capabilities_above_the_kernels_last_are_left_out() -> None:
    assert capability_mask(("CAP_CHOWN", "CAP_BPF", "CAP_NONE"), 38) == 1
    assert unknown_capabilities(("CAP_CHOWN", "CAP_BPF", "CAP_NONE"), 38) == ["CAP_BPF", "CAP_NONE"]


def test_ambient_needs_permitted_and_inheritable() -> None:
    caps = oci.Capabilities(permitted=("CAP_CHOWN",), ambient=("CAP_CHOWN",))
    *_, last = process.identity_steps(specs.process(capabilities=caps), facts=HostFacts(), setgroups=True)
    assert last == steps.Caps(0, 1, 0, 0)


def test_environment_keeps_the_last_and_always_has_home() -> None:
    assert process.final_env(("A=1", "HOME=", "A=2"), "/root") == ("A=2", "HOME=/root")


@pytest.mark.parametrize(
    ("program", "env", "expected"),
    [
        ("sh", ("PATH=/a:/b/",), ("/a/sh", "/b/sh")),
        ("./sh", ("PATH=/a",), ("./sh",)),
        ("sh", ("PATH=.::rel:/a",), ("/a/sh",)),
        ("sh", ("PATH=",), ("/sh",)),
    ],
)
def test_programs_are_looked_for_in_absolute_directories(
    program: str, env: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert process.executable_candidates(program, env) == expected


def test_scheduler_attributes_have_the_kernels_size() -> None:
    packed = process.sched_attr(oci.Scheduler("SCHED_FIFO", priority=10))
    assert len(packed) == process.SCHED_ATTR_SIZE
    assert packed[:8] == b"\x38\0\0\0\x01\0\0\0"
