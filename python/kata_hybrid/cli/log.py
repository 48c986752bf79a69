"""Where the command's errors go, in the form that engines read back.

With ``--log`` a record is appended to the file and the bare message goes to stderr; without, the record
itself goes to stderr. One record is one line.
"""

from __future__ import annotations

import os
import sys
import time

FORMATS = ("text", "json")
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/@^+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Log:
    """The open log.

    Args:
        path: appended to, made 0644 when missing; ``""`` is stderr.
        form: ``text`` or ``json``.
        debug: records of level debug are written too.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: str = "", form: str = "text", *, debug: bool = False) -> None:
        self.form = form
        self.debug_on = debug
        self._fd = -1
        if path:
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_SYNC | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o644)

    def error(self, message: str) -> None:
        """The reason why the command fails."""
        self._write("error", message)
        if self._fd >= 0:
            _to_stderr(message + "\n")

    def warning(self, message: str) -> None:
        """Something that is ignored on purpose."""
        self._write("warning", message)

    def debug(self, message: str) -> None:
        """A record that only ``--debug`` shows."""
        if self.debug_on:
            self._write("debug", message)

    def _write(self, level: str, message: str) -> None:
        line = record(self.form, level, message, timestamp()) + "\n"
        if self._fd < 0:
            _to_stderr(line)
            return
        try:
            os.write(self._fd, line.encode("utf-8", "surrogateescape"))
        except OSError:
            _to_stderr(line)


def record(form: str, level: str, message: str, when: str) -> str:
    """One record without its line end."""
    if form == "json":
        from .. import _json  # not needed by the text form

        clean = message.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        pairs = {"level": level, "msg": clean, "time": when}
        return _json.dumps(pairs, ensure_ascii=False)
    return f"time={quote(when)} level={level} msg={quote(message)}"


def quote(text: str) -> str:
    """A value of the text form: bare when it is plain, else in double quotes with escapes."""
    if text and _PLAIN.issuperset(text):
        return text
    return '"' + "".join(_quoted(char) for char in text) + '"'


def _quoted(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no utf-8
        return f"\\x{code - 0xDC00:02x}"
    return char if char.isprintable() else f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}"


def timestamp() -> str:
    """Now as RFC 3339 in seconds, in the local zone."""
    now = time.localtime()
    zone = time.strftime("%z", now)
    suffix = "Z" if zone in {"", "+0000"} else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", now) + suffix


def _to_stderr(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.write(2, data)
    except OSError:
        return  # nobody listens; the exit status still tells
