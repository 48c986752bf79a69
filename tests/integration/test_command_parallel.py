"""Several commands on one root at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command

SLEEP = ["sleep", "1000"]


def test_many_at_once(command: Command, container_id: str, make_bundle: Callable[..., Path]) -> None:
    """Commands for different ids on one root do not disturb each other."""
    bundle = make_bundle(SLEEP)

    def life(number: int) -> None:
        name = f"{container_id}-{number}"
        command("create", "--bundle", bundle, name)
        command("start", name)
        command("delete", "--force", name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(life, range(24)))
    assert not list(command.root.iterdir())


def test_one_of_many_gets_the_id(
    command: Command, container_id: str, make_bundle: Callable[..., Path]
) -> None:
    """The losers' attempts leave the winner's container untouched."""
    bundle = make_bundle(SLEEP)

    def attempt(_: int) -> int:
        return command("create", "--bundle", bundle, container_id, status=None).code

    with ThreadPoolExecutor(8) as pool:
        codes = sorted(pool.map(attempt, range(8)))
    assert codes == [0] + [1] * 7
    command("start", container_id)
    assert command.status(container_id) == "running"
