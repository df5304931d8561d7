"""Amounts of privacy, in exact integers: rho of zero-concentrated DP in 1e-9, delta in 1e-15.

Every amount is rounded up, against the asker, and adding is integer addition: zCDP composes by sums,
adaptively too, since each charge is fixed before what it buys is read. What an amount means as
(epsilon, delta) is read off OpenDP's own privacy profile of zCDP, which rounds conservatively.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.privacy.measurements import Profile, zcdp_profile
from sandbox_guard.privacy.rounding import up, up_root

MOST_RHO = 10**7 * RHO_UNITS
"""No single amount is larger. Budgets end long before; only tests, which compare with exact answers, come near."""

PROFILED = 1000 * RHO_UNITS
"""OpenDP's profile overflows somewhere above it."""


@dataclass(frozen=True)
class Amount:
    """rho in 1e-9 and delta in 1e-15: a release that is delta-approximate rho-zCDP."""

    rho: int
    delta: int = 0

    def __post_init__(self) -> None:
        if self.rho < 0 or self.delta < 0:
            raise ValueError(f"an amount cannot be negative: {self}")

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.rho + other.rho, self.delta + other.delta)

    @classmethod
    def charge(cls, rho: float | Fraction, delta: float | Fraction = 0) -> Amount:
        """The least amount that covers a cost, both rounded up. A charge is at least one unit of rho;
        a delta of exactly 0 stays 0."""
        return cls(max(1, math.ceil(Fraction(rho) * RHO_UNITS)), math.ceil(Fraction(delta) * DELTA_UNITS))

    @property
    def exact_rho(self) -> Fraction:
        return Fraction(self.rho, RHO_UNITS)

    @property
    def exact_delta(self) -> Fraction:
        return Fraction(self.delta, DELTA_UNITS)

    def as_dict(self) -> dict[str, int]:
        return {"rho": self.rho, "delta": self.delta}


def total(amounts: Iterable[Amount]) -> Amount:
    return sum(amounts, Amount(0))


def to_epsilon(rho_units: int, delta_units: int, at_delta: float) -> tuple[float, float]:
    """The (epsilon, delta) that an amount amounts to.

    `at_delta` in (0, 1) is the delta of the conversion; what thresholds have spent (`delta_units`)
    comes on top, so the delta returned is their sum, rounded up.
    """
    if not 0 < at_delta < 1:
        raise ValueError(f"the delta of a conversion lies between 0 and 1, not {at_delta}")
    delta = up(Fraction(at_delta) + Fraction(delta_units, DELTA_UNITS))
    return (_epsilon(rho_units, at_delta) if rho_units else 0.0), delta


@lru_cache(maxsize=4096)
def _epsilon(rho_units: int, at_delta: float) -> float:
    if rho_units > PROFILED:
        return _textbook(rho_units, at_delta)
    return _profile(rho_units).epsilon(at_delta)


@lru_cache(maxsize=1024)
def rho_for_epsilon(epsilon: float, delta: float) -> int:
    """The largest rho, in units, that is (epsilon, delta)-DP by OpenDP's profile.

    Refused: `ask.nonsense` where epsilon is not a positive finite number, `ask.too_little` where the
    answer is below one unit, `ask.too_much` above `MOST_RHO`.
    """
    check_epsilon(epsilon)
    if not 0 < delta < 1:
        raise ValueError(f"the delta of a conversion lies between 0 and 1, not {delta}")

    def excess(units: int) -> float:
        return to_epsilon(units, 0, delta)[0] - epsilon

    if excess(MOST_RHO) <= 0:
        raise Refused("ask.too_much", asked=f"epsilon = {epsilon:g}")
    # The textbook's (sqrt(epsilon + log 1/delta) - sqrt(log 1/delta))² is below OpenDP's tighter answer.
    log = math.log(1 / delta)
    textbook = int((epsilon / (math.sqrt(epsilon + log) + math.sqrt(log))) ** 2 * RHO_UNITS)
    low = min(MOST_RHO - 1, max(1, textbook))
    if excess(low) > 0:
        low = 1
    if excess(low) > 0:
        raise Refused("ask.too_little", asked=f"epsilon = {epsilon:g}")
    return _last_within(excess, epsilon, low, MOST_RHO)


def _last_within(excess: Callable[[int], float], epsilon: float, low: int, high: int) -> int:
    """The last number in [low, high) whose `excess`, which grows from -epsilon at 0, is at most 0; it is at `low`,
    not at `high`.

    One call of OpenDP's profile takes milliseconds. Epsilon goes nearly with the root of rho: so by the secant over
    roots, a little past where that crosses zero, on the side whose end is farther, so that both ends close in.
    Every eighth step bisects, so that no shape of the curve takes many more.
    """
    before, at = (0.0, -epsilon), (math.sqrt(low), excess(low))
    for step in itertools.count(1):
        if high - low <= 1:
            return low
        if step % 8 == 0:
            middle = (low + high) // 2
        else:
            (x0, y0), (x1, y1) = before, at
            crossing = min((x1 - y1 * (x1 - x0) / (y1 - y0)) ** 2, float(high)) if y1 != y0 else float(low)
            aside = max(0.5, abs(crossing - x1**2) / 512)
            farther = high - crossing > crossing - low
            aim = math.ceil(crossing + aside) if farther else math.floor(crossing - aside)
            middle = min(max(aim, low + 1), high - 1)
        found = excess(middle)
        before, at = at, (math.sqrt(middle), found)
        low, high = (middle, high) if found <= 0 else (low, middle)
    raise AssertionError("counts without end")


def _textbook(rho_units: int, delta: float) -> float:
    """rho + 2 sqrt(rho log 1/delta), rounded up (Bun and Steinke 2016, Proposition 1.3)."""
    rho = rho_units / RHO_UNITS
    return (rho + 2 * math.sqrt(rho * math.log(1 / delta))) * (1 + 1e-12)


def check_epsilon(epsilon: float) -> None:
    """Refuse what is not a price: epsilon must be a finite number above 0."""
    if isinstance(epsilon, bool) or not math.isfinite(epsilon) or epsilon <= 0:
        raise Refused("ask.nonsense", asked=f"epsilon = {epsilon}")


def _profile(rho_units: int) -> Profile:
    """OpenDP's privacy profile of zCDP at a rho that is no smaller."""
    return zcdp_profile(up_root(Fraction(2 * rho_units, RHO_UNITS)))
