"""Markup and axes: the pieces that the pictures are made of."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from html import escape
from statistics import fmean

from benches.page.style import COLOURS

TICKS = 6  # about as many on an axis


class Markup(str):
    """Text that is markup already; plain text is escaped wherever it meets markup."""

    __slots__ = ()


def colour(contender: str) -> str:
    """The style class of a contender, the same in all pictures: "library 1 GiB" is "c-library"."""
    name = "c-" + re.sub(r"[^a-z0-9]+", "-", contender.lower()).strip("-")
    return next((known for known in COLOURS if f"{name}-".startswith(f"{known}-")), name)


def join(*parts: str) -> Markup:
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def tag(name: str, *inside: str, **attributes: str | float | None) -> Markup:
    """``tag("text", "a < b", x=1, text_anchor="end", class_="soft")``; None leaves an attribute out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{said}>{join(*inside)}</{name}>")


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def svg(width: float, height: float, *inside: str, label: str) -> Markup:
    """A picture that grows and shrinks with the page."""
    return tag("svg", *inside, viewBox=f"0 0 {width:g} {height:g}", role="img", aria_label=label)


def text(x: float, y: float, words: str, *, anchor: str | None = None, class_: str | None = None) -> Markup:
    return tag("text", words, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("path", d=f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", class_=class_)


def polyline(points: list[tuple[float, float]], class_: str) -> Markup:
    return tag("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=class_)


@dataclass(frozen=True)
class Axis:
    """Values on pixels. ``begin`` may be right of ``end``, or below it."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value; what is outside lies on the edge."""
        low, high, value = (self._scaled(x) for x in (self.low, self.high, max(value, self.low)))
        share = (min(value, high) - low) / (high - low)
        return self.begin + share * (self.end - self.begin)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value

    def ticks(self) -> list[float]:
        return _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high)


def axis_for(values: list[float], begin: float, end: float, *, log: bool = False) -> Axis:
    """An axis that holds all values, from nought (or the lowest below it) unless logarithmic."""
    high = max(values, default=1.0)
    if not log:
        low = min([0.0, *values]) * 1.05
        return Axis(low, high * 1.05 if high > 0 else low + 1.0, begin, end)
    high = high or 1.0
    low = min((value for value in values if value > 0), default=high / 10)
    return Axis(low / 1.25, high * 1.25, begin, end, log=True)


def _linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 2, 5) if len(decades) <= 4 else (1,)
    return [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]


def spread(wanted: list[float], gap: float) -> list[float]:
    """Places for labels, at least ``gap`` apart and otherwise as near as can be to where they are wanted.

    Less the room that those before need, places must only not decrease: pools of neighbours that would are
    put at their mean (pool adjacent violators).
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    pools: list[list[float]] = []
    for rank, index in enumerate(order):
        pools.append([wanted[index] - rank * gap])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    level = [fmean(pool) for pool in pools for _ in pool]
    placed = list(wanted)
    for rank, index in enumerate(order):
        placed[index] = level[rank] + rank * gap
    return placed
