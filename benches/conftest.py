"""``pytest benches --benchmark-only``: the project's options switch benchmarks off, this switches them on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from kata_hybrid.oci.config import Spec


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("benchmark_only", False):
        config.option.benchmark_enable = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benches.bundle import make_rootfs

    return make_rootfs(tmp_path_factory.mktemp("image"))


@pytest.fixture
def spec(rootfs: Path) -> Spec:
    """docker's defaults around ``true``."""
    from benches.bundle import docker_spec

    return docker_spec(rootfs, ["/bin/true"], cgroup="micro")
