"""Containers of two runtimes leave as little behind as those of one."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def looked_after(request: pytest.FixtureRequest) -> None:
    """See ``leak_check``; only where real containers are made."""
    if request.node.get_closest_marker("runc"):
        request.getfixturevalue("leak_check")
