"""Interval arithmetic encloses what the operations give."""

from __future__ import annotations

import datetime as dt
import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sandbox_guard.sql import bounds
from sandbox_guard.sql.bounds import Interval
from sandbox_guard.sql.relation import Domain, Type

F = Fraction
numbers = st.fractions(-1000, 1000, max_denominator=64)
doubles = st.floats(-1e12, 1e12)


@st.composite
def around(draw: st.DrawFn) -> tuple[Interval, Fraction]:
    """An interval, at times unbounded, and a number in it."""
    lo, at, hi = sorted(draw(st.tuples(numbers, numbers, numbers)))
    low: bounds.Bound = -math.inf if draw(st.booleans()) else lo
    high: bounds.Bound = math.inf if draw(st.booleans()) else hi
    return Interval(low, high), at


@given(around(), around())
def test_arithmetic_encloses(a: tuple[Interval, Fraction], b: tuple[Interval, Fraction]) -> None:
    (i, x), (j, y) = a, b
    assert (i + j).contains(x + y)
    assert (i - j).contains(x - y)
    assert (i * j).contains(x * y)
    assert (-i).contains(-x)
    assert abs(i).contains(abs(x))
    assert (i | j).contains(x)
    if not j.contains(0):
        assert i.divided(j).contains(x / y)
    if j.contains(x):
        assert (i & j).contains(x)


@given(doubles, doubles, doubles, doubles)
def test_rounded_end_points_enclose_ieee_results(a: float, b: float, c: float, d: float) -> None:
    (a, b), (c, d) = sorted((a, b)), sorted((c, d))
    i, j = Interval(F(a), F(b)), Interval(F(c), F(d))
    for x in (a, b):
        for y in (c, d):
            assert (i + j).rounded().contains(F(x + y))
            assert (i - j).rounded().contains(F(x - y))
            assert (i * j).rounded().contains(F(x * y))
            if c > 0 and math.isfinite(x / y):
                assert i.divided(j).rounded().contains(F(x / y))


def test_what_may_overflow_is_unbounded() -> None:
    huge = Interval(F(10) ** 299, F(10) ** 299)
    assert (huge * huge).rounded().hi == math.inf
    assert (huge * huge).rounded().lo == F(bounds.MOST_DOUBLE)


def test_grids_are_listed() -> None:
    assert bounds.listed(Domain(Type.INTEGER, F(3), F(9), F(3))) == (3, 6, 9)
    assert bounds.listed(Domain(Type.REAL, F(0), F(1), F(1, 4))) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert bounds.listed(Domain(Type.DATE, F(0), F(1))) == (dt.date(1970, 1, 1), dt.date(1970, 1, 2))
    assert bounds.listed(Domain(Type.INTEGER, F(0), F(bounds.LISTED), F(1))) is None
    assert bounds.listed(Domain(Type.INTEGER, F(0), None, F(1))) is None
    assert bounds.listed(Domain(Type.REAL, F(0), F(1))) is None


def test_union_of_branches() -> None:
    small = bounds.of_values(Type.INTEGER, [1, 5], nullable=False)
    wide = Domain(Type.INTEGER, F(0), F(10**6), F(10), None, True)
    assert bounds.union([small, small], Type.INTEGER) == small
    both = bounds.union([small, wide], Type.INTEGER)
    assert both == Domain(Type.INTEGER, F(0), F(10**6), F(1), None, True)


def test_gcd_of_steps() -> None:
    assert bounds.gcd(F(1, 100), F(1, 8)) == F(1, 200)
    assert bounds.common_step([F(4), F(6), None]) is None
    assert bounds.common_step([F(4), F(6)]) == 2


def test_a_case_without_else_keeps_the_bounds() -> None:
    """NULL adds no value, so `sum(CASE WHEN late THEN amount END)` is bounded by amount."""
    amount = Domain(Type.REAL, F(0), F(500), F(1, 100), nullable=False)
    joined = bounds.union((amount, Domain(Type.REAL, values=(), nullable=True)), Type.REAL)
    assert (joined.lo, joined.hi, joined.step, joined.nullable) == (F(0), F(500), F(1, 100), True)
