"""``python -m benches.floor_parts [ROUNDS]``: what each part of a container costs the kernel.

The floor's script with one part left out each time, interleaved with the whole one; the difference is what
that part takes. The best of all rounds say what the kernel needs, the medians what it took on this machine.
Differences of some hundredths are noise.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from benches import find, isolate
from benches.bundle import docker_spec, make_rootfs, remove_cgroups
from benches.floor_script import build_floor, write_script
from benches.peers import FloorServer
from benches.stats import median

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Words = list[str]
    Keep = Callable[[Words], Words | None]

ROUNDS: Final = 100
NEW_NETWORK: Final = 0x4000_0000


def _without(*verbs: str) -> Keep:
    return lambda words: None if words[0] in verbs else words


def _is_group(words: Words) -> bool:
    """A line about the container's groups, or the mount of a hierarchy."""
    at_group = words[0] in ("mkdir", "rmdir", "write") and words[1].startswith("/sys/fs/cgroup/")
    return at_group or words[:2] == ["mount", "cgroup"]


def _no_network(words: Words) -> Words | None:
    if words[0] == "clone":
        return ["clone", str(int(words[1]) & ~NEW_NETWORK)]
    return None if words[0] == "loopback" else words


def _bare(words: Words) -> Words | None:
    return words if words[0] in ("clone", "exec", "wait") else None


PARTS: Final[Mapping[str, Keep]] = {
    "cgroups: make, limit, enter, mount, remove": lambda words: None if _is_group(words) else words,
    "  of that the mounts of the hierarchies": lambda w: None if w[:2] == ["mount", "cgroup"] else w,
    "  of that the device rules": lambda w: None if w[0] == "write" and "/devices." in w[1] else w,
    "network namespace with its loopback up": _no_network,
    "masked and read-only paths": lambda w: (
        None if w[0] == "mount" and w[2].startswith(("proc/", "sys/firmware")) else w
    ),
    "device nodes and links": _without("mknod", "symlink"),
    "filter": _without("seccomp"),
    "capabilities": _without("bounding", "caps"),
    "all but namespaces, execve and wait": _bare,
}


def left_out(script: str, keep: Keep) -> str:
    """``script`` without the lines that ``keep`` drops."""
    lines = (keep(line.split("\t")) for line in script.splitlines())
    return "".join("\t".join(words) + "\n" for words in lines if words is not None)


def measure(directory: Path, rounds: int) -> dict[str, list[float]]:
    """Milliseconds by part that was left out; "" is the whole."""
    spec = docker_spec(make_rootfs(directory), ["/bin/true"], cgroup="parts")
    whole = write_script(directory / "whole", spec).read_text()
    # With nothing mounted the program is reached by its path here.
    outside = whole.replace("exec\t/bin/true", f"exec\t{directory}/rootfs/bin/true")
    with ExitStack() as stack:
        stack.callback(remove_cgroups)
        servers = {}
        for number, (name, keep) in enumerate({"": _without(), **PARTS}.items()):
            script = directory / f"part-{number}"
            script.write_text(left_out(outside if keep is _bare else whole, keep))
            servers[name] = FloorServer(build_floor(), script, stack)
        taken: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                taken[name].append(server.once()[0] * 1000)
    return taken


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    isolate.enter(find.versions(find.peers({})))
    with isolate.directory() as directory:
        taken = measure(directory, rounds)
    best, middle = min(taken[""]), median(taken[""])
    print(f"{'ms':<44}{'best':>8}{'median':>8}")
    print(f"{'the whole':<44}{best:>8.2f}{middle:>8.2f}")
    for name in PARTS:
        print(f"{name:<44}{best - min(taken[name]):>8.2f}{middle - median(taken[name]):>8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
