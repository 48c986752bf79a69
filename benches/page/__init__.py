"""One HTML file that shows a report and its history: no script, nothing from elsewhere, light and dark.

It is well-formed XML too, so a test can take it apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.model import Mode
from benches.page import trend
from benches.page.distribution import distributions, ratio_text
from benches.page.draw import Markup, colour, join, tag
from benches.page.glance import legend, peers, ratios
from benches.page.style import style
from benches.report import facts, number, ratio_of, shown, table
from benches.stats import median

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.model import Heading, Report, Scale, Series

TILES = 4


def page(report: Report, reports: Sequence[Report] = ()) -> str:
    """The document: ``report`` whole, ``reports`` (by date, ``report`` among them) as its history."""
    body = [_head(report), _tiles(report)]
    if names := peers(report):
        body.append(_glance(report, names))
    body += [_operation(heading, report, reports) for heading in report.headings]
    body += [_growth(scales) for scales in _by_name(report.scales).values()]
    if report.gauges:
        body.append(_gauges(report))
    if report.failures():
        body.append(_failures(report))
    body.append(_figures(report))
    head = tag(
        "head",
        Markup('<meta charset="utf-8"/>'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1"/>'),
        tag("title", "kata_hybrid: how long it takes"),
        tag("style", Markup(style())),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', tag('main', *body)), lang='en')}\n"


def _head(report: Report) -> Markup:
    lead = (
        "Every contender does the same work in the same run, in turns. Ratios are our median time over "
        "the peer's: below 1 we are faster. Times of other runs or machines do not compare, ratios do."
    )
    return tag(
        "header",
        tag("h1", "kata_hybrid: how long it takes"),
        tag("p", facts(report), class_="facts"),
        tag("p", lead, class_="lead"),
    )


def _tiles(report: Report) -> Markup:
    tiles: list[Markup] = []
    for heading, mode, group in report.groups():
        ours = next((one for one in group if one.ours), None)
        others = [one for one in group if not one.ours]
        if mode is not Mode.BUSY or ours is None or not others or len(tiles) == TILES:
            continue
        against = " · ".join(f"{ratio_text(ratio_of(ours, peer).value)} {peer.contender}" for peer in others)
        value = f"{number(shown(heading, median(ours.seconds)))} {heading.unit}"
        tiles.append(
            tag(
                "div",
                tag("small", f"{heading.name}, {ours.contender}"),
                tag("b", value),
                tag("small", against),
                class_=f"tile {colour(ours.contender)}",
            )
        )
    return tag("div", *tiles, class_="tiles")


def _glance(report: Report, names: list[str]) -> Markup:
    how = (
        "Our median time over the peer's, with its 95 % interval. Filled: back to back; "
        "hollow: each time after 50 ms of idling."
    )
    return tag(
        "section", tag("h2", "At a glance"), tag("p", how, class_="soft"), legend(names), ratios(report)
    )


def _operation(heading: Heading, report: Report, reports: Sequence[Report]) -> Markup:
    groups = [(mode, group) for mode in Mode if (group := report.of(heading.name, mode))]
    parts = [tag("h2", heading.title, tag("code", heading.name))]
    if groups:
        parts.append(distributions(heading, groups))
    parts += _history(heading, groups, reports)
    return tag("section", *parts, id=heading.name)


def _history(
    heading: Heading, groups: Sequence[tuple[Mode, Sequence[Series]]], reports: Sequence[Report]
) -> list[Markup]:
    """Two charts to see at once, the other ratios behind a click."""
    shown_modes = [(mode, group) for mode, group in groups if mode is not Mode.TWO]
    charts = [
        trend.ratios(heading, mode, one.contender, reports)
        for mode, group in shown_modes
        for one in group
        if one.ours
    ]
    first, *rest = [trend.medians(heading, reports), *(chart for chart in charts if chart is not None)]
    if first is None:
        return []
    parts = [tag("div", first, *rest[:1], class_="pair")]
    if others := rest[1:]:
        more = tag("summary", "History of the other ratios")
        parts.append(tag("details", more, tag("div", *others, class_="pair")))
    return parts


def _by_name(scales: Sequence[Scale]) -> dict[str, list[Scale]]:
    found: dict[str, list[Scale]] = {}
    for scale in scales:
        found.setdefault(scale.name, []).append(scale)
    return found


def _growth(scales: Sequence[Scale]) -> Markup:
    first = scales[0]
    who = ", ".join(dict.fromkeys(scale.contender for scale in scales))
    heading = tag("h2", first.title, tag("code", f"{first.name}, {who}"))
    return tag("section", heading, tag("div", *trend.growth(scales), class_="pair"), id=first.name)


def _gauges(report: Report) -> Markup:
    rows = [
        tag(
            "tr",
            tag("td", gauge.title),
            tag("td", gauge.contender),
            tag("td", f"{number(gauge.value)} {gauge.unit}", class_="figure"),
        )
        for gauge in report.gauges
    ]
    return tag("section", tag("h2", "Readings"), tag("table", tag("tbody", *rows)))


def _failures(report: Report) -> Markup:
    lines = [
        tag("p", f"{one.operation}, {one.mode}: {one.contender} left out: {one.error}")
        for one in report.failures()
    ]
    return tag("section", tag("h2", "Failed"), *lines, class_="failed")


def _figures(report: Report) -> Markup:
    inside = join(tag("summary", "All figures"), tag("pre", table(report)))
    return tag("section", tag("details", inside))
