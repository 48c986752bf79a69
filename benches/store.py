"""Reports as JSON files, in a form with a version, and what the machine was.

No host names and no paths get in, so that a stored run can be shown to anybody.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benches.model import Gauge, Heading, Machine, Mode, Point, Report, Scale, Series

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = "kata-hybrid-bench"
VERSION = 1
PRECISION = 7  # decimals of a second: 0.1 µs


class StoreError(Exception):
    """A file that holds no report, or one of another format: says which file and what is wrong."""


def dump(report: Report) -> str:
    """The report as JSON text."""
    series = [{**asdict(s), "seconds": [round(x, PRECISION) for x in s.seconds]} for s in report.series]
    for one in series:
        one["error"] = None if one["error"] is None else without_paths(one["error"])
    body = {
        "format": FORMAT,
        "version": VERSION,
        "machine": asdict(report.machine),
        "short": report.short,
        "headings": [asdict(heading) for heading in report.headings],
        "series": series,
        "scales": [
            {**asdict(scale), "points": [[p.x, dict(p.values)] for p in scale.points]}
            for scale in report.scales
        ],
        "gauges": [asdict(gauge) for gauge in report.gauges],
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")) + "\n"


def load(text: str, name: str = "report") -> Report:
    """The report in JSON text.

    Raises:
        StoreError: it is none, or of another version. ``name`` is how the message calls the text.
    """
    try:
        body = json.loads(text)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise StoreError(f"{name}: not a {FORMAT} file")
        if body.get("version") != VERSION:
            raise StoreError(f"{name}: version {body.get('version')}, this reads version {VERSION}")
        return _report(body)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{name}: {type(error).__name__}: {error}") from error


def _report(body: Mapping[str, Any]) -> Report:
    return Report(
        Machine(**body["machine"]),
        tuple(Heading(**heading) for heading in body["headings"]),
        tuple(
            Series(**{**series, "mode": Mode(series["mode"]), "seconds": tuple(series["seconds"])})
            for series in body["series"]
        ),
        scales=tuple(
            Scale(**{**scale, "points": tuple(Point(x, values) for x, values in scale["points"])})
            for scale in body["scales"]
        ),
        gauges=tuple(Gauge(**gauge) for gauge in body["gauges"]),
        short=body["short"],
    )


def write(report: Report, path: Path) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(dump(report), encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> Report:
    """Raises: StoreError, OSError."""
    return load(path.read_text(encoding="utf-8"), str(path))


def history_name(report: Report) -> str:
    """A file name that sorts by date: "20261128T040000Z-a89d329.json"."""
    when = re.sub(r"[-:]|\.\d+", "", report.machine.date).replace("+0000", "Z")
    return f"{when}-{report.machine.commit or 'unknown'}.json"


def read_all(places: Iterable[Path]) -> list[Report]:
    """The reports in files and directories (``*.json`` there), by date.

    Raises:
        StoreError: a file that was named holds none. Foreign JSON files in a directory are passed over.
    """
    reports = []
    for place in places:
        if not place.is_dir():
            reports.append(read(place))
            continue
        for path in sorted(place.glob("*.json")):
            try:
                reports.append(read(path))
            except StoreError as error:
                if f"not a {FORMAT} file" not in str(error):
                    raise
    return sorted(reports, key=lambda report: report.machine.date)


def without_paths(text: str) -> str:
    """Of absolute paths only the last part stays."""
    return re.sub(r"(?<![\w./])/(?:[^\s/'\":]+/)+", "…/", text)


def machine(versions: Mapping[str, str]) -> Machine:
    """This machine, now."""
    return Machine(
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        kernel=platform.release(),
        cpus=len(os.sched_getaffinity(0)),
        cpu_model=_field("/proc/cpuinfo", "model name"),
        memory_mb=int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        cgroups=_cgroups(),
        python=platform.python_version(),
        commit=_commit(),
        versions=dict(sorted(versions.items())),
    )


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _cgroups() -> str:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    kinds = {line.split()[2] for line in mounts}
    if "cgroup" not in kinds:
        return "v2" if "cgroup2" in kinds else "none"
    return "hybrid" if "cgroup2" in kinds else "v1"


def _commit() -> str:
    words = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(words, capture_output=True, check=True, text=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
