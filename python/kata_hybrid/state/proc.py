"""What ``/proc/<pid>/stat`` says of a process: who it is and whether it lives.

Source: proc_pid_stat(5). The command name in the second field may hold blanks and parentheses, so fields
are counted from the last ``)``.
"""

from __future__ import annotations

from .._core import read_file

_STATE = 0  # field 3
_START_TIME = 19  # field 22
_DEAD = frozenset("ZXx")


def process_start_time(pid: int) -> int:
    """When the process started, clock ticks since boot (field 22): with the pid, its identity.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return int(_fields(pid)[_START_TIME])


def process_state(pid: int) -> str:
    """The state letter (field 3): R, S, D, T, t, Z, X, I.

    Raises:
        ProcessLookupError: there is no such process.
    """
    return _fields(pid)[_STATE]


def is_same_process(pid: int, start_time: int) -> bool:
    """Whether ``pid`` is still the live process that started then; a zombie is not."""
    if pid <= 0:
        return False
    try:
        fields = _fields(pid)
    except ProcessLookupError:
        return False
    return int(fields[_START_TIME]) == start_time and fields[_STATE] not in _DEAD


def parse_stat(data: bytes) -> list[str]:
    """The fields after the command name, from field 3 on.

    Raises:
        ValueError: the text is not a stat line.
    """
    _, paren, rest = data.rpartition(b")")
    fields = rest.decode("ascii").split()
    if not paren or len(fields) <= _START_TIME or not fields[_START_TIME].isdigit():
        raise ValueError("not a line of /proc/<pid>/stat")
    return fields


def _fields(pid: int) -> list[str]:
    try:
        data = read_file(f"/proc/{pid:d}/stat")
    except (FileNotFoundError, NotADirectoryError):
        raise ProcessLookupError(f"no process {pid}") from None
    return parse_stat(data)
