"""The README's library example does what the README says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_library_example_prints_what_it_says(rootfs: Path, tmp_path: Path) -> None:
    match = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.DOTALL)
    assert match is not None
    environment = {"ROOTFS": str(rootfs), "STATE": str(tmp_path / "state"), "PATH": "/usr/bin:/bin"}
    words = [sys.executable, "-c", match[1]]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (match[2], "", 0)
