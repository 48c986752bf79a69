"""Starting programs to be measured, and what they took."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from benches.model import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from pathlib import Path

ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": "/root"}
"""Of every program that is measured. Nothing of Python's: byte code is to be written and used."""
STOP_SECONDS: Final = 10.0


class PeerFailedError(Exception):
    """A program that should have succeeded did not; with its last words."""


class Spawner:
    """Starts programs from a small process (``kata-floor spawn``), which is also whose clock counts.

    Started from here, they would pay for this interpreter's memory, and their peak would be ours.

    Args:
        files: open files that every program gets, under the same numbers.
    """

    def __init__(self, floor: Path, errors: Path, stack: ExitStack, files: Sequence[int] = ()) -> None:
        self._floor = floor
        self._errors = errors
        self._stack = stack
        self._files = tuple(files)
        self._free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()

    def __call__(self, words: Sequence[str]) -> tuple[int, float, Usage]:
        """Exit code, seconds and what it took; threads may call at the same time."""
        try:
            server = self._free.get_nowait()
        except Empty:
            server = self._start()
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write("\t".join(words) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline().split()
        if len(answer) != 4:
            raise PeerFailedError(f"{words[0]} cannot be started: {self.last_words()}")
        self._free.put(server)
        code = os.waitstatus_to_exitcode(int(answer[0]))
        return code, float(answer[1]), Usage(float(answer[2]), int(answer[3]))

    def _start(self) -> subprocess.Popen[str]:
        with self._errors.open("a") as errors:
            server = subprocess.Popen(
                [self._floor, "spawn"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=ENVIRONMENT,
                pass_fds=self._files,
                text=True,
                process_group=0,  # an interrupt is for us, who stop it in order
            )
        self._stack.callback(stop, server)
        return server

    def last_words(self) -> str:
        return " / ".join(self._errors.read_text(errors="replace").strip().splitlines()[-3:])


class Program:
    """One program on disk, and what its runs took.

    Args:
        words: argv up to what a call adds.
    """

    def __init__(self, words: Sequence[str], spawner: Spawner) -> None:
        self._words = list(words)
        self._spawner = spawner
        self._lock = threading.Lock()
        self._cpu_seconds = 0.0
        self._peak_rss_kb = 0

    def __call__(self, *words: str) -> float:
        """Run it to its end; gives seconds.

        Raises:
            PeerFailedError: its status is not 0.
        """
        argv = [*self._words, *words]
        code, seconds, used = self._spawner(argv)
        with self._lock:
            self._cpu_seconds += used.cpu_seconds
            self._peak_rss_kb = max(self._peak_rss_kb, used.peak_rss_kb)
        if code:
            raise PeerFailedError(f"{' '.join(argv[:8])} gave {code}: {self._spawner.last_words()}")
        return seconds

    def usage(self) -> Usage:
        return Usage(self._cpu_seconds, self._peak_rss_kb)


def stop(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a helper that ends with its stdin, or by SIGTERM."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):  # what it never read, when it has ended already
            process.stdin.close()
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
