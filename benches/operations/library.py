"""The library, beside the floor, the commands of the peers, and bubblewrap."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benches.model import Contender, Operation, Usage
from benches.operations import lifecycle
from benches.operations.setting import TRUE
from benches.spawner import ENVIRONMENT, PeerFailedError, stop

if TYPE_CHECKING:
    from benches.operations.setting import Setting
    from benches.peers import Runtime

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
LIST_SIZES: Final = (1, 100, 1000)
SMALL_MIB, LARGE_MIB = 0, 1024


def operations(setting: Setting) -> list[Operation]:
    place = setting.place
    runtimes: list[Runtime] = [setting.library, *setting.commands]
    make = partial(lifecycle.operation, setting)
    table = {
        "run-plain": ("run without a filter", lifecycle.run_plain_contender),
        "run-next": ("run of another configuration each time", lifecycle.run_next_contender),
        "run-new": ("run of another configuration and filter each time", lifecycle.run_new_contender),
        "create": ("create", lifecycle.create_contender),
        "start": ("start", lifecycle.start_contender),
        "kill": ("kill", lifecycle.kill_contender),
        "delete": ("delete of an ended container", lifecycle.delete_contender),
    }
    found: list[Operation] = []
    if place.wants("run"):
        extra = _floor_and_bubblewrap(setting)
        title = "run, wait and delete of true"
        found.append(make("run", title, runtimes, lifecycle.run_contender, extra=extra, parallel=True))
    if place.wants("exec"):
        title = "exec and wait of true"
        found.append(make("exec", title, runtimes, lifecycle.exec_contender, residents_each=1, parallel=True))
    if place.wants("exec-plain"):
        title, plain = "exec and wait of true, without a filter", lifecycle.exec_contender
        found.append(make("exec-plain", title, runtimes, plain, residents_each=1, filtered=False, idle=False))
    if place.wants("run-large"):
        found.append(run_large(setting))
    for name, (title, build) in table.items():
        if place.wants(name):
            found.append(make(name, title, runtimes, build, idle=name in ("run-plain", "run-next", "create")))
    if place.wants("state"):
        found.append(
            make("state", "state", runtimes, lifecycle.state_contender, residents_each=1, idle=False)
        )
    found += [_list(setting, size) for size in LIST_SIZES if place.wants(f"list-{size}")]
    return found


def _floor_and_bubblewrap(setting: Setting) -> list[Contender]:
    floor, bubblewrap = setting.floor, setting.bubblewrap
    extra = [Contender(floor.name, floor.once, floor.usage)]
    if bubblewrap is not None:
        bundle = setting.bundle(bubblewrap.name, TRUE, 0)
        once = lambda _: bubblewrap.run(bundle)  # noqa: E731
        # Its filter comes by a descriptor whose offset two of them would share.
        extra.append(Contender(bubblewrap.name, once, bubblewrap.usage, parallel=False))
    return extra


def _list(setting: Setting, size: int) -> Operation:
    """All of one size, so that a thousand containers are made only where they are asked for."""
    runtimes: list[Runtime] = [setting.library, *setting.commands]
    if setting.place.short and size > 100:
        runtimes = [setting.library]
    return lifecycle.operation(
        setting,
        f"list-{size}",
        f"list of {size} containers" if size > 1 else "list of 1 container",
        runtimes,
        lifecycle.list_contender,
        residents_each=size,
        filtered=False,  # making them is not what is measured
        idle=False,
        repetitions=10 if size > 100 else 30,
    )


class Worker:
    """An interpreter of its own that runs containers of one bundle and times itself.

    Args:
        ballast_mib: memory that it holds, touched.
    """

    def __init__(self, setting: Setting, name: str, ballast_mib: int) -> None:
        self.name = name
        bundle = setting.bundle(name, TRUE, 0)
        root = setting.place.directory / f"{name.replace(' ', '-')}-root"
        words = [sys.executable, "-m", "benches.operations.worker", str(root), str(bundle.directory)]
        self._process = subprocess.Popen(
            [*words, str(ballast_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            cwd=_REPOSITORY,
            process_group=0,  # an interrupt is for us, who stop it in order
        )
        setting.place.stack.callback(stop, self._process)
        self._usage = Usage(0.0, 0)
        self._answer()

    def once(self, number: int) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        if len(words) != 3:
            raise PeerFailedError(f"{self.name}: the worker ended; its words are on stderr")
        self._usage = Usage(float(words[1]), int(words[2]))
        return float(words[0])

    def usage(self) -> Usage:
        return self._usage


def run_large(setting: Setting) -> Operation:
    """The second contender stands in for the peer: the ratio is large over small."""
    large = Worker(setting, "library 1 GiB", LARGE_MIB)
    small = Worker(setting, "small process", SMALL_MIB)
    return Operation(
        "run-large",
        "run from a process of 1 GiB",
        [
            Contender(large.name, large.once, large.usage, parallel=False),
            Contender(small.name, small.once, small.usage, parallel=False, ours=False),
        ],
        idle=False,
    )
