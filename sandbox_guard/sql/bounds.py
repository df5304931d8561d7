"""Interval arithmetic: what a value can be, whatever the data.

Three conventions hold for every `Domain`, and the property tests hold them:

- integers and fixed-point numbers lie in [lo, hi] exactly;
- a DOUBLE lies in [fl(lo), fl(hi)], where fl is rounding to the nearest double. Since fl is monotone and
  IEEE's `+ - * / sqrt` are the exact result rounded by fl, doing the exact operation on the rounded
  end points and rounding once more is a sound bound: no widening is needed;
- `step` means that the value is (the nearest double of) a multiple of it.

The C library's exp, log and pow are not rounded so carefully: their bounds are widened by one part in
1e9, a million times their worst error.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

from sandbox_guard.sql.relation import Domain, Scalar, Type

MOST_INTEGER = 2**62
"""Integers known to stay within it are computed as plain BIGINT."""

LAST_BIGINT = 2**63 - 1

EXACT_DOUBLE = 2**53
"""Integers up to it are doubles."""

MOST_DOUBLE = 1e300
"""Doubles known to stay within it need no guard against infinity."""

LISTED = 10_000
"""Domains of at most so many values are written out."""

EPOCH = dt.date(1970, 1, 1)
FIRST_DAY = (dt.date.min - EPOCH).days
LAST_DAY = (dt.date.max - EPOCH).days

WIDEN = Fraction(1, 10**9)

Bound: TypeAlias = Fraction | float
"""An exact number, or one of the two infinities."""


@dataclass(frozen=True)
class Interval:
    """[lo, hi]; an infinity stands for 'unbounded', never for a value."""

    lo: Bound = -math.inf
    hi: Bound = math.inf

    @classmethod
    def of(cls, domain: Domain) -> Interval:
        """Of a number, or of a date's day number."""
        if domain.type is Type.DATE:
            return cls(
                Fraction(FIRST_DAY) if domain.lo is None else domain.lo,
                Fraction(LAST_DAY) if domain.hi is None else domain.hi,
            )
        return cls(
            -math.inf if domain.lo is None else domain.lo, math.inf if domain.hi is None else domain.hi
        )

    @property
    def lower(self) -> Fraction | None:
        return None if isinstance(self.lo, float) else self.lo

    @property
    def upper(self) -> Fraction | None:
        return None if isinstance(self.hi, float) else self.hi

    def within(self, most: Bound) -> bool:
        return -most <= self.lo and self.hi <= most

    def contains(self, value: Bound) -> bool:
        return self.lo <= value <= self.hi

    def __neg__(self) -> Interval:
        return Interval(-self.hi, -self.lo)

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lo + other.lo, self.hi + other.hi)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        ends: list[Bound] = [_times(a, b) for a in (self.lo, self.hi) for b in (other.lo, other.hi)]
        return Interval(min(ends), max(ends))

    def divided(self, other: Interval) -> Interval:
        """`other` must not contain 0."""
        return self * Interval(_inverse(other.hi), _inverse(other.lo))

    def __abs__(self) -> Interval:
        lo, hi = _size(self.lo), _size(self.hi)
        return Interval(Fraction(0) if self.contains(0) else min(lo, hi), max(lo, hi))

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def __and__(self, other: Interval) -> Interval:
        """Empty intersections keep the nearest point of `other`, so that a bound is never inverted."""
        lo, hi = max(self.lo, other.lo), min(self.hi, other.hi)
        if lo <= hi:
            return Interval(lo, hi)
        nearest = other.lo if self.hi < other.lo else other.hi
        return Interval(nearest, nearest)

    def rounded(self) -> Interval:
        """Of the nearest doubles; unbounded from `MOST_DOUBLE` on."""
        lo, hi = _rounded(self.lo), _rounded(self.hi)
        most = Fraction(MOST_DOUBLE)
        return Interval(most if lo == math.inf else lo, -most if hi == -math.inf else hi)

    def widened(self) -> Interval:
        return Interval(
            self.lo - _size(self.lo) * WIDEN - WIDEN,
            self.hi + _size(self.hi) * WIDEN + WIDEN,
        )

    def monotone(self, function: Callable[[float], float]) -> Interval:
        """The image under a never-decreasing function of doubles, which gives what the engine gives."""
        ends = self.rounded()

        def at(end: Bound) -> Bound:
            if isinstance(end, float):
                return end
            try:
                return _rounded(function(float(end)))
            except OverflowError:
                return math.inf

        return Interval(at(ends.lo), at(ends.hi)).rounded()


def _size(end: Bound) -> Bound:
    return end if end >= 0 else -end


def _times(a: Bound, b: Bound) -> Bound:
    return Fraction(0) if a == 0 or b == 0 else a * b


def _inverse(a: Bound) -> Bound:
    return Fraction(0) if isinstance(a, float) else 1 / a


def _rounded(end: Bound) -> Bound:
    if _size(end) >= MOST_DOUBLE:
        return math.inf if end > 0 else -math.inf
    return Fraction(float(end))


def gcd(a: Fraction, b: Fraction) -> Fraction:
    """The largest step of which both are multiples."""
    return Fraction(
        math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator
    )


def common_step(steps: Iterable[Fraction | None]) -> Fraction | None:
    found: Fraction | None = None
    for step in steps:
        if step is None:
            return None
        found = step if found is None else gcd(found, step)
    return found


def exact_in_double(domain: Domain) -> bool:
    """Are all values doubles without rounding? (Multiples of a dyadic step, not too many.)"""
    if domain.step is None or domain.lo is None or domain.hi is None:
        return False
    denominator = domain.step.denominator
    most = max(abs(domain.lo), abs(domain.hi)) / domain.step
    return denominator & (denominator - 1) == 0 and most * domain.step.numerator < EXACT_DOUBLE


def day(date: dt.date) -> int:
    return (date - EPOCH).days


def date(number: int | Fraction) -> dt.date:
    return EPOCH + dt.timedelta(days=int(number))


def listed(domain: Domain, most: int = LISTED) -> tuple[Scalar, ...] | None:
    """All values, NULL aside, in their order, where they are at most `most`."""
    if domain.values is not None:
        return domain.values if len(domain.values) <= most else None
    if domain.type is Type.BOOLEAN:
        return (False, True)
    if domain.type is Type.NULL:
        return ()
    step = Fraction(1) if domain.type is Type.DATE else domain.step
    if domain.lo is None or domain.hi is None or step is None:
        return None
    first, last = math.ceil(domain.lo / step), math.floor(domain.hi / step)
    if last - first >= most:
        return None
    numbers = [i * step for i in range(first, last + 1)]
    if domain.type is Type.DATE:
        return tuple(date(n) for n in numbers)
    if domain.type is Type.INTEGER:
        return tuple(int(n) for n in numbers)
    return tuple(float(n) for n in numbers)


def exact(value: float) -> Fraction:
    """The decimal number that was meant: 0.1 is one tenth."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))


def of_values(type: Type, values: Iterable[Scalar], *, nullable: bool) -> Domain:
    """The domain of these values and, where nullable, NULL. Integers without gaps are kept as a range."""
    known: list[Any] = [v for v in set(values) if v is not None]
    ordered = sorted(known)
    lo = hi = step = None
    if ordered and type in (Type.INTEGER, Type.REAL):
        numbers = [exact(v) for v in ordered]
        lo, hi = numbers[0], numbers[-1]
        step = common_step(abs(n) for n in numbers if n) or Fraction(1)
    elif ordered and type is Type.DATE:
        lo, hi = Fraction(day(ordered[0])), Fraction(day(ordered[-1]))
    kept: tuple[Scalar, ...] | None = tuple(ordered)
    if type is Type.INTEGER and lo is not None and hi is not None and step is not None:
        kept = None if hi - lo == step * (len(ordered) - 1) else kept
    length = max((len(v) for v in ordered if isinstance(v, str)), default=0) if type is Type.STRING else None
    return Domain(type, lo, hi, step, kept, nullable, length)


def union(domains: Iterable[Domain], type: Type) -> Domain:
    """What a value can be that comes from one of them."""
    domains = tuple(domains)
    parts = [d for d in domains if d.type is not Type.NULL and d.values != ()]  # a bare NULL has no bounds
    nullable = any(d.nullable for d in domains)
    if not parts:
        return Domain(type, values=(), nullable=True)
    lists = [listed(d) for d in parts]
    if all(v is not None for v in lists):
        values = {float(v) if type is Type.REAL else v for some in lists for v in some or ()}  # type: ignore[arg-type]
        if len(values) <= LISTED:
            return of_values(type, values, nullable=nullable)
    reach = Interval.of(parts[0])
    for domain in parts[1:]:
        reach = reach | Interval.of(domain)
    lengths = [d.length for d in parts]
    return Domain(
        type,
        reach.lower if type in (Type.INTEGER, Type.REAL, Type.DATE) else None,
        reach.upper if type in (Type.INTEGER, Type.REAL, Type.DATE) else None,
        common_step(d.step for d in parts),
        None,
        nullable,
        max(n for n in lengths if n is not None) if type is Type.STRING and None not in lengths else None,
    )
