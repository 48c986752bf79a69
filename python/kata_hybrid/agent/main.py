"""``kata-hybrid agent``: serve one sandbox until SIGTERM.

The command line is read before anything of weight is loaded, and what the agent has no use for is kept out of
the process: see :mod:`kata_hybrid.agent.lean`.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from kata_hybrid.agent import lean
from kata_hybrid.cli.options import FLAG, Option, UsageError, parse, usage

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_STATE_ROOT = "/run/libcontainer"
DEFAULT_NAMESPACE_ROOT = "/run/sandbox-ns"
LOG_LEVELS = ("debug", "info", "warning", "error")
USAGE_STATUS = 2

OPTIONS = (
    Option(("listen",), help="where the host connects: unix:///path"),
    Option(("state-root",), help=f"state directories (default: {DEFAULT_STATE_ROOT})"),
    Option(("namespace-root",), help=f"persistent namespaces (default: {DEFAULT_NAMESPACE_ROOT})"),
    Option(("allow-set-time",), FLAG, "let the host set this machine's clock"),
    Option(("log-level",), help=f"{', '.join(LOG_LEVELS)} (default: info)"),
)


class Settings(NamedTuple):
    """The command line, checked."""

    listen: str
    state_root: str = DEFAULT_STATE_ROOT
    namespace_root: str = DEFAULT_NAMESPACE_ROOT
    allow_set_time: bool = False
    log_level: str = "info"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent; gives the exit code: 0 after SIGTERM, 1 when it could not start, 2 for wrong usage."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        settings = settings_of(args)
    except UsageError as err:
        print(f"kata-hybrid agent: {err}\n\n{help_text()}", file=sys.stderr)  # noqa: T201 - a command's word
        return USAGE_STATUS
    if settings is None:
        print(help_text())  # noqa: T201
        return 0
    lean.before_loading()
    from kata_hybrid.agent.serve import run  # asyncio and all the rest

    return run(settings)


def settings_of(args: Sequence[str]) -> Settings | None:
    """The settings; None when help is asked for.

    Raises:
        UsageError: with what is wrong.
    """
    given = parse(args, OPTIONS)
    if given.flag("help"):
        return None
    if given.words:
        raise UsageError(f"unrecognized arguments: {' '.join(given.words)}")
    listen = given.value("listen")
    if not listen:
        raise UsageError("--listen is required")
    level = given.value("log-level") or "info"
    if level not in LOG_LEVELS:
        raise UsageError(f"--log-level is one of {', '.join(LOG_LEVELS)}, not '{level}'")
    return Settings(
        listen=listen,
        state_root=given.value("state-root") or DEFAULT_STATE_ROOT,
        namespace_root=given.value("namespace-root") or DEFAULT_NAMESPACE_ROOT,
        # In a guest of its own the clock is the agent's.
        allow_set_time=given.flag("allow-set-time") or os.getpid() == 1,
        log_level=level,
    )


def help_text() -> str:
    return usage("kata-hybrid", "agent", "", OPTIONS)
