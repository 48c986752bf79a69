"""Whole operations of the library: ``pytest benches/test_library.py --benchmark-only``.

For the same beside other runtimes see ``python -m benches compare``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benches.bundle import docker_spec, remove_cgroups, write_bundle
from benches.operations.setting import SLEEP, TRUE, Library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_benchmark.fixture import BenchmarkFixture

    from benches.bundle import Bundle


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    yield Library("library", tmp_path / "root")
    remove_cgroups()


@pytest.fixture
def one_shot(rootfs: Path, tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "true", docker_spec(rootfs, TRUE, cgroup="pytest-true"))


@pytest.fixture
def resident(rootfs: Path, tmp_path: Path, library: Library) -> Iterator[str]:
    """The id of a running container."""
    bundle = write_bundle(tmp_path / "sleep", docker_spec(rootfs, SLEEP, cgroup="pytest-sleep"))
    library.launch("resident", bundle)
    yield "resident"
    library.delete("resident", force=True)


def test_run(benchmark: BenchmarkFixture, library: Library, one_shot: Bundle) -> None:
    benchmark(library.run, "run", one_shot)


def test_exec(benchmark: BenchmarkFixture, library: Library, resident: str) -> None:
    benchmark(library.execute, resident)


def test_state(benchmark: BenchmarkFixture, library: Library, resident: str) -> None:
    benchmark(library.state, resident)
