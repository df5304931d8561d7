"""Mechanisms: one frozen value that knows its noise and what it costs.

    Gaussian               discrete Gaussian over an integer vector; rho = l2² / 2 scale²
    Laplace                discrete Laplace over an integer vector; epsilon = l1 / scale, rho = epsilon² / 2
    ThresholdedGaussian    which counts of units by key a discrete Gaussian leaves above a threshold: keys that
                           the data supplies; rho as above, and delta for the keys of one unit alone
    NoisyMin               the exponential mechanism over scores (quantiles); rho = epsilon² / 8

The sampler and the cost both come from the one OpenDP measurement that a mechanism holds. It is built
and checked before anything is charged: a mechanism whose cost does not cover its measurement's own map
cannot be made. Sensitivities arrive as exact integers; where a float is needed, it is rounded against
the asker.

A thresholded Laplace is not here: a unit's keys move l1 >= l2, and its tail at delta 1e-7 lies 15.4
scales out where the Gaussian's lies 5.2, so it never came out ahead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import cached_property
from statistics import NormalDist
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from sandbox_guard.policy.model import RHO_UNITS
from sandbox_guard.privacy import coins, measurements
from sandbox_guard.privacy.account import Amount
from sandbox_guard.privacy.cores import over_cores
from sandbox_guard.privacy.measurements import Measurement
from sandbox_guard.privacy.rounding import up, up_root

Integers = NDArray[np.int64]
_M = TypeVar("_M")

MOST_SCALE = 2.0**55
"""Exact values stay below 2^62. With noise of at most this scale their sum passes 64 bits with a
probability below 1e-36 (it would saturate, which is no leak but would make intervals wrong)."""


class Unaffordable(ValueError):
    """No noise of a representable scale is as cheap as asked."""


class Mechanism(Protocol):
    """Noise for a vector of exact integers, whose cost does not depend on the vector's length."""

    @property
    def cost(self) -> Amount: ...

    def release(self, values: Integers) -> Integers:
        """Exact integers in, released integers of the same shape out."""

    def half_width(self, level: float = 0.95) -> int:
        """The least h with P(|noise| <= h) >= level, or one more."""

    def simulate_noise(self, size: int, rng: np.random.Generator) -> Integers:
        """Noise of this distribution from a public generator, to be added to *released* values for the
        intervals of what is computed from them. It protects nothing: never add it to exact values."""

    def as_dict(self) -> dict[str, Any]:
        """Parameters, for the plan's digest; floats in hexadecimal, so that nothing is rounded."""


class _Rebuilt:
    """Crosses processes as its parameters, and so is built and checked again where it arrives."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, f.name) for f in fields(self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Gaussian(_Rebuilt):
    """Discrete Gaussian noise of standard deviation `scale` on a vector that one unit can move by at
    most sqrt(l2_squared) in Euclidean distance."""

    l2_squared: int
    scale: float

    name: ClassVar[str] = "gaussian"

    def __post_init__(self) -> None:
        _check_parameters(self.l2_squared, scale=self.scale)
        _check_cover(self.cost.exact_rho, Fraction(self._measurement.map(up_root(self.l2_squared))))
        _check_cover(self.cost.exact_rho, self.l2_squared / (2 * Fraction(self.scale) ** 2))

    @classmethod
    def within(cls, l2_squared: int, rho: int) -> Gaussian:
        """The least noise that costs at most `rho` units."""
        scale = up_root(Fraction(l2_squared * RHO_UNITS, 2 * rho))
        return _least(lambda s: cls(l2_squared, s), scale, lambda m: m.cost.rho <= rho)

    @cached_property
    def _measurement(self) -> Measurement:
        return measurements.gaussian(self.scale)

    @cached_property
    def cost(self) -> Amount:
        return Amount.charge(self._measurement.map(up_root(self.l2_squared)))

    def release(self, values: Integers) -> Integers:
        return _released(lambda: measurements.gaussian(self.scale), values)

    def half_width(self, level: float = 0.95) -> int:
        return gaussian_half_width(self.scale, level)

    def simulate_noise(self, size: int, rng: np.random.Generator) -> Integers:
        return simulate_gaussian(self.scale, size, rng)

    def as_dict(self) -> dict[str, Any]:
        return {"mechanism": self.name, "l2_squared": self.l2_squared, "scale": self.scale.hex()}


@dataclass(frozen=True)
class Laplace(_Rebuilt):
    """Discrete Laplace noise, P(k) ~ exp(-|k| / scale), on a vector that one unit can move by at most
    `l1` in all. It is epsilon-DP, and so min(epsilon²/2, epsilon)-zCDP: the first by Bun and Steinke 2016,
    Proposition 1.4 (OpenDP's conversion), the second because no Rényi divergence exceeds the greatest, epsilon,
    which is at most epsilon times any order above 1. The second is less from epsilon 2 on."""

    l1: int
    scale: float

    name: ClassVar[str] = "laplace"

    def __post_init__(self) -> None:
        _check_parameters(self.l1, scale=self.scale)
        epsilon = self.l1 / Fraction(self.scale)
        _check_cover(Fraction(self.epsilon), epsilon)
        _check_cover(self.cost.exact_rho, min(epsilon**2 / 2, epsilon))
        _check_cover(self.cost.exact_rho, min(Fraction(self._in_zcdp.map(self.l1)), Fraction(self.epsilon)))

    @classmethod
    def within(cls, l1: int, rho: int) -> Laplace:
        """The least noise that costs at most `rho` units."""
        return _least(lambda s: cls(l1, s), cls._closed_form(l1, rho), lambda m: m.cost.rho <= rho)

    @classmethod
    def least_half_width(cls, l1: int, rho: int) -> int:
        """That of `within` is no smaller; found without making a measurement."""
        return laplace_half_width(min(cls._closed_form(l1, rho), MOST_SCALE), 0.95)

    @staticmethod
    def _closed_form(l1: int, rho: int) -> float:
        return min(up_root(Fraction(l1**2 * RHO_UNITS, 2 * rho)), up(Fraction(l1 * RHO_UNITS, rho)))

    @classmethod
    def within_epsilon(cls, l1: int, epsilon: Fraction) -> Laplace:
        """The least noise that is epsilon-DP."""
        return _least(lambda s: cls(l1, s), up(l1 / epsilon), lambda m: Fraction(m.epsilon) <= epsilon)

    @cached_property
    def _measurement(self) -> Measurement:
        return measurements.laplace(self.scale)

    @cached_property
    def _in_zcdp(self) -> Measurement:
        return measurements.in_zcdp(self._measurement)

    @cached_property
    def epsilon(self) -> float:
        """By OpenDP's map."""
        return float(self._measurement.map(self.l1))

    @cached_property
    def cost(self) -> Amount:
        return Amount.charge(min(self._in_zcdp.map(self.l1), self.epsilon))

    def release(self, values: Integers) -> Integers:
        return _released(lambda: measurements.laplace(self.scale), values)

    def half_width(self, level: float = 0.95) -> int:
        return laplace_half_width(self.scale, level)

    def simulate_noise(self, size: int, rng: np.random.Generator) -> Integers:
        return simulate_laplace(self.scale, size, rng)

    def as_dict(self) -> dict[str, Any]:
        return {"mechanism": self.name, "l1": self.l1, "scale": self.scale.hex()}


@dataclass(frozen=True)
class ThresholdedGaussian(_Rebuilt):
    """The keys whose counts of units come out above `threshold` once discrete Gaussian noise is added.

    One unit counts at most `linf` in a key and in at most `l0` keys. Keys that only that unit has appear
    with the probability that `cost.delta` covers.
    """

    l0: int
    linf: int
    l2_squared: int
    scale: float
    threshold: int

    name: ClassVar[str] = "thresholded gaussian"

    def __post_init__(self) -> None:
        _check_parameters(self.l0, self.linf, self.l2_squared, self.threshold, scale=self.scale)
        if self.scale > coins.MOST_COIN_SCALE:
            raise Unaffordable(f"no key is found through noise of scale {self.scale:.3g}")
        rho, delta = self._map
        _check_cover(self.cost.exact_rho, Fraction(rho))
        _check_cover(self.cost.exact_rho, self.l2_squared / (2 * Fraction(self.scale) ** 2))
        _check_cover(self.cost.exact_delta, Fraction(delta))

    @classmethod
    def within(cls, l0: int, linf: int, l2_squared: int, amount: Amount) -> ThresholdedGaussian:
        """The least noise that costs at most `amount.rho`, and with it the lowest threshold that costs at
        most `amount.delta`. OpenDP's arithmetic has a floor of about 1e-16 a key: a delta below it buys
        no threshold."""
        scale = Gaussian.within(l2_squared, amount.rho).scale

        def fits(threshold: int) -> bool:
            _, delta = measurements.thresholded_gaussian(scale, threshold).map(
                (l0, up_root(l2_squared), float(linf))
            )
            return Fraction(delta) <= amount.exact_delta

        # Near where a normal tail of one unit's keys holds the delta, one below it and one above.
        tail = min(0.5, max(1e-300, float(amount.exact_delta) / l0))
        high = linf + max(1, math.ceil(scale * -NormalDist().inv_cdf(tail)))
        low, step = high - 1, 1
        while not fits(high):
            if high - linf > 64 * scale + 64:
                raise Unaffordable(f"no threshold costs as little as {amount}")
            low, high, step = high, high + step, 2 * step
        step = 1
        while low > linf and fits(low):
            low, high, step = max(linf, low - step), low, 2 * step
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(middle) else (middle, high)
        return cls(l0, linf, l2_squared, scale, high)

    @cached_property
    def _measurement(self) -> Measurement:
        return measurements.thresholded_gaussian(self.scale, self.threshold)

    @cached_property
    def _map(self) -> tuple[float, float]:
        rho, delta = self._measurement.map((self.l0, up_root(self.l2_squared), float(self.linf)))
        return rho, delta

    @cached_property
    def cost(self) -> Amount:
        return Amount.charge(*self._map)

    def release(self, counts: Integers) -> NDArray[np.bool_]:
        """Exact counts by key in, which keys are released out.

        A key with no unit is no key: it is dropped whatever falls, so that it makes no difference whether the engine
        lists it. OpenDP also keeps values *equal* to the threshold, which its map leaves out of delta (opendp#2922);
        they are dropped here. What is cast aside of a thresholded measurement is not drawn (`coins.py`): the keys have
        the very same distribution, and so cost what they cost there.
        """
        if counts.dtype != np.int64 or counts.ndim != 1:
            raise TypeError("exact counts are one vector of 64-bit integers")
        released = np.zeros(len(counts), dtype=np.bool_)
        present = np.flatnonzero(counts > 0)
        released[present] = coins.tossed(self.scale, self.threshold - counts[present])
        return released

    def half_width(self, level: float = 0.95) -> int:
        """Of the noise before the threshold."""
        return gaussian_half_width(self.scale, level)

    def most_released(self, keys: int, units: int) -> int:
        """Of so many keys, in which there are so many units in all (each counted in every key it is in), no more are
        released, but once in 10^10 times, however the units are spread.

        A key of c units is released with P(c), so that no unit brings more than q, the greatest P(c) / c: at most q
        times the units are expected. Coins are independent (Chernoff: P(X >= E + t) <= exp(-t² / (2 E + 2 t / 3))).
        """
        counts = np.arange(1, self.threshold + math.ceil(9 * self.scale) + 1)
        share = float((coins.chances(self.scale, self.threshold - counts) / counts).max()) + 2**-36
        expected = min(float(keys), share * units)
        return min(keys, math.ceil(expected + 7 * math.sqrt(expected) + 17))

    def certain(self, level: float = 0.95) -> int:
        """A key with so many units appears with at least this probability."""
        return self.threshold + 1 + gaussian_half_width(self.scale, 2 * level - 1)

    def as_dict(self) -> dict[str, Any]:
        return {
            "mechanism": self.name,
            "l0": self.l0,
            "linf": self.linf,
            "l2_squared": self.l2_squared,
            "scale": self.scale.hex(),
            "threshold": self.threshold,
        }


FINE = 8
"""Into so many parts the unit of a score is divided, so that rounding costs little."""

ROUNDING = 2
"""Parts by which rounding moves the difference of two groups' scores, at most."""

MOST_SCORE = 2**59
MOST_CHOICE_SCALE = 2.0**38
"""Up to here a group's score is off by less than 0.2 parts before it is rounded."""


@dataclass(frozen=True)
class NoisyMin(_Rebuilt):
    """For each group, the index of about the least of several scores.

    One row moves every score of its group by at most `weight`; squaring how many rows a unit has in each
    group and adding gives at most `l2_squared`. With k rows in a group that group's choice costs
    (k weight)² / 2 scale², so all groups together cost l2_squared times what one row costs (OpenDP's map
    of all rows in one group may round a little higher: the charge covers both).

    OpenDP draws P(i) ~ exp(-s_i / scale) by rejection: of n candidates, one that stands alone is found after n draws,
    71 ms for 20,000, and sometimes sevenfold. So the candidates are cut into about sqrt(n) runs, in their order. A
    run's score is S = -scale ln(sum of exp(-s_i / scale)), rounded, and drawn first, by the same measurement; then one
    of its candidates. Were S exact, P(run) P(i | run) would be the very same distribution. With S + r it is that of
    scores s_i + r, in which r is of the run and below ROUNDING / 2 parts: the pair of draws is one exponential
    mechanism over scores that k rows move by at most k weight and ROUNDING parts, and costs what that costs.
    """

    l2_squared: int
    weight: int
    scale: float

    name: ClassVar[str] = "noisy min"

    def __post_init__(self) -> None:
        _check_parameters(self.l2_squared, self.weight, scale=self.scale)
        if self.scale > MOST_CHOICE_SCALE:
            raise Unaffordable(f"a choice at scale {self.scale:.3g} is not drawn exactly enough")
        closed = self.l2_squared * Fraction(self._moved, FINE) ** 2 / (2 * Fraction(self.scale) ** 2)
        _check_cover(self.cost.exact_rho, closed)

    @classmethod
    def within(cls, l2_squared: int, weight: int, rho: int) -> NoisyMin:
        """The least noise that costs at most `rho` units."""
        moved = Fraction(FINE * weight + ROUNDING, FINE)
        scale = up_root(l2_squared * moved**2 * RHO_UNITS / (2 * rho))
        return _least(lambda s: cls(l2_squared, weight, s), scale, lambda m: m.cost.rho <= rho)

    @property
    def _moved(self) -> int:
        """Parts by which one row moves a score."""
        return FINE * self.weight + ROUNDING

    @cached_property
    def _measurement(self) -> Measurement:
        return measurements.noisy_min(FINE * self.scale)

    @cached_property
    def cost(self) -> Amount:
        spread = self.l2_squared * Fraction(self._measurement.map(self._moved))
        together = Fraction(self._measurement.map(math.isqrt(self.l2_squared) * self._moved))
        return Amount.charge(max(spread, together))

    def release(self, scores: NDArray[np.uint64]) -> Integers:
        """(groups, candidates) in, one index a group out. Scores above `MOST_SCORE` count as that."""
        if scores.dtype != np.uint64 or scores.ndim != 2:
            raise TypeError("scores are a table of unsigned 64-bit integers, a row a group")
        bounded = np.minimum(scores, MOST_SCORE).astype(np.int64)
        width = math.isqrt(scores.shape[1] - 1) + 1
        chosen = [self._chosen(row, width) for row in bounded]
        return np.array(chosen, dtype=np.int64)

    def _chosen(self, scores: Integers, width: int) -> int:
        starts = np.arange(0, len(scores), width)
        runs = self.run_scores(scores, starts, width)
        start = int(starts[self._drawn(runs - runs.min())])
        run = scores[start : start + width]
        return start + self._drawn(FINE * (run - run.min()))

    def _drawn(self, parts: Integers) -> int:
        return int(self._measurement(parts.astype(np.uint64)))

    def run_scores(self, scores: Integers, starts: Integers, width: int) -> Integers:
        """-scale ln(sum of exp(-score / scale)) of each run, in parts.

        Of up to 2^9 terms of at most 1 the sum is at least 1 and off by 2^-44 of itself, so its logarithm by as much,
        and that times FINE scale by 2^-3 part at the greatest scale.
        """
        least = np.minimum.reduceat(scores, starts)
        above = (scores - np.repeat(least, width)[: len(scores)]) / self.scale
        mass = np.add.reduceat(np.exp(-above), starts)
        return FINE * least - np.rint(FINE * self.scale * np.log(mass)).astype(np.int64)

    def excess(self, candidates: int, level: float) -> int:
        """With at least this probability, the chosen score exceeds the least one by no more."""
        return math.ceil(self.scale * math.log(candidates / (1 - level)) * (1 + 1e-12)) + 1

    def as_dict(self) -> dict[str, Any]:
        return {
            "mechanism": self.name,
            "l2_squared": self.l2_squared,
            "weight": self.weight,
            "scale": self.scale.hex(),
        }


# ------------------------------------------------------------------ distributions


def laplace_half_width(scale: float, level: float) -> int:
    """The least h with P(|Z| <= h) >= level; P(|Z| > h) = 2 q^(h+1) / (1+q) with q = exp(-1/scale)."""
    q = math.exp(-1 / scale)

    def outside(h: int) -> float:
        return 2 * math.exp(-(h + 1) / scale) / (1 + q)

    h = max(0, math.floor(scale * math.log(2 / ((1 - level) * (1 + q)))) - 2)
    while outside(h) > (1 - level) * (1 - 1e-12):
        h += 1
    return h


def gaussian_half_width(scale: float, level: float) -> int:
    """The least h with P(|Z| <= h) >= level, at scales up to 10,000 by summing; above, at most 1 more.

    sum_{k>h} exp(-k²/2s²) is below the integral from h, and the normalising sum above s sqrt(2 pi), so
    the continuous quantile rounded up is never too small.
    """
    continuous = math.ceil(scale * NormalDist().inv_cdf((1 + level) / 2) * (1 + 1e-12))
    if scale > _SUMMED:
        return continuous
    probabilities = _gaussian_probabilities(scale)
    inside = np.cumsum(np.concatenate([probabilities[:1], 2 * probabilities[1:]]))
    least = int(np.searchsorted(inside, level + 1e-12))
    return min(least, continuous)


def simulate_laplace(scale: float, size: int, rng: np.random.Generator) -> Integers:
    """Difference of two geometric variables."""
    p = -math.expm1(-1 / scale)
    return rng.geometric(p, size) - rng.geometric(p, size)


def simulate_gaussian(scale: float, size: int, rng: np.random.Generator) -> Integers:
    """By inversion at small scales; above, a rounded normal, which differs by less than 1e-7 in
    total variation."""
    if scale > _INVERTED:
        return np.rint(rng.normal(0.0, scale, size)).astype(np.int64)
    half = _gaussian_probabilities(scale)
    cumulative = np.cumsum(np.concatenate([half[:0:-1], half]))
    return np.searchsorted(cumulative / cumulative[-1], rng.random(size), side="right") - (len(half) - 1)


_SUMMED = 10_000.0
_INVERTED = 1_000.0


def _gaussian_probabilities(scale: float) -> NDArray[np.float64]:
    """P(Z = k) for k = 0, 1, … to 12 scales, beyond which less than 1e-31 lies."""
    k = np.arange(math.ceil(12 * scale) + 2, dtype=np.float64)
    weights = np.exp(-((k / scale) ** 2) / 2)
    probabilities: NDArray[np.float64] = weights / (2 * weights.sum() - 1)
    return probabilities


# ------------------------------------------------------------------ construction


def _released(measurement: Callable[[], Measurement], values: Integers) -> Integers:
    """Each value with noise of its own: 6 to 11 µs of a core, nearly all of it for exact arithmetic and random bytes
    and hardly more at one scale than at another."""
    if values.dtype != np.int64 or values.ndim != 1:
        raise TypeError("exact values are one vector of 64-bit integers")
    return over_cores(lambda piece: np.array(measurement()(piece), dtype=np.int64), values, _PIECE)


_PIECE = 500
"""Values, some 5 ms of work."""


def _least(make: Callable[[float], _M], scale: float, affordable: Callable[[_M], bool]) -> _M:
    """The first mechanism that is affordable, from the closed form's scale upwards.

    Scales have 30 significant bits: OpenDP's exact rationals then stay short, which saves a tenth of the
    time for a billionth of the budget. One step is enough but for the roundings of OpenDP's map.
    """
    mantissa, exponent = math.frexp(scale)
    steps = math.ceil(mantissa * 2**30)
    for step in range(steps, steps + 8):
        mechanism = make(math.ldexp(step, exponent - 30))
        if affordable(mechanism):
            return mechanism
    raise Unaffordable(f"no noise near scale {scale} is affordable")


def _check_parameters(*sensitivities: int, scale: float) -> None:
    if any(not isinstance(s, int) or s < 1 for s in sensitivities):
        raise ValueError(f"sensitivities and thresholds are integers from 1, not {sensitivities}")
    if not 0 < scale <= MOST_SCALE:
        raise Unaffordable(f"noise of scale {scale} does not fit 64 bits")


def _check_cover(charge: Fraction, cost: Fraction) -> None:
    if charge < cost:
        raise ArithmeticError(f"a charge of {float(charge)} does not cover {float(cost)}")
