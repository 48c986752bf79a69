"""How the repetitions of each contender are spread: density, every sample, 5th to 95th percentile, median."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benches.page.draw import Axis, Markup, axis_for, colour, join, line, polyline, svg, tag, text
from benches.report import number, ratio_of, shown
from benches.stats import median, percentile, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.model import Heading, Mode, Series

WIDTH = 760.0
LABELS = 112.0  # left of the plot
FIGURES = 212.0  # right of it, in three columns that end here:
P50, THROUGHPUT = WIDTH - 140, WIDTH - 78
ROW = 30.0
LOG_FROM = 12.0  # medians further apart than this go on a logarithmic axis
FEW = 8  # fewer samples than these make no density


def ratio_text(value: float) -> str:
    return f"{value:.2f} ×" if value >= 0.095 else f"{value:.3f} ×"


def distributions(heading: Heading, groups: Sequence[tuple[Mode, Sequence[Series]]]) -> Markup:
    """All modes of an operation, one below the other on one axis, so that they compare too."""
    values = [[shown(heading, s) for s in one.seconds] for _, group in groups for one in group]
    medians = [median(v) for v in values]
    log = max(medians) > LOG_FROM * min(medians)
    shares = [0.02] if log else []
    shares.append(1.0 if heading.unit == "MB/s" else 0.95)  # a slow tail is cut off and counted
    edges = [percentile(v, share) for v in values for share in shares]
    axis = axis_for([*edges, *medians], LABELS, WIDTH - FIGURES, log=log)
    parts: list[Markup] = []
    y = 8.0
    for mode, group in groups:
        parts.append(text(0, y + 12, mode, class_="mode"))
        parts += _headers(group, y + 12)
        y += 18
        for one in group:
            parts.append(_row(heading, one, group, axis, y))
            y += ROW
        y += 12
    grid = join(*(_tick(axis, value, 20, y - 10) for value in axis.ticks()))
    unit = f"{heading.unit}, logarithmic" if log else heading.unit
    parts.append(text((axis.begin + axis.end) / 2, y + 22, unit, anchor="middle", class_="soft"))
    return svg(WIDTH, y + 30, grid, *parts, label=f"{heading.title}: distribution of times per contender")


def _headers(group: Sequence[Series], y: float) -> list[Markup]:
    """What the figures on the right are."""
    headers = [text(P50, y, "p50", anchor="end", class_="soft")]
    if any(one.throughput is not None for one in group):
        headers.append(text(THROUGHPUT, y, "rate", anchor="end", class_="soft"))
    if (first := _first(group)) is not None and len(group) > 1:
        headers.append(text(WIDTH, y, f"{first.contender} / it", anchor="end", class_="soft"))
    return headers


def _first(group: Sequence[Series]) -> Series | None:
    """The one of ours that the others are compared with."""
    return next((one for one in group if one.ours), None)


def _tick(axis: Axis, value: float, top: float, bottom: float) -> Markup:
    x = axis.at(value)
    return join(
        line(x, top, x, bottom, "grid"), text(x, bottom + 16, f"{value:g}", anchor="middle", class_="soft")
    )


def _row(heading: Heading, one: Series, group: Sequence[Series], axis: Axis, y: float) -> Markup:
    samples = [shown(heading, s) for s in one.seconds]
    middle = y + ROW / 2
    pixels = [axis.at(value) for value in samples]
    outside = sum(value > axis.high for value in samples)
    inside = [x for x, value in zip(pixels, samples, strict=True) if axis.low <= value <= axis.high]
    p50, p95, _, count = summary(samples)
    title = f"{one.contender}: p50 {number(p50)}, p95 {number(p95)} {heading.unit}, {count} repetitions"
    if one.cpu_seconds is not None:
        title += f", {number(one.cpu_seconds * 1000)} ms of CPU each"
    if one.peak_rss_kb:
        title += f", peak {number(one.peak_rss_kb / 1024)} MiB"
    marks = [tag("title", title), text(0, middle + 4, one.contender, class_="ours" if one.ours else None)]
    if len(inside) >= FEW:
        marks.append(_density(inside, axis, middle))
    rug = "".join(f"M{x:.1f} {middle - 3:.0f}v6" for x in inside)
    marks.append(tag("path", d=rug or "M0 0", class_="rug"))
    low, high = axis.at(percentile(samples, 0.05)), axis.at(p95)
    marks.append(line(low, middle, high, middle, "span"))
    marks.append(line(axis.at(p50), middle - 11, axis.at(p50), middle + 11, "p50"))
    if outside:
        marks.append(text(axis.end + 3, middle + 4, f"▸{outside}", class_="soft"))
    marks.append(text(P50, middle + 4, number(p50), anchor="end", class_="figure"))
    if one.throughput is not None:
        rate = f"{one.throughput:.2f} ×"
        marks.append(text(THROUGHPUT, middle + 4, rate, anchor="end", class_="figure"))
    first = _first(group)
    if first is not None and first is not one:
        ratio = ratio_text(ratio_of(first, one).value)
        marks.append(text(WIDTH, middle + 4, ratio, anchor="end", class_="figure"))
    class_ = f"{colour(one.contender)} {'strong' if one.ours else 'pale'}"
    return tag("g", *marks, class_=class_)


def _density(pixels: Sequence[float], axis: Axis, middle: float) -> Markup:
    """A mirrored kernel density in pixels; Silverman's bandwidth, by deviation or quartiles."""
    count = len(pixels)
    mean = math.fsum(pixels) / count
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in pixels) / count)
    quartiles = (percentile(pixels, 0.75) - percentile(pixels, 0.25)) / 1.34
    width = max(0.9 * min(deviation, quartiles or deviation) * count**-0.2, 1.6)
    low, high = max(min(pixels) - 3 * width, axis.begin), min(max(pixels) + 3 * width, axis.end)
    steps = max(int((high - low) / max(width / 3, 1.0)), 8)
    xs = [low + (high - low) * i / steps for i in range(steps + 1)]
    heights = [math.fsum(math.exp(-0.5 * ((x - p) / width) ** 2) for p in pixels) for x in xs]
    scale = (ROW / 2 - 3) / max(heights)
    shape = [(x, middle - h * scale) for x, h in zip(xs, heights, strict=True)]
    shape += [(x, middle + h * scale) for x, h in reversed(list(zip(xs, heights, strict=True)))]
    return polyline(shape, "density")
