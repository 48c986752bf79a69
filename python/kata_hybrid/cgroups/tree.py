"""What both managers do with directories: refuse one in use, list its processes, remove it."""

from __future__ import annotations

from kata_hybrid import _core
from kata_hybrid.cgroups.files import GONE, read_pids, remove_tree, subgroups
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def pids_of(directory: str, *, recursive: bool) -> list[int]:
    """Processes of ``directory`` and, if asked, of the groups below it; ascending."""
    groups = subgroups(directory) if recursive else [directory]
    return sorted({pid for group in groups for pid in read_pids(group)})


def refuse_in_use(directory: str, *, frozen: bool) -> None:
    """Raise ``CgroupError`` when an existing directory is frozen or has processes.

    A new container must not be stopped by, nor later killed with, somebody else's group.
    """
    if frozen:
        raise CgroupError("container's cgroup unexpectedly frozen", path=directory)
    count = len(pids_of(directory, recursive=True))
    if count:
        raise CgroupError(f"container's cgroup is not empty: {count} process(es) found", path=directory)


def remove_all(directories: Iterable[str]) -> None:
    """Remove each tree, all of them even when one fails; then raise the first failure."""
    failures: list[CgroupError] = []
    paths = list(directories)
    numbers = _core.remove_directories(paths)  # most containers make no groups of their own
    for directory, number in zip(paths, numbers, strict=True):
        if number in (0, *GONE):
            continue
        try:
            remove_tree(directory)
        except CgroupError as err:
            failures.append(err)
    if failures:
        for other in failures[1:]:
            failures[0].add_note(other.message)
        raise failures[0]
