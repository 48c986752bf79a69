"""What an agent takes when it does nothing, and after some work; and what a waiting kata-init takes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from benches.agents import CHECK, Agent, private_kb, status_kb
from benches.model import Gauge, Survey
from benches.operations.agent import RESIDENT, TRUE_PROCESS, Agents, writer
from benches.operations.setting import SLEEP
from benches.spawner import PeerFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benches.model import Scale
    from benches.operations.setting import Setting


def surveys(setting: Setting) -> list[Survey]:
    agent = partial(_footprint, Agents(setting))
    init = partial(_waiting_init, setting)
    return [
        Survey("agent-footprint", "agent: memory and threads", agent, short=True, seconds=2),
        Survey("init-footprint", "a waiting kata-init: memory", init, short=True, seconds=0.1),
    ]


def _waiting_init(setting: Setting, say: Callable[[str], None]) -> list[Scale | Gauge]:
    """Between create and start."""
    library = setting.library
    library.create("waiting", setting.bundle(library.name, SLEEP, 0))
    try:
        pid = library.container("waiting").init.pid
        private, resident = private_kb(pid) / 1024, status_kb(pid, "Rss", "smaps_rollup") / 1024
    finally:
        library.delete("waiting", force=True)
    return [
        Gauge("init-private", "waiting kata-init: private memory", library.name, private, "MiB"),
        Gauge("init-rss", "waiting kata-init: resident memory", library.name, resident, "MiB"),
    ]


def _footprint(agents: Agents, say: Callable[[str], None]) -> list[Scale | Gauge]:
    with ExitStack() as stack:
        started = [agents.start_ours(stack)]
        if "go-agent" in agents.setting.place.peers:
            try:
                started.append(agents.start_go(stack))
            except PeerFailedError as error:
                say(str(error))
        return [gauge for agent in started for gauge in _gauges(agents, agent, stack)]


def _gauges(agents: Agents, agent: Agent, stack: ExitStack) -> Iterator[Gauge]:
    def gauge(name: str, title: str, value: float, unit: str) -> Gauge:
        return Gauge(f"agent-{name}", f"agent: {title}", agent.name, value, unit)

    yield gauge("idle-rss", "resident memory when idle", status_kb(agent.pid, "VmRSS") / 1024, "MiB")
    pss = status_kb(agent.pid, "Pss", "smaps_rollup") / 1024
    yield gauge("idle-pss", "proportional memory when idle", pss, "MiB")
    yield gauge("idle-private", "private memory when idle", private_kb(agent.pid) / 1024, "MiB")
    yield gauge("idle-threads", "threads when idle", status_kb(agent.pid, "Threads"), "threads")
    agent.sandbox(f"footprint-{agent.pid}", stack)
    agent.launch(RESIDENT, agents.message(agent, "footprint", SLEEP), stack)
    for number in range(100):
        agent.execute(RESIDENT, f"exec{number}", TRUE_PROCESS)
        agent.wait(RESIDENT, f"exec{number}")
    yield gauge("used-rss", "resident memory after 100 execs", status_kb(agent.pid, "VmRSS") / 1024, "MiB")
    yield gauge("used-threads", "threads after 100 execs", status_kb(agent.pid, "Threads"), "threads")
    yield gauge("client-cpu", "the client's own CPU per call", _client_ms(agent), "ms")
    yield gauge("client-cpu-mib", "the client's own CPU per MiB of stdout", _client_ms_per_mib(agent), "ms")


def _client_ms_per_mib(agent: Agent, mib: int = 16) -> float:
    agent.execute(RESIDENT, "out", writer(mib))
    before = time.thread_time()
    agent.read_stdout(RESIDENT, "out", mib << 20)
    taken = time.thread_time() - before
    agent.wait(RESIDENT, "out")
    return taken / mib * 1000


def _client_ms(agent: Agent, calls: int = 300) -> float:
    before = time.thread_time()
    for _ in range(calls):
        agent.client.call(CHECK)
    return (time.thread_time() - before) / calls * 1000
