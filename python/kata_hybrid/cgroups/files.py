"""Small reads and writes of cgroup files; every failure carries the path and the errno.

``EINTR`` needs no care here: Python restarts a system call that a signal interrupted (PEP 475).
Nothing in this module knows what a file means.
"""

from __future__ import annotations

import errno
import os
import time

from kata_hybrid import _core, _smallfile
from kata_hybrid.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# The group went away while we looked at it.
GONE = (errno.ENOENT, errno.ENODEV)

_RMDIR_TRIES = 11  # waits of 1, 2, 4 .. 512 ms between them: about one second in all
_RMDIR_FIRST_WAIT = 0.001


def failure(what: str, path: str, err: OSError) -> CgroupError:
    """The ``CgroupError`` for ``err``."""
    return CgroupError(what, path=path, errno=err.errno)


def read_text(path: str) -> str:
    """The file's content without white space at its ends.

    Raises:
        CgroupError: it cannot be read.
    """
    try:
        return _smallfile.read_text(path).strip()
    except OSError as err:
        raise failure("read", path, err) from err


def read_or_none(path: str) -> str | None:
    """As ``read_text``, but None when the file or its group does not exist."""
    try:
        return _smallfile.read_text(path).strip()
    except OSError as err:
        if err.errno in (*GONE, errno.EOPNOTSUPP):
            return None
        raise failure("read", path, err) from err


def read_int(path: str, default: int = 0) -> int:
    """The file's number; ``default`` when it is missing or not a number (``max``)."""
    return to_int(read_or_none(path), default)


def to_int(text: str | None, default: int = 0) -> int:
    """``text`` as a decimal number, or ``default``."""
    if text is None:
        return default
    try:
        return int(text)
    except ValueError:
        return default


def read_table(path: str) -> dict[str, int]:
    """A file of ``key number`` lines (``memory.stat``); empty when it is missing."""
    table: dict[str, int] = {}
    for line in (read_or_none(path) or "").splitlines():
        key, _, value = line.partition(" ")
        if value.strip().isdigit():
            table[key] = int(value)
    return table


def write_text(path: str, value: str) -> None:
    """Write ``value`` by one write(2), as cgroup files ask for; the file is never created.

    Raises:
        CgroupError: the file is missing or the kernel refuses the value.
    """
    write_each(path, (value,))


def write_each(path: str, values: Iterable[str]) -> None:
    """As ``write_text`` for one value after the other: a write(2) each, the file opened once.

    Raises:
        CgroupError: as ``write_text``; the values before the refused one are written.
    """
    texts = list(values)
    refused = _core.write_file_each(path, [text.encode("utf-8", "surrogateescape") for text in texts])
    if refused is not None:
        place, number = refused
        raise CgroupError(f"write {texts[max(place, 0)]!r}", path=path, errno=number)


def make_directories(path: str, *, below: str, made: list[str]) -> bool:
    """Create ``path`` and its missing parents; what was made is appended to ``made`` in that order.

    Args:
        path: an absolute directory below ``below``.
        below: the mount point, which must exist.
        made: grows as the work goes on, so that the caller can undo a part of it.

    Returns:
        whether ``path`` is new.

    Raises:
        CgroupError: a directory could not be made.
    """
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return False
    except FileNotFoundError:
        pass
    except OSError as err:
        raise failure("create the cgroup", path, err) from err
    else:
        made.append(path)
        return True
    for directory in [*ancestors(path, below), path]:
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            continue
        except OSError as err:
            raise failure("create the cgroup", directory, err) from err
        made.append(directory)
    return path in made


def ancestors(path: str, below: str) -> list[str]:
    """The directories strictly between ``below`` and ``path``, outermost first."""
    found: list[str] = []
    parent = os.path.dirname(path)
    while len(parent) > len(below.rstrip("/")) and parent != "/":
        found.append(parent)
        parent = os.path.dirname(parent)
    return found[::-1]


def subgroups(path: str) -> Iterator[str]:
    """``path`` and every group below it, each before its children. Groups that vanish are left out."""
    yield path
    try:
        with os.scandir(path) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as err:
        if err.errno in GONE:
            return
        raise failure("list", path, err) from err
    for child in children:
        yield from subgroups(child)


def read_pids(path: str) -> list[int]:
    """The processes of one group, ascending.

    A process outside our pid namespace shows as 0 and is left out. A threaded group of v2 has no list
    of its own; its processes are listed by the domain above it.
    """
    text = read_or_none(os.path.join(path, "cgroup.procs")) or ""
    return sorted({int(word) for word in text.split() if word != "0"})


def remove_tree(path: str) -> None:
    """rmdir ``path`` and the groups below it, deepest first. Missing is fine.

    ``EBUSY`` is tried again for about a second: a group stays busy for a moment after its last process
    was reaped.

    Raises:
        CgroupError: a group is still busy or may not be removed.
    """
    for group in reversed(list(subgroups(path))):
        _remove(group)


def _remove(path: str) -> None:
    wait = _RMDIR_FIRST_WAIT
    for attempt in range(_RMDIR_TRIES):
        try:
            os.rmdir(path)
        except OSError as err:
            if err.errno in GONE:
                return
            if err.errno != errno.EBUSY or attempt == _RMDIR_TRIES - 1:
                raise failure("remove the cgroup", path, err) from err
            time.sleep(wait)
            wait *= 2
        else:
            return


def remove_made(made: Sequence[str]) -> list[str]:
    """rmdir what ``make_directories`` made, last first; gives the sentences of what would not go."""
    problems: list[str] = []
    for path in reversed(made):
        try:
            _remove(path)
        except CgroupError as err:
            problems.append(err.message)
    return problems
