"""``ps``: the host's ``ps`` output, only the lines of the container's processes."""

from __future__ import annotations

import json
import subprocess

from .context import write_out
from .options import Option
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .context import Context
    from .options import Parsed

WORDS = "<container-id> [ps options]"
OPTIONS: tuple[Option, ...] = (Option(("format", "f"), help="table or json (default: table)"),)
ARITY = (1, None)
STOP_AT_WORD = True


def run(context: Context, given: Parsed) -> int:
    """Print a table, or the pids as a JSON array (``null`` when there are none)."""
    form = given.value("format") or "table"
    if form not in {"table", "json"}:
        raise CommandError("invalid format option")
    pids = context.runtime().load(given.words[0]).processes()
    if form == "json":
        write_out(json.dumps(sorted(pids) or None, separators=(",", ":")) + "\n")
        return 0
    listed = subprocess.run(
        ["ps", *(given.words[1:] or ["-ef"])],
        capture_output=True,
        check=False,
        text=True,
        errors="surrogateescape",
    )
    if listed.returncode != 0:
        raise CommandError(f"exit status {listed.returncode}: {listed.stderr.strip()}")
    write_out(filtered(listed.stdout, set(pids)))
    return 0


def filtered(output: str, pids: Collection[int]) -> str:
    """The header and the lines whose ``PID`` column is one of ``pids``.

    Raises:
        CommandError: there is no such column, or a line has no number in it.
    """
    lines = output.splitlines()
    header = lines[0].split() if lines else []
    if "PID" not in header:
        raise CommandError("couldn't find PID field in ps output")
    place = header.index("PID")
    kept = [lines[0]]
    for line in lines[1:]:
        fields = line.split()
        if not fields or len(fields) <= place:
            continue
        if not fields[place].isdecimal():
            raise CommandError(f"unable to parse pid: {fields[place]}")
        if int(fields[place]) in pids:
            kept.append(line)
    return "".join(line + "\n" for line in kept)
