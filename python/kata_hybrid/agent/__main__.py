"""``python -m kata_hybrid.agent``."""

from __future__ import annotations

import sys

from kata_hybrid.agent.main import main

sys.exit(main(sys.argv[1:]))
