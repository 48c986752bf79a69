"""Enabling v2 controllers on the way down to a group. Source: cgroup-v2.rst, "Controlling Controllers"."""

from __future__ import annotations

import os

from kata_hybrid.cgroups.files import ancestors, read_or_none, write_text
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import dataclass
else:
    from kata_hybrid._record import dataclass


@dataclass(frozen=True, slots=True)
class Enabled:
    """A controller that we switched on in one group."""

    path: str
    controller: str

    def undo(self) -> str | None:
        """Switch it off; gives the sentence of a refusal. A group that is gone needs nothing."""
        if not os.path.exists(self.path):
            return None
        try:
            write_text(self.path, f"-{self.controller}")
        except CgroupError as err:
            return err.message
        return None


def enable(directory: str, mount: str, wanted: Iterable[str], enabled: list[Enabled]) -> None:
    """Hand ``wanted`` controllers down from ``mount`` to ``directory``, as far as they are there.

    One that is missing, or that a group refuses (it has processes of its own, or v1 holds the
    controller), is left out: the limit that needs it then fails with the name of its file.

    Args:
        enabled: grows by what was switched on, so that the caller can undo it.
    """
    names = list(wanted)
    for group in [mount, *ancestors(directory, mount)]:
        available = set((read_or_none(os.path.join(group, "cgroup.controllers")) or "").split())
        path = os.path.join(group, "cgroup.subtree_control")
        present = set((read_or_none(path) or "").split())
        missing = [name for name in names if name in available and name not in present]
        enabled += [Enabled(path, name) for name in missing if _enable_one(path, name)]


def _enable_one(path: str, name: str) -> bool:
    try:
        write_text(path, f"+{name}")
    except CgroupError:
        return False
    return True
