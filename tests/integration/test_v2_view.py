"""Pure cgroup v2, in a mount namespace whose /sys/fs/cgroup is the unified hierarchy.

The hierarchy has no controllers on a hybrid machine, but birth in the group (CLONE_INTO_CGROUP), the freezer,
cgroup.kill and the device program need none.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("v2_view_script.py")


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs util-linux's unshare")
def test_a_container_lives_in_a_v2_group(rootfs: Path, tmp_path: Path, container_id: str) -> None:
    mount = 'mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "sh"]
    done = subprocess.run(
        [*words, sys.executable, str(SCRIPT), str(rootfs), str(tmp_path / "state"), container_id],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "group": f"0::/{container_id}",
        "frozen": ["1", "paused"],
        "allowed": 0,
        "denied": 1,
        "exec group": f"0::/{container_id}",
        "killed": 9,
        "left": False,
    }
