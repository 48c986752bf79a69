"""``kill``: send a signal to the container's init process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .options import FLAG, Option

if TYPE_CHECKING:
    from .context import Context
    from .options import Parsed

WORDS = "<container-id> [signal]"
OPTIONS: tuple[Option, ...] = (Option(("all", "a"), FLAG, "every process of the container"),)
ARITY = (1, 2)
STOP_AT_WORD = True


def run(context: Context, given: Parsed) -> int:
    """The signal is a number or a name with or without ``SIG``; SIGTERM when absent."""
    signal = given.words[1] if len(given.words) > 1 else "TERM"
    context.runtime().load(given.words[0]).kill(signal, all=given.flag("all"))
    return 0
