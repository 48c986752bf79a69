"""The page is well-formed, self-contained, and shows everything."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_samples import HEADINGS, USUAL, history, report, series

from benches.model import Mode, Report, Series
from benches.page import page
from benches.page.draw import Axis, axis_for, join, spread, tag
from benches.page.style import style

VOID = {"meta"}


def tree(made: Report, runs: list[Report] | None = None) -> ET.Element:
    text = page(made, runs or [made])
    assert text.startswith("<!DOCTYPE html>\n")
    return ET.fromstring(text.partition("\n")[2])  # our own text


def words(element: ET.Element) -> str:
    return " ".join(element.itertext())


def test_a_html_parser_finds_every_element_closed() -> None:
    class Balance(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in VOID:
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in VOID:
                assert self.open.pop() == tag

    parser = Balance()
    parser.feed(page(report(), history()))
    parser.close()
    assert parser.open == []


def test_every_operation_and_contender_is_there() -> None:
    root = tree(report())
    for heading in HEADINGS:
        section = root.find(f".//section[@id='{heading.name}']")
        assert section is not None
        shown = words(section)
        assert heading.title in shown
        assert {name for name in USUAL[heading.name] if name in shown} == set(USUAL[heading.name])
        assert Mode.IDLE in shown
        picture = section.find("svg")
        assert picture is not None
        rows = picture.findall("g")
        modes = 3 if heading.name == "run" else 2
        assert len(rows) == len(USUAL[heading.name]) * modes
        for row in rows:
            assert row.find("path[@class='p50']") is not None, "the median is marked"
            assert row.find("path[@class='density']") is not None


def test_nothing_comes_from_elsewhere_and_nothing_runs() -> None:
    text = page(report(), history())
    assert "<script" not in text
    assert re.findall(r"https?://|url\(|@import|<img|<link|src=", text) == []
    assert "prefers-color-scheme: dark" in text


def test_history_needs_two_runs() -> None:
    assert tree(report()).find(".//section[@id='run']/div[@class='pair']") is None
    pair = tree(history()[-1], history()).find(".//section[@id='run']/div[@class='pair']")
    assert pair is not None
    medians, ratios = pair.findall("svg")
    assert "our medians, ms" in words(medians)
    assert "5555555" in words(medians)
    lines = {name.text for name in ratios.iter("text") if name.get("class") == "name"}
    assert lines == {"/ runc", "/ crun", "/ bwrap", "/ floor"}


def test_growth_and_readings_are_shown() -> None:
    root = tree(report())
    section = root.find(".//section[@id='scale']")
    assert section is not None
    assert len(section.findall(".//svg")) == 4, "a chart per metric"
    for metric in ("launch p50", "own memory", "fds"):
        assert metric in words(section)
    assert "33.2 MiB" in words(root)


def test_failures_are_shown_and_do_not_break_the_rest() -> None:
    made = report()
    bad = Series("run", Mode.BUSY, "youki", (), error="OSError: <b>&")
    root = tree(replace(made, series=(*made.series, bad)))
    assert "youki left out: OSError: <b>&" in words(root)


def test_one_contender_and_one_sample_are_enough() -> None:
    one = replace(
        report(),
        series=(series("run", "library", 4.0, count=1),),
        scales=(),
        gauges=(),
        headings=HEADINGS[:1],
    )
    tree(one)
    tree(replace(one, series=(), headings=()))


def test_every_colour_is_said_for_light_and_dark() -> None:
    light, dark = style().split("@media (prefers-color-scheme: dark)")
    assert set(re.findall(r"(\.c-[\w-]+) \{", light)) == set(re.findall(r"(\.c-[\w-]+) \{", dark))


def test_text_is_escaped_once() -> None:
    assert join(tag("p", "a < b", title='"x"'), " & ") == '<p title="&quot;x&quot;">a &lt; b</p> &amp; '


@pytest.mark.parametrize(
    ("high", "ticks"),
    [(47.0, [0, 10, 20, 30, 40]), (1.05, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (3150.0, [0, 1000, 2000, 3000])],
)
def test_ticks_are_round(high: float, ticks: list[float]) -> None:
    assert Axis(0, high, 0, 100).ticks() == pytest.approx(ticks)


def test_a_logarithmic_axis() -> None:
    axis = axis_for([1.0, 64.0], 0, 100, log=True)
    assert axis.ticks() == [1, 2, 5, 10, 20, 50]
    assert axis.at(8.0) == pytest.approx(50)
    assert (axis.at(0.0001), axis.at(1e9)) == (0, 100)


@given(st.lists(st.floats(0, 500), min_size=1, max_size=12))
def test_labels_keep_apart_and_in_order(wanted: list[float]) -> None:
    placed = spread(wanted, 13)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for one, next_one in pairwise(order):
        assert placed[next_one] - placed[one] >= 13 - 1e-6
    if all(b - a >= 13 for a, b in pairwise(sorted(wanted))):
        assert placed == pytest.approx(wanted)
