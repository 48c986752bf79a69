"""Undoing half-done work in reverse, with the first error kept."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from types import TracebackType
    from typing import ParamSpec

    P = ParamSpec("P")
else:
    from kata_hybrid._light import ExitStack


class Undo(ExitStack):
    """An ``ExitStack`` whose :meth:`add` calls never replace the error that made them run.

    What goes wrong while undoing is attached to the first error as a note, and the rest is undone still.
    """

    def add(self, call: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Call this when the block is left by an exception; forget it with ``pop_all``."""

        def undo(
            _: type[BaseException] | None, first: BaseException | None, __: TracebackType | None
        ) -> bool:
            try:
                call(*args, **kwargs)
            except Exception as later:
                if first is None:
                    raise
                name = getattr(call, "__qualname__", repr(call))
                first.add_note(f"while undoing ({name}): {type(later).__name__}: {later}")
            return False

        self.push(undo)
