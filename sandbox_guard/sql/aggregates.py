"""Typing of aggregates and windows: over the rows of one unit, exact and free of order; over released
and public rows, anything DuckDB does.

Sums of doubles depend on the order of rows, and so would tell two runs apart: within a unit, a double is
first counted in steps of a millionth (coarser where rows × bound would pass 2^62).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import bounds, scalars
from sandbox_guard.sql.bounds import Interval
from sandbox_guard.sql.operations import unit
from sandbox_guard.sql.relation import (
    Aggregate,
    Constant,
    Domain,
    Expr,
    Ordering,
    Type,
    WindowCall,
)

FINEST = Fraction(1, 10**6)
"""Step in which doubles are counted before they are summed within a unit."""

_MOMENTS = "var_pop var_samp stddev_pop stddev_samp"
_PAIRS = "covar_pop covar_samp corr regr_slope regr_intercept regr_r2 regr_count regr_avgx regr_avgy"
_ORDERED = "first last any_value arg_max arg_min string_agg"

UNIT_AGGREGATES = frozenset(
    f"count count_if sum avg min max bool_and bool_or {_MOMENTS} covar_pop covar_samp corr regr_slope"
    " regr_intercept regr_r2 median quantile_cont quantile_disc first last arg_max arg_min".split()
)
"""Exact and order-free within a unit; first, last, arg_max and arg_min with an order that has no ties."""

AGGREGATES = frozenset(
    f"count count_if sum avg min max bool_and bool_or {_MOMENTS} {_PAIRS} median quantile_cont quantile_disc"
    f" {_ORDERED} product mode".split()
)
"""Every aggregate there is."""

WINDOWS = frozenset(
    [
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "nth_value",
    ]
)

TIED = frozenset(
    ["row_number", "ntile", "lag", "lead", "first_value", "last_value", "nth_value", "first", "last"]
)
"""Windows whose value depends on the order of rows that tie."""

_TWO = frozenset({"covar_pop", "covar_samp", "corr", *(n for n in _PAIRS.split() if n.startswith("regr_"))})


@dataclass(frozen=True)
class _Typed:
    """A function call over rows, before it becomes an `Aggregate` or a `WindowCall`."""

    function: str
    args: tuple[Expr, ...]
    domain: Domain
    scale: Fraction | None = None
    where: Expr | None = None


def aggregate(
    function: str,
    args: Sequence[Expr],
    *,
    distinct: bool = False,
    where: Expr | None = None,
    order: tuple[Ordering, ...] = (),
    rows_per_group: int | None = None,
    per_unit: bool = False,
    place: Place | None = None,
) -> Aggregate:
    """One aggregate. `rows_per_group`: at most so many rows in a group, None where not known.
    `per_unit`: over private rows of one unit, so that only the closed list may be used."""
    try:
        allowed = UNIT_AGGREGATES if per_unit else AGGREGATES
        if function not in allowed:
            raise Refused("sql.aggregate_unknown", function=function, functions=", ".join(sorted(allowed)))
        typed = _typed(function, tuple(args), distinct, where, order, rows_per_group, per_unit)
        return Aggregate(typed.function, typed.args, typed.domain, typed.scale, distinct, typed.where, order)
    except Refused as refused:
        raise refused.at(place) from None


def _typed(
    function: str,
    args: tuple[Expr, ...],
    distinct: bool,
    where: Expr | None,
    order: tuple[Ordering, ...],
    rows: int | None,
    per_unit: bool,
) -> _Typed:
    if where is not None and where.domain.type not in (Type.BOOLEAN, Type.NULL):
        raise _refused(function, (where,), "FILTER (WHERE condition)")
    if function == "count":
        return _Typed("count", args, _count(rows), where=where)
    if function == "count_if":
        if len(args) != 1 or args[0].domain.type is not Type.BOOLEAN:
            raise _refused(function, args, "count_if(condition)")
        both = args[0] if where is None else scalars.apply("and", (where, args[0]))
        return _Typed("count", (), _count(rows), where=both)
    if not args:
        raise Refused("sql.arguments", function=function, signature=f"{function}(x)")
    if function in _TWO:
        return _pair(function, args, where, rows, per_unit)
    first = args[0]
    if function in ("min", "max"):
        _need(function, args, 1)
        return _Typed(function, args, replace(first.domain, nullable=True), first.scale, where)
    if function in ("any_value", "mode", "first", "last"):
        _need(function, args, 1)
        if function in ("first", "last") and not order:
            raise Refused("sql.needs_order", function=function)
        return _Typed(function, args, replace(first.domain, nullable=True), first.scale, where)
    if function in ("arg_max", "arg_min"):
        _need(function, args, 2)
        return _Typed(function, args, replace(first.domain, nullable=True), first.scale, where)
    if function in ("bool_and", "bool_or"):
        _need(function, args, 1)
        if first.domain.type not in (Type.BOOLEAN, Type.NULL):
            raise _refused(function, args, f"{function}(condition)")
        return _Typed(function, args, Domain(Type.BOOLEAN, values=(False, True), nullable=True), None, where)
    if function == "string_agg":
        if first.domain.type is not Type.STRING or not order:
            raise _refused(function, args, "string_agg(text, ',' ORDER BY x)")
        return _Typed(function, args, Domain(Type.STRING), None, where)
    if function in ("quantile_cont", "quantile_disc", "median"):
        return _quantile(function, args, where)
    _need(function, args, 1)
    if first.domain.type not in (Type.INTEGER, Type.REAL, Type.NULL):
        raise _refused(function, args, f"{function}(number)")
    if function == "sum":
        return _sum(first, where, rows, per_unit)
    if function == "avg":
        return _avg(first, where, rows, per_unit)
    if function in _MOMENTS.split():
        return _moment(function, first, where, rows, per_unit)
    return _Typed(function, (scalars.as_double(first),), Domain(Type.REAL), None, where)


def _count(rows: int | None) -> Domain:
    return Domain(
        Type.INTEGER, Fraction(0), None if rows is None else Fraction(rows), Fraction(1), nullable=False
    )


def _need(function: str, args: Sequence[Expr], count: int) -> None:
    if len(args) != count:
        signature = f"{function}({', '.join('xyz'[:count])})"
        raise Refused("sql.arguments", function=function, signature=signature)


def _refused(function: str, args: Sequence[Expr], signature: str) -> Refused:
    found = ", ".join(str(a.domain.type) for a in args)
    return Refused("sql.types", function=function, found=found, signature=signature)


def _counted(function: str, expr: Expr, rows: int | None, per_unit: bool, power: int = 1) -> Expr | None:
    """As an integer count, exactly where it is fixed-point; None where it stays a double."""
    if unit(expr) is not None:
        return expr
    if isinstance(expr, Constant) and expr.domain.lo is not None:
        fixed = scalars.as_fixed(expr, expr.domain.step or FINEST)
        if fixed is not None:
            return fixed
    if not per_unit:
        return None
    reach = abs(Interval.of(expr.domain)).hi
    if isinstance(reach, float):
        raise Refused("sql.unbounded", function=function)
    step = FINEST
    while (reach / step) ** power * (rows or 1) ** power >= 2**60:
        step *= 10
    return scalars.as_counted(expr, step)


def _sum(expr: Expr, where: Expr | None, rows: int | None, per_unit: bool) -> _Typed:
    counted = _counted("sum", expr, rows, per_unit)
    if counted is None:
        return _Typed("sum_double", (scalars.as_double(expr),), Domain(Type.REAL), None, where)
    reach = Interval.of(counted.domain)
    if rows is not None:
        many = Interval(Fraction(0), Fraction(rows))
        reach = reach * many
    else:
        reach = reach * Interval(Fraction(0), math.inf)
    domain = Domain(
        Type.INTEGER if expr.domain.type is Type.INTEGER else Type.REAL,
        reach.lower,
        reach.upper,
        counted.domain.step or counted.scale or Fraction(1),
        nullable=True,
    )
    return _Typed("sum", (counted,), domain, counted.scale, where)


def _avg(expr: Expr, where: Expr | None, rows: int | None, per_unit: bool) -> _Typed:
    reach = Interval.of(expr.domain).widened()
    domain = Domain(Type.REAL, reach.lower, reach.upper, nullable=True)
    counted = _counted("avg", expr, rows, per_unit)
    if counted is None:
        return _Typed("avg_double", (scalars.as_double(expr),), domain, None, where)
    return _Typed("avg", (counted,), domain, None, where)


def _moment(function: str, expr: Expr, where: Expr | None, rows: int | None, per_unit: bool) -> _Typed:
    counted = _counted(function, expr, rows, per_unit, 2)
    reach = Interval.of(expr.domain)
    spread = reach - reach
    most: bounds.Bound = spread.hi if function.startswith("stddev") else (spread * spread).hi
    limit = Interval(Fraction(0), most).widened() & Interval(Fraction(0))
    domain = Domain(Type.REAL, limit.lower, limit.upper, nullable=True)
    if counted is None or not per_unit:
        return _Typed(function, (scalars.as_double(expr),), domain, None, where)
    _fits_hugeint(function, (counted,), rows)
    return _Typed(f"exact_{function}", (counted,), domain, None, where)


def _pair(
    function: str, args: tuple[Expr, ...], where: Expr | None, rows: int | None, per_unit: bool
) -> _Typed:
    _need(function, args, 2)
    if any(a.domain.type not in (Type.INTEGER, Type.REAL) for a in args):
        raise _refused(function, args, f"{function}(number, number)")
    domain = Domain(Type.REAL)
    if function in ("corr", "regr_r2"):
        low = Fraction(-1) if function == "corr" else Fraction(0)
        limit = Interval(low, Fraction(1)).widened()
        domain = replace(domain, lo=limit.lower, hi=limit.upper)
    if not per_unit:
        if function == "regr_count":
            return _Typed(function, tuple(map(scalars.as_double, args)), _count(rows), None, where)
        return _Typed(function, tuple(map(scalars.as_double, args)), domain, None, where)
    counted = tuple(_counted(function, a, rows, per_unit, 2) or a for a in args)
    _fits_hugeint(function, counted, rows)
    present = [scalars.apply("is_not_null", (a,)) for a in counted if a.domain.nullable]
    if present:
        where = scalars.apply("and", [*([where] if where is not None else []), *present])
    return _Typed(f"exact_{function}", counted, domain, None, where)


def _fits_hugeint(function: str, counted: Sequence[Expr], rows: int | None) -> None:
    """n·Σxy and Σx·Σy must stay within 128 bits."""
    for expr in counted:
        scale = unit(expr)
        reach = abs(Interval.of(expr.domain)).hi
        if isinstance(reach, float) or scale is None or (reach / scale * (rows or 1)) ** 2 >= 2**124:
            raise Refused("sql.unbounded", function=function)


def _quantile(function: str, args: tuple[Expr, ...], where: Expr | None) -> _Typed:
    first = args[0]
    if function == "median":
        _need(function, args, 1)
        args, function = (first, scalars.constant(0.5)), "quantile_cont"
    if len(args) != 2 or not isinstance(args[1], Constant) or args[1].domain.lo is None:
        raise Refused("sql.literal", function=function, signature=f"{function}(x, 0.5)")
    if not 0 <= args[1].domain.lo <= 1:
        raise Refused("sql.arguments", function=function, signature=f"{function}(x, 0 … 1)")
    fraction = scalars.as_double(args[1])
    if function == "quantile_disc":
        domain = replace(first.domain, nullable=True)
        return _Typed(function, (first, fraction), domain, first.scale, where)
    if first.domain.type not in (Type.INTEGER, Type.REAL):
        raise _refused(function, args, f"{function}(number, 0.5)")
    reach = Interval.of(first.domain).widened()
    domain = Domain(Type.REAL, reach.lower, reach.upper, nullable=True)
    return _Typed(function, (scalars.as_double(first), fraction), domain, None, where)


# -------------------------------------------------------------------------------------- windows


def window(
    function: str,
    args: Sequence[Expr],
    partition: tuple[Expr, ...] = (),
    order: tuple[Ordering, ...] = (),
    *,
    frame: tuple[str, str, str] | None = None,
    where: Expr | None = None,
    distinct: bool = False,
    rows_per_partition: int | None = None,
    per_unit: bool = False,
    place: Place | None = None,
) -> WindowCall:
    """A window function. Arguments of rank-like functions and frame bounds are literals (SOUNDNESS 13)."""
    try:
        typed = _window(function, tuple(args), order, where, distinct, rows_per_partition, per_unit)
        words = _frame(frame) if frame is not None else None
        return WindowCall(
            typed.function, typed.args, partition, order, typed.domain, typed.scale, words, typed.where
        )
    except Refused as refused:
        raise refused.at(place) from None


def _frame(frame: tuple[str, str, str]) -> tuple[str, str, str]:
    kind, *ends = (str(f).lower() for f in frame)
    for end in ends:
        words = end.split()
        known = words in (
            ["unbounded", "preceding"],
            ["unbounded", "following"],
            ["current", "row"],
        )
        counted = len(words) == 2 and words[0].isdecimal() and words[0].isascii()
        if not known and not (counted and words[1] in ("preceding", "following") and len(words[0]) < 10):
            raise Refused(
                "sql.literal", function="OVER", signature="ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"
            )
        if counted and kind != "rows":
            raise Refused(
                "sql.literal", function="OVER", signature="ROWS BETWEEN 3 PRECEDING AND CURRENT ROW"
            )
    if kind not in ("rows", "range"):
        raise Refused("sql.literal", function="OVER", signature="ROWS BETWEEN 3 PRECEDING AND CURRENT ROW")
    return kind, ends[0], ends[1]


def _window(
    function: str,
    args: tuple[Expr, ...],
    order: tuple[Ordering, ...],
    where: Expr | None,
    distinct: bool,
    rows: int | None,
    per_unit: bool,
) -> _Typed:
    if function in AGGREGATES:
        if per_unit and function not in UNIT_AGGREGATES:
            raise Refused(
                "sql.aggregate_unknown", function=function, functions=", ".join(sorted(UNIT_AGGREGATES))
            )
        if distinct or function in ("arg_max", "arg_min", "string_agg"):
            raise Refused("sql.window_unknown", function=function, functions=", ".join(sorted(WINDOWS)))
        if function in ("first", "last"):
            function += "_value"
        else:
            return _typed(function, args, False, where, (), rows, per_unit)
    if function not in WINDOWS:
        raise Refused("sql.window_unknown", function=function, functions=", ".join(sorted(WINDOWS)))
    if not order and function not in ("row_number",) or (per_unit and not order):
        raise Refused("sql.needs_order", function=function)
    most = None if rows is None else Fraction(rows)
    if function in ("row_number", "rank", "dense_rank"):
        _need(function, args, 0)
        return _Typed(function, (), Domain(Type.INTEGER, Fraction(1), most, Fraction(1), nullable=False))
    if function in ("percent_rank", "cume_dist"):
        _need(function, args, 0)
        return _Typed(function, (), Domain(Type.REAL, Fraction(0), Fraction(1), nullable=False))
    if function == "ntile":
        parts = _positive(function, args, 0)
        return _Typed(
            function, args, Domain(Type.INTEGER, Fraction(1), Fraction(parts), Fraction(1), nullable=False)
        )
    if not args:
        raise Refused("sql.arguments", function=function, signature=f"{function}(x)")
    domain, scale = args[0].domain, args[0].scale
    if function in ("lag", "lead"):
        if len(args) > 1:
            _positive(function, args, 1)
        if len(args) == 3:
            if not isinstance(args[2], Constant):
                raise Refused("sql.literal", function=function, signature=f"{function}(x, 1, 0)")
            (value, default), type, scale = scalars.unify(function, (args[0], args[2]))
            domain = bounds.union((value.domain, default.domain), type)
            args = (value, args[1], default)
    elif function == "nth_value":
        _positive(function, args, 1)
    else:
        _need(function, args, 1)
    return _Typed(function, args, replace(domain, nullable=True), scale)


def _positive(function: str, args: Sequence[Expr], index: int) -> int:
    if len(args) <= index or not isinstance(args[index], Constant):
        raise Refused("sql.literal", function=function, signature=f"{function}(…, literal)")
    value = args[index].value  # type: ignore[union-attr]
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise Refused("sql.arguments", function=function, signature=f"{function}(…, 1)")
    return value


__all__ = ["AGGREGATES", "UNIT_AGGREGATES", "WINDOWS", "aggregate", "window"]
