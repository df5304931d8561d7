"""What a question costs, and the noise that it buys: `quote` turns a request and an ask into mechanisms.

A price follows from sensitivities and the ask alone; no data, no row count. The amount asked is the
total for the whole query, over all its blocks and populations.

It is split evenly over measures and discoveries. Without looking at data, the only scale known for a
measure's error is its own sensitivity; the sum over measures of (variance / squared sensitivity) is the
sum of 1 / 2 rho_i, which an even split makes least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import DELTA_UNITS, RHO_UNITS
from sandbox_guard.privacy.account import MOST_RHO, Amount, check_epsilon, rho_for_epsilon, total
from sandbox_guard.privacy.mechanism import Gaussian, Laplace, ThresholdedGaussian, Unaffordable
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.privacy.rounding import up
from sandbox_guard.sql.plan import Measure, MeasureKind, Plan, Sensitivity

Number = int | float | Decimal | Fraction
Noise = Gaussian | Laplace
"""Added to exact integers. A quantile is chosen instead."""

# ------------------------------------------------------------------------------ what is asked


@dataclass(frozen=True)
class Rho:
    """`units` of rho for the whole query."""

    units: int


@dataclass(frozen=True)
class Epsilon:
    """The whole query is (epsilon, delta)-DP, thresholds included, with the request's delta; or, if
    pure, (epsilon, 0)-DP."""

    epsilon: float
    pure: bool = False


@dataclass(frozen=True)
class Share:
    """A part, above 0 and at most 1, of what remains of the tightest budget."""

    share: Fraction
    remaining: int
    """Units of rho."""


@dataclass(frozen=True)
class Margin:
    """At most so wide a half-width at 95 % for these measures, in integer steps of each, at the least
    cost. What has no target (discoveries too) is given as much as the dearest measure that has one."""

    half_widths: Mapping[tuple[int, int], Number]
    """By (index of the block, position of the measure)."""


Ask = Rho | Epsilon | Share | Margin


def read_ask(
    *,
    rho: Number | None = None,
    epsilon: Number | None = None,
    pure: bool = False,
    share: Number | None = None,
    remaining: int,
    default: int,
) -> Ask:
    """What an asker wrote, as numbers of JSON; `remaining` and `default` are units of rho.

    Refused: `ask.several` (more than one of rho, epsilon, share; pure without epsilon), `ask.nonsense`.
    """
    if sum(given is not None for given in (rho, epsilon, share)) > 1 or (pure and epsilon is None):
        raise Refused("ask.several")
    if rho is not None:
        return Rho(math.floor(_exact(rho, "rho") * RHO_UNITS))
    if epsilon is not None:
        return Epsilon(float(_exact(epsilon, "epsilon")), pure)
    if share is not None:
        return Share(_exact(share, "share"), remaining)
    return Rho(default)


def _exact(number: Number, name: str) -> Fraction:
    """What was written: 0.1 means a tenth, not the float next to it."""
    try:
        size = math.nan if isinstance(number, bool) else float(number)
    except OverflowError:
        size = math.inf
    if math.isfinite(size):
        # A size of 0 first: the exact form of 1e-999999999 would fill the memory.
        return Fraction(repr(number) if isinstance(number, float) else number) if size else Fraction(0)
    raise Refused("ask.nonsense", asked=f"{name} = {number}")


# ------------------------------------------------------------------------------ what it is asked for


@dataclass(frozen=True)
class QuantileRequest:
    """A quantile among public bins; `rows` says how many rows one unit has in each group and in all."""

    fraction: Fraction
    bins: int
    rows: Sensitivity


@dataclass(frozen=True)
class BlockRequest:
    index: int
    population: str
    datasets: tuple[str, ...]
    measures: tuple[Sensitivity | QuantileRequest, ...]
    discovery: Sensitivity | None = None
    """Of COUNT(DISTINCT unit) by key, where keys are discovered."""


@dataclass(frozen=True)
class PriceRequest:
    blocks: tuple[BlockRequest, ...]
    query_delta: int
    """Units of delta that policy lets one query spend (the least over its populations)."""

    @classmethod
    def of(cls, plan: Plan, query_delta: int) -> PriceRequest:
        return cls(
            tuple(
                BlockRequest(b.index, b.population, b.datasets, tuple(map(_request, b.measures)), b.discovery)
                for b in plan.blocks
            ),
            query_delta,
        )

    @property
    def parts(self) -> int:
        """How many measurements are paid for."""
        return sum(len(b.measures) + (b.discovery is not None) for b in self.blocks)

    @property
    def discoveries(self) -> int:
        return sum(b.discovery is not None for b in self.blocks)


def _request(measure: Measure) -> Sensitivity | QuantileRequest:
    if measure.kind is MeasureKind.QUANTILE:
        return QuantileRequest(measure.fraction, measure.bins.count, measure.sensitivity)
    return measure.sensitivity


# ------------------------------------------------------------------------------ what is offered


@dataclass(frozen=True)
class PricedBlock:
    """The mechanisms of one block: one per measure, in the plan's order, and one for its keys."""

    index: int
    population: str
    datasets: tuple[str, ...]
    measures: tuple[Noise | Quantile, ...]
    discovery: ThresholdedGaussian | None

    @cached_property
    def cost(self) -> Amount:
        return total(m.cost for m in (*self.measures, *([self.discovery] if self.discovery else ())))

    def as_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "population": self.population,
            "datasets": list(self.datasets),
            "measures": [m.as_dict() for m in self.measures],
            "discovery": self.discovery.as_dict() if self.discovery else None,
            "cost": self.cost.as_dict(),
        }


@dataclass(frozen=True)
class Quote:
    """A price and exactly what it buys. Charge `by_population` and `by_dataset`, then release with these
    very mechanisms."""

    blocks: tuple[PricedBlock, ...]

    @cached_property
    def total(self) -> Amount:
        return total(b.cost for b in self.blocks)

    def by_population(self) -> dict[str, Amount]:
        return {
            p: total(b.cost for b in self.blocks if b.population == p)
            for p in sorted({b.population for b in self.blocks})
        }

    def by_dataset(self, population: str) -> dict[str, Amount]:
        """What each dataset is charged: all of every block that reads it."""
        blocks = [b for b in self.blocks if b.population == population]
        return {
            d: total(b.cost for b in blocks if d in b.datasets)
            for d in sorted({d for b in blocks for d in b.datasets})
        }

    def as_dict(self) -> dict[str, Any]:
        """Canonical: what the plan's digest covers."""
        return {"blocks": [b.as_dict() for b in self.blocks], "total": self.total.as_dict()}


def quote(request: PriceRequest, ask: Ask) -> Quote:
    """The mechanisms that the ask buys. Their cost is at most what was asked.

    Refused, all before anything is read: `ask.nonsense` (not a price: zero, negative, infinite, NaN),
    `ask.too_little`, `ask.too_much`, `ask.pure_discovers` (pure DP cannot discover keys),
    `ask.no_delta` (keys are to be discovered and policy allows no delta).
    """
    if not request.blocks:
        return Quote(())
    if request.discoveries and request.query_delta < 1:
        raise Refused("ask.no_delta")
    try:
        match ask:
            case Rho(units):
                return _evenly(request, _amount(units), request.query_delta)
            case Epsilon(epsilon, pure=True):
                return _pure(request, epsilon)
            case Epsilon(epsilon):
                return _approximate(request, epsilon)
            case Share(share, remaining):
                return _evenly(request, _share(share, remaining), request.query_delta)
            case Margin(half_widths):
                return _within_margins(request, half_widths)
    except Unaffordable:
        raise Refused("ask.too_little", asked=_shown(ask)) from None


# ------------------------------------------------------------------------------ one function an ask


def _evenly(request: PriceRequest, rho: int, delta: int) -> Quote:
    each = rho // request.parts
    if each < 1:
        raise Unaffordable
    return _quoted(request, {}, each, delta)


def _approximate(request: PriceRequest, epsilon: float) -> Quote:
    """Thresholds spend delta too: where there are any, they get half, and the conversion the other."""
    check_epsilon(epsilon)
    thresholds = request.query_delta // 2 if request.discoveries else 0
    conversion = Fraction(request.query_delta - thresholds, DELTA_UNITS)
    if not 0 < conversion < 1:
        raise Refused("ask.no_delta")
    down = -up(-conversion)
    return _evenly(request, rho_for_epsilon(epsilon, down), thresholds)


def _pure(request: PriceRequest, epsilon: float) -> Quote:
    check_epsilon(epsilon)
    if request.discoveries:
        raise Refused("ask.pure_discovers")
    if any(isinstance(m, QuantileRequest) for b in request.blocks for m in b.measures):
        raise Refused("ask.pure_quantile")
    if Fraction(epsilon) ** 2 / 2 * RHO_UNITS > MOST_RHO:
        raise Refused("ask.too_much", asked=f"epsilon = {epsilon:g}")
    if Fraction(epsilon) ** 2 / 2 * RHO_UNITS < request.parts:
        raise Unaffordable
    each = Fraction(epsilon) / request.parts
    return Quote(
        tuple(
            PricedBlock(
                b.index,
                b.population,
                b.datasets,
                tuple(
                    Laplace.within_epsilon(_movable(s).l1, each)
                    for s in b.measures
                    if isinstance(s, Sensitivity)
                ),
                None,
            )
            for b in request.blocks
        )
    )


def _within_margins(request: PriceRequest, half_widths: Mapping[tuple[int, int], Number]) -> Quote:
    sensitivities = {
        (b.index, i): s
        for b in request.blocks
        for i, s in enumerate(b.measures)
        if isinstance(s, Sensitivity)
    }
    if not half_widths or not half_widths.keys() <= sensitivities.keys():
        raise ValueError(f"margins name no measures of this request: {sorted(half_widths)}")
    rho = {at: _least_rho(sensitivities[at], width) for at, width in half_widths.items()}
    return _quoted(request, rho, max(rho.values()), request.query_delta)


def _least_rho(sensitivity: Sensitivity, half_width: Number) -> int:
    """The fewest units at which the noise's half-width is at most this."""
    asked = f"± {half_width}"
    width = _exact(half_width, "margin")
    if width < 0:
        raise Refused("ask.nonsense", asked=asked)

    def fits(units: int) -> bool:
        try:
            return _noise(sensitivity, units).half_width() <= width
        except Unaffordable:
            return False

    if fits(1):
        # Wider than the noise of the least charge there is: a margin of 1e300 is not a question.
        raise Refused("ask.too_little", asked=asked)
    if not fits(MOST_RHO):
        raise Refused("ask.too_much", asked=asked)
    low, high = 1, MOST_RHO
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _quoted(request: PriceRequest, rho: Mapping[tuple[int, int], int], otherwise: int, delta: int) -> Quote:
    each_delta = delta // max(1, request.discoveries)
    if request.discoveries and each_delta < 1:
        raise Refused("ask.no_delta")

    def priced(block: BlockRequest) -> PricedBlock:
        measures = tuple(
            _mechanism(s, rho.get((block.index, i), otherwise)) for i, s in enumerate(block.measures)
        )
        discovery = None
        if block.discovery is not None:
            s = _movable(block.discovery)
            amount = Amount(otherwise, each_delta)
            discovery = ThresholdedGaussian.within(s.l0, s.linf, s.l2_squared, amount)
        return PricedBlock(block.index, block.population, block.datasets, measures, discovery)

    return Quote(tuple(priced(b) for b in request.blocks))


# ------------------------------------------------------------------------------ parts


def _mechanism(measure: Sensitivity | QuantileRequest, rho: int) -> Noise | Quantile:
    if isinstance(measure, QuantileRequest):
        rows = _movable(measure.rows)
        return Quantile.within(measure.fraction, measure.bins, rows.l2_squared, rho)
    return _noise(measure, rho)


def _noise(sensitivity: Sensitivity, rho: int) -> Noise:
    """Whichever has the smaller half-width at the price."""
    s = _movable(sensitivity)
    gaussian = Gaussian.within(s.l2_squared, rho)
    if Laplace.least_half_width(s.l1, rho) >= gaussian.half_width():
        return gaussian
    laplace = Laplace.within(s.l1, rho)
    return laplace if laplace.half_width() < gaussian.half_width() else gaussian


def _movable(sensitivity: Sensitivity) -> Sensitivity:
    """A measure that nobody can move (WHERE false) is released with noise for one step all the same:
    were it released exactly, a planner's error would show data instead of costing accuracy."""
    return sensitivity if sensitivity.linf else Sensitivity(1, 1, 1, 1)


def _amount(units: int) -> int:
    if isinstance(units, bool) or not isinstance(units, int) or units < 1:
        raise Refused("ask.nonsense", asked=f"rho = {units}e-9")
    if units > MOST_RHO:
        raise Refused("ask.too_much", asked=f"rho = {units / RHO_UNITS:g}")
    return units


def _share(share: Fraction, remaining: int) -> int:
    if not 0 < share <= 1:
        raise Refused("ask.nonsense", asked=f"share = {float(share):g}")
    units = math.floor(share * remaining)
    if units < 1:
        raise Unaffordable
    return _amount(units)


def _shown(ask: Ask) -> str:
    match ask:
        case Rho(units):
            return f"rho = {units / RHO_UNITS:g}"
        case Epsilon(epsilon):
            return f"epsilon = {epsilon:g}"
        case Share(share):
            return f"share = {float(share):g}"
        case Margin(half_widths):
            return ", ".join(f"± {w}" for w in half_widths.values())
