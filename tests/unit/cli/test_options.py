"""Command lines as engines write them."""

from __future__ import annotations

import pytest
from kata_hybrid.cli.options import FLAG, MANY, Option, UsageError, check_arity, parse

TABLE = (
    Option(("bundle", "b")),
    Option(("detach", "d"), FLAG),
    Option(("env", "e"), MANY),
)


@pytest.mark.parametrize(
    "args",
    [
        ["--bundle", "/x", "-d", "id"],
        ["-bundle=/x", "--detach=true", "id"],
        ["-b", "/x", "id", "-d"],
        ["--b=/y", "-b=/x", "--d=1", "--", "id"],
    ],
)
def test_all_spellings_mean_the_same(args: list[str]) -> None:
    given = parse(args, TABLE)
    assert (given.value("bundle"), given.flag("detach"), given.words) == ("/x", True, ["id"])


def test_a_flag_can_be_taken_back() -> None:
    assert not parse(["-d", "-d=false"], TABLE).flag("detach")


def test_collecting_options_keep_their_order() -> None:
    assert parse(["-e", "A=1", "--env=B=2"], TABLE).many("env") == ["A=1", "B=2"]


def test_words_after_the_first_stay_words_where_a_command_follows() -> None:
    given = parse(["-d", "id", "ls", "-d", "--", "x"], TABLE, stop_at_word=True)
    assert given.words == ["id", "ls", "-d", "--", "x"]


def test_a_single_dash_is_a_word() -> None:
    assert parse(["-b", "-", "-"], TABLE).words == ["-"]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--nope"], "flag provided but not defined: -nope"),
        (["-b"], "flag needs an argument: -b"),
        (["-d=perhaps"], 'invalid boolean value "perhaps" for -detach: parse error'),
    ],
)
def test_wrong_lines_say_what_is_wrong(args: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(args, TABLE)
    assert str(caught.value) == text


def test_numbers_are_checked() -> None:
    assert parse(["-b", "7"], TABLE).number("bundle") == 7
    with pytest.raises(UsageError):
        parse(["-b", "x"], TABLE).number("bundle")


@pytest.mark.parametrize(
    ("words", "limits", "text"),
    [
        ([], (1, 1), '"v" requires exactly 1 argument(s)'),
        ([], (1, None), '"v" requires a minimum of 1 argument(s)'),
        (["a", "b", "c"], (1, 2), '"v" requires a maximum of 2 argument(s)'),
    ],
)
def test_arity_has_the_engines_text(words: list[str], limits: tuple[int, int | None], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_arity("v", words, *limits)
    assert str(caught.value) == text
