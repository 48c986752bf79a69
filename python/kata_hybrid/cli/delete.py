"""``delete``: remove a container and all that belongs to it."""

from __future__ import annotations

from .options import FLAG, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context
    from .options import Parsed

WORDS = "<container-id>"
OPTIONS: tuple[Option, ...] = (Option(("force", "f"), FLAG, "kill it first; no error when it is not there"),)
ARITY = (1, 1)


def run(context: Context, given: Parsed) -> int:
    """A stopped or created container goes; a running one only with ``--force``."""
    context.runtime().delete(given.words[0], force=given.flag("force"))
    return 0
