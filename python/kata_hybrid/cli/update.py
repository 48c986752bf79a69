"""``update``: change the limits of a container."""

from __future__ import annotations

import re
import sys

from .options import Option
from .texts import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .context import Context
    from .options import Parsed

WORDS = "<container-id>"
ARITY = (1, 1)

SIZES: dict[str, tuple[str, str]] = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
}
NUMBERS: dict[str, tuple[str, str]] = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "pids-limit": ("pids", "limit"),
}
WORD_FIELDS: dict[str, tuple[str, str]] = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
IGNORED = ("kernel-memory", "kernel-memory-tcp")
REFUSED = ("l3-cache-schema", "mem-bw-schema")

OPTIONS: tuple[Option, ...] = (
    Option(
        ("resources", "r"), help="file with the resources object, - for stdin; other options do not count"
    ),
    *(Option((name,), help="bytes, with k, m or g; -1 is unlimited") for name in SIZES),
    *(Option((name,), help="a number") for name in NUMBERS),
    *(Option((name,), help="a list such as 0-2,4") for name in WORD_FIELDS),
    *(Option((name,), help="ignored: the kernel has no such limit any more") for name in IGNORED),
    *(Option((name,), help="not supported") for name in REFUSED),
)

_SIZE = re.compile(r"(-?\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}


def run(context: Context, given: Parsed) -> int:
    """Apply the given limits; all others keep their value."""
    from ..oci import parse_resources

    for name in IGNORED:
        if given.value(name) is not None:
            context.journal.warning(f"--{name} is ignored")
    path = given.value("resources")
    if path is None:
        resources = parse_resources(from_options(given))
    elif path == "-":
        resources = parse_resources(sys.stdin.buffer.read())
    else:
        with open(path, "rb") as file:
            resources = parse_resources(file.read())
    context.runtime().load(given.words[0]).update(resources)
    return 0


def from_options(given: Parsed) -> dict[str, object]:
    """The resources object that the options spell.

    Raises:
        CommandError: a value that cannot be read, or an option that is not supported.
    """
    result: dict[str, dict[str, object]] = {}
    for name in REFUSED:
        if given.value(name):
            raise CommandError(f"--{name} is not supported: there is no Intel RDT here")
    for table, read in ((SIZES, size), (NUMBERS, number)):
        for name, (group, key) in table.items():
            text = given.value(name)
            if text:
                result.setdefault(group, {})[key] = read(text, name)
    for name, (group, key) in WORD_FIELDS.items():
        text = given.value(name)
        if text:
            result.setdefault(group, {})[key] = text
    return dict(result)


def number(text: str, name: str) -> int:
    """A decimal number.

    Raises:
        CommandError: it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise CommandError(f"invalid value for {name}: {text}") from None


def size(text: str, name: str) -> int:
    """Bytes, with an optional binary unit; ``-1`` is unlimited.

    Raises:
        CommandError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise CommandError(f"invalid value for {name}: invalid size: '{text}'")
    value = float(match[1]) if "." in match[1] else int(match[1])
    return int(value * (1 << _UNITS[match[2].lower()]))
