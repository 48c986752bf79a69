"""A container's life, verb by verb, for any runtime: library, command and peers alike."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benches.model import Contender, Operation
from benches.operations.setting import SLEEP, TRUE
from benches.peers import undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benches.bundle import Bundle
    from benches.operations.setting import Setting
    from benches.peers import Runtime

    Build = Callable[[Setting, Runtime], Contender]


def run_contender(setting: Setting, runtime: Runtime) -> Contender:
    """From nothing to nothing: ``true`` has run."""

    def once(number: int) -> float | None:
        return runtime.run(f"run{number}", setting.bundle(runtime.name, TRUE, number))

    return Contender(runtime.name, once, runtime.usage)


def run_plain_contender(setting: Setting, runtime: Runtime) -> Contender:
    """As run, without a filter, which the peers' library takes milliseconds to compile."""

    def once(number: int) -> float | None:
        return runtime.run(f"plain{number}", setting.bundle(runtime.name, TRUE, number, filtered=False))

    return Contender(runtime.name, once, runtime.usage)


def run_next_contender(setting: Setting, runtime: Runtime) -> Contender:
    """As run, of a ``config.json`` never seen before with the usual filter: what an engine asks for."""
    return _run_of_others(setting, runtime, "next", own_filter=False)


def run_new_contender(setting: Setting, runtime: Runtime) -> Contender:
    """As run, of a configuration and a filter never seen before: nothing that was kept helps."""
    return _run_of_others(setting, runtime, "new", own_filter=True)


def _run_of_others(setting: Setting, runtime: Runtime, word: str, *, own_filter: bool) -> Contender:
    bundles: dict[int, Bundle] = {}

    def once(number: int) -> float | None:
        return runtime.run(f"{word}{number}", bundles[number])

    def before(number: int) -> None:
        name = f"{runtime.name}-{word}{number}"
        bundles[number] = setting.new_bundle(name, TRUE, own_filter=number if own_filter else 0)

    def after(number: int) -> None:
        setting.remove_bundle(bundles.pop(number))

    return Contender(runtime.name, once, runtime.usage, before, after)


def create_contender(setting: Setting, runtime: Runtime) -> Contender:
    def once(number: int) -> float | None:
        return runtime.create(f"create{number}", setting.bundle(runtime.name, SLEEP, number))

    def after(number: int) -> None:
        runtime.delete(f"create{number}", force=True)

    return Contender(runtime.name, once, runtime.usage, after=after)


def start_contender(setting: Setting, runtime: Runtime) -> Contender:
    def before(number: int) -> None:
        runtime.create(f"start{number}", setting.bundle(runtime.name, SLEEP, number))

    def once(number: int) -> float | None:
        return runtime.start(f"start{number}")

    def after(number: int) -> None:
        runtime.delete(f"start{number}", force=True)

    return Contender(runtime.name, once, runtime.usage, before, after)


def kill_contender(setting: Setting, runtime: Runtime) -> Contender:
    def before(number: int) -> None:
        runtime.launch(f"kill{number}", setting.bundle(runtime.name, SLEEP, number))

    def once(number: int) -> float | None:
        return runtime.kill(f"kill{number}")

    def after(number: int) -> None:
        undo(partial(runtime.await_end, f"kill{number}"))
        runtime.delete(f"kill{number}", force=True)

    return Contender(runtime.name, once, runtime.usage, before, after)


def delete_contender(setting: Setting, runtime: Runtime) -> Contender:
    """Of a container that has ended."""

    def before(number: int) -> None:
        runtime.launch(f"delete{number}", setting.bundle(runtime.name, SLEEP, number))
        runtime.kill(f"delete{number}")
        runtime.await_end(f"delete{number}")

    def once(number: int) -> float | None:
        return runtime.delete(f"delete{number}")

    return Contender(runtime.name, once, runtime.usage, before)


def exec_contender(_: Setting, runtime: Runtime) -> Contender:
    return Contender(runtime.name, lambda _: runtime.execute("resident"), runtime.usage)


def state_contender(_: Setting, runtime: Runtime) -> Contender:
    return Contender(runtime.name, lambda _: runtime.state("resident"), runtime.usage)


def list_contender(_: Setting, runtime: Runtime) -> Contender:
    return Contender(runtime.name, lambda _: runtime.list_all(), runtime.usage)


@contextmanager
def residents(
    setting: Setting, runtimes: Sequence[Runtime], count: int = 1, filtered: bool = True
) -> Iterator[None]:
    """``count`` running containers of each runtime; the first is called ``resident``."""
    made: list[tuple[Runtime, str]] = []
    try:
        for runtime in runtimes:
            for index in range(count):
                name = f"resident{index}" if index else "resident"
                bundle = setting.new_bundle(f"{runtime.name}-{name}", SLEEP, filtered=filtered)
                made.append((runtime, name))
                runtime.launch(name, bundle)
        yield
    finally:
        for runtime, name in made:
            undo(partial(runtime.kill, name))
        for runtime, name in made:
            # Of one that still runs runc's forced delete takes a tenth of a second.
            undo(partial(runtime.await_end, name))
            undo(partial(runtime.delete, name, force=True))


def operation(
    setting: Setting,
    name: str,
    title: str,
    runtimes: Sequence[Runtime],
    build: Build,
    *,
    extra: Sequence[Contender] = (),
    residents_each: int = 0,
    filtered: bool = True,
    idle: bool = True,
    parallel: bool = False,
    repetitions: int = 0,
) -> Operation:
    """One operation of all ``runtimes``, ours first; ``extra`` contenders come last.

    Args:
        residents_each: running containers of each runtime that are there meanwhile.
        filtered: those have docker's filter.
    """
    contenders = [build(setting, runtime) for runtime in runtimes]
    within = partial(residents, setting, runtimes, residents_each, filtered) if residents_each else None
    return Operation(
        name,
        title,
        [*contenders, *extra],
        idle=idle,
        parallel=parallel,
        repetitions=repetitions,
        within=within,
    )
