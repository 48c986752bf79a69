"""Blocking calls beside the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest
from kata_hybrid.agent.core.workers import Workers


def run(body: object) -> None:
    asyncio.run(asyncio.wait_for(body, 20))  # type: ignore[arg-type]


def test_results_and_errors_come_back() -> None:
    async def body() -> None:
        workers = Workers()
        assert await workers.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 7, 0)
        await workers.close()

    run(body())


def test_calls_run_side_by_side_up_to_the_limit() -> None:
    async def body() -> None:
        workers = Workers(limit=4)
        together = threading.Barrier(4)
        await asyncio.gather(*(workers.run(together.wait, 10) for _ in range(8)))
        names = await asyncio.gather(
            *(workers.run(lambda: threading.current_thread().name) for _ in range(50))
        )
        assert set(names) <= {f"agent-{number}" for number in range(4)}
        await workers.close()

    run(body())


def test_one_call_at_a_time_needs_one_thread() -> None:
    async def body() -> None:
        workers = Workers()
        names = {await workers.run(lambda: threading.current_thread().name) for _ in range(20)}
        assert names == {"agent-0"}
        await workers.close()

    run(body())


def test_a_call_whose_caller_left_is_carried_to_its_end() -> None:
    async def body() -> None:
        workers = Workers()
        go_on, told = threading.Event(), []
        calling = asyncio.ensure_future(workers.run(go_on.wait, 10, then=told.append))
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        go_on.set()
        await workers.close()
        assert told == [True]

    run(body())
