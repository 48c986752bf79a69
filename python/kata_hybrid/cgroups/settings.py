"""A list of values to write, and writing it so that a failure leaves nothing changed.

The lists are made by ``resources_v1`` and ``resources_v2`` without touching anything; here they meet the
files. Old values are read before each write and put back, last first, when a later one fails.
"""

from __future__ import annotations

import errno
import os

from kata_hybrid.cgroups.files import read_or_none, write_text
from kata_hybrid.errors import CgroupError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from dataclasses import dataclass, replace
    from enum import Enum
else:
    from kata_hybrid._record import Enum, dataclass, replace


class Undo(Enum):
    """How the old content of a file is written back."""

    VALUE = "value"  # the file holds one value
    LINE = "line"  # one line per device or name: only the line with our key


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for one file.

    Attributes:
        controller: key of ``cgroup_paths``; on v2 the controller that must be enabled.
        files: names to try; the first that exists is written.
        value: as the kernel reads it.
        field: the JSON path of what is being set, for errors.
        optional: a missing file or controller is fine (a limit asked to be absent).
        postpone: the kernel may refuse the value (EINVAL) until a later one of the list is written.
        clamped: the kernel may take another number than ours without an error; then it is one.
        undo: how to take it back.
        reset: ``LINE`` only: what to write for a key that had no line.
    """

    controller: str
    files: tuple[str, ...]
    value: str
    field: str
    optional: bool = False
    postpone: bool = False
    clamped: bool = False
    undo: Undo = Undo.VALUE
    reset: str = ""

    @property
    def key(self) -> str:
        """The first word: the device or name of a ``LINE`` file."""
        return self.value.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class _Written:
    path: str
    old: str | None


def write_settings(
    settings: Iterable[Setting],
    directories: Mapping[str, str],
    *,
    rollback: bool,
    then: Callable[[], None] | None = None,
) -> None:
    """Write all of ``settings`` in order.

    Args:
        settings: what to write.
        directories: controller -> directory.
        rollback: put the old values back when one fails; without it the caller drops the group.
        then: a last step that undoes itself when it fails; its failure takes the settings back too.

    Raises:
        UnsupportedError: a controller or file that a setting needs does not exist.
        CgroupError: the kernel refused a value. A failure to put back is a note on it.
    """
    waiting = list(settings)
    written: list[_Written] = []
    try:
        while waiting:
            setting = waiting.pop(0)
            path = _locate(setting, directories)
            if path is None:
                continue
            old = _old_value(path, setting) if rollback else None
            try:
                _write(path, setting)
            except CgroupError as err:
                if not (setting.postpone and err.errno == errno.EINVAL and waiting):
                    raise
                waiting.append(replace(setting, postpone=False))
                continue
            written.append(_Written(path, old))
        if then is not None:
            then()
    except (CgroupError, UnsupportedError) as err:
        if rollback:
            for problem in _put_back(written):
                err.add_note(problem)
        raise


def _locate(setting: Setting, directories: Mapping[str, str]) -> str | None:
    """The file to write, or None when an optional one is missing."""
    directory = directories.get(setting.controller)
    if directory is not None:
        for name in setting.files:
            path = os.path.join(directory, name)
            if os.path.exists(path):
                return path
    if setting.optional:
        return None
    needs = f"the cgroup controller {setting.controller}" if setting.controller else "a newer kernel"
    if directory is not None:
        needs = f"the cgroup file {os.path.join(directory, setting.files[0])}"
    raise UnsupportedError(setting.field, needs)


def _write(path: str, setting: Setting) -> None:
    write_text(path, setting.value)
    if not setting.clamped:
        return
    taken = read_or_none(path)
    if taken is not None and taken.isdigit() and int(taken) != int(setting.value):
        side = "minimum" if int(taken) > int(setting.value) else "maximum"
        raise CgroupError(f"the {side} allowed {setting.field} is {taken}", path=path, errno=errno.EINVAL)


def _old_value(path: str, setting: Setting) -> str | None:
    """What to write to take ``setting`` back; None when the file does not tell."""
    try:
        old = read_or_none(path)
    except CgroupError:
        return None  # write-only file
    if setting.undo is Undo.VALUE:
        return old
    lines = [line for line in (old or "").splitlines() if line.split(" ", 1)[0] == setting.key]
    return lines[0] if lines else setting.reset or None


def _put_back(written: Sequence[_Written]) -> list[str]:
    """Write the old values, last first; those that are refused once more after the others."""
    refused = [entry for entry in reversed(written) if entry.old is not None and _refusal(entry)]
    problems = [_refusal(entry) for entry in refused]
    return [f"while putting the old value back: {problem}" for problem in problems if problem]


def _refusal(entry: _Written) -> str | None:
    try:
        write_text(entry.path, entry.old or "\n")
    except CgroupError as err:
        return err.message
    return None
