"""What the rule modules share: the form of a problem, quoting as in the known texts."""

from __future__ import annotations

from .. import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    Problem = tuple[str, str]
    """(JSON path, what is wrong there)."""


def quoted(text: str) -> str:
    """In double quotes with escapes, clipped to 200 characters, ASCII only."""
    return _json.dumps(text if len(text) <= 200 else text[:200] + "...")
