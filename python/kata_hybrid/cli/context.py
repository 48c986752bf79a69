"""What the global options decided, for the verbs."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import dataclass

    from ..runtime import Runtime
    from .log import Log
else:
    from kata_hybrid._record import dataclass


@dataclass(frozen=True)
class Context:
    """``root`` is absolute; ``program`` is the name in help texts."""

    root: str
    journal: Log
    program: str = "kata-hybrid"
    systemd_cgroup: bool = False

    def runtime(self) -> Runtime:
        """The containers below ``root``; imported here, since help and usage errors do without."""
        from ..runtime.runtime import Runtime

        return Runtime(self.root)


def write_out(text: str) -> None:
    """Write to stdout as bytes: names that are no utf-8 come out as they were."""
    sys.stdout.flush()
    data = text.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(1, data) :]
