"""Many at once: ends, launches, waiters."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.runtime import Container, ExitStatus, Runtime, Stdio
from kata_hybrid.runtime.aio import AsyncRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()
KILLED = ExitStatus(0, signal.SIGKILL)


@pytest.mark.timeout(120)
def test_two_hundred_ends_at_once(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    processes = [container.exec(SLEEP, stdio=NULL) for _ in range(200)]
    container.kill("KILL")
    assert [process.wait(20) for process in processes] == [KILLED] * 200
    assert container.wait(20) == KILLED
    container.delete()


@pytest.mark.timeout(120)
def test_two_hundred_ends_at_once_in_a_loop(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with AsyncRuntime(runtime=runtime) as aio:
            container = await aio.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
            processes = [await container.exec(SLEEP, stdio=NULL) for _ in range(200)]
            waiting = asyncio.gather(*(process.wait() for process in processes))
            await container.kill("KILL")
            assert await asyncio.wait_for(waiting, 30) == [KILLED] * 200
            await container.delete(force=True)

    asyncio.run(main())


@pytest.mark.timeout(120)
def test_two_threads_launch_beside_each_other(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    failures: list[BaseException] = []
    fds = len(os.listdir("/proc/self/fd"))

    def work(name: str, code: int) -> None:
        try:
            for number in range(15):
                spec = make_spec(["sh", "-c", f"echo {name}; exit {code}"])
                container = runtime.run(f"{container_id}-{name}{number}", spec=spec, stdio=Stdio.pipes())
                assert container.init.stdout is not None
                assert container.init.stdout.read(timeout=20) == f"{name}\n".encode()
                assert container.wait(20) == ExitStatus(code, 0)
                container.delete()
                container.init.close_streams()
        except BaseException as err:  # noqa: BLE001 - shown by the main thread
            failures.append(err)

    threads = [threading.Thread(target=work, args=each) for each in (("a", 3), ("b", 4))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(os.listdir("/proc/self/fd")) == fds


@pytest.mark.timeout(120)
def test_one_container_is_asked_by_many_threads(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    """Exec, pause, state and wait at the same time: each gets its own answer."""
    container = runtime.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
    failures: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            for _ in range(10):
                assert container.exec(["sh", "-c", f"exit {number}"], stdio=NULL).wait(20).code == number
                _looks_alive(container)
        except BaseException as err:  # noqa: BLE001 - shown by the main thread
            failures.append(err)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    container.delete(force=True)


def _looks_alive(container: Container) -> None:
    assert container.init.pid in container.processes()
    assert container.state().pid == container.init.pid
