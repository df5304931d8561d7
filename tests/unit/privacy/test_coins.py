"""Coins that fall as discrete Gaussian noise exceeds a margin."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sandbox_guard.privacy import coins

MISTAKE = 1e-7


def summed(scale: float, margin: int) -> Decimal:
    """P(Z > margin) to 60 decimals, each weight by an exponential of its own."""
    with localcontext(prec=80):
        reach = math.ceil(18 * scale) + 2
        weights = {k: (-((Decimal(k) / Decimal(scale)) ** 2) / 2).exp() for k in range(-reach, reach + 1)}
        return sum((w for k, w in weights.items() if k > margin), Decimal(0)) / sum(weights.values())


@given(st.floats(0.2, 20), st.floats(-8, 8), st.integers(1, 120))
@settings(max_examples=100, deadline=None)
def test_exact_digits_are_those_of_the_sum(scale: float, scales_away: float, digits: int) -> None:
    margin = round(scales_away * scale)
    with localcontext(prec=80):
        assert coins.exactly(scale, margin, digits) == int(summed(scale, margin) * 2**digits)


@given(st.floats(0.01, coins.MOST_COIN_SCALE), st.floats(-9, 9))
@settings(max_examples=100, deadline=None)
def test_floating_point_is_within_its_doubt(scale: float, scales_away: float) -> None:
    margin = round(scales_away * scale)
    low, high = coins._digits(scale, np.array([margin], dtype=np.int64))
    assert low[0] <= coins.exactly(scale, margin, coins.DIGITS) <= high[0]


@pytest.mark.parametrize("scale", [0.05, 1.0, 300.0])
def test_far_margins_are_sure_digits_but_not_sure_coins(scale: float) -> None:
    """A probability below every digit, and one whose digits are all 1: neither is taken for 0 or 1 and the exact sum
    is not asked for in vain."""
    margins = np.array([10**6, -(10**6), 2**62, -(2**62)], dtype=np.int64)
    low, high = coins._digits(scale, margins)
    assert (low >> 13 == high >> 13).all()
    assert (high < 2**coins.DIGITS).all()
    assert coins.tossed(scale, margins).tolist() == [False, True, False, True]


@pytest.mark.parametrize("scale", [0.7, 6.0])
def test_coins_fall_alike_when_every_digit_is_in_doubt(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coins, "_DOUBT", 1.0)
    falls_as_it_should(scale)


@pytest.mark.parametrize("scale", [0.7, 6.0])
def test_coins_fall_alike_when_digits_run_out(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coins, "DIGITS", 1)
    falls_as_it_should(scale)


def falls_as_it_should(scale: float) -> None:
    for margin in (0, -1, round(scale)):
        fell = coins.tossed(scale, np.full(4_000, margin, dtype=np.int64))
        expected = float(summed(scale, margin))
        assert stats.binomtest(int(fell.sum()), fell.size, expected).pvalue > MISTAKE


def test_coins_fall_one_by_one() -> None:
    """Neighbours in the vector, and the same place in two calls, have nothing to do with each other."""
    margins = np.zeros(40_000, dtype=np.int64)
    one, two = coins.tossed(5.0, margins), coins.tossed(5.0, margins)
    for a, b in ((one, two), (one[:-1], one[1:]), (one[:-8], one[8:])):
        table = np.array([[np.sum(a & b), np.sum(a & ~b)], [np.sum(~a & b), np.sum(~a & ~b)]])
        assert stats.chi2_contingency(table).pvalue > MISTAKE


def test_no_coin_is_tossed_for_no_margin() -> None:
    assert coins.tossed(5.0, np.array([], dtype=np.int64)).shape == (0,)
