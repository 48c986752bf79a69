"""``bench_slow.py MS compare ...``: the benches' command, with MS of sleep in each launch of the library."""

from __future__ import annotations

import sys
import time
from typing import Any

from kata_hybrid.runtime import create


def slow_down(seconds: float) -> None:
    launch = create.launch

    def slow(*args: Any, **kwargs: Any) -> Any:
        time.sleep(seconds)
        return launch(*args, **kwargs)

    create.launch = slow


if __name__ == "__main__":
    from benches.__main__ import main

    slow_down(float(sys.argv[1]) / 1000)
    sys.exit(main(sys.argv[2:]))
