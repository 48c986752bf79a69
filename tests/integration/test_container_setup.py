"""What a container finds inside: one row per setting, looked at by a shell in the container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.runtime import Runtime, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Parts = dict[str, Any]
ALLOW = "SCMP_ACT_ALLOW"
ERRNO = "SCMP_ACT_ERRNO"
KILL_AND_CHOWN = (1 << 0) | (1 << 5)
MAPPING = [{"containerID": 0, "hostID": 0, "size": 65536}]
EVERYTHING = ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"]


def process(**settings: Any) -> Parts:
    return {"process": settings}


def linux(**settings: Any) -> Parts:
    return {"linux": settings}


def mount(destination: str, kind: str, *options: str, source: str = "none") -> Parts:
    added = {"destination": destination, "type": kind, "source": source, "options": list(options)}
    return {"more_mounts": [added]}


def capabilities(**sets: list[str]) -> Parts:
    return process(capabilities=sets)


def caps_line(name: str, mask: int) -> str:
    return f"Cap{name}:\t{mask:016x}"


def seccomp(*rules: Mapping[str, Any], default: str = ALLOW, **more: Any) -> Parts:
    return linux(seccomp={"defaultAction": default, "syscalls": list(rules), **more})


def options_of(path: str) -> str:
    """A command: the per-mount options of the last mount on ``path``."""
    return f"awk '$5 == \"{path}\" {{ print $6 }}' /proc/self/mountinfo | tail -n 1"


ALL_SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
TWO_CAPS = ["CAP_CHOWN", "CAP_KILL"]
CAPS_OF_SELF = "grep Cap /proc/self/status"
DEVICE = {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5, "fileMode": 0o644, "uid": 7, "gid": 8}
ALL_DEVICES = {"devices": [{"allow": True, "access": "rwm"}]}

ROWS: list[tuple[str, Parts, str, str]] = [
    # capabilities
    (
        "caps-root",
        capabilities(bounding=TWO_CAPS, permitted=TWO_CAPS, effective=TWO_CAPS),
        CAPS_OF_SELF,
        "\n".join(
            [
                caps_line("Inh", 0),
                *(caps_line(n, KILL_AND_CHOWN) for n in ("Prm", "Eff", "Bnd")),
                caps_line("Amb", 0),
            ]
        ),
    ),
    ("caps-none", capabilities(), CAPS_OF_SELF, r"(Cap\w+:\t0{16}\n?){5}"),
    (
        "caps-ambient-for-a-user",
        process(
            user={"uid": 1000, "gid": 1000},
            capabilities=dict.fromkeys(
                ("bounding", "permitted", "effective", "inheritable", "ambient"), TWO_CAPS
            ),
        ),
        CAPS_OF_SELF + " | cut -f 2 | sort -u",
        f"{KILL_AND_CHOWN:016x}",
    ),
    (
        "caps-user-without-ambient",
        process(user={"uid": 1000, "gid": 1000}),
        "grep CapEff /proc/self/status",
        caps_line("Eff", 0),
    ),
    # the process
    (
        "user-and-groups",
        process(user={"uid": 5, "gid": 6, "additionalGids": [7, 8]}),
        "id -u; id -g; id -G",
        "5\n6\n6 7 8",
    ),
    ("umask", process(user={"uid": 0, "gid": 0, "umask": 0o077}), "umask", "0077"),
    ("umask-default", {}, "umask", "0022"),
    ("no-new-privs", process(noNewPrivileges=True), "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
    ("new-privs", {}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0"),
    (
        "rlimits",
        process(
            rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            ]
        ),
        "ulimit -n; ulimit -Hn; ulimit -c",
        "123\n456\n0",
    ),
    ("oom-score", process(oomScoreAdj=321), "cat /proc/self/oom_score_adj", "321"),
    ("cwd-is-made", process(cwd="/tmp/made/here"), "pwd", "/tmp/made/here"),
    ("nice", process(scheduler={"policy": "SCHED_OTHER", "nice": 7}), "cut -d' ' -f19 /proc/self/stat", "7"),
    ("batch", process(scheduler={"policy": "SCHED_BATCH"}), "cut -d' ' -f41 /proc/self/stat", "3"),
    (
        "only-stdio-is-open",
        {},
        "cd /proc/self/fd; for f in *; do [ -e $f ] && echo $f; done; true",
        "0\n1\n2",
    ),
    ("own-session", {}, "cut -d' ' -f 5,6 /proc/$$/stat", "1 1"),
    (
        "no-signal-blocked-or-ignored",
        {},
        "grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -f 2 | sort -u",
        "0{16}",
    ),
    # names, network, kernel settings
    ("hostname", {"hostname": "named"}, "hostname", "named"),
    ("domainname", {"domainname": "dom.example"}, "cat /proc/sys/kernel/domainname", "dom.example"),
    ("loopback", {}, "ip addr show lo | grep -c 127.0.0.1", "1"),
    (
        "sysctl",
        linux(sysctl={"net.ipv4.ip_unprivileged_port_start": "81", "kernel.msgmax": "12345"}),
        "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax",
        "81\n12345",
    ),
    # paths
    (
        "masked",
        linux(maskedPaths=["/proc/version", "/proc/irq", "/etc/passwd", "/missing"]),
        "cat /proc/version /etc/passwd | wc -c; ls /proc/irq | wc -l; touch /proc/irq/x 2>&1",
        r"0\n0\n.*[Rr]ead-only.*",
    ),
    (
        "readonly-paths",
        linux(readonlyPaths=["/proc/sys", "/tmp", "/missing"]),
        f"{options_of('/proc/sys')} | cut -d, -f1; touch /tmp/x 2>&1",
        r"ro\n.*[Rr]ead-only.*",
    ),
    (
        "readonly-root",
        {"root": {"readonly": True}},
        "touch /x 2>&1; touch /dev/shm/y && echo shm",
        r".*[Rr]ead-only.*\nshm",
    ),
    (
        "tmpfs-mode-size",
        mount("/tmp/t", "tmpfs", "mode=1750", "size=64k", "nosuid"),
        "stat -c %a /tmp/t; df -k /tmp/t | tail -n 1 | awk '{print $2}'",
        "1750\n64",
    ),
    (
        "bind-readonly",
        mount("/tmp/b", "bind", "rbind", "ro", "nosuid", "nodev", "noexec", source="/usr"),
        options_of("/tmp/b"),
        "ro,nosuid,nodev,noexec.*",
    ),
    (
        "bind-recursive-readonly",
        mount("/tmp/b", "bind", "rbind", "rro", source="/dev"),
        f"{options_of('/tmp/b')}; touch /tmp/b/x 2>&1",
        r"ro.*\n.*[Rr]ead-only.*",
    ),
    (
        "bind-file",
        mount("/tmp/passwd", "bind", "bind", source="/etc/passwd"),
        "grep -c ^root: /tmp/passwd",
        "1",
    ),
    (
        "nothing-of-the-host-mounted",
        {},
        "awk '{print $5}' /proc/self/mountinfo | sort | tr '\\n' ' '",
        "/ /dev /dev/pts /dev/shm /proc ",
    ),
    # devices
    (
        "default-devices",
        {},
        "cd /dev; for d in null zero full random urandom tty; do [ -c $d ] || echo no $d; done;"
        "for l in fd stdin ptmx; do readlink $l; done",
        "/proc/self/fd\n/proc/self/fd/0\npts/ptmx",
    ),
    (
        "device",
        linux(devices=[DEVICE], resources=ALL_DEVICES),
        "stat -c '%F %t:%T %a %u %g' /dev/mine; head -c 2 /dev/mine | wc -c",
        "character special file 1:5 644 7 8\n2",
    ),
    (
        "device-refused",
        linux(devices=[{**DEVICE, "minor": 11}], resources={"devices": [{"allow": False, "access": "rwm"}]}),
        "head -c 2 /dev/mine 2>&1; head -c 1 /dev/zero | wc -c",
        r".*not permitted\n(0\n)?1",
    ),
    (
        "default-devices-stay-allowed",
        linux(resources={"devices": [{"allow": False, "access": "rwm"}]}),
        "echo x > /dev/null && echo null",
        "null",
    ),
    # the root's propagation and the cgroup mount
    ("propagation-default-is-slave-or-private", {}, "head -n 1 /proc/self/mountinfo | grep -c shared", "0"),
    (
        "propagation-shared",
        linux(rootfsPropagation="shared"),
        "grep ' / / \\| [^ ]* / ' /proc/self/mountinfo | grep -c shared:",
        "[1-9].*",
    ),
    (
        "propagation-unbindable",
        linux(rootfsPropagation="unbindable"),
        "awk '$5 == \"/\"' /proc/self/mountinfo | grep -c unbindable",
        "1",
    ),
    (
        "cgroup-mount",
        mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro", source="cgroup"),
        "cat /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | grep -cx 1",
        "[1-9].*",
    ),
    ("cgroup-namespace", {}, "cut -d: -f3 /proc/self/cgroup | sort -u", "/"),
    # namespaces that take numbers
    (
        "user-namespace",
        {"namespaces": EVERYTHING, "linux": {"uidMappings": MAPPING, "gidMappings": MAPPING}},
        "id -u; tr -s ' ' < /proc/self/uid_map",
        "0\n 0 0 65536",
    ),
    (
        "time-offsets",
        {
            "namespaces": ["mount", "pid", "uts", "time"],
            "linux": {"timeOffsets": {"boottime": {"secs": 1000000000}}},
        },
        "cut -c 1-3 /proc/uptime; cat /proc/self/timens_offsets | tr -s ' \\t' ' ' | tail -n 1",
        "100\nboottime 1000000000 0",
    ),
    # the filter of system calls
    (
        "seccomp-mode",
        seccomp({"names": ["mkdir", "mkdirat"], "action": ERRNO}),
        "grep ^Seccomp: /proc/self/status; mkdir /tmp/s 2>&1",
        r"Seccomp:\t2\n.*not permitted",
    ),
    (
        "seccomp-errno",
        seccomp({"names": ["mkdir", "mkdirat"], "action": ERRNO, "errnoRet": 28}),
        "mkdir /tmp/s 2>&1",
        ".*No space left.*",
    ),
    (
        "seccomp-argument",
        seccomp(
            {
                "names": ["kill"],
                "action": ERRNO,
                "errnoRet": 13,
                "args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}],
            }
        ),
        "kill -USR1 $$ 2>&1; kill -0 $$ && echo other",
        r".*Permission denied\nother",
    ),
    (
        "seccomp-with-no-new-privs",
        {
            "process": {"noNewPrivileges": True, "user": {"uid": 1000, "gid": 1000}},
            **seccomp({"names": ["mkdir", "mkdirat"], "action": ERRNO}),
        },
        "mkdir /tmp/s 2>&1",
        ".*not permitted",
    ),
]


@pytest.mark.parametrize(
    ("parts", "script", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_inside(
    runtime: Runtime,
    container_id: str,
    make_spec: Callable[..., Any],
    read_all: Callable[..., bytes],
    rootfs: Any,
    parts: Parts,
    script: str,
    expected: str,
) -> None:
    parts = dict(parts)
    if "root" in parts:
        parts["root"] = {"path": str(rootfs), **parts["root"]}
    container = runtime.run(container_id, spec=make_spec(["sh", "-c", script], **parts), stdio=Stdio.pipes())
    found = read_all(container.init.stdout).decode()
    problems = read_all(container.init.stderr).decode()
    container.wait(10)
    container.delete()
    container.init.close_streams()
    assert re.fullmatch(expected, found.rstrip("\n")) or found.rstrip("\n") == expected.rstrip("\n"), (
        found,
        problems,
    )


def test_a_program_killed_by_its_filter(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    filtered = seccomp({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"})
    spec = make_spec(["mkdir", "/tmp/killed"], **filtered)
    container = runtime.run(container_id, spec=spec, stdio=Stdio.null())
    assert container.wait(10).status == 128 + 31
    container.delete()
