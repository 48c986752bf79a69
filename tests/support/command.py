"""Running a runtime's command as a subprocess: ours, or another one with the same verbs.

A container keeps the stdio of the command that made it, so output goes to files: a pipe would only end
with the container. While a command runs, orphans are reaped here, because the test process is the
subreaper and a command that waits for a dead init to vanish would otherwise wait in vain.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

TIMEOUT_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.002

_alive: set[int] = set()
_starting = threading.Lock()


@dataclass(frozen=True)
class Result:
    """How a command ended. ``code`` is negative for a signal."""

    code: int
    out: str
    err: str


class Command:
    """``Command(program, root)(verb, ...)`` runs it and checks the exit status.

    Args:
        program: argv up to the global options.
        meanwhile: called again and again while a command runs, with the pids of all that run.
    """

    def __init__(
        self, program: Sequence[str], root: Path, *, meanwhile: Callable[[Collection[int]], Any]
    ) -> None:
        self.root = root
        self.argv = (*program, "--root", str(root))
        self._meanwhile = meanwhile

    def __call__(self, *words: object, status: int | None = 0, **popen: Any) -> Result:
        """Run a verb to its end.

        Args:
            status: what it must exit with; None accepts anything.
        """
        with self.running(*words, **popen) as (process, out, err):
            code = self.wait(process)
            result = Result(code, _read(out), _read(err))
        if status is not None:
            assert code == status, f"{words} gave {result}"
        return result

    @contextlib.contextmanager
    def running(self, *words: object, **popen: Any) -> Iterator[tuple[subprocess.Popen[bytes], Any, Any]]:
        """The process and the files with its output; killed on exit if it still runs."""
        argv = [*self.argv, *map(str, words)]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            popen = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, **popen}
            with _starting:  # nobody reaps between the start and the note of it
                process = subprocess.Popen(argv, **popen)
                _alive.add(process.pid)
            try:
                yield process, out, err
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()
                _alive.discard(process.pid)

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit status; orphans are reaped meanwhile.

        Raises:
            TimeoutError: it hangs.
        """

        def ended() -> bool:
            self._reap()
            return process.poll() is not None

        until(ended)
        return process.returncode

    def error(self, *words: object, status: int = 1) -> str:
        """The message of a verb that must fail, in whatever form it was logged."""
        lines = self(*words, status=status).err.strip().splitlines()
        assert lines, "an error says why"
        return message_of(lines[-1])

    def state(self, container_id: str) -> dict[str, Any]:
        """What ``state`` prints."""
        result: dict[str, Any] = json.loads(self("state", container_id).out)
        return result

    def status(self, container_id: str) -> str:
        """``status`` of it."""
        return str(self.state(container_id)["status"])

    def await_status(self, container_id: str, wanted: str) -> None:
        """Wait until a container is ``wanted``."""
        until(lambda: self._look(container_id) == wanted)

    def _look(self, container_id: str) -> str:
        self._reap()
        return self.status(container_id)

    def _reap(self) -> None:
        with _starting:
            self._meanwhile(_alive)


def message_of(line: str) -> str:
    """The message in a log record in text form; a line that is none is the message itself."""
    _, found, rest = line.partition(" msg=")
    if not line.startswith("time=") or not found:
        return line
    return str(json.loads(rest)) if rest.startswith('"') else rest


def until(true: Callable[[], object], timeout: float = TIMEOUT_SECONDS) -> None:
    """Look until it is so.

    Raises:
        TimeoutError: it never was.
    """
    deadline = time.monotonic() + timeout
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout} s")
        time.sleep(LOOK_AGAIN_SECONDS)


def cgroups_of(pid: int) -> list[str]:
    """``/proc/<pid>/cgroup``, to compare."""
    return sorted(Path(f"/proc/{pid}/cgroup").read_text().splitlines())


def _read(file: Any) -> str:
    file.seek(0)
    return os.fsdecode(file.read())
