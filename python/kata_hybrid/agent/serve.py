"""The agent as a process: signals, orphans, the log, and the server until SIGTERM.

The agent is a child subreaper: what a container's processes leave behind becomes its child and is reaped on
SIGCHLD, except for processes that somebody here waits for. SIGTERM stops serving and destroys nothing.
SIGINT and SIGQUIT are ignored, for in a guest they could come through the console.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from kata_hybrid import _core
from kata_hybrid.agent import lean
from kata_hybrid.agent.core.sandbox import Places
from kata_hybrid.agent.v1.server import AgentServer
from kata_hybrid.agent.v1.transport import parse_listen
from kata_hybrid.errors import ConfigError
from kata_hybrid.runtime import orphans

if TYPE_CHECKING:
    from kata_hybrid.agent.main import Settings

log = logging.getLogger(__name__)

REAP_DELAY_SECONDS = 0.003

LOG_FORMAT = (
    'time="%(asctime)s" level=%(levelname)s msg="%(message)s" name=kata-agent pid=%(process)d source=%(name)s'
)


def run(settings: Settings) -> int:
    """Serve until SIGTERM; gives the exit code."""
    logging.basicConfig(level=settings.log_level.upper(), format=LOG_FORMAT, stream=sys.stderr)
    try:
        asyncio.run(serve(settings))
    except (ConfigError, OSError) as err:
        print(f"kata-hybrid agent: {err}", file=sys.stderr)  # noqa: T201 - a command's last word
        return 1
    return 0


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM.

    Raises:
        ConfigError: a wrong address.
        OSError: the address cannot be had.
    """
    transport = parse_listen(settings.listen)
    loop = asyncio.get_running_loop()
    lean.allow_descriptors()
    _core.set_child_subreaper(True)
    loop.add_signal_handler(signal.SIGCHLD, OrphanReaper(loop).come_back)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    server = AgentServer(
        transport,
        places=Places(settings.state_root, settings.namespace_root),
        allow_set_time=settings.allow_set_time,
    )
    try:
        await server.start()
        lean.once_serving()
        log.info("serving on %s", settings.listen)
        await stopped.wait()
    finally:
        await server.stop()
        loop.remove_signal_handler(signal.SIGCHLD)


class OrphanReaper:
    """Reaps orphans a moment after a child has ended: by then those with an owner have been reaped by pidfd
    and their waiters told, and one look finds what is left of a whole burst.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._coming = False

    def come_back(self) -> None:
        """Reap soon; in the loop's thread."""
        if not self._coming:
            self._coming = True
            self._loop.call_later(REAP_DELAY_SECONDS, self._reap)

    def _reap(self) -> None:
        self._coming = False
        for pid, code, number in orphans.reap(later=self._once_started):
            log.debug("reaped orphan %d: code %d, signal %d", pid, code, number)

    def _once_started(self) -> None:
        """Processes were just being started; called from a thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.come_back)
