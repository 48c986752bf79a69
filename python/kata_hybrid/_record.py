"""Dataclasses, named tuples and enumerations that cost next to nothing to define.

A command that lives for twenty milliseconds defines some hundred types on its way, and the standard library
takes 0.1 to 0.4 ms for each (it generates and compiles their methods), after 30 ms for ``dataclasses``,
``typing`` and ``enum`` themselves. Here the methods are closures over the names of the fields, 10 µs a type,
and nothing is imported. Modules say::

    if TYPE_CHECKING:
        from dataclasses import dataclass, field, replace
    else:
        from kata_hybrid._record import dataclass, field, replace

so that type checkers see the real thing, and so does a program: ``dataclasses.fields``, ``replace``,
``asdict`` and ``is_dataclass`` work, with what they need made by ``dataclasses`` when first asked for.
What is missing is what nobody here uses: inheritance between records, ``InitVar``, ``kw_only``, ordering.
See docs/decisions/0006-records.md.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["Enum", "NamedTuple", "dataclass", "described", "field", "replace"]

_MISSING: Any = object()


class _Field:
    """What :func:`field` was told; its place is taken by the default, if there is one."""

    def __init__(self, default: Any, default_factory: Any, *, repr: bool, compare: bool) -> None:  # noqa: A002
        self.default = default
        self.default_factory = default_factory
        self.repr = repr
        self.compare = compare


def field(
    *,
    default: Any = _MISSING,
    default_factory: Any = _MISSING,
    repr: bool = True,  # noqa: A002 - the name in dataclasses
    compare: bool = True,
) -> Any:
    """As ``dataclasses.field``."""
    return _Field(default, default_factory, repr=repr, compare=compare)


def replace(record: T, /, **changes: Any) -> T:
    """As ``dataclasses.replace``, for records of this module."""
    changed: T = record.__replace__(**changes)  # type: ignore[attr-defined]
    return changed


def dataclass(cls: Any = None, *, frozen: bool = False, slots: bool = False) -> Any:
    """As ``dataclasses.dataclass``; ``slots`` is for type checkers, attributes are in the ``__dict__``."""
    del slots
    if cls is not None:
        return _finish(cls, frozen=False)
    return _finish_frozen if frozen else _finish_mutable


def _finish_frozen(cls: Any) -> Any:
    return _finish(cls, frozen=True)


def _finish_mutable(cls: Any) -> Any:
    return _finish(cls, frozen=False)


def described(kind: Any) -> list[tuple[str, str, Callable[[], Any] | None]]:
    """(name, annotation, what makes its default or None) of each field of a record."""
    layout: _Layout = kind.__record__
    annotations = kind.__annotations__
    makers = {name: lambda value=value: value for name, value in layout.plain.items()} | layout.made
    return [(name, annotations[name], makers.get(name)) for name in layout.names]


class _Layout:
    """What the methods of one record need to know."""

    def __init__(self, cls: Any, *, frozen: bool) -> None:
        space = cls.__dict__
        self.frozen = frozen
        self.names = tuple(cls.__annotations__)
        self.defaults = {name: space[name] for name in self.names if name in space}
        self.compared = self.shown = self.names
        self.plain = self.defaults
        self.made: dict[str, Callable[[], Any]] = {}
        given = {name: value for name, value in self.defaults.items() if type(value) is _Field}
        if given:
            self._apply(cls, given)
        self.required = {name for name in self.names if name not in self.defaults}

    def _apply(self, cls: Any, given: dict[str, _Field]) -> None:
        self.compared = tuple(name for name in self.names if name not in given or given[name].compare)
        self.shown = tuple(name for name in self.names if name not in given or given[name].repr)
        self.plain = {**self.defaults, **{name: value.default for name, value in given.items()}}
        for name, value in given.items():
            if value.default is _MISSING:
                self.made[name] = value.default_factory
                del self.plain[name]
                delattr(cls, name)
            else:
                setattr(cls, name, value.default)


def _finish(cls: Any, *, frozen: bool) -> Any:
    layout: _Layout = _Layout(cls, frozen=frozen)
    cls.__record__ = layout
    cls.__init__ = _init(cls.__name__, cls.__dict__["__dict__"].__set__, layout)
    cls.__eq__ = _equal
    cls.__repr__ = _shown
    cls.__replace__ = _replaced
    setattr(cls, "__match_args__", layout.names)  # noqa: B010 - mypy reserves it
    cls.__dataclass_fields__ = _FIELDS
    cls.__dataclass_params__ = _PARAMS
    if frozen:
        cls.__hash__ = _hash
        cls.__setattr__ = _refuse_to_set
        cls.__delattr__ = _refuse_to_delete
    else:
        cls.__hash__ = None
    return cls


def _init(
    cls_name: str, set_members: Callable[[Any, dict[str, Any]], None], layout: _Layout
) -> Callable[..., None]:
    names, plain, made, required = layout.names, layout.plain, layout.made, layout.required
    count = len(names)

    def __init__(self: Any, /, *args: Any, **given: Any) -> None:  # noqa: N807
        if len(args) == count and not given:
            set_members(self, dict(zip(names, args)))  # noqa: B905 - as many as there are
            return
        members = {**plain, **given}
        if args:
            if len(args) > count or not given.keys().isdisjoint(names[: len(args)]):
                raise TypeError(f"{cls_name} got too many arguments, or one of them twice")
            members.update(zip(names, args))  # noqa: B905 - the others have defaults
        if made:
            for name in made:
                if name not in members:
                    members[name] = made[name]()
        if len(members) != count or (required and not required <= members.keys()):
            raise TypeError(f"{cls_name} {_problem(names, members)}")
        set_members(self, members)  # past the refusal to set

    return __init__


def _problem(names: tuple[str, ...], members: dict[str, Any]) -> str:
    for name in members:
        if name not in names:
            return f"got an unexpected argument {name!r}"
    return "misses the argument " + ", ".join(repr(name) for name in names if name not in members)


def _equal(self: Any, other: Any) -> Any:
    if self is other:
        return True
    if other.__class__ is not self.__class__:
        return NotImplemented
    mine, theirs = self.__dict__, other.__dict__
    for name in self.__record__.compared:  # noqa: SIM110 - a generator would double the time
        if mine[name] != theirs[name]:
            return False
    return True


def _hash(self: Any) -> int:
    members = self.__dict__
    return hash(tuple([members[name] for name in self.__record__.compared]))


def _shown(self: Any) -> str:
    inner = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.__record__.shown)
    return f"{self.__class__.__qualname__}({inner})"


def _replaced(self: Any, /, **changes: Any) -> Any:
    members = self.__dict__
    for name in self.__record__.names:
        if name not in changes:
            changes[name] = members[name]
    return self.__class__(**changes)


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r}")


class _Described:
    """An attribute by which ``dataclasses`` knows its own, made by ``dataclasses`` once somebody looks.

    It makes it for a class of the same fields that nobody ever sees.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, record: object, cls: Any) -> Any:
        import dataclasses

        layout: _Layout = cls.__record__
        space: dict[str, Any] = {"__annotations__": cls.__annotations__, "__module__": cls.__module__}
        for name, default in layout.defaults.items():
            space[name] = default
            if type(default) is _Field:
                given = {"default": default.default, "default_factory": default.default_factory}
                known = {key: value for key, value in given.items() if value is not _MISSING}
                space[name] = dataclasses.field(repr=default.repr, compare=default.compare, **known)
        make = dataclasses.dataclass(init=False, repr=False, eq=False, frozen=layout.frozen)
        made = getattr(make(type(cls.__name__, (), {"__doc__": "", **space})), self._name)
        setattr(cls, self._name, made)
        return made


_FIELDS = _Described("__dataclass_fields__")
_PARAMS = _Described("__dataclass_params__")


class _Item:
    """A field of a named tuple, by its place."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __get__(self, values: Any, cls: type) -> Any:
        return self if values is None else values[self._place]


_ITEMS = tuple(_Item(place) for place in range(16))


class _TupleType(type):
    """Makes the fields of a named tuple from its annotations, as ``typing.NamedTuple`` does."""

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        fields = space["_fields"] = tuple(space.get("__annotations__", ()))
        defaults = space["_field_defaults"] = {field: space[field] for field in fields if field in space}
        space["_endings"] = [tuple(defaults.values())[place:] for place in range(len(defaults) + 1)]
        space["_least"] = len(fields) - len(defaults)
        space["__slots__"] = ()
        space["__match_args__"] = fields
        space.update(zip(fields, _ITEMS[: len(fields)], strict=True))
        return type.__new__(cls, name, bases, space)


class NamedTuple(tuple, metaclass=_TupleType):  # type: ignore[type-arg]  # noqa: SLOT001 - its metaclass does
    """As ``typing.NamedTuple``, for at most 16 fields."""

    if TYPE_CHECKING:
        _fields: tuple[str, ...]
        _field_defaults: dict[str, Any]
        _endings: list[tuple[Any, ...]]  # the defaults to append, by how many of them are given
        _least: int

    def __new__(cls, *args: Any, **given: Any) -> Any:
        if given:
            return tuple.__new__(cls, cls._filled(args, given))
        present = len(args) - cls._least
        if not 0 <= present < len(cls._endings):
            raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields) or 'nothing'}, not {args}")
        return tuple.__new__(cls, args + cls._endings[present])

    @classmethod
    def _filled(cls, args: tuple[Any, ...], given: dict[str, Any]) -> list[Any]:
        rest = cls._fields[len(args) :]
        try:
            more = [given.pop(name) if name in given else cls._field_defaults[name] for name in rest]
        except KeyError as err:
            raise TypeError(f"{cls.__name__} misses the argument {err}") from None
        if given or len(args) > len(cls._fields):
            raise TypeError(f"{cls.__name__} takes {', '.join(cls._fields)}, not {args} and {given}")
        return [*args, *more]

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
        return f"{self.__class__.__name__}({inner})"

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, /, **changes: Any) -> Any:
        return self.__class__(**{**self._asdict(), **changes})


class _EnumType(type):
    """Turns the class's constants into its only instances."""

    _members: dict[Any, Any]  # by value and by member

    def __new__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
        constants = {key: value for key, value in space.items() if key[0] != "_" and isinstance(value, str)}
        kind: Any = type.__new__(cls, name, bases, space)
        kind._members = {}
        for key, value in constants.items():
            member = object.__new__(kind)
            member.name = member._name_ = key
            member.value = member._value_ = value
            type.__setattr__(kind, key, member)
            kind._members[value] = kind._members[member] = member
        return kind

    def __call__(cls, value: Any) -> Any:
        try:
            return cls._members[value]
        except (KeyError, TypeError):
            raise ValueError(f"{value!r} is not a valid {cls.__qualname__}") from None

    def __iter__(cls) -> Iterator[Any]:
        return (member for key, member in cls._members.items() if key is member)

    def __len__(cls) -> int:
        return len(cls._members) // 2

    def __contains__(cls, value: Any) -> bool:
        return value in cls._members

    def __getitem__(cls, name: str) -> Any:
        return cls.__members__[name]

    @property
    def __members__(cls) -> dict[str, Any]:
        return {member.name: member for member in cls}


class Enum(metaclass=_EnumType):
    """As ``enum.Enum``, for constants that are texts and all differ."""

    if TYPE_CHECKING:
        name: str
        value: str

    def __str__(self) -> str:
        return f"{self.__class__.__name__}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__}.{self.name}: {self.value!r}>"

    def __reduce__(self) -> Any:
        return self.__class__, (self.value,)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: object) -> Any:
        return self
