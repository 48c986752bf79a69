"""The guest agent over a unix socket, beside a Go agent if one is given.

The yardsticks are ``runc run`` and the library in the same interleaving, on the container that a Kata host
asks for: no filter, device rules or cgroup mount, for the guest is the boundary. The client's own share of a
call is the gauge ``agent-client-cpu``.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final

from benches.agents import (
    CHECK,
    Agent,
    oci_message,
    our_agent,
    process_message,
)
from benches.bundle import PATH, Bundle, agent_spec, docker_spec, write_bundle
from benches.model import Contender, Operation
from benches.operations.setting import SLEEP, TRUE
from benches.spawner import PeerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from kata_hybrid.agent._proto.v1 import oci_pb2 as oci

    from benches.operations.setting import Setting

MIB: Final = 1 << 20
TOGETHER: Final = 64
RESIDENT: Final = "resident"
TRUE_PROCESS: Final = process_message(["/bin/true"], [PATH])


class Agents:
    """The agents of a run, each with a sandbox and a resident container; started when first asked for."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @cached_property
    def all(self) -> list[Agent]:
        """Ours first."""
        found = [self.start_ours(self.setting.place.stack)]
        if "go-agent" in self.setting.place.peers:
            try:
                found.append(self.start_go(self.setting.place.stack))
            except PeerFailedError as error:
                print(f"benches: left out: {error}", file=sys.stderr)
        if "rust-agent" in self.setting.place.peers:
            print("benches: the Rust agent speaks ttRPC, which has no client here: left out", file=sys.stderr)
        for agent in found:
            agent.sandbox(f"bench-{agent.pid}", self.setting.place.stack)
            agent.launch(RESIDENT, self.message(agent, RESIDENT, SLEEP), self.setting.place.stack)
        return found

    def start_ours(self, stack: ExitStack) -> Agent:
        return our_agent(self._directory(), stack)

    def start_go(self, stack: ExitStack) -> Agent:
        return Agent("go-agent", [str(self.setting.place.peers["go-agent"])], self._directory(), stack)

    def _directory(self) -> Path:
        return self.setting.fresh_directory("agent")

    def message(self, agent: Agent, container_id: str, args: Sequence[str]) -> oci.Spec:
        spec = docker_spec(self.setting.rootfs, args, cgroup=f"agent-{agent.pid}-{container_id}")
        return oci_message(agent_spec(spec))

    @cached_property
    def bundle(self) -> Bundle:
        """The yardstick's: as the agent's container, but with the namespaces that one has outside a guest."""
        spec = docker_spec(self.setting.rootfs, TRUE, cgroup="yardstick")
        plain = agent_spec(spec)
        plain = replace(plain, linux=replace(plain.linux, namespaces=spec.linux.namespaces))
        return write_bundle(self.setting.place.directory / "bundles/yardstick", plain)

    def runc_run(self) -> list[Contender]:
        runc = next((each for each in self.setting.commands if each.name == "runc"), None)
        if runc is None:
            return []
        run = runc.run
        return [Contender("runc run", lambda number: run(f"yard{number}", self.bundle), runc.usage)]

    def library_run(self) -> Contender:
        library = self.setting.library
        return Contender("library", lambda number: library.run(f"yard{number}", self.bundle), library.usage)


def operations(setting: Setting) -> list[Operation]:
    agents = Agents(setting)
    table: dict[str, Callable[[Agents], Operation]] = {
        "agent-check": _check,
        "agent-run": _run,
        "agent-create-start": _create_start,
        "agent-exec": _exec,
        "agent-exec-64": _exec_together,
        "agent-stdout-1": partial(_stdout, mib=1),
        "agent-stdout-64": partial(_stdout, mib=64),
        "agent-start": _start,
    }
    return [build(agents) for name, build in table.items() if setting.place.wants(name)]


def _check(agents: Agents) -> Operation:
    def contender(agent: Agent) -> Contender:
        def once(_: int) -> None:
            agent.client.call(CHECK)

        return Contender(agent.name, once, agent.usage, parallel=False)

    return Operation("agent-check", "agent: an empty call (Check)", [contender(a) for a in agents.all])


def _run(agents: Agents) -> Operation:
    def contender(agent: Agent) -> Contender:
        spec = agents.message(agent, "run", TRUE)

        def once(number: int) -> None:
            name = f"run{number}"
            agent.create(name, spec)
            agent.start(name)
            if agent.wait(name) != 0:
                raise RuntimeError(f"{name} ended badly")
            agent.remove(name)

        return Contender(agent.name, once, agent.usage, parallel=False)

    contenders = [contender(agent) for agent in agents.all]
    yardsticks = [*agents.runc_run(), agents.library_run()]
    return Operation("agent-run", "agent: create, start, wait and remove of true", [*contenders, *yardsticks])


def _create_start(agents: Agents) -> Operation:
    def contender(agent: Agent) -> Contender:
        spec = agents.message(agent, "start", SLEEP)

        def once(number: int) -> None:
            agent.create(f"start{number}", spec)
            agent.start(f"start{number}")

        def after(number: int) -> None:
            agent.kill(f"start{number}")
            agent.wait(f"start{number}")
            agent.remove(f"start{number}")

        return Contender(agent.name, once, agent.usage, after=after, parallel=False)

    title = "agent: CreateContainer and StartContainer"
    return Operation("agent-create-start", title, [contender(a) for a in agents.all], idle=False)


def _exec(agents: Agents) -> Operation:
    def contender(agent: Agent) -> Contender:
        def once(number: int) -> None:
            agent.execute(RESIDENT, f"exec{number}", TRUE_PROCESS)
            if agent.wait(RESIDENT, f"exec{number}") != 0:
                raise RuntimeError(f"exec{number} ended badly")

        return Contender(agent.name, once, agent.usage, parallel=False)

    contenders = [contender(agent) for agent in agents.all]
    yardsticks = [*agents.runc_run(), _library_exec(agents)]
    title = "agent: ExecProcess to WaitProcess of true"
    return Operation("agent-exec", title, [*contenders, *yardsticks])


def _library_exec(agents: Agents) -> Contender:
    """In a container of the same kind."""
    library, setting = agents.setting.library, agents.setting
    spec = agent_spec(docker_spec(setting.rootfs, SLEEP, cgroup="library-yard"))
    library.launch("yard", write_bundle(setting.place.directory / "bundles/library-yard", spec))
    setting.place.stack.callback(library.delete, "yard", force=True)
    return Contender("library", lambda _: library.execute("yard"), library.usage)


def _exec_together(agents: Agents) -> Operation:
    def contender(agent: Agent) -> Contender:
        def once(number: int) -> None:
            names = [f"many{number}-{index}" for index in range(TOGETHER)]
            agent.execute_many(RESIDENT, names, TRUE_PROCESS)

        return Contender(agent.name, once, agent.usage, parallel=False)

    contenders = [*(contender(agent) for agent in agents.all), *agents.runc_run()]
    title = f"agent: {TOGETHER} execs of true at once"
    return Operation("agent-exec-64", title, contenders, idle=False, repetitions=10)


def writer(mib: int) -> oci.Process:
    """Writes so much to its stdout, as fast as it can."""
    return process_message(["/bin/dd", "if=/dev/zero", "bs=1M", f"count={mib}"], [PATH])


def _stdout(agents: Agents, mib: int) -> Operation:
    """From the first ReadStdout to the last byte, in replies of 1 MiB; the writer has filled its pipe."""
    process = writer(mib)

    def contender(agent: Agent) -> Contender:
        def before(number: int) -> None:
            agent.execute(RESIDENT, f"out{number}", process)

        def once(number: int) -> None:
            agent.read_stdout(RESIDENT, f"out{number}", mib * MIB)

        def after(number: int) -> None:
            agent.wait(RESIDENT, f"out{number}")

        return Contender(agent.name, once, agent.usage, before, after, parallel=False)

    return Operation(
        f"agent-stdout-{mib}",
        f"agent: {mib} MiB of stdout",
        [contender(agent) for agent in agents.all],
        unit="MB/s",
        amount=mib * MIB / 1e6,
        idle=False,
        repetitions=10 if mib > 1 else 30,
    )


def _start(agents: Agents) -> Operation:
    """Processes of their own, stopped after each repetition."""
    starts = [("agent v1", agents.start_ours)]
    if "go-agent" in agents.setting.place.peers:
        starts.append(("go-agent", agents.start_go))

    def contender(name: str, start: Callable[[ExitStack], Agent]) -> Contender:
        stack = ExitStack()

        def once(_: int) -> float:
            return start(stack).start_seconds

        return Contender(name, once, after=lambda _: stack.close(), parallel=False)

    contenders = [contender(*each) for each in starts]
    title = "agent: from exec to the first answered Check"
    return Operation("agent-start", title, contenders, idle=False, repetitions=10)
