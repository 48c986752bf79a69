"""``@dataclass(frozen=True)`` without the code generation, which costs 0.3 ms for each class at import.

The classes of :mod:`config` are 35, and a command that lives for 20 ms cannot spend 12 of them on methods
it never calls. What this gives is a dataclass to ``fields``, ``replace``, ``asdict`` and ``is_dataclass``,
with the same construction, equality, hash, representation and immutability; type checkers see the real one.
No inheritance between records, no ``InitVar``, no ``kw_only``: :mod:`config` needs none.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, FrozenInstanceError, field
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["dataclass", "field"]

T = TypeVar("T")


def dataclass(*, frozen: bool) -> Callable[[type[T]], type[T]]:
    """The decorator. ``frozen`` must be True; it is spelled out for the reader."""
    if not frozen:
        raise TypeError("records are frozen")
    return _finish


def _finish(cls: type[T]) -> type[T]:
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # dataclasses would build a signature for it, the slowest part of all
    dataclasses.dataclass(init=False, repr=False, eq=False)(cls)
    members: dict[str, Any] = cls.__dict__["__dataclass_fields__"]
    names = tuple(members)
    plain = {name: item.default for name, item in members.items() if item.default is not MISSING}
    made = {n: item.default_factory for n, item in members.items() if item.default_factory is not MISSING}
    for method in (_init(cls, names, plain, made), *_comparison(cls, names), _repr(names), *_frozen()):
        setattr(cls, method.__name__, method)
    return cls


def _init(
    cls: type, names: tuple[str, ...], plain: dict[str, Any], made: dict[str, Callable[[], Any]]
) -> Callable[..., None]:
    known = frozenset(names)
    required = tuple(name for name in names if name not in plain and name not in made)

    def __init__(self: Any, /, *args: Any, **kwargs: Any) -> None:  # noqa: N807
        if len(args) > len(names):
            raise TypeError(f"{cls.__name__} takes {len(names)} arguments but {len(args)} were given")
        given = dict(zip(names, args, strict=False))
        if not given.keys().isdisjoint(kwargs) or not known.issuperset(kwargs):
            odd = ", ".join(key for key in kwargs if key in given or key not in known)
            raise TypeError(f"{cls.__name__} got an unexpected or second argument: {odd}")
        members = self.__dict__
        members.update(plain)
        members.update(given)
        members.update(kwargs)
        for name in required:
            if name not in members:
                raise TypeError(f"{cls.__name__} misses the argument {name}")
        for name, factory in made.items():
            if name not in members:
                members[name] = factory()

    return __init__


def _comparison(cls: type, names: tuple[str, ...]) -> tuple[Callable[..., Any], ...]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807
        if self is other:
            return True
        if other.__class__ is not cls or self.__class__ is not cls:
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__
        return all(mine[name] == theirs[name] for name in names)

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(tuple(self.__dict__[name] for name in names))

    return __eq__, __hash__


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807
        inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in names)
        return f"{self.__class__.__qualname__}({inner})"

    return __repr__


def _frozen() -> tuple[Callable[..., None], ...]:
    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    return __setattr__, __delattr__
