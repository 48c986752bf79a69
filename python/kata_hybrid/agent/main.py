"""``kata-hybrid agent``: serve one sandbox until SIGTERM.

The agent is a child subreaper: what a container's processes leave behind becomes its child and is reaped on
SIGCHLD, except for processes that somebody here waits for. SIGTERM stops serving and destroys nothing.
SIGINT and SIGQUIT are ignored, for in a guest they could come through the console.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

from kata_hybrid import _core
from kata_hybrid.agent.core.sandbox import DEFAULT_NAMESPACE_ROOT, DEFAULT_STATE_ROOT, Places
from kata_hybrid.errors import ConfigError
from kata_hybrid.runtime import orphans

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

LOG_FORMAT = (
    'time="%(asctime)s" level=%(levelname)s msg="%(message)s" name=kata-agent pid=%(process)d source=%(name)s'
)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="kata-hybrid agent", description="Serve the Kata 1.x agent protocol.")
    made.add_argument("--listen", required=True, metavar="unix://PATH", help="where the host connects")
    made.add_argument("--state-root", default=DEFAULT_STATE_ROOT, help="state directories (%(default)s)")
    made.add_argument(
        "--namespace-root", default=DEFAULT_NAMESPACE_ROOT, help="persistent namespaces (%(default)s)"
    )
    made.add_argument("--allow-set-time", action="store_true", help="let the host set this machine's clock")
    made.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the agent; gives the exit code: 0 after SIGTERM, 1 when it could not start, 2 for wrong usage."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as err:
        return err.code if isinstance(err.code, int) else 2
    logging.basicConfig(level=options.log_level.upper(), format=LOG_FORMAT, stream=sys.stderr)
    try:
        asyncio.run(serve(options))
    except (ConfigError, OSError) as err:
        print(f"kata-hybrid agent: {err}", file=sys.stderr)  # noqa: T201 - a command's last word
        return 1
    return 0


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM.

    Raises:
        ConfigError: a wrong address.
        OSError: the address cannot be had.
    """
    from kata_hybrid.agent.v1.server import AgentServer  # grpc, only once the options are right
    from kata_hybrid.agent.v1.transport import parse_listen

    transport = parse_listen(options.listen)
    loop = asyncio.get_running_loop()
    _core.set_child_subreaper(True)
    loop.add_signal_handler(signal.SIGCHLD, reap, loop)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    server = AgentServer(
        transport,
        places=Places(options.state_root, options.namespace_root),
        allow_set_time=options.allow_set_time or os.getpid() == 1,
    )
    try:
        await server.start()
        log.info("serving on %s", options.listen)
        await stopped.wait()
    finally:
        await server.stop()
        loop.remove_signal_handler(signal.SIGCHLD)


def reap(loop: asyncio.AbstractEventLoop) -> None:
    """Reap orphans; once more later if processes are just being started."""

    def again() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(reap, loop)

    for pid, code, number in orphans.reap(later=again):
        log.debug("reaped orphan %d: code %d, signal %d", pid, code, number)
