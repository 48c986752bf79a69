"""``kill``: send a signal to the container's init process."""

from __future__ import annotations

from ..errors import ConfigError
from .options import FLAG, Option
from .texts import CommandError

TYPE_CHECKING = False
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
    container = context.runtime().load(given.words[0])
    try:
        container.kill(signal, all=given.flag("all"))
    except ConfigError as err:
        if signal.isdecimal():  # runc has any number tried by the kernel
            raise CommandError("unable to signal init: invalid argument") from err
        raise
    return 0
