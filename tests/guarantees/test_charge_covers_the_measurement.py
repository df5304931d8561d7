"""Promise: what a release is charged is at least what it can tell about any one unit.

Three ways to see it: the charge against OpenDP's own map and against closed forms, for any parameters; a
measurement whose map says too little cannot become a mechanism; and releases on neighbouring inputs,
sampled many times, show no more than the charge (a test with a statistic of our choice bounds the privacy
loss from below: DESIGN section 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.privacy import measurements
from sandbox_guard.privacy.account import Amount, to_epsilon
from sandbox_guard.privacy.coins import MOST_COIN_SCALE
from sandbox_guard.privacy.measurements import Measurement
from sandbox_guard.privacy.mechanism import (
    FINE,
    MOST_CHOICE_SCALE,
    MOST_SCORE,
    ROUNDING,
    Gaussian,
    Laplace,
    NoisyMin,
    ThresholdedGaussian,
)
from sandbox_guard.privacy.price import BlockRequest, PriceRequest, Rho, quote
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.sql.plan import Sensitivity

MISTAKE = 1e-7
"""Probability with which a bound below is wrong, so that these tests fail once in years."""

SCALES = st.floats(0.05, 1e12)

# ------------------------------------------------------------------ against maps and closed forms


@given(st.integers(1, 2**80), SCALES)
@settings(max_examples=100, deadline=None)
def test_gaussian(l2_squared: int, scale: float) -> None:
    charge = Gaussian(l2_squared, scale).cost.exact_rho
    assert charge >= Fraction(measurements.gaussian(scale).map(math.sqrt(l2_squared)))
    assert charge >= l2_squared / (2 * Fraction(scale) ** 2)


@given(st.integers(1, 2**60), SCALES)
@settings(max_examples=100, deadline=None)
def test_laplace(l1: int, scale: float) -> None:
    mechanism = Laplace(l1, scale)
    assert Fraction(mechanism.epsilon) >= l1 / Fraction(scale)
    epsilon = l1 / Fraction(scale)
    assert mechanism.cost.exact_rho >= min(epsilon**2 / 2, epsilon)


@given(st.integers(1, 1000), st.integers(1, 50), st.floats(0.3, MOST_COIN_SCALE), st.integers(1, 10**7))
@settings(max_examples=100, deadline=None)
def test_thresholded(l0: int, linf: int, scale: float, threshold: int) -> None:
    l2_squared = l0 * linf**2
    mechanism = ThresholdedGaussian(l0, linf, l2_squared, scale, linf + threshold)
    rho, delta = measurements.thresholded_gaussian(scale, linf + threshold).map(
        (l0, math.sqrt(l2_squared), float(linf))
    )
    assert mechanism.cost.exact_rho >= Fraction(rho)
    assert mechanism.cost.exact_delta >= Fraction(delta)


@given(st.integers(1, 1000), st.integers(1, 100), st.floats(0.3, 1e9))
@settings(max_examples=100, deadline=None)
def test_noisy_min(rows: int, weight: int, scale: float) -> None:
    """K rows in one group, and K rows spread one to a group, are both covered by l2_squared = K²."""
    charge = NoisyMin(rows**2, weight, scale).cost.exact_rho
    assert charge >= Fraction(measurements.noisy_min(scale).map(rows * weight))
    assert charge >= rows * Fraction(measurements.noisy_min(scale).map(weight))


@given(st.integers(1, 1000), st.floats(0.3, 1e6))
@settings(max_examples=100, deadline=None)
def test_noisy_min_under_zcdp_is_epsilon_squared_over_8(move: int, scale: float) -> None:
    """OpenDP before 0.16 spent four times what it claimed (opendp#2911); `monotonic=True` would halve the
    map, and scores of quantiles are not monotonic."""
    pure: Measurement = dp.m.make_noisy_max(
        dp.vector_domain(dp.atom_domain(T="u64")),
        dp.linf_distance(T="u64", monotonic=False),
        dp.max_divergence(),
        scale=scale,
        negate=True,
    )
    epsilon = pure.map(move)
    assert epsilon == pytest.approx(2 * move / scale, rel=1e-12)
    assert measurements.noisy_min(scale).map(move) == pytest.approx(epsilon**2 / 8, rel=1e-12)


@given(
    st.integers(0, 2**32),
    st.integers(1, 400),
    st.sampled_from([1, 7, 362]),
    st.sampled_from([1e-3, 1.0, 47_777.01, 2.0**31, MOST_CHOICE_SCALE]),
    st.floats(0, 59),
)
@settings(max_examples=100, deadline=None)
def test_rounding_moves_a_run_by_less_than_is_charged_for(
    seed: int, candidates: int, width: int, scale: float, spread: float
) -> None:
    """A choice is drawn in two steps that together are one draw from P(i) ~ exp(-(s_i + r) / scale), r being by how
    much the score of i's run is off. Two neighbours differ in r by at most twice its greatest."""
    drawn = np.random.default_rng(seed).integers(0, int(2**spread), candidates, dtype=np.int64, endpoint=True)
    starts, scores = np.arange(0, candidates, width), drawn.tolist()
    found = NoisyMin(1, 1, scale).run_scores(drawn, starts, width)
    assert drawn.max() <= MOST_SCORE
    with localcontext() as exactly:
        exactly.prec = 60
        for start, parts in zip(starts, found, strict=True):
            run = scores[start : start + width]
            mass = sum(((Decimal(min(run) - x) / Decimal(scale)).exp() for x in run), Decimal())
            off = Decimal(int(parts)) - FINE * (min(run) - Decimal(scale) * mass.ln())
            assert 2 * abs(off) < ROUNDING


# ------------------------------------------------------------------ a map that says too little


@dataclass
class UnderReporting:
    """A measurement whose map claims a quarter of what it spends, as opendp#2911 did."""

    real: Any

    def __call__(self, arg: Any) -> Any:
        return self.real(arg)

    def map(self, d_in: Any) -> Any:
        claimed = self.real.map(d_in)
        return tuple(c / 4 for c in claimed) if isinstance(claimed, tuple) else claimed / 4


@pytest.mark.parametrize(
    ("constructor", "make"),
    [
        ("gaussian", lambda: Gaussian(4, 3.0)),
        ("laplace", lambda: Laplace(4, 3.0)),
        ("thresholded_gaussian", lambda: ThresholdedGaussian(4, 1, 4, 3.0, 20)),
        ("noisy_min", lambda: NoisyMin(4, 1, 3.0)),
    ],
)
def test_a_mechanism_cannot_be_made(
    constructor: str, make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    make()
    real = getattr(measurements, constructor)
    monkeypatch.setattr(measurements, constructor, lambda *args: UnderReporting(real(*args)))
    monkeypatch.setattr(measurements, "in_zcdp", lambda pure: pure)
    with pytest.raises(ArithmeticError):
        make()


# ------------------------------------------------------------------ sampled on neighbours


def loss_at_least(inside: NDArray[np.bool_], neighbour: NDArray[np.bool_], delta: float) -> float:
    """A lower bound on the epsilon of an (epsilon, delta)-DP mechanism whose output fell into some event
    so often on one input and so often on its neighbour (Clopper and Pearson), or -inf."""
    often = (
        float(stats.beta.ppf(MISTAKE, inside.sum(), inside.size - inside.sum() + 1)) if inside.any() else 0.0
    )
    hits = int(neighbour.sum())
    seldom = (
        float(stats.beta.ppf(1 - MISTAKE, hits + 1, neighbour.size - hits)) if hits < neighbour.size else 1.0
    )
    return math.log((often - delta) / seldom) if often > delta else -math.inf


def greatest_loss(one: NDArray[np.int64], two: NDArray[np.int64], delta: float) -> float:
    """Over the events 'statistic at least c', both ways."""
    cuts = np.unique(np.quantile(np.concatenate([one, two]), np.linspace(0.01, 0.99, 33)))
    return max(
        loss
        for c in cuts
        for loss in (loss_at_least(one >= c, two >= c, delta), loss_at_least(two < c, one < c, delta))
    )


SAMPLES = [10_000, pytest.param(100_000, marks=pytest.mark.long)]
CELLS = 4


def projected(
    release: Callable[[NDArray[np.int64]], NDArray[np.int64]], values: list[int], samples: int
) -> NDArray[np.int64]:
    """Sum over the cells that one unit moves: the best statistic there is for moves of equal size."""
    tiled = np.tile(np.array(values, dtype=np.int64), samples)
    sums: NDArray[np.int64] = release(tiled).reshape(samples, len(values)).sum(axis=1)
    return sums


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("rho", [RHO_UNITS // 50, RHO_UNITS // 2, 2 * RHO_UNITS])
def test_a_vector_measure_shows_no_more_than_its_charge(rho: int, samples: int) -> None:
    """A unit that moves each of K cells by one."""
    moved = Sensitivity(CELLS, 1, CELLS, CELLS)
    offered = quote(PriceRequest((BlockRequest(0, "firms", ("loans",), (moved,)),), 0), Rho(rho))
    (mechanism,) = offered.blocks[0].measures
    assert isinstance(mechanism, Gaussian | Laplace)
    one = projected(mechanism.release, [8] * CELLS, samples)
    two = projected(mechanism.release, [7] * CELLS, samples)
    for delta in (1e-6, 1e-3, 1e-2):
        assert greatest_loss(one, two, delta) <= to_epsilon(offered.total.rho, 0, delta)[0]


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0])
def test_pure_laplace_shows_no_more_than_epsilon(epsilon: float, samples: int) -> None:
    mechanism = Laplace.within_epsilon(CELLS, Fraction(epsilon))
    one = projected(mechanism.release, [1] * CELLS, samples)
    two = projected(mechanism.release, [0] * CELLS, samples)
    assert greatest_loss(one, two, 0.0) <= epsilon


def test_the_statistic_sees_a_cost_understated_fourfold() -> None:
    """The test of the tests: noise of half the scale, held against the charge of the full one."""
    mechanism = Laplace.within_epsilon(1, Fraction(3, 2))
    too_little = Laplace(1, mechanism.scale / 2)
    one = projected(too_little.release, [1], 20_000)
    two = projected(too_little.release, [0], 20_000)
    assert greatest_loss(one, two, 0.0) > mechanism.epsilon


@pytest.mark.parametrize("samples", [60_000, pytest.param(600_000, marks=pytest.mark.long)])
@pytest.mark.parametrize(("scale", "threshold"), [(1.0, 4), (1.0, 3), (0.6, 2), (2.0, 7), (5.0, 14)])
def test_a_key_of_one_unit_appears_no_more_often_than_delta(
    scale: float, threshold: int, samples: int
) -> None:
    """At the exact threshold OpenDP releases too (opendp#2922), beyond its map's delta: dropped here."""
    mechanism = ThresholdedGaussian(1, 1, 1, scale, threshold)
    appeared = mechanism.release(np.ones(samples, dtype=np.int64))
    delta = mechanism.cost.delta / DELTA_UNITS
    assert stats.binomtest(int(appeared.sum()), samples, delta, alternative="greater").pvalue > MISTAKE


def test_opendp_alone_would_release_it_too_often() -> None:
    """Why the values equal to the threshold are dropped. When this fails, opendp#2922 has been repaired."""
    measurement = measurements.thresholded_gaussian(1.0, 4)
    _, delta = measurement.map((1, 1.0, 1.0))
    released = measurement(dict.fromkeys(range(60_000), 1))
    assert min(released.values()) == 4
    assert stats.binomtest(len(released), 60_000, delta, alternative="greater").pvalue < MISTAKE


@pytest.mark.parametrize("samples", SAMPLES)
def test_discovered_keys_show_no_more_than_their_charge(samples: int) -> None:
    """A unit that shares K keys with others: how many of them appear."""
    mechanism = ThresholdedGaussian.within(CELLS, 1, CELLS, Amount(RHO_UNITS // 4, DELTA_UNITS // 1000))

    def released(counts: NDArray[np.int64]) -> NDArray[np.int64]:
        return mechanism.release(counts).astype(np.int64)

    at = mechanism.threshold + 1
    one, two = projected(released, [at] * CELLS, samples), projected(released, [at - 1] * CELLS, samples)
    for delta in (1e-3, 1e-2):
        epsilon, both = to_epsilon(mechanism.cost.rho, mechanism.cost.delta, delta)
        assert greatest_loss(one, two, both) <= epsilon


@pytest.mark.parametrize("samples", [4_000, pytest.param(40_000, marks=pytest.mark.long)])
def test_a_quantile_shows_no_more_than_its_charge(samples: int) -> None:
    """A unit whose K rows all lie in the top bin."""
    rows, others = 5, [3, 3, 3, 3, 3]
    quantile = Quantile.within(Fraction(1, 2), len(others), rows**2, 2 * RHO_UNITS)
    one = np.tile(np.array(others, dtype=np.int64), (samples, 1))
    two = one.copy()
    two[:, -1] += rows
    choices = [quantile.choice.release(quantile.scores(h)) for h in (one, two)]
    for delta in (1e-6, 1e-3):
        assert (
            greatest_loss(choices[0], choices[1], delta) <= to_epsilon(quantile.choice.cost.rho, 0, delta)[0]
        )
