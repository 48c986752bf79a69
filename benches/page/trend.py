"""Lines: our medians and ratios over the commits, and how things grow with the number of containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benches.model import Mode
from benches.page.draw import Axis, Markup, axis_for, colour, line, polyline, spread, svg, tag, text
from benches.report import number, ratio_of, shown
from benches.stats import median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.model import Heading, Report, Scale

WIDTH = 372.0
HEIGHT = 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 112.0, 26.0, 34.0
COMMITS = 4  # about as many get a label


@dataclass(frozen=True)
class Curve:
    """A line in a chart; the points need not be everywhere."""

    name: str
    class_: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def chart(
    title: str, curves: Sequence[Curve], ticks: Sequence[tuple[float, str]], *, unity: bool = False
) -> Markup:
    """Curves over x, from nought on the y axis, each with its name at its end."""
    xs = [x for curve in curves for x, _ in curve.points]
    ys = [y for curve in curves for _, y in curve.points]
    wide = Axis(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, LEFT, WIDTH - RIGHT)
    high = axis_for([*ys, *([1.0] if unity else [])], HEIGHT - BOTTOM, TOP)
    parts = [text(0, 14, title, class_="mode")]
    for value in high.ticks():
        y = high.at(value)
        parts.append(line(wide.begin, y, wide.end, y, "grid"))
        parts.append(text(wide.begin - 6, y + 4, f"{value:g}", anchor="end", class_="soft"))
    for x, label in ticks:
        parts.append(text(wide.at(x), HEIGHT - BOTTOM + 16, label, anchor="middle", class_="soft"))
    if unity:
        parts.append(line(wide.begin, high.at(1), wide.end, high.at(1), "unity"))
    ends = spread([high.at(curve.points[-1][1]) for curve in curves], 13)
    parts += [_curve(curve, wide, high, end) for curve, end in zip(curves, ends, strict=True)]
    return svg(WIDTH, HEIGHT, *parts, label=title)


def _curve(curve: Curve, wide: Axis, high: Axis, end: float) -> Markup:
    places = [(wide.at(x), high.at(y)) for x, y in curve.points]
    dots = [
        tag("circle", tag("title", f"{curve.name}: {number(y)}"), cx=px, cy=py, r=3)
        for (_, y), (px, py) in zip(curve.points, places, strict=True)
    ]
    name = text(places[-1][0] + 8, end + 4, curve.name, class_="name")
    class_ = f"{curve.class_} line{' dashed' if curve.dashed else ''}"
    return tag("g", polyline(places, "curve"), *dots, name, class_=class_)


def medians(heading: Heading, reports: Sequence[Report]) -> Markup | None:
    """Ours over the runs, dashed after idling; None where fewer than two runs have the operation."""
    curves: dict[tuple[str, Mode], list[tuple[float, float]]] = {}
    for x, report in enumerate(reports):
        for mode in (Mode.BUSY, Mode.IDLE):
            for one in report.of(heading.name, mode):
                if one.ours:
                    value = shown(heading, median(one.seconds))
                    curves.setdefault((one.contender, mode), []).append((x, value))
    drawn = [
        Curve(f"{name}, idle" if mode is Mode.IDLE else name, colour(name), points, mode is Mode.IDLE)
        for (name, mode), points in curves.items()
    ]
    return _over_commits(f"our medians, {heading.unit}", drawn, reports)


def ratios(heading: Heading, mode: Mode, ours: str, reports: Sequence[Report]) -> Markup | None:
    """One of ours as a ratio to each peer over the runs; None where fewer than two runs have it."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for x, report in enumerate(reports):
        group = report.of(heading.name, mode)
        mine = next((one for one in group if one.contender == ours), None)
        for peer in group if mine is not None else ():
            if mine is not None and not peer.ours:
                curves.setdefault(peer.contender, []).append((x, ratio_of(mine, peer).value))
    drawn = [Curve(f"/ {peer}", colour(peer), points) for peer, points in curves.items()]
    return _over_commits(f"{ours}, {mode}, as a ratio", drawn, reports, unity=True)


def _over_commits(
    title: str, curves: Sequence[Curve], reports: Sequence[Report], *, unity: bool = False
) -> Markup | None:
    if not any(len(curve.points) > 1 for curve in curves):
        return None
    return chart(title, curves, _commits(reports), unity=unity)


def _commits(reports: Sequence[Report]) -> list[tuple[float, str]]:
    every = -(-len(reports) // COMMITS)
    last = len(reports) - 1
    return [
        (i, r.machine.commit[:8] or r.machine.date[5:10])
        for i, r in enumerate(reports)
        if (last - i) % every == 0
    ]


def growth(scales: Sequence[Scale]) -> list[Markup]:
    """Scales of one name: a chart for each metric, with a curve per contender."""
    metrics: dict[tuple[str, str], list[Curve]] = {}
    for scale in scales:
        for metric, unit in scale.metrics.items():
            points = sorted((p.x, p.values[metric]) for p in scale.points if metric in p.values)
            if points:
                name = scale.contender if len(scales) > 1 else number(points[-1][1])
                metrics.setdefault((metric, unit), []).append(Curve(name, colour(scale.contender), points))
    charts = []
    for (metric, unit), curves in metrics.items():
        xs = [x for curve in curves for x, _ in curve.points]
        ticks = [(x, f"{x:g}") for x in Axis(min(xs), max(*xs, min(xs) + 1), 0, 1).ticks()]
        title = metric if unit in metric else f"{metric}, {unit}"
        charts.append(chart(f"{title}, by {scales[0].x_label}", curves, ticks))
    return charts
