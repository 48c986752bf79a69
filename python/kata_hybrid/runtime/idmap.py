"""Writing a new user namespace's id maps, from the parent's side.

A privileged parent writes the files itself. An unprivileged one may map only its own id, and must give up
setgroups for that; for anything more the setuid helpers newuidmap and newgidmap do the writing.

Source: user_namespaces(7).
"""

from __future__ import annotations

import errno
import os

from kata_hybrid.errors import LaunchError
from kata_hybrid.runtime import orphans


def write_user_maps(pid: int, uid_map: str, gid_map: str) -> None:
    """Fill ``/proc/<pid>/uid_map`` and ``gid_map``, each in the single write that the kernel takes.

    Args:
        uid_map, gid_map: lines of ``inside outside count``.

    Raises:
        LaunchError: the kernel or a helper refused a map.
    """
    if os.geteuid() != 0 and _maps_one(gid_map):
        _write(f"/proc/{pid}/setgroups", "deny")
    _write_or_help(pid, "uid_map", uid_map, "newuidmap")
    _write_or_help(pid, "gid_map", gid_map, "newgidmap")


def _maps_one(text: str) -> bool:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return len(lines) == 1 and lines[0][2] == "1"


def _write_or_help(pid: int, name: str, text: str, helper: str) -> None:
    try:
        _write(f"/proc/{pid}/{name}", text)
    except LaunchError as err:
        if err.errno != errno.EPERM or os.geteuid() == 0:
            raise
        _run_helper(helper, pid, text)


def _write(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as err:
        raise LaunchError("write id map", err.errno, path) from err


def _run_helper(helper: str, pid: int, text: str) -> None:
    import subprocess  # only where the kernel wants a helper

    try:
        with orphans.starting():
            done = subprocess.run([helper, str(pid), *text.split()], capture_output=True, check=False)
    except OSError as err:
        raise LaunchError("write id map", err.errno, helper) from err
    if done.returncode != 0:
        problem = done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
        raise LaunchError("write id map", None, helper, detail=problem)
