"""Number conversions between the OCI configuration (v1 units) and cgroup files. Pure.

Sources: runtime-spec config-linux.md; Linux Documentation/admin-guide/cgroup-v2.rst (weights).
"""

from __future__ import annotations

DEFAULT_CPU_PERIOD = 100_000  # microseconds

_SHARES_MIN = 2
_SHARES_MAX = 262_144
_WEIGHT_MAX = 10_000
_BLKIO_MIN = 10
_BLKIO_SPAN = 990


def cpu_weight(shares: int) -> int:
    """``cpu.shares`` (2..262144, default 1024) as ``cpu.weight`` (1..10000, default 100).

    A quadratic in log2(shares) through the three points minimum, default and maximum, so that a container
    with default shares weighs as much as a group nobody configured.
    """
    if shares <= _SHARES_MIN:
        return 1
    if shares >= _SHARES_MAX:
        return _WEIGHT_MAX
    import math

    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """``blkio.weight`` (10..1000) as ``io.weight`` (1..10000), linear."""
    bounded = min(max(weight, _BLKIO_MIN), _BLKIO_MIN + _BLKIO_SPAN)
    return 1 + (bounded - _BLKIO_MIN) * (_WEIGHT_MAX - 1) // _BLKIO_SPAN


def pids_max(limit: int) -> str:
    """``pids.limit``: 0 cannot be had (the init process counts) and becomes 1; negative is ``max``."""
    if limit < 0:
        return "max"
    return str(max(limit, 1))


def size_or_max(size: int) -> str:
    """A v2 size: negative is ``max``."""
    return "max" if size < 0 else str(size)
