"""The script that is installed as the command, and a verb with a need of its own."""

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


def test_the_demonstration_says_what_it_needs() -> None:
    without = "import sys; sys.modules['grpc'] = None; from kata_hybrid.cli.main import main; main(['demo'])"
    done = subprocess.run([sys.executable, "-c", without], check=False, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "demo: grpcio is missing: install kata-hybrid[demo]\n")
