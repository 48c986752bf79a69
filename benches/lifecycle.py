"""One container's life, side by side: the library, the agent over gRPC, runc and crun on one bundle.

``python -m benches.lifecycle [--rounds 100]`` interleaves the engines (A B C A B C ...), prints medians and
the ratio to runc, and what the agent and a waiting kata-init take in memory. Needs root. runc and crun are
taken from PATH when they are there; as crun 1.8 refuses a hybrid cgroup tree, all of it runs in a mount
namespace from which the unified mount is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kata_hybrid.oci import default_spec, spec_to_dict
from kata_hybrid.oci.config import Root
from kata_hybrid.runtime import Runtime, Stdio

if TYPE_CHECKING:
    from collections.abc import Callable

    from kata_hybrid.agent.v1.client import AgentClient
    from kata_hybrid.oci.config import Spec

UNIFIED = "/sys/fs/cgroup/unified"
HIDDEN = "KATA_HYBRID_BENCH_HIDDEN"
SLEEP = ("sleep", "1000")
Life = dict[str, float]


class Clock:
    """Milliseconds of each phase of one life."""

    def __init__(self) -> None:
        self.phases: Life = {}
        self._began = self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        now = time.perf_counter()
        self.phases[phase] = (now - self._last) * 1000
        self._last = now

    def total(self) -> Life:
        return {**self.phases, "all": (self._last - self._began) * 1000}


def bundle(directory: Path, args: tuple[str, ...]) -> tuple[Path, Spec]:
    """A bundle of the default spec over a busybox root file system, the same for all engines."""
    rootfs = directory / "rootfs"
    if not rootfs.exists():
        (rootfs / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs / "bin/busybox")
        for tool in ("sh", "true", "sleep"):
            (rootfs / "bin" / tool).symlink_to("busybox")
    spec = default_spec()
    assert spec.process is not None
    # crun 1.8 knows no newer version.
    process = replace(spec.process, args=args, terminal=False)
    spec = replace(spec, oci_version="1.0.2", root=Root(str(rootfs)), process=process)
    place = directory / args[0]
    place.mkdir(exist_ok=True)
    (place / "config.json").write_text(json.dumps(spec_to_dict(spec)))
    return place, spec


def library_life(runtime: Runtime, place: Path, number: int) -> Life:
    clock = Clock()
    container = runtime.create(f"lib{number}", bundle=str(place), stdio=Stdio.null())
    clock.lap("create")
    container.start()
    clock.lap("start")
    status = container.exec(["true"], stdio=Stdio.null()).wait(10)
    clock.lap("exec+wait")
    container.kill("KILL")
    container.wait(10)
    clock.lap("kill+wait")
    container.delete()
    clock.lap("delete")
    assert status.status == 0
    return clock.total()


def library_run(runtime: Runtime, place: Path, number: int) -> Life:
    clock = Clock()
    container = runtime.run(f"librun{number}", bundle=str(place), stdio=Stdio.null())
    assert container.wait(10).status == 0
    container.delete()
    clock.lap("run+wait+delete")
    return clock.total()


def command_life(command: str, root: Path, place: Path, number: int) -> Life:
    def call(*words: str) -> None:
        subprocess.run([command, "--root", str(root), *words], check=True, **quiet)

    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    name = f"cmd{number}"
    clock = Clock()
    call("create", "--bundle", str(place), name)
    clock.lap("create")
    call("start", name)
    clock.lap("start")
    call("exec", name, "true")
    clock.lap("exec+wait")
    call("kill", name, "KILL")
    clock.lap("kill+wait")
    call("delete", "--force", name)
    clock.lap("delete")
    return clock.total()


def command_run(command: str, root: Path, place: Path, number: int) -> Life:
    clock = Clock()
    words = [command, "--root", str(root), "run", "--bundle", str(place), f"run{number}"]
    null = subprocess.DEVNULL
    subprocess.run(words, check=True, stdin=null, stdout=null, stderr=null)
    clock.lap("run+wait+delete")
    return clock.total()


def agent_life(client: AgentClient, spec: Spec, number: int) -> Life:
    from kata_hybrid.agent.v1.client import agent_pb2

    name = f"agent{number}"
    request = agent_pb2.CreateContainerRequest(container_id=name, exec_id=name)
    fill_spec(request.OCI, spec)
    clock = Clock()
    client.call("CreateContainer", request)
    clock.lap("create")
    client.call("StartContainer", container_id=name)
    clock.lap("start")
    process = agent_pb2.ExecProcessRequest(container_id=name, exec_id="x")
    process.process.Args.append(b"true")
    process.process.Env.append(b"PATH=/bin")
    process.process.Cwd = b"/"
    client.call("ExecProcess", process)
    status = client.call("WaitProcess", container_id=name, exec_id="x").status
    clock.lap("exec+wait")
    client.call("SignalProcess", container_id=name, exec_id=name, signal=9)
    client.call("WaitProcess", container_id=name, exec_id=name)
    clock.lap("kill+wait")
    client.call("RemoveContainer", container_id=name)
    clock.lap("delete")
    assert status == 0
    return clock.total()


def fill_spec(oci: Any, spec: Spec) -> None:
    """The spec as a Kata host sends it: no pid, network or cgroup namespace, no device rules."""
    assert spec.process is not None
    assert spec.root is not None
    oci.Version = spec.oci_version
    oci.Root.Path = os.fsencode(spec.root.path)
    oci.Process.Cwd = spec.process.cwd.encode()
    oci.Process.Args.extend(arg.encode() for arg in spec.process.args)
    oci.Process.Env.append(b"PATH=/bin")
    oci.Linux.Resources.SetInParent()
    for kind in ("mount", "ipc", "uts"):
        oci.Linux.Namespaces.add(Type=kind)
    for mount in spec.mounts:
        if mount.type != "cgroup":
            oci.Mounts.add(
                destination=mount.destination.encode(),
                source=mount.source.encode(),
                type=mount.type,
                options=[option.encode() for option in mount.options],
            )
    oci.Linux.MaskedPaths.extend(path.encode() for path in spec.linux.masked_paths)
    oci.Linux.ReadonlyPaths.extend(path.encode() for path in spec.linux.readonly_paths)


def memory_kb(pid: int, key: str, source: str = "smaps_rollup") -> int:
    """A field of ``/proc/<pid>/smaps_rollup`` or ``status``, in kB."""
    for line in Path(f"/proc/{pid}/{source}").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1])
    raise KeyError(key)


def measure(rounds: int, idle_seconds: float) -> tuple[dict[str, list[Life]], dict[str, int]]:
    lives: dict[str, list[Life]] = {}
    memory: dict[str, int] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-hybrid-bench-")))
        sleeper, sleep_spec = bundle(directory, SLEEP)
        one_shot, _ = bundle(directory, ("true",))
        runtime = Runtime(str(directory / "library"))
        client, agent = start_agent(directory, stack)
        engines: dict[str, Callable[[int], Life]] = {
            "library": lambda n: merged(library_life(runtime, sleeper, n), library_run(runtime, one_shot, n)),
            "agent (gRPC)": lambda n: agent_life(client, sleep_spec, n),
        }
        for command in filter(shutil.which, ("runc", "crun")):
            root = directory / command
            engines[command] = lambda n, c=command, r=root: merged(
                command_life(c, r, sleeper, n), command_run(c, r, one_shot, n)
            )
        for number in range(-3, rounds):
            for name, life in engines.items():
                time.sleep(idle_seconds)
                result = life(number + 3)
                if number >= 0:
                    lives.setdefault(name, []).append(result)
            progress(number + 1, rounds)
        memory["agent peak RSS"] = memory_kb(agent.pid, "VmHWM", "status")
        memory["agent RSS"] = memory_kb(agent.pid, "VmRSS", "status")
        waiting = runtime.create("waiting", bundle=str(sleeper), stdio=Stdio.null())
        memory["waiting kata-init RSS"] = memory_kb(waiting.init.pid, "Rss")
        memory["waiting kata-init private"] = memory_kb(waiting.init.pid, "Private_Dirty")
        waiting.delete(force=True)
        client.call("DestroySandbox")
    return lives, memory


def merged(life: Life, run: Life) -> Life:
    return {**life, "run+wait+delete": run["run+wait+delete"]}


def start_agent(directory: Path, stack: ExitStack) -> tuple[AgentClient, subprocess.Popen[bytes]]:
    from kata_hybrid.agent.v1.client import AgentClient

    socket = directory / "agent.sock"
    words = [sys.executable, "-m", "kata_hybrid", "agent", "--listen", f"unix://{socket}"]
    words += ["--state-root", str(directory / "agent")]
    agent = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    stack.callback(agent.wait)
    stack.callback(agent.terminate)
    client = AgentClient(f"unix:{socket}")
    stack.callback(client.close)
    client.wait_ready(10)
    client.call("CreateSandbox", sandbox_id="bench")
    return client, agent


def progress(done: int, rounds: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{max(done, 0)}/{rounds}", end="" if done < rounds else "\n", file=sys.stderr)


def table(lives: dict[str, list[Life]]) -> str:
    """Medians in ms, and in brackets the ratio to runc where it ran."""
    phases = ["create", "start", "exec+wait", "kill+wait", "delete", "all", "run+wait+delete"]
    lines = [f"{'ms, median':<16}" + "".join(f"{name:>22}" for name in lives)]
    for phase in phases:
        medians = {
            name: statistics.median(life[phase] for life in values)
            for name, values in lives.items()
            if phase in values[0]
        }
        base = medians.get("runc")
        cells = ""
        for name in lives:
            value = medians.get(name)
            ratio = f" ({value / base:.2f})" if value is not None and base else ""
            cells += f"{'-' if value is None else f'{value:.2f}{ratio}':>22}"
        lines.append(f"{phase:<16}{cells}")
    return "\n".join(lines)


def hide_unified() -> None:
    """Go on in a mount namespace without the unified hierarchy, for crun's sake."""
    if os.environ.get(HIDDEN) or not os.path.ismount(UNIFIED) or not shutil.which("unshare"):
        return
    script = f'umount {UNIFIED}; exec "$@"'
    words = ["unshare", "-m", "--propagation", "slave", "sh", "-c", script, "sh"]
    os.environ[HIDDEN] = "1"
    os.execvp("unshare", [*words, sys.executable, "-m", "benches.lifecycle", *sys.argv[1:]])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--idle-ms", type=float, default=0.0, help="rest before each life")
    parser.add_argument("--json", type=Path, help="write all samples here")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("root is needed to make containers", file=sys.stderr)
        return 1
    hide_unified()
    lives, memory = measure(options.rounds, options.idle_ms / 1000)
    if options.json:
        options.json.write_text(json.dumps({"lives": lives, "memory_kb": memory}))
    print(table(lives))
    for what, kb in memory.items():
        print(f"{what:<28}{kb:>8} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
