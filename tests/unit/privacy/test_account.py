from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.privacy.account import Amount, rho_for_epsilon, to_epsilon, total
from sandbox_guard.privacy.measurements import Measurement
from sandbox_guard.privacy.mechanism import Gaussian
from sandbox_guard.privacy.rounding import up, up_root

RHOS = st.integers(1, 100 * RHO_UNITS)
DELTAS = st.sampled_from([1e-5, 1e-6, 1e-7, 1e-10])


@given(st.floats(0, 1e3), st.floats(0, 1))
def test_a_charge_is_never_below_the_cost_and_never_a_unit_above(rho: float, delta: float) -> None:
    charge = Amount.charge(rho, delta)
    assert charge.exact_rho >= Fraction(rho) and charge.exact_delta >= Fraction(delta)
    assert charge.rho == 1 or charge.exact_rho - Fraction(rho) < Fraction(1, RHO_UNITS)
    assert charge.exact_delta - Fraction(delta) < Fraction(1, DELTA_UNITS)


def test_every_charge_is_at_least_one_unit() -> None:
    assert Amount.charge(0) == Amount(1, 0)
    assert Amount.charge(1e-300, 1e-300) == Amount(1, 1)


def test_amounts_add_exactly() -> None:
    assert total([Amount(2**61, 3), Amount(1, 4)]) == Amount(2**61 + 1, 7)
    assert total([]) == Amount(0)
    with pytest.raises(ValueError, match="negative"):
        Amount(-1)


@given(st.fractions(min_value=0, max_value=10**30))
def test_rounding_to_floats_goes_up(value: Fraction) -> None:
    assert Fraction(up(value)) >= value
    assert value == 0 or Fraction(up(value)) <= value * (1 + Fraction(2, 2**52))
    root = Fraction(up_root(value)) ** 2
    assert value <= root and (value == 0 or root <= value * (1 + Fraction(8, 2**52)))


@given(RHOS, DELTAS)
@settings(max_examples=30, deadline=None)
def test_epsilon_lies_between_the_gaussian_and_the_textbook(rho: int, delta: float) -> None:
    """The textbook's rho + 2 sqrt(rho log 1/delta) is an upper bound. The analytic delta of the Gaussian
    mechanism, one rho-zCDP mechanism among all, is a lower one: no valid conversion may be below it."""
    epsilon, at = to_epsilon(rho, 0, delta)
    r = rho / RHO_UNITS
    assert at == delta
    assert epsilon <= r + 2 * math.sqrt(r * math.log(1 / delta)) + 1e-9
    assert _gaussian_delta(math.sqrt(2 * r), epsilon) <= delta


def _gaussian_delta(mu: float, epsilon: float) -> float:
    """Balle and Wang 2018, theorem 8, for sensitivity / sigma = mu."""
    from scipy.stats import norm

    return float(norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon + norm.logcdf(-mu / 2 - epsilon / mu)))


def test_epsilon_of_a_known_amount() -> None:
    assert to_epsilon(RHO_UNITS // 32, 0, 1e-6)[0] == pytest.approx(1.143, abs=5e-4)


def test_epsilon_counts_the_delta_of_thresholds() -> None:
    plain, with_thresholds = to_epsilon(10**7, 0, 1e-6), to_epsilon(10**7, 10**9, 1e-6)
    assert with_thresholds[0] == plain[0]
    assert Fraction(with_thresholds[1]) >= Fraction(1e-6) + Fraction(10**9, DELTA_UNITS)
    assert with_thresholds[1] == pytest.approx(2e-6)


def test_nothing_spent_is_nothing() -> None:
    assert to_epsilon(0, 0, 1e-6) == (0.0, 1e-6)


@given(st.lists(RHOS, min_size=2, max_size=2), DELTAS)
@settings(max_examples=20, deadline=None)
def test_more_rho_is_more_epsilon(rhos: list[int], delta: float) -> None:
    low, high = sorted(rhos)
    assert to_epsilon(low, 0, delta)[0] <= to_epsilon(high, 0, delta)[0]


@given(st.floats(0.001, 50), DELTAS)
@settings(max_examples=15, deadline=None)
def test_rho_for_epsilon_is_the_largest_that_fits(epsilon: float, delta: float) -> None:
    rho = rho_for_epsilon(epsilon, delta)
    assert to_epsilon(rho, 0, delta)[0] <= epsilon < to_epsilon(rho + 1, 0, delta)[0]
    textbook = (math.sqrt(epsilon + math.log(1 / delta)) - math.sqrt(math.log(1 / delta))) ** 2
    assert rho >= int(textbook * RHO_UNITS) - 1


@pytest.mark.parametrize("epsilon", [math.inf, -math.inf, math.nan, 0.0, -1.0, -1e-300])
def test_nonsense_is_refused(epsilon: float) -> None:
    with pytest.raises(Refused) as refused:
        rho_for_epsilon(epsilon, 1e-6)
    assert refused.value.code == "ask.nonsense"


def test_extremes_are_refused() -> None:
    with pytest.raises(Refused, match="ask.too_little"):
        rho_for_epsilon(1e-300, 1e-6)
    with pytest.raises(Refused, match="ask.too_much"):
        rho_for_epsilon(1e300, 1e-6)


@pytest.mark.parametrize("delta", [0.0, 1.0, -0.1, 2.0])
def test_a_delta_outside_0_to_1_is_a_mistake_of_the_caller(delta: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        to_epsilon(1, 0, delta)
    with pytest.raises(ValueError, match="between 0 and 1"):
        rho_for_epsilon(1.0, delta)


def test_the_largest_amount_converts() -> None:
    assert 1000 < to_epsilon(1000 * RHO_UNITS, 0, 1e-6)[0] < 1300


@pytest.mark.parametrize("scales", [(3.0, 7.0), (2.5, 2.5)])
def test_sums_agree_with_opendp_composition(scales: tuple[float, float]) -> None:
    """Our sums, rounded up, against OpenDP's own composition of the same two measurements."""
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    both: Measurement = dp.c.make_composition([dp.m.make_gaussian(*space, scale=s) for s in scales])
    ours = total(Gaussian(1, s).cost for s in scales)
    composed = Fraction(both.map(1.0))
    assert composed - Fraction(1, 10**15) <= ours.exact_rho <= composed + Fraction(2, RHO_UNITS)


def test_policy_decimals_reach_units_exactly() -> None:
    assert Fraction(Decimal("0.005")) * RHO_UNITS == 5_000_000
