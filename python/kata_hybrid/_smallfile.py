"""Reading small files by one call.

``open()`` builds a buffered text reader, asks for the size, for a terminal and twice for the position: ten
times the cost of the reading where the file is a line of ``/proc`` or of a control group, and a launch
reads a dozen of those.
"""

from __future__ import annotations

from kata_hybrid._core import read_file


def read_text(path: str) -> str:
    """The file's content as text; bytes that are no UTF-8 survive as surrogate escapes.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: the path holds a NUL.
    """
    return read_file(path).decode("utf-8", "surrogateescape")
