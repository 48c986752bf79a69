"""Modules imported at once are as those that the import system makes."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

PRELOAD = Path(__file__).parents[2] / "python/kata_hybrid/_preload.py"
TELL = """
import sys
sys.path.insert(0, ".")
import kata_hybrid
from kata_hybrid._preload import preload
real = __import__
def spy(name, *args, **kwargs):
    if name.startswith("kata_hybrid"):
        print("asked for", name)
    return real(name, *args, **kwargs)
import builtins
builtins.__import__ = spy
preload(["kata_hybrid.inner.", "kata_hybrid.inner.one", "kata_hybrid.two"])
builtins.__import__ = real
for name in ("kata_hybrid.inner", "kata_hybrid.inner.one", "kata_hybrid.two"):
    module = sys.modules[name]
    spec = module.__spec__
    print(name, module.VALUE, module.__package__, hasattr(module, "__path__"), spec.name, spec.has_location,
          spec.parent, spec.origin == module.__file__, spec.cached == module.__cached__,
          type(module.__loader__).__name__)
assert kata_hybrid.inner.one is sys.modules["kata_hybrid.inner.one"]
import inspect, importlib
assert "VALUE" in inspect.getsource(kata_hybrid.inner.one)
importlib.reload(kata_hybrid.two)
"""
USUAL = [
    "kata_hybrid.inner 1 kata_hybrid.inner True kata_hybrid.inner True kata_hybrid.inner True True",
    "kata_hybrid.inner.one 2 kata_hybrid.inner False kata_hybrid.inner.one True kata_hybrid.inner True True",
    "kata_hybrid.two 3 kata_hybrid False kata_hybrid.two True kata_hybrid True True",
]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of the name, with its byte code."""
    made = tmp_path / "kata_hybrid"
    (made / "inner").mkdir(parents=True)
    (made / "_preload.py").write_text(PRELOAD.read_text())
    (made / "__init__.py").write_text("")
    (made / "inner/__init__.py").write_text("VALUE = 1\n")
    (made / "inner/one.py").write_text("from . import VALUE as ONE\nVALUE = ONE + 1\n")
    (made / "two.py").write_text("from .inner.one import VALUE as TWO\nVALUE = TWO + 1\n")
    for source in made.rglob("*.py"):
        py_compile.compile(str(source), doraise=True)
    return made


def tell(package: Path, *options: str) -> list[str]:
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, *options, "-c", TELL]
    done = subprocess.run(
        words, cwd=package.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_all_is_as_the_import_system_makes_it(package: Path) -> None:
    assert tell(package) == [f"{line} SourceFileLoader" for line in USUAL]


def test_what_has_no_byte_code_is_left_to_the_import_system(package: Path) -> None:
    next((package / "inner/__pycache__").glob("one.*")).unlink()
    assert tell(package) == [
        "asked for kata_hybrid.inner.one",
        *(f"{line} SourceFileLoader" for line in USUAL),
    ]


@pytest.mark.parametrize("damage", [b"", b"torn", b"\0" * 100])
def test_damaged_byte_code_is_left_to_the_import_system(package: Path, damage: bytes) -> None:
    next((package / "__pycache__").glob("two.*")).write_bytes(damage)
    assert tell(package) == ["asked for kata_hybrid.two", *(f"{line} SourceFileLoader" for line in USUAL)]


def test_a_changed_source_wins_over_old_byte_code(package: Path) -> None:
    (package / "two.py").write_text("VALUE = 'new and longer'\n")
    assert "kata_hybrid.two new and longer kata_hybrid" in tell(package)[-1]


@pytest.mark.parametrize("options", [("-O",), ("-X", "pycache_prefix=/nonexistent")])
def test_an_unusual_interpreter_is_left_alone(package: Path, options: tuple[str, ...]) -> None:
    names = ("kata_hybrid.inner", "kata_hybrid.inner.one", "kata_hybrid.two")
    assert tell(package, *options)[:3] == [f"asked for {name}" for name in names]


def test_a_module_that_fails_is_not_left_half_made(package: Path) -> None:
    (package / "two.py").write_text("raise OSError('no')\n")
    py_compile.compile(str(package / "two.py"), doraise=True)
    code = """
import sys
sys.path.insert(0, ".")
from kata_hybrid._preload import preload
try:
    preload(["kata_hybrid.two"])
except OSError:
    print("kata_hybrid.two" in sys.modules)
"""
    words = [sys.executable, "-c", code]
    assert (
        subprocess.run(words, cwd=package.parent, capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
