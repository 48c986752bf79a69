"""``features``: what this runtime does, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .context import Context
    from .options import Option, Parsed

WORDS = ""
OPTIONS: tuple[Option, ...] = ()
ARITY = (0, 0)


def run(context: Context, given: Parsed) -> int:
    """Print the document, indented by four."""

    return 0
