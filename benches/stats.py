"""The few statistics of the suite, in pure Python: percentiles, and the ratio of medians with its interval.

The interval is the percentile bootstrap, not by drawing: the median of a resample is one of the sample's own
order statistics, and how often which one is a binomial tail, so the bootstrap distribution is computed whole
(B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, section 10.3). The same samples
always give the same interval, and it takes microseconds where drawing takes milliseconds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIDENCE = 0.95
NEGLIGIBLE = 1e-4  # weight of an order statistic that moves a 95 % interval by nothing one would see


class Summary(NamedTuple):
    """Of one series, in the samples' unit."""

    p50: float
    p95: float
    fastest: float
    repetitions: int


class Ratio(NamedTuple):
    """Of two medians, with the interval that holds it with the confidence asked for."""

    value: float
    low: float
    high: float


def percentile(samples: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the samples lie, interpolated between neighbours.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("no samples")
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(samples: Sequence[float]) -> float:
    return percentile(samples, 0.5)


def summary(samples: Sequence[float]) -> Summary:
    return Summary(median(samples), percentile(samples, 0.95), min(samples), len(samples))


def ratio_of_medians(ours: Sequence[float], peer: Sequence[float], confidence: float = CONFIDENCE) -> Ratio:
    """``median(ours) / median(peer)`` with its bootstrap percentile interval.

    Raises:
        ValueError: one side has no samples, or the peer's median is not positive.
    """
    below = median(peer)
    if below <= 0:
        raise ValueError("the peer's median is not positive")
    value = median(ours) / below
    pairs = sorted(
        (a / b, weight_a * weight_b)
        for a, weight_a in _medians(ours)
        for b, weight_b in _medians(peer)
        if b > 0
    )
    total = sum(weight for _, weight in pairs)
    tail = (1 - confidence) / 2 * total
    low = _quantile(pairs, tail)
    high = _quantile(pairs, total - tail)
    # Few and uneven samples: interpolation may put the value itself just outside.
    return Ratio(value, min(low, value), max(high, value))


def _medians(samples: Sequence[float]) -> list[tuple[float, float]]:
    """The possible medians of a resample, with their probabilities."""
    weights = _median_weights(len(samples))
    return [(x, w) for x, w in zip(sorted(samples), weights, strict=True) if w > NEGLIGIBLE]


@lru_cache(maxsize=64)
def _median_weights(count: int) -> tuple[float, ...]:
    """How likely each order statistic of ``count`` samples is the median of a resample.

    The resample has an odd size, so that its median is one of the samples: ``count`` or one less. It is at
    most the j-th smallest sample when more than half of the draws are, each with chance j / count.
    """
    size = count if count % 2 else max(count - 1, 1)
    at_most = [_more_than_half(size, j / count) for j in range(count + 1)]
    return tuple(b - a for a, b in pairwise(at_most))


def _more_than_half(size: int, chance: float) -> float:
    """P(X > size / 2) of a binomial X of odd ``size``."""
    if chance <= 0 or chance >= 1:
        return float(chance >= 1)
    spread = math.sqrt(size * chance * (1 - chance))
    if abs(size / 2 - size * chance) > 8 * spread + 1:
        return float(chance > 0.5)
    log_yes, log_no = math.log(chance), math.log1p(-chance)
    whole = math.lgamma(size + 1)
    return min(
        1.0,
        math.fsum(
            math.exp(
                whole - math.lgamma(k + 1) - math.lgamma(size - k + 1) + k * log_yes + (size - k) * log_no
            )
            for k in range(size // 2 + 1, size + 1)
        ),
    )


def _quantile(pairs: Sequence[tuple[float, float]], mass: float) -> float:
    """Where the cumulated weight of sorted (value, weight) reaches ``mass``."""
    seen = 0.0
    for value, weight in pairs:
        seen += weight
        if seen >= mass:
            return value
    return pairs[-1][0]
