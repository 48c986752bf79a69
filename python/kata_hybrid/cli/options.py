"""Option tables and the parser for them, with the habits of Go's flag package that engines rely on.

``--name value``, ``--name=value`` and the same with one dash; a flag takes ``=true`` or ``=false`` too; of
repeated options the last counts unless the table says that they collect; ``--`` ends the options.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NamedTuple
else:
    from kata_hybrid._record import NamedTuple

FLAG = "flag"
VALUE = "value"
MANY = "many"

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


class UsageError(Exception):
    """A command line that does not fit the table; the text is what the user sees."""


class Option(NamedTuple):
    """One option; ``names`` without dashes, the first is the key."""

    names: tuple[str, ...]
    kind: str = VALUE
    help: str = ""


class Parsed(NamedTuple):
    """Options by key, and the words that are none."""

    values: dict[str, list[str]]
    words: list[str]

    def flag(self, name: str) -> bool:
        """The flag is set."""
        return self.values.get(name, ["false"])[-1] == "true"

    def value(self, name: str) -> str | None:
        """The last value given, None when there is none."""
        given = self.values.get(name)
        return given[-1] if given else None

    def many(self, name: str) -> list[str]:
        """All values given, in order."""
        return self.values.get(name, [])

    def number(self, name: str, default: int = 0) -> int:
        """A decimal number.

        Raises:
            UsageError: it is none.
        """
        text = self.value(name)
        if text is None:
            return default
        try:
            return int(text)
        except ValueError:
            raise UsageError(f'invalid value "{text}" for flag -{name}: parse error') from None


def parse(args: Sequence[str], table: Sequence[Option], *, stop_at_word: bool = False) -> Parsed:
    """Parse ``args``.

    Args:
        args: without the program's and the verb's name.
        table: the options that exist; ``help`` is always there.
        stop_at_word: everything from the first word on is words, whatever it looks like.

    Raises:
        UsageError: an unknown option, a missing value, or a flag with a value that is no boolean.
    """
    known = {name: option for option in (*table, HELP) for name in option.names}
    values: dict[str, list[str]] = {}
    words: list[str] = []
    rest = list(args)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if len(word) < 2 or not word.startswith("-"):
            words.append(word)
            if stop_at_word:
                words += rest
                break
            continue
        option, value = _lookup(word, known)
        if value is None:
            value = _take(option, word, rest)
        elif option.kind == FLAG:
            value = boolean(value, option.names[0])
        values.setdefault(option.names[0], []).append(value)
    return Parsed(values, words)


HELP = Option(("help", "h"), FLAG, "show help")


def _lookup(word: str, known: dict[str, Option]) -> tuple[Option, str | None]:
    name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
    if name not in known:
        raise UsageError(f"flag provided but not defined: -{name}")
    return known[name], value if equals else None


def _take(option: Option, word: str, rest: list[str]) -> str:
    if option.kind == FLAG:
        return "true"
    if not rest:
        raise UsageError(f"flag needs an argument: -{word.lstrip('-')}")
    return rest.pop(0)


def boolean(text: str, name: str) -> str:
    """``true`` or ``false`` for each way to write them.

    Raises:
        UsageError: none of those.
    """
    if text in _TRUE:
        return "true"
    if text in _FALSE:
        return "false"
    raise UsageError(f'invalid boolean value "{text}" for -{name}: parse error')


def usage(program: str, verb: str, words: str, table: Sequence[Option]) -> str:
    """The help text of a verb."""
    lines = [f"USAGE:\n   {program} {verb} [options] {words}".rstrip(), "", "OPTIONS:"]
    for option in (*table, HELP):
        names = ", ".join(("--" if len(name) > 1 else "-") + name for name in option.names)
        value = "" if option.kind == FLAG else " value"
        lines.append(f"   {names + value:<36} {option.help}".rstrip())
    return "\n".join(lines)


def check_arity(verb: str, words: Sequence[str], low: int, high: int | None) -> None:
    """Raise unless there are ``low`` to ``high`` words (None: any number).

    Raises:
        UsageError: with the text that engines know.
    """
    if low == high and len(words) != low:
        raise UsageError(f'"{verb}" requires exactly {low} argument(s)')
    if len(words) < low:
        raise UsageError(f'"{verb}" requires a minimum of {low} argument(s)')
    if high is not None and len(words) > high:
        raise UsageError(f'"{verb}" requires a maximum of {high} argument(s)')
