"""``list``: the containers below the root directory."""

from __future__ import annotations

import os
import pwd

from .. import _json
from .context import write_out
from .options import FLAG, Option
from .state import state_object
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .context import Context
    from .options import Parsed

WORDS = ""
OPTIONS: tuple[Option, ...] = (
    Option(("format", "f"), help="table or json (default: table)"),
    Option(("quiet", "q"), FLAG, "only the ids"),
)
ARITY = (0, 0)

HEADER = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
_KEYS = ("id", "pid", "status", "bundle", "created", "owner")
_LEAST_WIDTH = 12
_GAP = 3


def run(context: Context, given: Parsed) -> int:
    """Print a table, or one JSON array on one line (``null`` when empty)."""
    form = given.value("format") or "table"
    if form not in {"table", "json"}:
        raise CommandError("invalid format option")
    states = context.runtime().list()
    _tell_left_out(context.root, {state.id for state in states})
    if given.flag("quiet"):
        write_out("".join(f"{state.id}\n" for state in states))
        return 0
    objects = [state_object(state, _owner(os.path.join(context.root, state.id))) for state in states]
    if form == "json":
        compact = _json.dumps(objects or None, ensure_ascii=False)
        write_out(compact + "\n")
    else:
        write_out(table([HEADER, *(tuple(str(item[key]) for key in _KEYS) for item in objects)]))
    return 0


def _tell_left_out(root: str, listed: Collection[str]) -> None:
    """Name the directories that are no container, as runc does: they may be what a killed create left."""
    try:
        with os.scandir(root) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return
    for name in found:
        if name not in listed:
            message = f"load container {name}: container does not exist\n"
            os.write(2, message.encode("utf-8", "surrogateescape"))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns at least 12 wide with three spaces between; the last one is not padded."""
    widths = [max(_LEAST_WIDTH, max(map(len, column)) + _GAP) for column in zip(*rows, strict=True)]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1]
        for row in rows
    )
    return "".join(line + "\n" for line in lines)


def _owner(directory: str) -> str:
    """The name of the user that the state directory belongs to, ``#uid`` when it has none."""
    try:
        uid = os.stat(directory).st_uid
    except FileNotFoundError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
