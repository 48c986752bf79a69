"""``python -m kata_hybrid.demo``: one container through the agent's gRPC, from CreateSandbox to nothing left.

Each step is one RPC over a unix socket, printed with its milliseconds. In between the kernel is asked: which
namespaces the container's init is in, what ``state.json`` says, which processes there are. At the end pids,
mounts, cgroups and files are looked for. Whatever is not as expected makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from kata_hybrid.agent.v1.client import AgentClient, agent_pb2, oci_pb2
except ModuleNotFoundError as missing:
    if missing.name != "grpc":
        raise
    raise SystemExit("demo: grpcio is missing: install kata-hybrid[demo]") from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SANDBOX = "demo-sandbox"
CONTAINER = "demo-container"
EXEC = "demo-exec"
OWN_NAMESPACES = ("ipc", "mnt", "pid", "uts")
SHARED_NAMESPACES = ("cgroup", "net", "user")
TOOLS = ("sh", "cat", "sleep", "echo", "hostname")
BUSYBOX_TOOLS = (*TOOLS, "ls", "ps", "id", "true")
READY_SECONDS = 15.0
CALL_SECONDS = 30.0
EXIT_CODE = 7


class Demo:
    """Prints steps and remembers what was not as expected."""

    def __init__(self, client: AgentClient) -> None:
        self._client = client
        self.problems: list[str] = []

    def call(self, rpc: str, request: Any = None, **fields: Any) -> Any:
        """One step.

        Raises:
            grpc.RpcError: the agent refused.
        """
        began = time.perf_counter()
        reply = self._client.call(rpc, request, timeout=CALL_SECONDS, **fields)
        _say(f"{rpc:<18} {(time.perf_counter() - began) * 1000:8.2f} ms  {_summary(reply)}".rstrip())
        return reply

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Remember a difference."""
        if found != wanted:
            self.problems.append(f"{what}: found {found!r}, expected {wanted!r}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 when everything was as expected."""
    options = _parser().parse_args(argv)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kata-hybrid-demo-")))
        rootfs = Path(options.rootfs).resolve() if options.rootfs else prepare_rootfs(work / "rootfs")
        address = options.connect or f"unix://{work}/agent.sock"
        if options.start_agent or not options.connect:
            stack.callback(_stop, _start_agent(address, options.state_root))
        client = stack.enter_context(AgentClient(address.replace("unix://", "unix:", 1)))
        client.wait_ready(READY_SECONDS)
        demo = Demo(client)
        leftovers = _run(demo, rootfs, options.state_root)
        demo.problems += leftovers
    for problem in demo.problems:
        _say(f"NOT AS EXPECTED: {problem}")
    if demo.problems:
        return 1
    _say("nothing was left: no process, no mount, no cgroup, no file")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kata-hybrid demo", description=__doc__)
    parser.add_argument("--connect", metavar="unix://PATH", help="an agent's socket; else one is started")
    parser.add_argument("--start-agent", action="store_true", help="start an agent, on --connect if given")
    parser.add_argument("--state-root", default="/run/libcontainer", help="the agent's (%(default)s)")
    parser.add_argument("--rootfs", help="a directory with /bin/sh; else one is made")
    return parser


def _run(demo: Demo, rootfs: Path, state_root: str) -> list[str]:
    """The whole conversation; what was left behind is the answer."""
    demo.call("Check")
    demo.call("Version")
    demo.call("GetGuestDetails", mem_block_size=True, mem_hotplug_probe=True)
    demo.call("CreateSandbox", sandbox_id=SANDBOX, hostname="demo")
    demo.call("CreateContainer", _create_request(rootfs))
    demo.call("StartContainer", container_id=CONTAINER)
    output = demo.call("ReadStdout", container_id=CONTAINER, exec_id=CONTAINER, len=32768)
    demo.expect("first output", output.data, b"hello from the container\n")
    pids = json.loads(
        demo.call("ListProcesses", container_id=CONTAINER, format="json").process_list
    )
    init_pid = _show_state(demo, Path(state_root) / SANDBOX / CONTAINER / "state.json")
    demo.expect("pids in the container contain init", init_pid in pids, True)
    if init_pid:
        _show_namespaces(demo, init_pid)
    _exec_step(demo)
    _show_tree(os.getpid())
    demo.call("SignalProcess", container_id=CONTAINER, exec_id=CONTAINER, signal=int(signal.SIGTERM))
    status = demo.call("WaitProcess", container_id=CONTAINER, exec_id=CONTAINER).status
    demo.expect("exit status of init", status, EXIT_CODE)
    late = demo.call("ReadStdout", container_id=CONTAINER, exec_id=CONTAINER, len=32768)
    demo.expect("output read after the wait", late.data, b"got TERM\n")
    demo.call("RemoveContainer", container_id=CONTAINER)
    demo.call("DestroySandbox")
    return list(_leftovers(pids, state_root))


def _exec_step(demo: Demo) -> None:
    process = oci_pb2.Process(Args=[b"/bin/cat"], Env=[b"PATH=/bin:/usr/bin"], Cwd=b"/")
    demo.call(
        "ExecProcess", agent_pb2.ExecProcessRequest(container_id=CONTAINER, exec_id=EXEC, process=process)
    )
    text = b"through stdin and back\n"
    written = demo.call("WriteStdin", container_id=CONTAINER, exec_id=EXEC, data=text)
    demo.expect("bytes written", written.len, len(text))
    echoed = demo.call("ReadStdout", container_id=CONTAINER, exec_id=EXEC, len=32768)
    demo.expect("bytes read back", echoed.data, text)
    demo.call("CloseStdin", container_id=CONTAINER, exec_id=EXEC)
    status = demo.call("WaitProcess", container_id=CONTAINER, exec_id=EXEC).status
    demo.expect("exit status of cat", status, 0)


def _create_request(rootfs: Path) -> Any:
    """What a host sends: no pid, network or cgroup namespace; ipc and uts are the sandbox's."""
    script = f"trap 'echo got TERM; exit {EXIT_CODE}' TERM; echo hello from the container; sleep 1000 & wait"
    capabilities = ["CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"]
    spec = oci_pb2.Spec(
        Version="1.0.2",
        Hostname=b"demo",
        Root=oci_pb2.Root(Path=os.fsencode(rootfs)),
        Process=oci_pb2.Process(
            Args=[b"/bin/sh", b"-c", script.encode()],
            Env=[b"PATH=/bin:/usr/bin"],
            Cwd=b"/",
            Capabilities=oci_pb2.LinuxCapabilities(
                Bounding=capabilities, Effective=capabilities, Permitted=capabilities
            ),
        ),
        Mounts=[
            oci_pb2.Mount(destination=b"/proc", source=b"proc", type="proc"),
            oci_pb2.Mount(
                destination=b"/dev", source=b"tmpfs", type="tmpfs", options=[b"nosuid", b"mode=755"]
            ),
        ],
        Linux=oci_pb2.Linux(
            Namespaces=[oci_pb2.LinuxNamespace(Type=kind) for kind in ("mount", "ipc", "uts")],
            Resources=oci_pb2.LinuxResources(),
            CgroupsPath=f"/kata-hybrid-{CONTAINER}".encode(),
        ),
    )
    return agent_pb2.CreateContainerRequest(container_id=CONTAINER, exec_id=CONTAINER, OCI=spec)


# --- what the kernel says ----------------------------------------------------------------------------


def _show_state(demo: Demo, path: Path) -> int:
    """Print the state file's main keys; gives the init's pid."""
    state = json.loads(path.read_text())
    _say(f"state file {path}")
    for key in ("id", "init_process_pid", "init_process_start", "created", "cgroup_paths"):
        demo.expect(f"{path.name} has {key}", key in state, True)
        value = json.dumps(state.get(key))
        _say(f"    {key:<20} {value if len(value) < 80 else value[:77] + '...'}")
    demo.expect("id in the state file", state.get("id"), CONTAINER)
    return int(state.get("init_process_pid", 0))


def _show_namespaces(demo: Demo, init_pid: int) -> None:
    """The container's namespaces beside the agent's, which is the init's parent."""
    agent_pid = _parent(init_pid)
    _say(f"namespaces of the container's init ({init_pid}) and of the agent ({agent_pid})")
    for kind in (*OWN_NAMESPACES, *SHARED_NAMESPACES):
        inside, outside = (os.readlink(f"/proc/{pid}/ns/{kind}") for pid in (init_pid, agent_pid))
        differs = inside != outside
        _say(f"    {kind:<7} {inside:<22} {outside:<22} {'differs' if differs else 'same'}")
        demo.expect(f"namespace {kind} differs", differs, kind in OWN_NAMESPACES)


def _parent(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text()
    return int(text[text.rindex(")") + 2 :].split()[1])


def _show_tree(root_pid: int) -> None:
    """The processes below this one."""
    children: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                pid = int(entry.name)
                children.setdefault(_parent(pid), []).append(pid)
                names[pid] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:  # it ended while we looked
                continue
    _say("process tree")
    _print_tree(root_pid, children, names, depth=1)


def _print_tree(pid: int, children: dict[int, list[int]], names: dict[int, str], depth: int) -> None:
    _say(f"{'    ' * depth}{pid} {names.get(pid, '?').strip()[:90]}")
    for child in sorted(children.get(pid, [])):
        _print_tree(child, children, names, depth + 1)


def _leftovers(pids: Iterable[int], state_root: str) -> Iterable[str]:
    """Everything of the container or the sandbox that is still there."""
    for pid in pids:
        if os.path.exists(f"/proc/{pid}"):
            yield f"process {pid} is left"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if SANDBOX in line or CONTAINER in line:
            yield f"mount is left: {line}"
    yield from (f"file is left: {path}" for path in _left_files(state_root))
    for directory, names, _ in os.walk("/sys/fs/cgroup"):
        yield from (f"cgroup is left: {directory}/{name}" for name in names if CONTAINER in name)


def _left_files(state_root: str) -> Iterable[Path]:
    candidates = (Path(state_root) / SANDBOX, Path("/run/sandbox-ns") / SANDBOX, Path(state_root) / CONTAINER)
    return [path for path in candidates if path.exists()]


# --- agent and rootfs --------------------------------------------------------------------------------


def _start_agent(address: str, state_root: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kata_hybrid.agent", "--listen", address, "--state-root", state_root]
    return subprocess.Popen([*command, "--log-level", "warning"])


def _stop(agent: subprocess.Popen[bytes]) -> None:
    agent.terminate()
    try:
        agent.wait(10)
    except subprocess.TimeoutExpired:
        agent.kill()
        agent.wait()


def prepare_rootfs(target: Path) -> Path:
    """A small root file system: static busybox if there is one, else a few tools with their libraries.

    Raises:
        FileNotFoundError: the host has no shell to copy.
    """
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        (target / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    if busybox is not None and not _libraries(busybox):
        shutil.copy(busybox, target / "bin/busybox")
        for name in BUSYBOX_TOOLS:
            (target / "bin" / name).symlink_to("busybox")
        return target
    for name in TOOLS:
        program = shutil.which(name)
        if program is None:
            raise FileNotFoundError(f"this host has no {name} to copy")
        shutil.copy(os.path.realpath(program), target / "bin" / name)
        for library in _libraries(program):
            copy = target / library.lstrip("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), copy)
    return target


def _libraries(program: str) -> list[str]:
    """Absolute paths that ldd names; none for a static program."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return [word for word in listed.stdout.split() if word.startswith("/")] if listed.returncode == 0 else []


def _summary(reply: Any) -> str:
    """The reply in one short line."""
    text = " ".join(str(reply).split())
    return text if len(text) <= 100 else text[:97] + "..."


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - printing is what a demonstration is for


if __name__ == "__main__":
    sys.exit(main())
