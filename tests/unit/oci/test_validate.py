"""Rules between fields: each broken one is found, with runc's text where runc has one."""

from __future__ import annotations

from typing import Any

import pytest
from kata_hybrid.errors import ConfigError
from kata_hybrid.oci import (
    default_spec,
    parse_process,
    parse_resources,
    parse_spec,
    spec_to_dict,
    validate_process,
    validate_resources,
    validate_spec,
)

ALL = ("pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time")
MAPS = {"uidMappings": [{"containerID": 0, "hostID": 1, "size": 9}]}
MAPS |= {"gidMappings": MAPS["uidMappings"]}


def linux(*kinds: str, **members: Any) -> dict[str, Any]:
    return {"linux": {"namespaces": [{"type": kind} for kind in kinds], **members}}


def mount(**members: Any) -> dict[str, Any]:
    return {"mounts": [{"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", **members}]}


def process(**members: Any) -> dict[str, Any]:
    return {"process": {"cwd": "/", "args": ["sh"], **members}}


def seccomp(**members: Any) -> dict[str, Any]:
    return linux("uts", seccomp={"defaultAction": "SCMP_ACT_ALLOW", **members})


def syscall(**members: Any) -> dict[str, Any]:
    return seccomp(syscalls=[{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **members}])


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"root": None}, "root", "root must be specified"),
    ({"root": {"path": ""}}, "root.path", "must not be empty"),
    (process(cwd=""), "process.cwd", "Cwd property must not be empty"),
    (process(cwd="tmp"), "process.cwd", "Cwd must be an absolute path"),
    (process(args=[]), "process.args", "args must not be empty"),
    (process(args=["a\0b"]), "process.args[0]", "contains nul byte"),
    (process(env=["A"]), "process.env[0]", "invalid environment variable: missing '='"),
    (process(env=["A=1", "=2"]), "process.env[1]", "name cannot be empty"),
    (process(env=["A=\0"]), "process.env[0]", "contains nul byte"),
    (
        process(rlimits=[{"type": "RLIMIT_FOO", "soft": 0, "hard": 0}]),
        "process.rlimits[0].type",
        "wrong rlimit value",
    ),
    (
        process(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
        "process.rlimits[0].soft",
        "above the hard",
    ),
    (
        process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2),
        "process.rlimits[1].type",
        "given twice",
    ),
    (process(oomScoreAdj=1001), "process.oomScoreAdj", "from -1000 to 1000"),
    (process(user={"umask": 0o10000}), "process.user.umask", "07777"),
    (process(scheduler={}), "process.scheduler.policy", "scheduler policy is required"),
    (process(scheduler={"policy": "SCHED_BATCH", "nice": 20}), "process.scheduler.nice", "-20 to 19"),
    (process(scheduler={"policy": "SCHED_IDLE", "priority": 1}), "process.scheduler.priority", "SCHED_FIFO"),
    (process(scheduler={"policy": "SCHED_RR", "period": 1}), "process.scheduler.period", "SCHED_DEADLINE"),
    (
        process(ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
        "process.ioPriority.priority",
        "Priority: 8",
    ),
    (process(ioPriority={"class": "BE"}), "process.ioPriority.class", 'invalid ioPriority.Class: "BE"'),
    (process(execCPUAffinity={"initial": "a"}), "process.execCPUAffinity.initial", "bad CPUAffinity.Initial"),
    (linux("pid", "pid"), "linux.namespaces[1].type", "malformed spec file: duplicated ns"),
    (linux("pid"), "hostname", "unable to set hostname without a private UTS namespace"),
    (
        {"domainname": "d", "hostname": "", **linux("pid")},
        "domainname",
        "unable to set domainname without a private UTS namespace",
    ),
    (
        linux("uts", maskedPaths=["/x"]),
        "linux.maskedPaths",
        "unable to restrict sys entries without a private MNT namespace",
    ),
    (linux("uts", **MAPS), "linux.uidMappings", "user namespace isn't enabled in the config"),
    (linux("uts", "user"), "linux.uidMappings", "no namespace path to join nor mappings to apply specified"),
    (
        linux("uts", "user", **{**MAPS, "uidMappings": MAPS["uidMappings"] * 2}),
        "linux.uidMappings",
        "overlap",
    ),
    (
        linux("uts", timeOffsets={"monotonic": {"secs": 1}}),
        "linux.timeOffsets",
        "time namespace isn't enabled",
    ),
    (linux("uts", "time", timeOffsets={"real": {}}), "linux.timeOffsets", 'clock "real" has no offset'),
    (mount(destination=""), "mounts[0].destination", "must not be empty"),
    (mount(options=["a\0"]), "mounts[0]", "mount field contains null byte"),
    (mount(destination="/x/.."), "mounts[0].destination", "on the top of rootfs"),
    (mount(destination="/proc/self/../sysrq-trigger"), "mounts[0].destination", "because it is inside /proc"),
    (mount(uidMappings=MAPS["uidMappings"]), "mounts[0]", "only supported for bind-mounts"),
    (mount(type="bind", uidMappings=MAPS["uidMappings"]), "mounts[0]", "both uid and gid mappings"),
    (
        linux("uts", sysctl={"kernel.core_pattern": "|x"}),
        'linux.sysctl["kernel.core_pattern"]',
        "separate kernel",
    ),
    (linux("uts", sysctl={"net.x": "1"}), 'linux.sysctl["net.x"]', "not allowed in host network namespace"),
    (linux("uts", sysctl={"kernel.sem": "1"}), 'linux.sysctl["kernel.sem"]', "in the hosts ipc namespace"),
    (
        linux("uts", sysctl={"kernel.hostname": "h"}),
        'linux.sysctl["kernel.hostname"]',
        'OCI "hostname" field',
    ),
    (
        linux("uts", sysctl={"user.max": "1"}),
        'linux.sysctl["user.max"]',
        "without a user namespace not allowed",
    ),
    (
        linux("uts", "network", sysctl={"net/../kernel/core_pattern": "x"}),
        'linux.sysctl["net/../kernel/core_pattern"]',
        "empty path component",
    ),
    (
        linux("uts", rootfsPropagation="odd"),
        "linux.rootfsPropagation",
        "rootfsPropagation=odd is not supported",
    ),
    (
        linux("uts", personality={"domain": "BSD"}),
        "linux.personality.domain",
        "invalid personality domain BSD",
    ),
    (linux("uts", intelRdt={"closID": ".."}), "linux.intelRdt.closID", 'invalid intelRdt.ClosID ".."'),
    (linux("uts", intelRdt={}), "linux.intelRdt", "Intel RDT is not enabled"),
    (linux("uts", netDevices={"eth0": {}}), "linux.netDevices", "without a NET namespace"),
    (
        linux("uts", "network", netDevices={"a/b": {}}),
        'linux.netDevices["a/b"]',
        "invalid network device name",
    ),
    (
        linux("uts", devices=[{"path": "/dev/x", "type": "z"}]),
        "linux.devices[0].type",
        'invalid device type "z"',
    ),
    (linux("uts", devices=[{"path": "/a/../b", "type": "c"}]), "linux.devices[0].path", "climb out"),
    (
        seccomp(defaultAction="SCMP_ACT_FOO"),
        "linux.seccomp.defaultAction",
        "string SCMP_ACT_FOO is not a valid action",
    ),
    (
        seccomp(defaultAction="SCMP_ACT_NOTIFY"),
        "linux.seccomp.defaultAction",
        "cannot be used as default action",
    ),
    (
        seccomp(architectures=["SCMP_ARCH_X"]),
        "linux.seccomp.architectures[0]",
        "not a valid arch for seccomp",
    ),
    (seccomp(flags=["X"]), "linux.seccomp.flags[0]", "not supported"),
    (
        syscall(action="SCMP_ACT_NOTIFY"),
        "linux.seccomp.syscalls[0].action",
        "SCMP_ACT_NOTIFY is not supported",
    ),
    (
        syscall(names=["write"], action="SCMP_ACT_NOTIFY"),
        "linux.seccomp.syscalls[0].action",
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    ),
    (
        syscall(args=[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]),
        "linux.seccomp.syscalls[0].args[0].index",
        "0 to 5",
    ),
    (
        syscall(args=[{"index": 0, "value": 1, "op": "=="}]),
        "linux.seccomp.syscalls[0].args[0].op",
        "valid operator",
    ),
    (syscall(action="SCMP_ACT_KILL", errnoRet=1), "linux.seccomp.syscalls[0].errnoRet", "takes no errnoRet"),
    ({"hooks": {"prestart": [{"path": "x"}]}}, "hooks.prestart[0].path", "must be absolute"),
    ({"hooks": {"poststop": [{"path": "/x", "timeout": 0}]}}, "hooks.poststop[0].timeout", "greater than 0"),
]


@pytest.mark.parametrize(
    ("change", "location", "part"), BROKEN, ids=[f"{row[1]}-{i}" for i, row in enumerate(BROKEN)]
)
def test_broken_rule_is_found(change: dict[str, Any], location: str, part: str) -> None:
    spec = parse_spec({**spec_to_dict(default_spec()), **change})
    with pytest.raises(ConfigError) as caught:
        validate_spec(spec, container_id="c1")
    assert (caught.value.location, caught.value.container_id) == (location, "c1")
    assert part in caught.value.problem


@pytest.mark.parametrize(
    ("members", "location"),
    [
        ({"devices": [{"allow": True, "type": "p"}]}, "linux.resources.devices[0].type"),
        ({"devices": [{"allow": True, "access": ""}]}, "linux.resources.devices[0].access"),
        ({"devices": [{"allow": True, "access": "rx"}]}, "linux.resources.devices[0].access"),
        ({"unified": {"../x": "1"}}, "linux.resources.unified"),
        (
            {"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]},
            "linux.resources.hugepageLimits[0].pageSize",
        ),
        ({"cpu": {"cpus": "0;1"}}, "linux.resources.cpu.cpus"),
        ({"memory": {"limit": -2}}, "linux.resources.memory.limit"),
        ({"memory": {"limit": 10, "swap": 5}}, "linux.resources.memory.swap"),
        ({"rdma": {"a b": {}}}, "linux.resources.rdma"),
        (
            {"network": {"priorities": [{"name": "", "priority": 1}]}},
            "linux.resources.network.priorities[0].name",
        ),
    ],
)
def test_broken_limit_is_found(members: dict[str, Any], location: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_resources(parse_resources(members))
    assert caught.value.location == location


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"process": None},
        {"ociVersion": "9.9"},
        linux(*ALL, timeOffsets={"monotonic": {"secs": 1}}, **MAPS),
        linux("uts", "network", sysctl={"net/ipv4/conf/eth0.1/forwarding": "1", "net.ipv4.ip_forward": "1"}),
        linux("uts", "ipc", sysctl={"kernel.shmmax": "1", "fs.mqueue.msg_max": "1"}),
        mount(destination="relative"),
        mount(destination="/proc/sys/kernel/ns_last_pid", type="bind"),
        mount(type="", options=["rbind"]),
        seccomp(flags=[], architectures=["SCMP_ARCH_X86_64"]),
        syscall(errnoRet=38),
    ],
)
def test_what_is_allowed_passes(change: dict[str, Any]) -> None:
    validate_spec(parse_spec({**spec_to_dict(default_spec()), **change}))


def test_process_alone_has_its_own_place() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_process(parse_process({"cwd": "x", "args": ["a"]}, at="exec"), at="exec")
    assert caught.value.location == "exec.cwd"
