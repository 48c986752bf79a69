"""The command: ``python -m benches compare`` measures, ``python -m benches page`` draws stored runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benches.find import NAMES, variable
from benches.gate import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.model import Provider


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m benches", description="Measure kata_hybrid beside its peers."
    )
    verbs = top.add_subparsers(dest="verb", required=True)
    compare = verbs.add_parser(
        "compare",
        help="measure us and the peers that are there, interleaved",
        description="Measure us and the peers that are there, interleaved. Exit status: 0; 1 if one of ours "
        "failed; 2 for a wrong command line; 3 if the gate failed.",
    )
    add = compare.add_argument
    add("--rounds", type=positive, help="repetitions back to back; the other modes scale along")
    add("--only", type=names, default=frozenset(), metavar="NAME,...", help="only these operations")
    add("--short", action="store_true", help="fewer repetitions, no second launcher: under three minutes")
    add("--json", type=Path, metavar="FILE", help="store the run")
    add("--html", type=Path, metavar="FILE", help="draw the run")
    add(
        "--history", type=Path, metavar="DIR", help="store the run here too, and draw it after the ones there"
    )
    add("--gate", type=Path, metavar="FILE", help="fail when a ratio is worse than in this baseline")
    add("--tolerance", type=float, default=TOLERANCE, help="by this share (default: %(default)s)")
    add("--write-baseline", type=Path, metavar="FILE", help="store the ratios for --gate")
    add(
        "--peers",
        type=names,
        default=frozenset(),
        metavar="NAME,...",
        help=f"only these of {', '.join(NAMES)}",
    )
    for name in NAMES:
        add(f"--{name}", metavar="PATH", help=f"also by {variable(name)}")
    page = verbs.add_parser("page", help="draw stored runs; the newest is shown whole, all make the history")
    page.add_argument("history", type=Path, nargs="+", help="stored runs, or directories of them")
    page.add_argument("--html", type=Path, metavar="FILE", help="where to; standard output without it")
    return top


def names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def main(arguments: Sequence[str] | None = None, provider: Provider | None = None) -> int:
    """``provider`` stands in for ``benches.operations.suite`` in tests."""
    options = parser().parse_args(arguments)
    return _page(options) if options.verb == "page" else _compare(options, provider)


def _compare(options: argparse.Namespace, provider: Provider | None) -> int:
    from benches.compare import USAGE, Options, RefusedError, compare

    if provider is None:
        from benches.operations import suite

        provider = suite
    try:
        return compare(
            Options(
                rounds=options.rounds,
                only=options.only,
                short=options.short,
                json=options.json,
                html=options.html,
                history=options.history,
                gate=options.gate,
                tolerance=options.tolerance,
                write_baseline=options.write_baseline,
                peers=options.peers,
                given={name: getattr(options, name.replace("-", "_")) for name in NAMES},
            ),
            provider,
        )
    except RefusedError as error:
        print(f"benches: {error}", file=sys.stderr)
        return USAGE


def _page(options: argparse.Namespace) -> int:
    from benches.page import page
    from benches.store import StoreError, read_all

    try:
        reports = read_all(options.history)
    except (StoreError, OSError) as error:
        print(f"benches: {error}", file=sys.stderr)
        return 2
    if not reports:
        print("benches: no stored runs there", file=sys.stderr)
        return 2
    text = page(reports[-1], reports)
    if options.html is None:
        print(text)
    else:
        options.html.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
