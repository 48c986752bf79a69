"""The error log's form."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from kata_hybrid.cli.log import Log, quote, record, timestamp

if TYPE_CHECKING:
    from pathlib import Path

WHEN = "2026-11-24T19:13:43Z"


def test_text_record() -> None:
    expected = f'time="{WHEN}" level=error msg="container does not exist"'
    assert record("text", "error", "container does not exist", WHEN) == expected


def test_json_record_has_its_keys_in_alphabetical_order() -> None:
    expected = '{"level":"error","msg":"a \\"b\\"\\nc","time":"' + WHEN + '"}'
    assert record("json", "error", 'a "b"\nc', WHEN) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain-1._/@^+", "plain-1._/@^+"),
        ("", '""'),
        ('a "b"', '"a \\"b\\""'),
        ("a\nb\\", '"a\\nb\\\\"'),
        ("\udcff", '"\\xff"'),
        ("\x01", '"\\x01"'),
    ],
)
def test_values_are_quoted_when_they_need_it(text: str, expected: str) -> None:
    assert quote(text) == expected


def test_time_has_seconds_and_a_zone() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", timestamp())


def test_with_a_file_the_bare_message_goes_to_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.json"
    path.write_text("kept\n")
    Log(str(path), "json").error("no such thing")
    kept, line = path.read_text().splitlines()
    assert kept == "kept"
    assert json.loads(line)["msg"] == "no such thing"
    assert capfd.readouterr().err == "no such thing\n"


def test_without_a_file_the_record_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Log().error("no such thing")
    assert capfd.readouterr().err.endswith(' level=error msg="no such thing"\n')


def test_debug_records_are_only_written_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    Log().debug("quiet")
    Log(debug=True).debug("loud")
    assert "quiet" not in (text := capfd.readouterr().err)
    assert "level=debug msg=loud" in text
