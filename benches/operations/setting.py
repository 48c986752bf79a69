"""What all operations stand on: bundles by contender, the library as a runtime, the peers that are there."""

from __future__ import annotations

import itertools
import resource
import shutil
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kata_hybrid import Runtime as LibraryRuntime
from kata_hybrid import Stdio
from kata_hybrid.oci.config import Syscall, SyscallArg

from benches.bundle import (
    Bundle,
    docker_spec,
    make_rootfs,
    remove_cgroups,
    remove_stale_cgroups,
    write_bundle,
)
from benches.floor_script import build_floor
from benches.model import Usage
from benches.peers import Bubblewrap, Floor, RuntimeCommand
from benches.seccomp_profile import docker_profile
from benches.spawner import Spawner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kata_hybrid.runtime import Container

    from benches.model import Place

POOL: Final = 4
"""Bundles of one kind per contender: as many containers of it may be there at a time. Fewer than a runtime
might remember, so that all of them are remembered by one that remembers any."""
TRUE: Final = ("/bin/true",)
SLEEP: Final = ("/bin/sleep", "100000")
WAIT_SECONDS: Final = 20.0


class Setting:
    """Of one run. Dear things are made when an operation first asks for them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.rootfs = make_rootfs(place.directory)
        self._numbers = itertools.count()
        self._pools: dict[tuple[str, tuple[str, ...], bool], list[Bundle]] = {}
        remove_stale_cgroups()
        place.stack.callback(remove_cgroups)

    def bundle(self, contender: str, args: Sequence[str], number: int, *, filtered: bool = True) -> Bundle:
        """One of a contender's bundles for ``args``; the next number has another one."""
        key = (contender, tuple(args), filtered)
        pool = self._pools.get(key)
        if pool is None:
            stem = f"{contender}-{Path(args[0]).name}" + ("" if filtered else "-plain")
            pool = [self.new_bundle(f"{stem}-{i}", args, filtered=filtered) for i in range(POOL)]
            self._pools[key] = pool
        return pool[number % POOL]

    def new_bundle(
        self, name: str, args: Sequence[str], *, filtered: bool = True, own_filter: int = 0
    ) -> Bundle:
        """A bundle of its own with a cgroup of its own.

        Args:
            filtered: with docker's filter.
            own_filter: other than 0, with one more rule that no other bundle has.
        """
        name = name.replace(" ", "-")
        spec = docker_spec(self.rootfs, args, cgroup=name)
        profile = spec.linux.seccomp if filtered else None
        if profile is not None and own_filter:
            known = SyscallArg(0, own_filter, "SCMP_CMP_EQ")
            rule = Syscall(("personality",), "SCMP_ACT_ALLOW", args=(known,))
            profile = replace(profile, syscalls=(*profile.syscalls, rule))
        spec = replace(spec, linux=replace(spec.linux, seccomp=profile))
        return write_bundle(self.place.directory / "bundles" / name, spec)

    def fresh_directory(self, name: str) -> Path:
        """A path that nothing has been at."""
        return self.place.directory / f"{name}-{next(self._numbers)}"

    def remove_bundle(self, bundle: Bundle) -> None:
        shutil.rmtree(bundle.directory, ignore_errors=True)

    @cached_property
    def library(self) -> Library:
        return Library("library", self.place.directory / "library-root")

    @cached_property
    def command(self) -> RuntimeCommand:
        """Our console script, which lies beside the interpreter it was installed for."""
        script = Path(sys.executable).with_name("kata-hybrid")
        if not script.exists():
            raise FileNotFoundError(f"{script} is missing: the package is not installed for this interpreter")
        return RuntimeCommand("command", [str(script)], self.place.directory, self.spawner)

    @cached_property
    def commands(self) -> list[RuntimeCommand]:
        """The peers with runc's verbs."""
        peers = self.place.peers
        return [
            RuntimeCommand(name, [str(peers[name])], self.place.directory, self.spawner)
            for name in ("crun", "runc", "youki")
            if name in peers
        ]

    @cached_property
    def floor_program(self) -> Path:
        """Up to date where there is cargo; else the one that was found. Without it nothing can be measured.

        Raises:
            FileNotFoundError: neither cargo nor a floor is here.
            RuntimeError: it does not build.
        """
        try:
            return build_floor()
        except FileNotFoundError:
            if "floor" in self.place.peers:
                return self.place.peers["floor"]
            raise

    @cached_property
    def spawner(self) -> Spawner:
        return Spawner(self.floor_program, self.place.directory / "commands.stderr", self.place.stack)

    @cached_property
    def bubblewrap(self) -> Bubblewrap | None:
        path = self.place.peers.get("bwrap")
        if path is None:
            return None
        return Bubblewrap(path, self.floor_program, docker_profile(), self.place.directory, self.place.stack)

    @cached_property
    def floor(self) -> Floor:
        bundles = [self.bundle("floor", TRUE, number) for number in range(2)]
        return Floor(self.floor_program, bundles, self.place.directory, self.place.stack)


class Library:
    """``kata_hybrid.Runtime`` in this process, as a runtime among others."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.runtime = LibraryRuntime(str(root))
        self._held: dict[str, Container] = {}

    def run(self, container_id: str, bundle: Bundle) -> None:
        container = self.runtime.run(container_id, bundle=str(bundle.directory), stdio=Stdio.null())
        status = container.wait(WAIT_SECONDS)
        container.delete()
        if status.status != 0:
            raise RuntimeError(f"{container_id} ended with {status}")

    def launch(self, container_id: str, bundle: Bundle) -> None:
        self._held[container_id] = self.runtime.run(
            container_id, bundle=str(bundle.directory), stdio=Stdio.null()
        )

    def create(self, container_id: str, bundle: Bundle) -> None:
        self._held[container_id] = self.runtime.create(
            container_id, bundle=str(bundle.directory), stdio=Stdio.null()
        )

    def container(self, container_id: str) -> Container:
        """One that was launched or created here."""
        return self._held[container_id]

    def start(self, container_id: str) -> None:
        self._held[container_id].start()

    def execute(self, container_id: str) -> None:
        status = self._held[container_id].exec(["true"], stdio=Stdio.null()).wait(WAIT_SECONDS)
        if status.status != 0:
            raise RuntimeError(f"exec in {container_id} ended with {status}")

    def kill(self, container_id: str) -> None:
        self._held[container_id].kill("KILL")

    def await_end(self, container_id: str) -> None:
        self._held[container_id].wait(WAIT_SECONDS)

    def state(self, container_id: str) -> None:
        self.runtime.load(container_id).state()

    def list_all(self) -> None:
        self.runtime.list()

    def delete(self, container_id: str, *, force: bool = False) -> None:
        self._held.pop(container_id).delete(force=force)

    def usage(self) -> Usage:
        """Of this process and what it has waited for; the harness takes the difference around one call."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        return Usage(cpu, own.ru_maxrss)
