"""Variances, covariances, correlations and regressions as arithmetic over released sums.

With x' = x less the middle of its range, the sums n, Σx', Σx'², Σx'y' over the rows in which every argument
is known say it all. Around the middle, one unit moves a square a quarter as far as around zero. Noise can
make a variance negative: what has no meaning then is NULL.

Arguments are in SQL's order: of two, the first is y, as in regr_slope(y, x).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Protocol

from sandbox_guard.sql import functions
from sandbox_guard.sql.relation import Expr


class Sums(Protocol):
    """Released sums over the rows of a group in which every argument is known."""

    def count(self) -> Expr: ...

    def middle(self, i: int) -> Fraction:
        """What was taken from argument i before summing."""

    def total(self, i: int) -> Expr:
        """Σ xᵢ'"""

    def product(self, i: int, j: int) -> Expr:
        """Σ xᵢ'xⱼ'"""


def statistic(function: str, sums: Sums) -> Expr:
    """The value of one of FUNCTIONS."""
    return FUNCTIONS[function](sums)


# ------------------------------------------------------------------------------ the formulas


def _mean(sums: Sums, i: int) -> Expr:
    """Of xᵢ'."""
    return _over(sums.total(i), sums.count())


def _covariance(sums: Sums, i: int, j: int) -> Expr:
    """Of the population; a variance where i = j."""
    mean = _over(sums.product(i, j), sums.count())
    if i == j:
        return functions.unless_negative(_minus(mean, _square(_mean(sums, i))))
    return _minus(mean, _times(_mean(sums, i), _mean(sums, j)))


def _of_a_sample(sums: Sums, population: Expr) -> Expr:
    """Times n / (n - 1), where there are two rows."""
    n = sums.count()
    one = functions.constant(1)
    factor = _over(n, _minus(n, one))
    return functions.case(((functions.apply(">", (n, one)), _times(population, factor)),), None)


def _slope(sums: Sums) -> Expr:
    return _over(_covariance(sums, 0, 1), _covariance(sums, 1, 1))


def _intercept(sums: Sums) -> Expr:
    return _minus(_average(sums, 0), _times(_slope(sums), _average(sums, 1)))


def _average(sums: Sums, i: int) -> Expr:
    return _plus(_mean(sums, i), functions.constant(sums.middle(i)))


def _correlation(sums: Sums) -> Expr:
    spread = _times(_root(_covariance(sums, 0, 0)), _root(_covariance(sums, 1, 1)))
    return _within(_over(_covariance(sums, 0, 1), spread), -1, 1)


def _determination(sums: Sums) -> Expr:
    """1 where y does not vary, as SQL has it."""
    y, x = _covariance(sums, 0, 0), _covariance(sums, 1, 1)
    both = _covariance(sums, 0, 1)
    zero = functions.constant(0)
    share = _within(_over(_square(both), _times(x, y)), 0, 1)
    flat = functions.apply("and", (functions.apply("=", (y, zero)), functions.apply(">", (x, zero))))
    return functions.case(((flat, functions.constant(1.0)),), share)


FUNCTIONS: dict[str, Callable[[Sums], Expr]] = {
    "var_pop": lambda s: _covariance(s, 0, 0),
    "var_samp": lambda s: _of_a_sample(s, _covariance(s, 0, 0)),
    "stddev_pop": lambda s: _root(_covariance(s, 0, 0)),
    "stddev_samp": lambda s: _root(_of_a_sample(s, _covariance(s, 0, 0))),
    "covar_pop": lambda s: _covariance(s, 0, 1),
    "covar_samp": lambda s: _of_a_sample(s, _covariance(s, 0, 1)),
    "corr": _correlation,
    "regr_slope": _slope,
    "regr_intercept": _intercept,
    "regr_r2": _determination,
    "regr_count": lambda s: s.count(),
    "regr_avgy": lambda s: _average(s, 0),
    "regr_avgx": lambda s: _average(s, 1),
}

OF_ONE = frozenset(["var_pop", "var_samp", "stddev_pop", "stddev_samp"])
"""Those of one argument; the others take two."""


# -------------------------------------------------------------------------------- arithmetic


def _plus(a: Expr, b: Expr) -> Expr:
    return functions.apply("+", (a, b))


def _minus(a: Expr, b: Expr) -> Expr:
    return functions.apply("-", (a, b))


def _times(a: Expr, b: Expr) -> Expr:
    return functions.apply("*", (a, b))


def _over(a: Expr, b: Expr) -> Expr:
    """NULL where b is 0."""
    return functions.apply("/", (functions.as_double(a), b))


def _root(a: Expr) -> Expr:
    return functions.apply("sqrt", (a,))


def _square(a: Expr) -> Expr:
    """`a` written once, and so planned once."""
    return functions.apply("power", (a, functions.constant(2)))


def _within(a: Expr, lo: int, hi: int) -> Expr:
    return functions.apply("clamp", (a, functions.constant(lo), functions.constant(hi)))
