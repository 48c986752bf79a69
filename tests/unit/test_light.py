"""What stands in for ``contextlib`` and ``functools`` behaves as they do."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from kata_hybrid import _light

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BOTH = pytest.mark.parametrize("module", [contextlib, _light], ids=["real", "light"])


@BOTH
def test_what_was_pushed_is_called_in_reverse_and_may_swallow_the_error(module: Any) -> None:
    seen: list[Any] = []
    with module.ExitStack() as stack:
        stack.callback(seen.append, "first")
        stack.push(lambda kind, error, trace: seen.append((kind, str(error), trace is not None)))
        stack.push(lambda *_: True)
        raise KeyError("gone")
    assert seen == [(None, "None", False), "first"]


@BOTH
def test_an_error_of_an_exit_replaces_the_first_one_and_the_rest_is_still_called(module: Any) -> None:
    seen: list[str] = []

    def fail(*_: object) -> None:
        raise OSError("second")

    stack = module.ExitStack()
    stack.callback(seen.append, "called")
    stack.push(fail)
    with pytest.raises(OSError, match="second") as caught, stack:
        raise KeyError("first")
    assert seen == ["called"]
    assert isinstance(caught.value.__context__, KeyError)


@BOTH
def test_the_result_of_a_callback_never_swallows_an_error(module: Any) -> None:
    stack = module.ExitStack()
    stack.callback(lambda: True)
    with pytest.raises(KeyError), stack:
        raise KeyError


@BOTH
def test_exits_can_be_handed_on(module: Any) -> None:
    seen: list[str] = []
    with module.ExitStack() as stack:
        assert stack.enter_context(contextlib.nullcontext("value")) == "value"
        stack.callback(seen.append, "later")
        kept = stack.pop_all()
    assert seen == []
    kept.close()
    kept.close()
    assert seen == ["later"]


def make_context(module: Any, seen: list[str], *, handle: type[BaseException] = OSError) -> Any:
    def context(value: str) -> Iterator[str]:
        """Documented."""
        seen.append("in")
        try:
            yield value
        except handle:
            seen.append("handled")
        finally:
            seen.append("out")

    return module.contextmanager(context)


@BOTH
def test_a_generator_is_a_context(module: Any) -> None:
    seen: list[str] = []
    context = make_context(module, seen)
    assert context.__doc__ == "Documented."
    with context("x") as value:
        assert value == "x"
    with context("x"):
        raise OSError
    assert seen == ["in", "out", "in", "handled", "out"]


@BOTH
@pytest.mark.parametrize("error", [KeyError("k"), StopIteration("s"), KeyboardInterrupt()])
def test_an_error_passes_through_a_generator_context(module: Any, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, make_context(module, [])("x"):
        raise error
    assert caught.value is error
    assert error.__traceback__ is not None


@BOTH
def test_an_error_in_a_generator_context_replaces_the_first(module: Any) -> None:
    def context() -> Iterator[None]:
        try:
            yield
        except OSError as err:
            raise ValueError("changed") from err

    with pytest.raises(ValueError, match="changed"), module.contextmanager(context)():
        raise OSError


@BOTH
def test_a_generator_that_yields_twice_is_an_error(module: Any) -> None:
    def context() -> Iterator[None]:
        yield
        yield

    def swallowing() -> Iterator[None]:
        with contextlib.suppress(OSError):
            yield
        yield

    with pytest.raises(RuntimeError), module.contextmanager(context)():
        pass
    with pytest.raises(RuntimeError), module.contextmanager(swallowing)():
        raise OSError


@BOTH
def test_suppress(module: Any) -> None:
    with module.suppress(KeyError, OSError):
        raise FileNotFoundError
    with pytest.raises(ValueError, match="x"), module.suppress(KeyError):
        raise ValueError("x")


def test_results_are_kept_until_there_are_too_many() -> None:
    calls: list[int] = []

    def double(number: int) -> int:
        calls.append(number)
        return 2 * number

    keeping: Callable[[int], int] = _light.kept(2)(double)
    assert [keeping(number) for number in (1, 1, 2, 2, 3, 1)] == [2, 2, 4, 4, 6, 2]
    assert calls == [1, 2, 3, 1]
