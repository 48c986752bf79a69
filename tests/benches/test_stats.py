"""Statistics against answers that are known or counted out."""

from __future__ import annotations

import itertools
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benches.stats import Summary, median, percentile, ratio_of_medians, summary

samples = st.lists(st.floats(0.001, 1000), min_size=1, max_size=40)


def test_percentiles_interpolate_between_neighbours() -> None:
    assert percentile([1, 2, 3, 4, 5], 0.5) == 3
    assert percentile([4, 1, 3, 2], 0.5) == 2.5
    assert percentile(range(101), 0.95) == 95
    assert percentile([1, 2], 0.25) == 1.25
    assert percentile([7], 0.95) == 7
    assert summary([3, 1, 2]) == Summary(p50=2, p95=2.9, fastest=1, repetitions=3)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="no samples"):
        ratio_of_medians([1], [])
    with pytest.raises(ValueError, match="not positive"):
        ratio_of_medians([1], [0])


@given(samples)
def test_the_median_is_the_library_s(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))


def test_the_interval_is_that_of_all_resamples() -> None:
    ours, peer = [2.0, 3.0, 7.0], [10.0, 11.0, 12.0, 15.0, 20.0]
    every = sorted(
        statistics.median(a) / statistics.median(b)
        for a in itertools.product(ours, repeat=3)
        for b in itertools.product(peer, repeat=5)
    )
    for confidence in (0.5, 0.8, 0.95):
        tail = round(len(every) * (1 - confidence) / 2)
        ratio = ratio_of_medians(ours, peer, confidence)
        assert ratio.value == 3 / 12
        assert ratio.low == every[tail]
        assert ratio.high == every[-tail - 1]


@given(samples, samples)
def test_the_interval_holds_the_value(ours: list[float], peer: list[float]) -> None:
    ratio = ratio_of_medians(ours, peer)
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio == ratio_of_medians(list(reversed(ours)), peer), "the order of the samples does not matter"


def test_more_samples_make_it_narrower() -> None:
    few = [x / 10 for x in range(10, 20)]
    many = [x / 100 for x in range(100, 200)]
    wide, narrow = ratio_of_medians(few, few), ratio_of_medians(many, many)
    assert narrow.high - narrow.low < (wide.high - wide.low) / 2


def test_a_whole_run_takes_less_than_a_second() -> None:
    series = [[1 + (i * k % 97) / 97 for i in range(100)] for k in range(1, 16)]
    began = time.process_time()
    for ours, peer in itertools.product(series, repeat=2):
        ratio_of_medians(ours, peer)
    assert time.process_time() - began < 1
