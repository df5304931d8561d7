from __future__ import annotations

import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sandbox_guard.privacy.mechanism import MOST_SCORE, NoisyMin, Unaffordable
from sandbox_guard.privacy.quantile import PARTS, Quantile

FRACTIONS = st.fractions(0, 1, max_denominator=100)


def exact(fraction: Fraction, bins: int) -> Quantile:
    """So little noise that the least score wins."""
    weight = PARTS * max(fraction.numerator, fraction.denominator - fraction.numerator)
    return Quantile(fraction, bins, NoisyMin(1, weight, 1e-3))


@given(FRACTIONS, arrays.arrays(np.int64, (3, 7), elements=st.integers(0, 50)), st.data())
@settings(max_examples=200, deadline=None)
def test_removing_a_row_moves_each_score_by_at_most_the_weight(
    fraction: Fraction, histogram: np.ndarray, data: st.DataObject
) -> None:
    quantile = exact(fraction, 7)
    shift = data.draw(st.integers(-100 * PARTS, 100 * PARTS))
    at = data.draw(st.tuples(st.integers(0, 2), st.integers(0, 6)))
    histogram[at] += 1
    neighbour = histogram.copy()
    neighbour[at] -= 1
    moved = quantile.scores(histogram, shift).astype(int) - quantile.scores(neighbour, shift).astype(int)
    assert np.abs(moved).max() <= quantile.choice.weight
    assert (np.delete(moved, at[0], axis=0) == 0).all()


@given(FRACTIONS, arrays.arrays(np.int64, (4, 9), elements=st.integers(0, 50)), st.integers(-2000, 2000))
@settings(max_examples=200, deadline=None)
def test_some_bin_always_is_within_half_a_rank(fraction: Fraction, histogram: np.ndarray, shift: int) -> None:
    least = exact(fraction, 9).scores(histogram, shift * PARTS).min(axis=1)
    assert (least <= fraction.denominator * PARTS / 2).all()


@given(FRACTIONS, st.lists(st.integers(0, 8), min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_without_noise_the_bin_holds_the_quantile(fraction: Fraction, values: list[int]) -> None:
    """As SQL has it: in a gap between two rows, in proportion. Ranks are in 64 parts, of 8 bins at most."""
    histogram = np.bincount(values, minlength=9).reshape(1, 9).astype(np.int64)
    (at,) = exact(fraction, 9).release(histogram).at
    assert abs(np.quantile(values, float(fraction)) - at) <= 0.5 + 8 / PARTS


def test_the_interval_covers_whatever_the_size_of_the_group() -> None:
    quantile = Quantile.within(Fraction(1, 2), 100, 9, 10**7)
    rng = np.random.default_rng(3)
    sizes = [0, 1, 10, 100, 300, 1000, 10_000] * 40
    data = [np.sort(np.clip(rng.normal(50, 15, n), 0, 99.999)) for n in sizes]
    histogram = np.array([np.histogram(d, np.arange(101))[0] for d in data], dtype=np.int64)
    bins = quantile.release(histogram)
    covered = [
        low <= d[(len(d) - 1) // 2] and d[len(d) // 2] <= high + 1 if len(d) else True
        for d, low, high in zip(data, bins.low, bins.high, strict=True)
    ]
    assert np.mean(covered) >= 0.95
    largest = np.array(sizes) == 10_000
    assert (bins.high[largest] - bins.low[largest]).max() < 10
    near = np.abs(
        np.array([(d < at).sum() - len(d) / 2 for d, at in zip(data, bins.at, strict=True)])[largest]
    )
    assert np.mean(near <= float(quantile.rank_half_width()) + 300) >= 0.95  # 300: rows in one bin


@given(FRACTIONS, st.integers(1, 10**4), st.integers(10**4, 10**9))
@settings(max_examples=40, deadline=None)
def test_cost_is_within_what_was_asked(fraction: Fraction, l2_squared: int, rho: int) -> None:
    quantile = Quantile.within(fraction, 50, l2_squared, rho)
    assert rho * (1 - 1e-8) - 6 <= quantile.cost.rho <= rho


def test_no_data_overflows() -> None:
    quantile = Quantile.within(Fraction(9999, 10_000), 10, 1, 10**9)
    scores = quantile.scores(np.full((1, 10), 2**62, dtype=np.int64))
    assert scores.max() < MOST_SCORE
    assert quantile.release(np.full((2, 10), -(2**62), dtype=np.int64)).at.shape == (2,)


def test_it_crosses_processes() -> None:
    quantile = Quantile.within(Fraction(1, 4), 10, 4, 10**6)
    quantile.release(np.ones((1, 10), dtype=np.int64))
    assert pickle.loads(pickle.dumps(quantile)) == quantile


def test_senseless_parameters() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Quantile.within(Fraction(3, 2), 10, 1, 10**6)
    with pytest.raises(ValueError, match="0 bins"):
        Quantile.within(Fraction(1, 2), 0, 1, 10**6)
    with pytest.raises(ValueError, match="weight"):
        Quantile(Fraction(1, 2), 10, NoisyMin(1, 7, 1.0))
    with pytest.raises(Unaffordable):
        Quantile.within(Fraction(1, 2), 10, 1, 2)
