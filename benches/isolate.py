"""A mount namespace for the run: a tmpfs of its own, so that no contender pays for a disk.

crun 1.8 refuses a hybrid cgroup tree, so where that is the crun at hand, the unified mount is taken out of
the namespace too; all contenders then see the same tree.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DIRECTORY = "KATA_HYBRID_BENCH_DIRECTORY"  # set inside: where the tmpfs is
UNIFIED = "/sys/fs/cgroup/unified"
SCRIPT = """
set -e
mount -t tmpfs -o mode=0755 kata-hybrid-bench "$1"
if [ -n "$2" ]; then umount "$2"; fi
shift 2
exec "$@"
"""


class IsolationError(Exception):
    """The namespace cannot be made."""


def enter(versions: Mapping[str, str]) -> None:
    """Run this same program again in the namespace; returns only there.

    Raises:
        IsolationError: there is no root or no unshare(1).
    """
    if DIRECTORY in os.environ:
        return
    if os.geteuid() != 0:
        raise IsolationError("root is needed to make containers")
    unshare = shutil.which("unshare")
    if unshare is None:
        raise IsolationError("unshare(1) is missing (Debian: apt-get install util-linux)")
    directory = tempfile.mkdtemp(prefix="kata-hybrid-bench-")
    hidden = UNIFIED if versions.get("crun", "").startswith("1.8") and os.path.ismount(UNIFIED) else ""
    os.environ[DIRECTORY] = directory
    sys.stdout.flush()
    words = ["-m", "--propagation", "slave", "sh", "-c", SCRIPT, "sh", directory, hidden]
    os.execv(unshare, ["unshare", *words, *sys.orig_argv])


@contextmanager
def directory() -> Iterator[Path]:
    """The tmpfs, gone afterwards; a SIGTERM ends the run in order."""
    place = Path(os.environ.pop(DIRECTORY))  # what we start is not to think it is inside already
    os.environ["TMPDIR"] = str(place)
    tempfile.tempdir = str(place)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield place
    finally:
        signal.signal(signal.SIGTERM, before)
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        with suppress(OSError):
            place.rmdir()
