"""``start``: Run the program of a created container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context
    from .options import Option, Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = ()
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """Run the program of a created container. Prints nothing."""
    context.runtime().load(given.words[0]).start()
    return 0
