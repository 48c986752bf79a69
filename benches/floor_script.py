"""The physical floor of a bundle: its launch plan said as bare system calls, and the program that makes them.

The script is made from the same plan that kata-init walks, so the floor does the work of the spec and cannot
drift from it. What is left out is what a careful runtime does beside it: safe path look-ups, checks, state
files, talk between parent and child. The format is in ``benches/floor/src/script.rs``.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kata_hybrid import cgroups
from kata_hybrid.cgroups import devices, resources_v1
from kata_hybrid.plan import LaunchOptions, host_facts, plan_create, steps
from kata_hybrid.plan.options import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
)
from kata_hybrid.runtime.join import cgroup_join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kata_hybrid.oci.config import Resources, Spec
    from kata_hybrid.plan import LaunchPlan
    from kata_hybrid.plan.steps import Step

REPOSITORY: Final = Path(__file__).resolve().parent.parent
UNIFIED: Final = ""
NEW_CGROUP: Final = 0x0200_0000
Line = tuple[object, ...]


@cache
def build_floor() -> Path:
    """The program, built when something has changed since the last time.

    Raises:
        FileNotFoundError: there is no cargo.
        RuntimeError: the build failed; with cargo's last words.
    """
    if shutil.which("cargo") is None:
        raise FileNotFoundError("the floor needs cargo to be built")
    words = ["cargo", "rustc", "-q", "-p", "kata-floor", "--release", "--message-format=json"]
    done = subprocess.run(
        [*words, "--", "-C", "target-feature=+crt-static"], cwd=REPOSITORY, capture_output=True, check=False
    )
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if done.returncode == 0 and message.get("executable"):
            return Path(message["executable"])
    raise RuntimeError(f"the floor does not build: {done.stderr.decode(errors='replace')[-400:]}")


def write_script(path: Path, spec: Spec) -> Path:
    """The script of one container; its ``cgroupsPath`` makes it different from others at the same time."""
    path.write_text("".join("\t".join(str(word) for word in line) + "\n" for line in _lines(spec)))
    return path


def _lines(spec: Spec) -> Iterator[Line]:
    assert spec.root is not None
    layout = cgroups.detect()
    manager = cgroups.make_manager(layout, spec.linux.cgroups_path, "floor")
    rootfs = os.path.realpath(spec.root.path)
    plan = plan_create(
        spec,
        rootfs=rootfs,
        facts=host_facts(),
        cgroup=cgroup_join(layout, manager),
        options=LaunchOptions(container_id="floor", no_new_keyring=True),
    )
    groups = list(dict.fromkeys(manager.paths.values()))
    v1_groups = list(dict.fromkeys(path for key, path in manager.paths.items() if key != UNIFIED))
    yield from _make_groups(groups)
    if spec.linux.resources is not None:
        yield from _limits(spec.linux.resources, manager.paths)
    flags = _new_namespaces(plan)
    yield ("clone", flags & ~NEW_CGROUP)
    yield from (("write", f"{path}/tasks", 0) for path in v1_groups)
    if flags & NEW_CGROUP:
        yield ("unshare", NEW_CGROUP)  # it begins at the group that one is in
    for step in plan.steps:
        yield from _CALLS[type(step)](step)
    yield ("wait",)
    yield from (("rmdir", path) for path in groups)


def _new_namespaces(plan: LaunchPlan) -> int:
    """All that the plan makes, in whatever way: for the floor one clone does."""
    flags = plan.clone_flags
    for step in plan.steps:
        if isinstance(step, steps.Unshare):
            flags |= step.flags
    return flags


def _make_groups(groups: Iterable[str]) -> Iterator[Line]:
    for path in groups:
        parent = os.path.dirname(path)
        os.makedirs(parent, exist_ok=True)
        cpuset = Path(parent, "cpuset.cpus")
        if cpuset.exists():
            _fill_cpuset(Path(parent))
        yield ("mkdir", path, 0o755)
        if cpuset.exists():
            for name in ("cpuset.cpus", "cpuset.mems"):
                yield ("write", f"{path}/{name}", Path(parent, name).read_text().strip())


def _fill_cpuset(group: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (group / name).read_text().strip():
            _fill_cpuset(group.parent)
            (group / name).write_text((group.parent / name).read_text())


def _limits(resources: Resources, groups: Mapping[str, str]) -> Iterator[Line]:
    for setting in resources_v1.settings(resources):
        if setting.controller in groups:
            yield ("write", f"{groups[setting.controller]}/{setting.files[0]}", setting.value)
    if "devices" in groups:
        wanted = devices.wanted_list([*resources.devices, *devices.DEFAULT_RULES])
        for name, text in devices.changes(devices.DeviceList(default_allow=True), wanted):
            yield ("write", f"{groups['devices']}/{name}", text)


def _inside(path: str) -> str:
    """A path of the rootfs, which is the working directory until the pivot."""
    return path.lstrip("/") or "."


def _prepare(step: steps.PrepareRootfs) -> Iterator[Line]:
    """A mount of its own, which pivot_root wants."""
    yield ("mount", step.path, step.path, "-", MS_BIND | MS_REC, "-")
    yield ("chdir", step.path)


def _mount(step: steps.MountFs) -> Iterator[Line]:
    """What lies on a file system that has just been mounted needs a directory there first."""
    target = _inside(step.target)
    if target.startswith(("dev/", "sys/fs/cgroup/")):
        yield ("mkdir", target, 0o755)
    yield ("mount", step.source, target, step.fstype, step.flags, step.data or "-")


def _bind(step: steps.BindMount) -> Iterator[Line]:
    target = _inside(step.target)
    yield ("mount", step.source, target, "-", step.flags & (MS_BIND | MS_REC), "-")
    if step.flags & ~(MS_BIND | MS_REC):
        yield ("mount", "-", target, "-", step.flags & ~MS_REC | MS_REMOUNT, "-")


def _mask(step: steps.MaskPath) -> Iterator[Line]:
    """Masked paths lie in /proc and /sys: what the host has there the container has too."""
    if os.path.isdir(step.path):
        yield ("mount", "tmpfs", _inside(step.path), "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1")
    elif os.path.exists(step.path):
        yield ("mount", "/dev/null", _inside(step.path), "-", MS_BIND, "-")


def _readonly(step: steps.ReadonlyPath) -> Iterator[Line]:
    if os.path.exists(step.path):
        target, kept = _inside(step.path), MS_NOSUID | MS_NODEV | MS_NOEXEC
        yield ("mount", target, target, "-", MS_BIND | MS_REC, "-")
        yield ("mount", "-", target, "-", MS_BIND | MS_REMOUNT | MS_RDONLY | kept, "-")


def _device(step: steps.Device) -> Iterator[Line]:
    kind = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}[chr(step.type)]
    yield ("mknod", _inside(step.path), kind | step.mode, step.major, step.minor)


def _exec(step: steps.Exec) -> Iterator[Line]:
    assert step.args[0].startswith("/"), "the floor does not search PATH"
    yield ("exec", step.args[0], *step.args, "--", *step.env)


def _nothing(_: Step) -> Iterator[Line]:
    return iter(())


_CALLS: Final[dict[type[Step], Callable[[Any], Iterable[Line]]]] = {
    steps.Setsid: lambda _: [("setsid",), ("umask", 0)],
    steps.LoopbackUp: lambda _: [("loopback",)],
    steps.RootPropagation: lambda step: [("mount", "-", "/", "-", step.flags, "-")],
    steps.PrepareRootfs: _prepare,
    steps.MountFs: _mount,
    steps.BindMount: _bind,
    steps.Remount: lambda step: [
        ("mount", "-", _inside(step.target), "-", step.flags | MS_BIND | MS_REMOUNT, "-")
    ],
    steps.Symlink: lambda step: [("symlink", step.target, _inside(step.path))],
    steps.Device: _device,
    steps.MaskPath: _mask,
    steps.ReadonlyPath: _readonly,
    steps.Pivot: lambda _: [("pivot",)],
    steps.Hostname: lambda step: [("hostname", step.name)],
    steps.Rlimit: lambda step: [("rlimit", step.resource, step.soft, step.hard)],
    steps.NoNewPrivs: lambda _: [("nnp",)],
    steps.Seccomp: lambda step: [("seccomp", step.flags, step.bpf.hex())],
    steps.BoundingCaps: lambda step: [("bounding", step.mask, host_facts().last_cap)],
    steps.User: lambda step: [("ids", step.uid, step.gid)],
    steps.Caps: lambda step: [("caps", step.effective, step.permitted, step.inheritable)],
    steps.Umask: lambda step: [("umask", step.mask)],
    steps.Chdir: lambda step: [("chdir", step.path)],
    steps.Exec: _exec,
    # Done ahead, all at once.
    steps.JoinCgroup: _nothing,
    steps.Unshare: _nothing,
    # A runtime's own care, not part of the result.
    steps.Sync: _nothing,
    steps.MakeCwd: _nothing,
    steps.StdioNull: _nothing,
    steps.ChownStdio: _nothing,
    steps.FindExecutable: _nothing,
    steps.SessionKeyring: _nothing,
}
