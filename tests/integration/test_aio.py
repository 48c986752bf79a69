"""The asyncio front: same rules, nothing blocks the loop, cancellation leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid.errors import ContainerNotFound, LaunchError
from kata_hybrid.runtime import ExitStatus, Runtime, Status, Stdio, Stream
from kata_hybrid.runtime.aio import AsyncRuntime

if TYPE_CHECKING:
    from collections.abc import Callable

SLEEP = ["sleep", "1000"]
NULL = Stdio.null()


def test_lifecycle(runtime: Runtime, container_id: str, make_spec: Callable[..., Any]) -> None:
    async def main() -> None:
        async with AsyncRuntime(runtime=runtime) as aio:
            container = await aio.create(
                container_id, spec=make_spec(["sh", "-c", "cat; exit 4"]), stdio=Stdio.pipes()
            )
            assert await container.status() is Status.CREATED
            await container.start()
            assert container.init.stdin is not None
            assert container.init.stdout is not None
            await container.init.stdin.awrite(b"through")
            await container.init.close_stdin()
            assert await container.init.stdout.aread() == b"through"
            assert await container.init.stdout.aread() == b""
            assert await container.wait() == ExitStatus(4, 0)
            assert [each.id for each in await aio.list()] == [container_id]
            await container.delete()
            container.init.close_streams()
            with pytest.raises(ContainerNotFound):
                await container.state()

    asyncio.run(main())


def test_eight_tasks_and_a_cancelled_one_wait(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with AsyncRuntime(runtime=runtime, threads=2) as aio:
            container = await aio.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
            tasks = [asyncio.create_task(container.wait()) for _ in range(8)]
            given_up = asyncio.create_task(container.wait())
            await asyncio.sleep(0.05)
            given_up.cancel()
            process = await container.exec(["sh", "-c", "exit 6"], stdio=NULL)
            assert (await process.wait()).code == 6
            await container.pause()
            await container.resume()
            await container.kill("KILL")
            assert await asyncio.gather(*tasks) == [ExitStatus(0, signal.SIGKILL)] * 8
            await container.delete()

    asyncio.run(main())


def test_the_loop_goes_on_while_containers_are_made(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with AsyncRuntime(runtime=runtime) as aio:
            longest = 0.0

            async def tick() -> None:
                nonlocal longest
                while True:
                    before = time.monotonic()
                    await asyncio.sleep(0.001)
                    longest = max(longest, time.monotonic() - before)

            ticker = asyncio.create_task(tick())
            spec = make_spec(["true"])
            containers = await asyncio.gather(
                *(aio.run(f"{container_id}-{n}", spec=spec, stdio=NULL) for n in range(8))
            )
            assert [(await each.wait()).status for each in containers] == [0] * 8
            await asyncio.gather(*(each.delete() for each in containers))
            ticker.cancel()
            assert longest < 1.0

    asyncio.run(main())


def test_cancelled_create_leaves_nothing(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    async def main() -> None:
        for delay in (0.0, 0.001, 0.005, 0.02):
            async with AsyncRuntime(runtime=runtime) as aio:
                task = asyncio.create_task(aio.create(container_id, spec=make_spec(SLEEP), stdio=NULL))
                await asyncio.sleep(delay)
                if not task.cancel():
                    await (await task).delete(force=True)
                else:
                    with pytest.raises(asyncio.CancelledError):
                        await task
            assert not (Path(runtime.root) / container_id).exists()

    asyncio.run(main())


def test_failed_exec_is_the_same_error(
    runtime: Runtime, container_id: str, make_spec: Callable[..., Any]
) -> None:
    async def main() -> None:
        async with AsyncRuntime(runtime=runtime) as aio:
            container = await aio.run(container_id, spec=make_spec(SLEEP), stdio=NULL)
            with pytest.raises(LaunchError) as caught:
                await container.exec(["/missing"], stdio=NULL)
            assert caught.value.errno == 2
            await container.delete(force=True)

    asyncio.run(main())


def test_cancelled_reads_lose_no_byte() -> None:
    async def main() -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        stream = Stream(ours)
        got = bytearray()
        expected = bytearray()
        for number in range(300):
            task = asyncio.create_task(stream.aread(7))
            await asyncio.sleep(0)
            part = number.to_bytes(2, "big")
            os.write(theirs, part)
            expected += part
            if number % 3 == 0:
                await asyncio.sleep(0)
            if number % 2:
                task.cancel()
            try:
                got += await task
            except asyncio.CancelledError:
                continue
        os.close(theirs)
        while part := await stream.aread():
            got += part
        stream.close()
        assert got == expected

    asyncio.run(main())


def test_close_ends_an_async_read() -> None:
    async def main() -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        stream = Stream(ours)
        task = asyncio.create_task(stream.aread())
        await asyncio.sleep(0.01)
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            await task
        os.close(theirs)

    asyncio.run(main())
