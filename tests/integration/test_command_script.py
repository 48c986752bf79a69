"""The script that is installed as the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "wheel/scripts/kata-hybrid"
STAND_IN = "import sys\ndef command(): print(*sys.path[:2], sep='\\n')\n"


@pytest.mark.parametrize("safe", ["", "1"], ids=["with-its-directory", "safe-path"])
def test_the_users_path_stays_first(tmp_path: Path, safe: str) -> None:
    package = tmp_path / "kata_hybrid/cli"
    package.mkdir(parents=True)
    (package / "main.py").write_text(STAND_IN)
    for made in (package, package.parent):
        (made / "__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": safe}
    out = subprocess.check_output([sys.executable, str(SCRIPT)], env=environment, text=True)
    assert out.splitlines()[0] == str(tmp_path)
    assert str(SCRIPT.parent) not in out
