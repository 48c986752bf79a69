"""``python -m benches.operations.scale_worker ROOT``: many containers of one Runtime.

It is told what to do by line::

    launch NAME BUNDLE   ->  launched PID SECONDS
    watch NAME           ->  watching NAME, and when it has ended: ended NAME MONOTONIC_SECONDS
    delete NAME          ->  deleted NAME

Whatever fails ends the worker with a traceback.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from kata_hybrid import Runtime, Stdio

if TYPE_CHECKING:
    from kata_hybrid.runtime import Container

_saying = threading.Lock()


def say(*words: object) -> None:
    with _saying:
        print(*words, flush=True)


def watch(name: str, container: Container) -> None:
    container.wait()
    say("ended", name, f"{time.monotonic():.9f}")


def main() -> int:
    runtime = Runtime(sys.argv[1])
    held: dict[str, Container] = {}
    say("ready")
    for line in sys.stdin:
        verb, name, *rest = line.split()
        if verb == "launch":
            began = time.perf_counter()
            held[name] = runtime.run(name, bundle=rest[0], stdio=Stdio.null())
            say("launched", held[name].init.pid, f"{time.perf_counter() - began:.7f}")
        elif verb == "watch":
            threading.Thread(target=watch, args=(name, held[name]), daemon=True).start()
            say("watching", name)
        elif verb == "delete":
            held.pop(name).delete(force=True)
            say("deleted", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
