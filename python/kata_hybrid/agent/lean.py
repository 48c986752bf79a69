"""What keeps the agent small, and lets it grow. For the agent's own process: a library does no such thing.

Sources: mallopt(3), getrlimit(2); the ``gc`` module.
"""

from __future__ import annotations

import gc
import sys

from kata_hybrid import _core

ARENAS = 2


def before_loading() -> None:
    """Before the agent's modules are loaded.

    asyncio does without ``ssl``, as it can: 5 MiB of OpenSSL that no socket of the agent needs. Threads share
    two heaps, where glibc would give each its own. Loading makes no garbage worth a round of the collector.
    """
    if "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]  # an import of it fails from here on
    _core.limit_arenas(ARENAS)
    gc.disable()


def allow_descriptors() -> None:
    """As many open files as the system lets us have: a container takes five, and the usual limit is 1,024.

    What a spec without a limit of its own inherits, as from the original agent, whose unit has none.
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def once_serving() -> None:
    """Take what was loaded out of the collector's rounds. A round now would free 500 objects in 9 ms."""
    gc.freeze()
    gc.enable()
    _core.trim_memory()
