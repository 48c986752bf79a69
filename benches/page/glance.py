"""All ratios in one picture: how our time compares with each peer's, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benches.model import Mode
from benches.page.draw import Axis, Markup, axis_for, colour, join, line, svg, tag, text
from benches.report import number, ratio_of

if TYPE_CHECKING:
    from benches.model import Report
    from benches.stats import Ratio

WIDTH = 760.0
NAMES = 190.0
ROW = 24.0
TOP = 12.0


class Mark(NamedTuple):
    """One ratio in the picture."""

    mode: Mode
    peer: str
    ratio: Ratio


def rows(report: Report) -> dict[str, list[Mark]]:
    """By operation and contender of ours; two launchers are left to the distributions."""
    found: dict[str, list[Mark]] = {}
    for heading, mode, group in report.groups():
        for ours in group:
            for peer in group:
                if ours.ours and not peer.ours and mode is not Mode.TWO:
                    mark = Mark(mode, peer.contender, ratio_of(ours, peer))
                    found.setdefault(f"{heading.name}, {ours.contender}", []).append(mark)
    return found


def ratios(report: Report) -> Markup:
    """Left of the line at 1 we are faster. Filled: back to back; hollow: after idling."""
    shown = rows(report)
    values = [mark.ratio.value for marks in shown.values() for mark in marks]
    axis = axis_for([*values, 1.0], NAMES, WIDTH - 16, log=True)
    bottom = TOP + len(shown) * ROW
    parts = [_tick(axis, value, bottom) for value in axis.ticks()]
    parts.append(line(axis.at(1), TOP - 6, axis.at(1), bottom, "unity"))
    parts.append(text(axis.at(1) - 8, bottom + 34, "◂ we are faster", anchor="end", class_="soft"))
    if axis.high > 1.6:
        parts.append(text(axis.at(1) + 8, bottom + 34, "slower ▸", class_="soft"))
    for index, (name, marks) in enumerate(shown.items()):
        y = TOP + (index + 0.5) * ROW
        parts.append(text(0, y + 4, name))
        parts.append(line(axis.begin, y, axis.end, y, "grid"))
        parts += [_mark(axis, y, mark) for mark in marks]
    return svg(WIDTH, bottom + 40, *parts, label="our time over each peer's, all operations")


def peers(report: Report) -> list[str]:
    """Those that have a mark, in order of appearance."""
    return list(dict.fromkeys(mark.peer for marks in rows(report).values() for mark in marks))


def legend(names: list[str]) -> Markup:
    """Which colour is whose."""
    keys = [tag("span", tag("i", class_="dot"), name, class_=f"key {colour(name)}") for name in names]
    return tag("p", *keys, class_="legend")


def _tick(axis: Axis, value: float, bottom: float) -> Markup:
    x = axis.at(value)
    label = text(x, bottom + 16, f"{value:g}", anchor="middle", class_="soft")
    return join(line(x, TOP - 6, x, bottom, "grid"), label)


def _mark(axis: Axis, y: float, mark: Mark) -> Markup:
    y += 4 if mark.mode is Mode.IDLE else -4
    ratio = mark.ratio
    title = f"{mark.peer}, {mark.mode}: {number(ratio.value)} [{number(ratio.low)}–{number(ratio.high)}]"
    return tag(
        "g",
        tag("title", title),
        line(axis.at(ratio.low), y, axis.at(ratio.high), y, "whisker"),
        tag("circle", cx=axis.at(ratio.value), cy=y, r=4),
        class_=f"{colour(mark.peer)} mark {'hollow' if mark.mode is Mode.IDLE else 'filled'}",
    )
