"""``pause``: Freeze all processes of a container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context
    from .options import Option, Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = ()
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """Freeze all processes of a container. Prints nothing."""
    context.runtime().load(given.words[0]).pause()
    return 0
