"""A report as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benches.stats import Ratio, ratio_of_medians, summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.model import Gauge, Heading, Report, Scale, Series


def shown(heading: Heading, seconds: float) -> float:
    """A time in the operation's unit: milliseconds, or what is moved per second."""
    return heading.amount / seconds if heading.unit == "MB/s" else seconds * 1000


def number(value: float) -> str:
    """Three digits that count: "0", "0.0123", "1.23", "12.3", "123", "1234"."""
    if value == 0:
        return "0"
    size = abs(value)
    for limit, decimals in ((0.1, 4), (1, 3), (10, 2), (100, 1)):
        if size < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def ratio_of(ours: Series, peer: Series) -> Ratio:
    """Our time over the peer's."""
    return ratio_of_medians(ours.seconds, peer.seconds)


def facts(report: Report) -> str:
    """The machine in one line."""
    machine = report.machine
    parts = [
        machine.date,
        f"commit {machine.commit or 'unknown'}",
        f"Linux {machine.kernel}",
        f"{machine.cpus} × {machine.cpu_model or 'unknown CPU'}",
        f"{machine.memory_mb} MB",
        f"cgroups {machine.cgroups}",
        f"Python {machine.python}",
        *(f"{name} {version}" for name, version in machine.versions.items()),
    ]
    return ", ".join(parts)


def table(report: Report) -> str:
    """All of it: operation by operation, then the readings, then what failed."""
    blocks = [facts(report)]
    blocks += [_group(heading, mode, series) for heading, mode, series in report.groups()]
    blocks += [_scale(scale) for scale in report.scales]
    if report.gauges:
        blocks.append(_gauges(report.gauges))
    if failures := report.failures():
        lines = [f"  {s.operation}, {s.mode}: {s.contender} left out: {s.error}" for s in failures]
        blocks.append("\n".join(["failed", *lines]))
    blocks.append("ratio: our median time over that of the contender in the row, with its 95 % interval")
    return "\n\n".join(blocks)


def _group(heading: Heading, mode: str, series: Sequence[Series]) -> str:
    ours = [s for s in series if s.ours]
    header = ["", "p50", "p95", "best", "CPU ms", "peak MiB"]
    if any(s.throughput is not None for s in series):
        header.append("× of one")
    header += [f"{s.contender} /" for s in ours]
    rows = [header]
    for one in series:
        stats = summary(one.seconds)
        row = [one.contender, *(number(shown(heading, x)) for x in (stats.p50, stats.p95, stats.fastest))]
        row.append("-" if one.cpu_seconds is None else number(one.cpu_seconds * 1000))
        row.append("-" if not one.peak_rss_kb else number(one.peak_rss_kb / 1024))
        if "× of one" in header:
            row.append("-" if one.throughput is None else f"{one.throughput:.2f}")
        row += ["" if one is our else _ratio(ratio_of(our, one)) for our in ours]
        rows.append(row)
    title = (
        f"{heading.name} ({heading.unit}), {mode}, n={max(len(s.seconds) for s in series)}: {heading.title}"
    )
    return f"{title}\n{_aligned(rows)}"


def _ratio(ratio: Ratio) -> str:
    return f"{ratio.value:.2f} [{ratio.low:.2f}–{ratio.high:.2f}]"


def _scale(scale: Scale) -> str:
    header = [scale.x_label, *(f"{metric}, {unit}" for metric, unit in scale.metrics.items())]
    rows = [header]
    for point in scale.points:
        values = [number(point.values[metric]) if metric in point.values else "-" for metric in scale.metrics]
        rows.append([f"{point.x:g}", *values])
    return f"{scale.name}, {scale.contender}: {scale.title}\n{_aligned(rows)}"


def _gauges(gauges: Sequence[Gauge]) -> str:
    rows = [[gauge.title, gauge.contender, number(gauge.value), gauge.unit] for gauge in gauges]
    return f"readings\n{_aligned(rows)}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
