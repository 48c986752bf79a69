"""Every integration test is looked after: what it leaves behind fails it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def looked_after(leak_check: None) -> None:
    """See ``leak_check``."""
