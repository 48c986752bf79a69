"""ListProcesses: pids as JSON, or a table as ``ps`` prints it.

The usual table (``-ef``) is made from ``/proc`` alone, for guests without a ps; other arguments need one.
Pids are the guest's. Sources: proc(5); ps(1).
"""

from __future__ import annotations

import json
import os
import pwd
import time
from typing import TYPE_CHECKING, Final

from kata_hybrid.agent.core.errors import RequestRefused
from kata_hybrid.agent.core.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from dataclasses import dataclass
else:
    from kata_hybrid._record import dataclass

HEADER: Final = "UID          PID    PPID  C STIME TTY          TIME CMD"
DEFAULT_ARGS: Final = ("-ef",)


def list_processes(pids: Collection[int], format: str, args: Sequence[str]) -> bytes:  # noqa: A002 - wire word
    """The reply's bytes.

    Args:
        pids: those of the container.
        format: ``json`` or ``table``.
        args: for ps.

    Raises:
        RequestRefused: an unknown format, or ps is missing or prints no table.
    """
    if format == "json":
        return json.dumps(sorted(pids), separators=(",", ":")).encode()
    if format != "table":
        raise RequestRefused("invalid format option")
    if tuple(args) in ((), DEFAULT_ARGS):
        lines = [HEADER, *(row for pid in sorted(pids) if (row := _row(pid)) is not None)]
        return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    try:
        _, output = run_program(["ps", *args])
    except OSError as err:
        raise RequestRefused(f"could not start process: {(err.strerror or str(err)).lower()}: ") from err
    return filter_table(output, pids)


def filter_table(output: bytes, pids: Collection[int]) -> bytes:
    """The header and the lines of ps whose PID column is in ``pids``.

    Raises:
        RequestRefused: no PID column, or a line without a number there.
    """
    lines = output.splitlines()
    header = lines[0].split() if lines else []
    if b"PID" not in header:
        raise RequestRefused("failed to find PID field in ps output")
    column = header.index(b"PID")
    kept = [lines[0]]
    for line in lines[1:]:
        words = line.split()
        if not words:
            continue
        text = line.decode("utf-8", "replace")
        if len(words) <= column:
            raise RequestRefused(f"missing PID field: {text}")
        if not words[column].isdigit():
            raise RequestRefused(f"failed to convert pid to int: {words[column].decode('utf-8', 'replace')}")
        if int(words[column]) in pids:
            kept.append(line)
    return b"".join(line + b"\n" for line in kept)


@dataclass(frozen=True)
class _Facts:
    """Of one process; times in seconds."""

    uid: int
    ppid: int
    cpu_seconds: float
    started: float
    tty: int
    command: str


def _row(pid: int) -> str | None:
    """One line of ``ps -ef``; None when the process has gone."""
    facts = _facts(pid)
    if facts is None:
        return None
    age = max(time.time() - facts.started, 1e-3)
    percent = min(int(facts.cpu_seconds * 100 / age), 99)
    form = "%H:%M" if age < 86400 else "%b%d"
    started = time.strftime(form, time.localtime(facts.started))
    minutes, seconds = divmod(int(facts.cpu_seconds), 60)
    used = f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"
    user = _user_name(facts.uid)
    return (
        f"{user:<8} {pid:>7} {facts.ppid:>7} {percent:>2} {started:<5} {_tty_name(facts.tty):<8} "
        f"{used} {facts.command}"
    )


def _facts(pid: int) -> _Facts | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command_line = file.read()
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    name = text[text.index(b"(") + 1 : text.rindex(b")")].decode("utf-8", "surrogateescape")
    fields = text[text.rindex(b")") + 2 :].split()
    ticks = os.sysconf("SC_CLK_TCK")
    words = command_line.rstrip(b"\0").replace(b"\0", b" ").replace(b"\n", b"?")
    return _Facts(
        uid=uid,
        ppid=int(fields[1]),
        cpu_seconds=(int(fields[11]) + int(fields[12])) / ticks,
        started=_boot_time() + int(fields[19]) / ticks,
        tty=int(fields[4]),
        command=words.decode("utf-8", "surrogateescape") or f"[{name}]",
    )


def _boot_time() -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def _user_name(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= 8 else f"{name[:7]}+"


def _tty_name(number: int) -> str:
    major, minor = os.major(number), os.minor(number)
    if number == 0:
        return "?"
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return f"tty{minor}" if major == 4 else "?"
