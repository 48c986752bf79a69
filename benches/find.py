"""The peers: where they are, and which version each is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ON_PATH = ("runc", "crun", "bwrap", "youki")
BY_HAND = ("go-agent", "rust-agent")  # never looked for: a Kata agent is nothing one has on PATH
FLOOR = "floor"  # our own program, see benches/floor
NAMES = (*ON_PATH, *BY_HAND, FLOOR)


class PeerError(Exception):
    """A peer that was named is not there."""


def variable(name: str) -> str:
    """``go-agent`` can be given in ``KATA_HYBRID_BENCH_GO_AGENT``."""
    return "KATA_HYBRID_BENCH_" + name.upper().replace("-", "_")


def peers(
    given: Mapping[str, str | None],
    wanted: frozenset[str] = frozenset(),
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """Program by name, of those that are there.

    Args:
        given: paths by name, from options; they win over the environment, and that over PATH.
        wanted: only these; empty means all.

    Raises:
        PeerError: one that was given by path or by name is no program.
    """
    if unknown := wanted - set(NAMES):
        raise PeerError(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found = {}
    for name in NAMES:
        if wanted and name not in wanted:
            continue
        said = given.get(name) or environment.get(variable(name))
        program = shutil.which(said) if said else _look_for(name)
        if program is not None:
            found[name] = Path(program).absolute()
        elif said:
            raise PeerError(f"{name}: {said} is no program")
        elif name in wanted:
            raise PeerError(f"{name}: not found; name it by --{name} or {variable(name)}")
    return found


def _look_for(name: str) -> str | None:
    if name in ON_PATH:
        return shutil.which(name)
    return _floor() if name == FLOOR else None


def _floor() -> str | None:
    """Built when its source has changed; a machine without cargo measures without it."""
    from benches.floor_script import build_floor

    try:
        return str(build_floor())
    except (OSError, RuntimeError) as error:
        print(f"without the floor: {error}", file=sys.stderr)
        return None


def remember(programs: Mapping[str, Path]) -> None:
    """In the environment, so that the same program started again need not look."""
    os.environ.update({variable(name): str(program) for name, program in programs.items()})


def versions(programs: Mapping[str, Path]) -> dict[str, str]:
    """What ``--version`` says. Agents are not asked: one that knows no such option would start."""
    found = {}
    for name, program in programs.items():
        if name in ON_PATH and (version := _version(program)):
            found[name] = version
    return found


def _version(program: Path) -> str | None:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, check=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\d+\.\d+[\w.+~-]*", done.stdout)
    return match.group() if match else None
