"""Running a small program of the guest (modprobe, ps) beside the agent's reaping of orphans."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from kata_hybrid.runtime import orphans

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_program(command: Sequence[str]) -> tuple[int, bytes]:
    """Exit status (negative: signal) and stdout with stderr. Blocks until it ends.

    Raises:
        OSError: it could not be started.
    """
    with orphans.starting():
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        orphans.own(process.pid)
    try:
        with process:
            output, _ = process.communicate()
    finally:
        orphans.disown(process.pid)
    return process.returncode, output
