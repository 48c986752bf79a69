"""What each contender really sets up for the same bundle, as the kernel shows it from outside.

``python -m benches.same_work`` prints it as JSON: fact by fact for each contender that is there. The test
``tests/benches/test_same_work.py`` compares.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benches import find, isolate
from benches.bundle import CGROUP_PARENT
from benches.floor_script import write_script
from benches.model import Place
from benches.operations.setting import SLEEP, Setting
from benches.spawner import ENVIRONMENT, PeerFailedError, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benches.peers import Bubblewrap, Runtime

Facts = dict[str, str]
"""What is there -> how it is: "mount /proc" -> "proc / nosuid,nodev,noexec,relatime,rw ...". """

NAMESPACES: Final = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
STATUS: Final = (
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "Seccomp",
    "Seccomp_filters",
    "NoNewPrivs",
    "Uid",
    "Gid",
    "Groups",
    "Umask",
    "NSpid",
)
LIMITS: Final = {
    "memory": ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swappiness"),
    "pids": ("pids.max",),
    "cpu": ("cpu.shares", "cpu.cfs_quota_us"),
    "cpuset": ("cpuset.cpus", "cpuset.mems"),
    "devices": ("devices.list",),
}
UNTIL_SECONDS: Final = 10.0


def facts(pid: int, group: str) -> Facts:
    """Everything of one process.

    Args:
        group: the name of its cgroup, which differs from contender to contender and is shown as ``<group>``.
    """
    found = dict(_namespaces(pid))
    found |= _mounts(pid, group)
    found |= _cgroups(pid, group)
    found |= _status(pid)
    found |= _limits(group)
    found |= _devices(pid)
    found |= _rest(pid)
    return found


def _namespaces(pid: int) -> Iterator[tuple[str, str]]:
    for kind in NAMESPACES:
        theirs, ours = os.readlink(f"/proc/{pid}/ns/{kind}"), os.readlink(f"/proc/self/ns/{kind}")
        yield f"namespace {kind}", "ours" if theirs == ours else "new"


def _mounts(pid: int, group: str) -> Facts:
    """Mount point -> type, root, options, propagation, options of the file system; the top one last."""
    found: Facts = {}
    for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        _, _, _, root, point, options, *optional = left.split(" ")
        fstype, _, super_options = right.split(" ")
        peers = ",".join(word.split(":")[0] for word in optional if word)
        words = (
            fstype,
            root.replace(group, "<group>"),
            ",".join(sorted(options.split(","))),
            peers or "private",
            ",".join(sorted(super_options.split(","))),
        )
        name = f"mount {point.replace(group, '<group>')}"
        found[name] = f"{found[name]} / {' '.join(words)}" if name in found else " ".join(words)
    return found


def _cgroups(pid: int, group: str) -> Facts:
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        found[f"cgroup {controllers or 'unified'}"] = path.replace(group, "<group>")
    return found


def _status(pid: int) -> Facts:
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    values = {f"status {key}": " ".join(fields[key].split()) for key in STATUS}
    values["status NSpid"] = " ".join(values["status NSpid"].split()[1:])  # the first is ours to see only
    return values


def _limits(group: str) -> Facts:
    found = {}
    for controller, names in LIMITS.items():
        directory = Path("/sys/fs/cgroup") / controller / CGROUP_PARENT.lstrip("/") / group
        for name in names:
            if (directory / name).exists():
                lines = (directory / name).read_text().splitlines()
                found[f"limit {name}"] = ", ".join(sorted(line.strip() for line in lines))
    return found


def _devices(pid: int) -> Facts:
    """The nodes and links of its /dev."""
    found = {}
    for entry in os.scandir(f"/proc/{pid}/root/dev"):
        seen = entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            how = f"-> {os.readlink(entry.path)}"
        elif stat.S_ISCHR(seen.st_mode):
            how = f"{os.major(seen.st_rdev)}:{os.minor(seen.st_rdev)} {seen.st_mode & 0o7777:o}"
        else:
            how = f"{stat.filemode(seen.st_mode)[0]} {seen.st_mode & 0o7777:o}"
        found[f"device {entry.name}"] = f"{how} {seen.st_uid}:{seen.st_gid}"
    return found


def _rest(pid: int) -> Facts:
    proc = Path(f"/proc/{pid}")
    limits = proc.joinpath("limits").read_text().splitlines()[1:]
    found = {f"rlimit {line[:25].strip()}": " ".join(line[25:].split()[:2]) for line in limits}
    found["oom_score_adj"] = proc.joinpath("oom_score_adj").read_text().strip()
    environment = proc.joinpath("environ").read_bytes().decode().split("\0")
    found["environment"] = " ".join(sorted(filter(None, environment)))
    found["arguments"] = proc.joinpath("cmdline").read_bytes().decode().replace("\0", " ").strip()
    found["working directory"] = os.readlink(proc / "cwd")
    found["descriptors"] = " ".join(sorted(os.listdir(proc / "fd"), key=int))
    found["session leader"] = str(os.getsid(pid) == pid)
    return found


def pid_in(group: str) -> int:
    """The one process of a group, once it has executed its program.

    Raises:
        TimeoutError: it never does.
    """
    procs = Path("/sys/fs/cgroup/pids") / CGROUP_PARENT.lstrip("/") / group / "cgroup.procs"
    deadline = time.monotonic() + UNTIL_SECONDS
    while time.monotonic() < deadline:
        pids = procs.read_text().split() if procs.exists() else []
        for pid in pids:
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(SLEEP[0].encode()):
                return int(pid)
        time.sleep(0.005)
    raise TimeoutError(f"no sleep in {group}")


def all_facts(place: Place) -> dict[str, Facts]:
    """Of every contender that is there, its container running meanwhile."""
    setting = Setting(place)
    runtimes: list[Runtime] = [setting.library, setting.command, *setting.commands]
    found = {"floor": _floor(setting)}
    for runtime in runtimes:
        group = f"{runtime.name}-same"
        try:
            runtime.launch("same", setting.new_bundle(group, SLEEP))
            found[runtime.name] = facts(pid_in(group), group)
            runtime.delete("same", force=True)
        except PeerFailedError as error:
            found[runtime.name] = {"failed": str(error)}
    if setting.bubblewrap is not None:
        found["bwrap"] = _bubblewrap(setting, setting.bubblewrap)
    return found


def _floor(setting: Setting) -> Facts:
    bundle = setting.new_bundle("floor-same", SLEEP)
    script = write_script(setting.place.directory / "floor-same", bundle.spec)
    words = [str(setting.floor_program), "run", str(script)]
    # It calls a killed sleep a failure, and says so.
    null = subprocess.DEVNULL
    floor = subprocess.Popen(words, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null)
    try:
        pid = pid_in("floor-same")
        found = facts(pid, "floor-same")
        os.kill(pid, signal.SIGKILL)
        floor.wait(UNTIL_SECONDS)
        return found
    finally:
        stop(floor)


def _bubblewrap(setting: Setting, bubblewrap: Bubblewrap) -> Facts:
    """It makes no group; its sleep is found as its child."""
    words = bubblewrap.words(setting.new_bundle("bwrap-same", SLEEP))
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null, pass_fds=[bubblewrap.filter_fd]
    )
    try:
        pid = _sleeping_child(process.pid)
        found = facts(pid, "bwrap-same")
        os.kill(pid, signal.SIGKILL)  # bwrap's end would not be its
        process.wait(UNTIL_SECONDS)
        return found
    finally:
        stop(process)


def _sleeping_child(pid: int) -> int:
    deadline = time.monotonic() + UNTIL_SECONDS
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(SLEEP[0].encode()):
                return int(child)
        time.sleep(0.005)
    raise TimeoutError(f"no sleep below process {pid}")


def main() -> int:
    programs = find.peers({})
    isolate.enter(find.versions(programs))
    with isolate.directory() as directory, ExitStack() as stack:
        found = all_facts(Place(directory, stack, programs))
    json.dump(found, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
