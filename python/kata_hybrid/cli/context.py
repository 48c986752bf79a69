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


class OutputError(OSError):
    """Nothing more can be written to stdout."""

    def __str__(self) -> str:
        return f"write /dev/stdout: {(self.strerror or '').lower()}"


def write_out(text: str) -> None:
    """Write to stdout as bytes: names that are no utf-8 come out as they were.

    Raises:
        OutputError: stdout is full, closed, or nobody reads it.
    """
    data = text.encode("utf-8", "surrogateescape")
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
        while data:
            data = data[os.write(1, data) :]
    except OSError as err:
        raise OutputError(err.errno, err.strerror) from None


def hold_standard_descriptors() -> None:
    """Keep 0, 1 and 2 from becoming the next files that are opened.

    One that the caller has closed would else be a file of ours, which our output goes to and a container
    inherits. What stands there now cannot be written to, as before.
    """
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        while (fd := os.open("/dev/null", os.O_RDONLY)) <= 2:
            os.set_inheritable(fd, True)
        os.close(fd)
