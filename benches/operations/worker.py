"""``python -m benches.operations.worker ROOT BUNDLE BALLAST_MIB``: runs a container per line on stdin.

Answers each with "seconds cpu_seconds peak_rss_kb", and once at the start, when it is ready.
"""

from __future__ import annotations

import resource
import sys
import time

from kata_hybrid import Runtime, Stdio

PAGE = 4096


def ballast(mib: int) -> bytearray:
    """Memory that is really there: every page is written."""
    held = bytearray(mib << 20)
    held[::PAGE] = b"x" * len(range(0, len(held), PAGE))
    return held


def say(seconds: float) -> None:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    print(f"{seconds:.7f} {cpu:.6f} {own.ru_maxrss}", flush=True)


def main() -> int:
    root, bundle, mib = sys.argv[1:4]
    runtime = Runtime(root)
    held = ballast(int(mib))
    say(0.0)
    for line in sys.stdin:
        began = time.perf_counter()
        container = runtime.run(f"worker{line.strip()}", bundle=bundle, stdio=Stdio.null())
        status = container.wait(20)
        container.delete()
        seconds = time.perf_counter() - began
        if status.status != 0:
            print(f"the container ended with {status}", file=sys.stderr)
            return 1
        say(seconds)
    return 0 if len(held) == int(mib) << 20 else 1


if __name__ == "__main__":
    sys.exit(main())
