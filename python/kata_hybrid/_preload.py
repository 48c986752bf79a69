"""Importing many of our own modules at once, for a process that lives for twenty milliseconds.

For each module the import system takes a lock, asks four finders, looks through a directory and builds a
specification by strings: 60 µs, as much as running the module takes, and a launch has seventy. Here the
same byte code files are read by their names, under the same rule for when they are out of date, and run in an
order in which each finds what it imports. Whatever is not as usual (no byte code yet, or of another form) is
left to the import system, so nothing depends on this but time.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType
    from typing import Any

_ROOT = __name__.partition(".")[0]
_MAX_BYTES = 64 * 1024  # a larger buffer would be mapped anew each time; a larger file is not for us
_UNCHECKED_BYTES = 8  # magic number and flags, of a file that goes by the source's time and size
_HEADER_BYTES = 16


def preload(names: Iterable[str]) -> None:
    """Import modules of this package, each after those that it imports.

    Args:
        names: absolute ones, packages with a dot at the end.
    """
    package = sys.modules[_ROOT]
    start = _usual_start(package)
    for name in names:
        module = name.removesuffix(".")
        if module not in sys.modules and not (start and _load(module, start, is_package=name != module)):
            __import__(module)


def _usual_start(package: ModuleType) -> bytes:
    """How a byte code file begins that this interpreter would take; ``b""`` when we had better not know."""
    spec = package.__spec__
    usual = spec is not None and spec.loader.__class__.__name__ == "SourceFileLoader"
    if spec is None or not usual or not spec.cached or sys.pycache_prefix or sys.flags.optimize:
        return b""
    try:
        with open(spec.cached, "rb", buffering=0) as file:
            start: bytes = file.read(_UNCHECKED_BYTES)
    except OSError:
        return b""
    return start if start.endswith(bytes(4)) else b""


def _load(name: str, start: bytes, *, is_package: bool) -> bool:
    """Make and run one module; False when its byte code is not what it should be."""
    directory, _, file = f"{_directory}{name[len(_ROOT) :].replace('.', '/')}".rpartition("/")
    if is_package:
        directory, file = f"{directory}/{file}", "__init__"
    source = f"{directory}/{file}.py"
    cached = f"{directory}/__pycache__/{file}.{sys.implementation.cache_tag}.pyc"
    try:
        data = _current(source, cached, start)
        code = marshal.loads(data)
    except (OSError, ValueError, EOFError, TypeError):
        return False
    _run(name, code, source, cached, directory if is_package else None)
    return True


def _current(source: str, cached: str, start: bytes) -> memoryview:
    """The code in a byte code file.

    Raises:
        ValueError: it is too large, or not of the source as it is now.
        OSError: it is not there.
    """
    status = os.stat(source)
    fd = os.open(cached, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = memoryview(os.read(fd, _MAX_BYTES))
    finally:
        os.close(fd)
    of = (int(status.st_mtime) & 0xFFFFFFFF) | (status.st_size & 0xFFFFFFFF) << 32
    if len(data) == _MAX_BYTES or data[:_HEADER_BYTES] != start + of.to_bytes(8, "little"):
        raise ValueError
    return data[_HEADER_BYTES:]


def _run(name: str, code: object, source: str, cached: str, search: str | None) -> None:
    """As the import system's ``module_from_spec`` and ``exec_module``."""
    module = _Module(name)
    parent, _, tail = name.rpartition(".")
    spec = _Spec(name, _Loader(name, source), origin=source, is_package=search is not None)
    spec.has_location = True
    spec.cached = cached
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__file__ = source
    setattr(module, "__cached__", cached)  # noqa: B010 - unknown to mypy
    module.__package__ = parent if search is None else name
    if search is not None:
        module.__path__ = spec.submodule_search_locations = [search]
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)  # type: ignore[arg-type]
    except BaseException:
        del sys.modules[name]
        raise
    setattr(sys.modules[parent], tail, module)


_directory = os.path.dirname(__file__)
_Module = type(sys)
_Spec: Any = type(__spec__)
_Loader: Any = type(__spec__.loader)
