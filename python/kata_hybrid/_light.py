"""The few things of ``contextlib`` and ``functools`` that a launch needs, without their import.

Both come with ``collections``, ``operator``, ``types`` and ``reprlib``: four milliseconds, of the twenty that
a command lives for. Type checkers are shown the real ones, see :mod:`kata_hybrid._record`.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, ParamSpec, Self, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")
    Exit = Callable[[type[BaseException] | None, BaseException | None, TracebackType | None], object]

__all__ = ["ExitStack", "attributes", "contextmanager", "kept", "suppress"]


class ExitStack:
    """As ``contextlib.ExitStack``: what was pushed is called in reverse, and all of it."""

    def __init__(self) -> None:
        self._exits: list[Exit] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        first = error
        while self._exits:
            leave = self._exits.pop()
            try:
                if error is None:
                    leave(None, None, None)
                elif leave(type(error), error, error.__traceback__):
                    error = None
            except BaseException as err:  # noqa: BLE001 - raised below, when all have been called
                if err.__context__ is None and err is not error:
                    err.__context__ = error
                error = err
        if error is not None and error is not first:
            raise error
        return first is not None and error is None

    def push(self, exit: Exit) -> Exit:  # noqa: A002 - the name in contextlib
        """Call ``exit`` as an ``__exit__``."""
        self._exits.append(exit)
        return exit

    def callback(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, T]:
        """Call ``call`` with these arguments, whatever happened."""
        self._exits.append(lambda _kind, _error, _trace: call(*args, **kwargs) and None)
        return call

    def enter_context(self, context: Any) -> Any:
        """Enter ``context`` and leave it when this stack is left."""
        entered = context.__enter__()
        self._exits.append(context.__exit__)
        return entered

    def pop_all(self) -> ExitStack:
        """Move everything to another stack; this one does nothing any more."""
        other = self.__class__()
        other._exits, self._exits = self._exits, []
        return other

    def close(self) -> None:
        """Leave now."""
        self.__exit__(None, None, None)


class _Steps:
    """A generator as a context: what is before its ``yield`` on entry, the rest on exit."""

    def __init__(self, steps: Iterator[Any]) -> None:
        self._steps: Any = steps

    def __enter__(self) -> Any:
        return next(self._steps)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            for _ in self._steps:
                raise RuntimeError("a context yields once")
            return False
        try:
            self._steps.throw(error)
        except StopIteration as end:
            return end is not error
        except BaseException as err:
            if err is error or (isinstance(error, StopIteration) and err.__cause__ is error):
                error.__traceback__ = trace
                return False
            raise
        raise RuntimeError("a context yields once")


def contextmanager(make: Callable[..., Iterator[Any]]) -> Callable[..., _Steps]:
    """As ``contextlib.contextmanager``."""

    def context(*args: Any, **kwargs: Any) -> _Steps:
        return _Steps(make(*args, **kwargs))

    context.__doc__ = make.__doc__
    context.__name__ = make.__name__
    context.__qualname__ = make.__qualname__
    return context


class suppress:  # noqa: N801 - the name in contextlib
    """As ``contextlib.suppress``."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


def kept(limit: int) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Results are kept for calls with the same hashable arguments; all go when there are ``limit``."""

    def decorate(call: Callable[P, T]) -> Callable[P, T]:
        results: dict[Any, T] = {}

        def remembering(*args: Any) -> T:
            try:
                return results[args]
            except KeyError:
                pass
            if len(results) >= limit:
                results.clear()
            result = results[args] = call(*args)  # type: ignore[call-arg]
            return result

        remembering.__doc__ = call.__doc__
        remembering.__name__ = call.__name__
        return remembering  # type: ignore[return-value]

    return decorate


def attributes(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """A package's ``__getattr__``: its names are imported when they are first used.

    Args:
        homes: name to the module of the package that defines it.
    """

    def __getattr__(name: str) -> object:  # noqa: N807
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(__import__(f"{package}.{homes[name]}", fromlist=("",)), name)
        setattr(sys.modules[package], name, value)
        return value

    return __getattr__
