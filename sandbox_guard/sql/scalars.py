"""The closed table of functions on a row: what each takes, what it can give, which operation it becomes.

    apply(function, args)        a call by its canonical name (see `syntax.Call`)
    case · in_values · cast · constant · unify

Typing brings arguments to one physical form and asks `bounds` what the result can be. Numbers have two
forms: *fixed* (a BIGINT count of a scale; integers have scale 1, decimal literals the scale of their last
digit) and *double*. `+ - *`, comparisons, choices and rounding stay fixed while the counts are known to stay
within 2^62, for that is exact and as fast as it gets; everything else is DOUBLE, as in DuckDB.

Where a result may not exist (division by zero, overflow, a bad cast) the row gives NULL.
A cast to an integer rounds as in DuckDB: fixed-point half away from zero, DOUBLE half to even.
"""

from __future__ import annotations

import datetime as dt
import difflib
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import bounds
from sandbox_guard.sql.bounds import Interval
from sandbox_guard.sql.operations import (
    FORMATS,
    OPERATIONS,
    Value,
    decoded,
    half_away,
    parts,
    round_digits,
    unit,
)
from sandbox_guard.sql.relation import Apply, CaseOf, Constant, Domain, Expr, InValues, Scalar, Type
from sandbox_guard.sql.syntax import TypeName

INPUTS = 40_000
"""A function is evaluated over the listed values of its arguments up to so many combinations."""

INPUTS_OF_GRIDS = 2_000
"""The same, where bounds and step list the result already, if not so tightly."""

LONGEST = 4096
"""Most characters of a text expression."""

NUMBERS = (Type.INTEGER, Type.REAL)

_BIGINT = Interval(Fraction(-bounds.LAST_BIGINT - 1), Fraction(bounds.LAST_BIGINT))


# ---------------------------------------------------------------------------------- constants


def constant(value: bool | Decimal | float | str | dt.date | Fraction | None) -> Constant:
    """A typed literal. A decimal is fixed-point of its last digit; so is a float of few digits."""
    if value is None:
        return Constant(None, Domain(Type.NULL, values=(), nullable=True))
    if isinstance(value, bool):
        return Constant(value, Domain(Type.BOOLEAN, values=(value,), nullable=False))
    if isinstance(value, int) and abs(value) <= bounds.MOST_INTEGER:
        return Constant(value, _point(Type.INTEGER, Fraction(value)))
    if isinstance(value, int | Decimal | float | Fraction):
        return _real(value)
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Refused("sql.characters") from None
        return Constant(value, Domain(Type.STRING, values=(value,), nullable=False, length=len(value)))
    if isinstance(value, dt.datetime):
        if value.time() != dt.time():
            raise Refused("sql.timestamp")
        value = value.date()
    return Constant(value, _point(Type.DATE, Fraction(bounds.day(value))))


def _point(type: Type, at: Fraction, values: tuple[Scalar, ...] | None = None) -> Domain:
    return Domain(type, at, at, abs(at) or Fraction(1), values, nullable=False)


def _real(value: Decimal | float | Fraction) -> Constant:
    try:
        at = Fraction(repr(value)) if isinstance(value, float) else Fraction(value)
        nearest = float(at)
    except (OverflowError, ValueError):
        raise Refused("sql.number", value=value) from None
    if abs(at) > bounds.MOST_DOUBLE:
        raise Refused("sql.number", value=value)
    return Constant(nearest, Domain(Type.REAL, at, at, _decimal_step(at), None, nullable=False))


def _decimal_step(at: Fraction) -> Fraction | None:
    """1, 1/10, … 1/10^15: of the last digit; None where it has more digits or is no decimal."""
    for digits in range(16):
        if (at * 10**digits).denominator == 1:
            return Fraction(1, 10**digits) if abs(at) * 10**digits <= bounds.MOST_INTEGER else None
    return None


def null(type: Type) -> Constant:
    return Constant(None, Domain(type, values=(), nullable=True))


def _is_null(expr: Expr) -> bool:
    return isinstance(expr, Constant) and expr.value is None


# ------------------------------------------------------------------------------------- forms


def _form(expr: Expr) -> Fraction | None:
    """The scale in which it is, or can be, counted; None for a double."""
    if isinstance(expr, Constant) and expr.scale is None and expr.domain.type is Type.REAL:
        return _decimal_step(expr.domain.lo) if expr.domain.lo is not None else None
    return unit(expr)


def _count(expr: Expr, scale: Fraction) -> Interval:
    """Bounds of the stored integer."""
    reach = Interval.of(expr.domain)
    return reach * Interval(1 / scale, 1 / scale)


def as_fixed(expr: Expr, scale: Fraction) -> Expr | None:
    """The same number as a count of `scale`, or None where that is not known to fit."""
    if isinstance(expr, Constant) and expr.domain.lo is not None:
        count = expr.domain.lo / scale
        if count.denominator != 1 or abs(count) > bounds.MOST_INTEGER:
            return None
        if expr.domain.type is Type.INTEGER and scale == 1:
            return replace(expr, scale=None)
        domain = replace(expr.domain, type=Type.REAL)
        return Constant(float(expr.domain.lo), domain, scale)
    if _is_null(expr):
        return Constant(None, Domain(Type.REAL, values=(), nullable=True), scale)
    source = unit(expr)
    if (
        source is None
        or (source / scale).denominator != 1
        or not _count(expr, scale).within(bounds.MOST_INTEGER)
    ):
        return expr if source == scale else None
    if source == scale:
        return expr
    return Apply("rescale", (expr,), replace(expr.domain, type=Type.REAL), scale)


def halvings(expr: Expr, scale: Fraction) -> int | None:
    """How often the integer that it is stored or computed as is halved to count `scale`; None where that is no whole
    number from 1, or the integer is not known to fit."""
    source = unit(expr)
    if source is None or isinstance(expr, Constant) or not _count(expr, source).within(bounds.MOST_INTEGER):
        return None
    times = scale / source
    power = times.numerator.bit_length() - 1
    return power if 1 <= power < 62 and times == 2**power else None


def as_double(expr: Expr) -> Expr:
    """The same number as a DOUBLE."""
    if isinstance(expr, Constant):
        if expr.value is None:
            return null(Type.REAL)
        return _real(expr.domain.lo if expr.domain.lo is not None else Fraction(0))
    source = unit(expr)
    if source is None:
        return expr
    domain = expr.domain
    count = _count(expr, source)
    ends = Interval(
        *(
            end if isinstance(end, float) else Fraction(decoded(int(end), source))
            for end in (count.lo, count.hi)
        )
    )
    exact = count.within(Fraction(bounds.EXACT_DOUBLE, source.numerator))
    return Apply(
        "double",
        (expr,),
        Domain(
            Type.REAL,
            ends.lower,
            ends.upper,
            domain.step if exact else None,
            None if domain.values is None else tuple(float(v) for v in domain.values),  # type: ignore[arg-type]
            domain.nullable,
        ),
    )


def as_counted(expr: Expr, scale: Fraction) -> Expr:
    """The number as a count of `scale`, rounded half away from zero where it is no multiple: sums then
    run in integers, whatever the order of rows. The caller sees to it that the count is bounded."""
    fixed = as_fixed(expr, scale)
    if fixed is not None:
        return fixed
    x = as_double(expr)
    reach = Interval.of(x.domain)
    limit = Interval(_to_step(reach.lo, scale) - scale, _to_step(reach.hi, scale) + scale)
    fits = (limit * Interval(1 / scale, 1 / scale)).within(bounds.MOST_INTEGER)
    return _build("count_of", (x,), Type.REAL, limit, step=scale, scale=scale, may_fail=not fits)


def physical(value: Scalar, scale: Fraction | None) -> Value:
    """A logical value as it is stored."""
    if value is None or scale is None:
        return value
    assert isinstance(value, int | float)
    return round(bounds.exact(value) / scale)


def logical(value: Value, scale: Fraction | None) -> Scalar:
    return value if value is None or scale is None else decoded(value, scale)


# ------------------------------------------------------------------------------- building calls


def _build(
    operation: str,
    args: Sequence[Expr],
    type: Type,
    reach: Interval | None = None,
    *,
    step: Fraction | None = None,
    scale: Fraction | None = None,
    nullable: bool | None = None,
    may_fail: bool = False,
    length: int | None = None,
    values: tuple[Scalar, ...] | None = None,
) -> Expr:
    """The node and its domain; all values written out where the arguments' values are few."""
    known = OPERATIONS[operation]
    if nullable is None:
        nullable = may_fail or (known.strict and any(a.domain.nullable for a in args))
    if type is Type.INTEGER and step is None:
        step = Fraction(1)
    domain = Domain(
        type,
        reach.lower if reach else None,
        reach.upper if reach else None,
        step,
        values,
        nullable,
        length,
    )
    node = Apply(operation, tuple(args), domain, scale)
    outcomes = _outcomes(node, INPUTS if bounds.listed(domain) is None else INPUTS_OF_GRIDS)
    if outcomes is None:
        return node
    if len(outcomes) == 1:
        return _folded(outcomes[0], type, scale)
    listed = bounds.of_values(type, outcomes, nullable=None in outcomes)
    return replace(node, domain=replace(listed, step=step if listed.step is None else listed.step))


def _folded(value: Scalar, type: Type, scale: Fraction | None) -> Expr:
    if value is None:
        return Constant(None, Domain(type, values=(), nullable=True), scale)
    if type is Type.REAL:
        folded = _real(value)  # type: ignore[arg-type]
        return replace(folded, scale=scale) if scale is not None else folded
    return constant(value)


@lru_cache(maxsize=4096)
def _outcomes(node: Apply, most: int) -> tuple[Scalar, ...] | None:
    """All values, NULL included, that the operation gives over the listed values of its arguments."""
    if not OPERATIONS[node.function].exact:
        return None
    options: list[list[Value]] = []
    combinations = 1
    for arg in node.args:
        if arg.domain.type is Type.REAL and not _listable(arg):
            return None
        values = bounds.listed(arg.domain, most)
        if values is None:
            return None
        stored = [physical(v, arg.scale) for v in values]
        options.append([*stored, None] if arg.domain.nullable else stored)
        combinations *= len(options[-1])
        if combinations > most:
            return None
    try:
        found = {
            OPERATIONS[node.function].value(node, combination) for combination in itertools.product(*options)
        }
    except (ArithmeticError, ValueError, KeyError):  # pragma: no cover
        return None
    if len(found) > bounds.LISTED:
        return None
    shown = {logical(v, node.scale) for v in found}
    known: list[Any] = [v for v in shown if v is not None]
    return (*sorted(known), *([None] if None in shown else []))


def _listable(expr: Expr) -> bool:
    """Reals are listed where the listed doubles are the very values."""
    if isinstance(expr, Constant) or expr.domain.values is not None:
        return True
    if expr.scale is not None:
        return _count(expr, expr.scale).within(Fraction(bounds.EXACT_DOUBLE, expr.scale.numerator))
    return expr.domain.step is not None


def _strict_null(args: Sequence[Expr]) -> bool:
    return any(_is_null(a) for a in args)


def _types(function: str, args: Sequence[Expr]) -> Refused:
    entry = FUNCTIONS.get(function)
    return Refused(
        "sql.types",
        function=function,
        found=", ".join(str(a.domain.type) for a in args),
        signature=entry.signature if entry else function,
    )


def _arguments(function: str) -> Refused:
    return Refused("sql.arguments", function=function, signature=FUNCTIONS[function].signature)


def _literal(function: str, expr: Expr, type: type[Value]) -> Value:
    if not isinstance(expr, Constant) or not isinstance(expr.value, type) or isinstance(expr.value, bool):
        raise Refused("sql.literal", function=function, signature=FUNCTIONS[function].signature)
    return expr.value


def _number(function: str, *args: Expr) -> None:
    if any(a.domain.type not in NUMBERS for a in args):
        raise _types(function, args)


def _of(type: Type, function: str, *args: Expr) -> None:
    if any(a.domain.type is not type for a in args):
        raise _types(function, args)


# ---------------------------------------------------------------------------------- arithmetic


def _finite(expr: Expr) -> Expr:
    """A double that may be NaN or infinite gives NULL then."""
    if expr.domain.bounded:
        return expr
    return Apply("finite", (expr,), replace(expr.domain, nullable=True))


def _double(operation: str, args: Sequence[Expr], reach: Interval, *, step: Fraction | None = None) -> Expr:
    return _finite(_build(operation, args, Type.REAL, reach.rounded(), step=step))


def _sum(symbol: str) -> Callable[..., Expr]:
    def typed(a: Expr, b: Expr) -> Expr:
        types = (a.domain.type, b.domain.type)
        if types[1] is Type.INTERVAL or types[0] is Type.INTERVAL:
            return _shifted(symbol, a, b)
        if Type.DATE in types:
            return _dated(symbol, a, b)
        _number(symbol, a, b)
        ends = Interval.of(a.domain), Interval.of(b.domain)
        return _arithmetic(symbol, a, b, lambda x, y: x + y if symbol == "+" else x - y, ends)

    return typed


def _arithmetic(
    symbol: str,
    a: Expr,
    b: Expr,
    operate: Callable[[Interval, Interval], Interval],
    ends: tuple[Interval, Interval],
) -> Expr:
    integers = a.domain.type is Type.INTEGER and b.domain.type is Type.INTEGER
    reach = operate(*ends)
    step = _step_of(symbol, a, b)
    own, other = _form(a), _form(b)
    if own is not None and other is not None:
        common = bounds.gcd(own, other)
        scale = own * other if symbol == "*" else common
        inner = (own, other) if symbol == "*" else (common, common)
        fixed = as_fixed(a, inner[0]), as_fixed(b, inner[1])
        fits = (reach * Interval(1 / scale, 1 / scale)).within(bounds.MOST_INTEGER)
        if fixed[0] is not None and fixed[1] is not None and fits and scale.denominator <= 10**15:
            return _build(
                symbol,
                (fixed[0], fixed[1]),
                Type.INTEGER if integers else Type.REAL,
                reach,
                step=step or scale,
                scale=None if integers else scale,
            )
    if integers:
        return _build(symbol + "wide", (a, b), Type.INTEGER, reach & _BIGINT, step=step, may_fail=True)
    doubles = as_double(a), as_double(b)
    exact = all(bounds.exact_in_double(d.domain) for d in doubles)
    rounded = operate(Interval.of(doubles[0].domain).rounded(), Interval.of(doubles[1].domain).rounded())
    node = _double(symbol, doubles, rounded, step=step if exact else None)
    if exact and not bounds.exact_in_double(node.domain) and node.domain.values is None:
        return replace(node, domain=replace(node.domain, step=None))
    return node


def _step_of(symbol: str, a: Expr, b: Expr) -> Fraction | None:
    if a.domain.step is None or b.domain.step is None:
        return None
    return a.domain.step * b.domain.step if symbol == "*" else bounds.gcd(a.domain.step, b.domain.step)


def _product(a: Expr, b: Expr) -> Expr:
    _number("*", a, b)
    return _arithmetic("*", a, b, lambda x, y: x * y, (Interval.of(a.domain), Interval.of(b.domain)))


def _nonzero(expr: Expr) -> Expr:
    """NULL instead of 0, where it may be 0."""
    if not Interval.of(expr.domain).contains(0):
        return expr
    values = bounds.listed(expr.domain)
    if values is not None and 0 not in values:
        return expr
    return _build(
        "nonzero",
        (expr,),
        expr.domain.type,
        Interval.of(expr.domain),
        step=expr.domain.step,
        scale=expr.scale,
        may_fail=True,
    )


def _least_size(domain: Domain) -> Fraction | None:
    """The least absolute value that is not 0."""
    reach = Interval.of(domain)
    if not reach.contains(0):
        return min(abs(e) for e in (reach.lo, reach.hi) if isinstance(e, Fraction))
    return domain.step


def _quotient(a: Expr, b: Expr) -> Expr:
    _number("/", a, b)
    x, y = as_double(a), _nonzero(as_double(b))
    if _is_null(y):
        return null(Type.REAL)
    top, size = Interval.of(x.domain).rounded(), _least_size(b.domain)
    divisor = Interval.of(y.domain).rounded()
    if not divisor.contains(0):
        reach = top.divided(divisor)
    elif size is not None and size > Fraction(1, 10**200):
        most = abs(top).hi
        end = most if isinstance(most, float) else most / Fraction(float(size) * 0.999)
        reach = Interval(-end, end)
    else:
        reach = Interval()
    step = None
    by = y.domain.lo if isinstance(y, Constant) else None
    if by and Fraction(float(by)) == by and bounds.exact_in_double(x.domain) and x.domain.step:
        step = x.domain.step / abs(by)
    return _double("/", (x, y), reach, step=step)


def _integer_quotient(a: Expr, b: Expr) -> Expr:
    """Towards zero. DuckDB's `//` of doubles is a plain division: refused, with floor() instead."""
    _of(Type.INTEGER, "//", a, b)
    divisor = _nonzero(b)
    if _is_null(divisor):
        return null(Type.INTEGER)
    reach = Interval.of(a.domain)
    most = abs(reach).hi
    size = _least_size(divisor.domain) or Fraction(1)
    end = most if isinstance(most, float) else Fraction(math.floor(most / size))
    limit = Interval(-end, end)
    if reach.lo >= 0 and Interval.of(b.domain).lo >= 0:
        limit = Interval(Fraction(0), end)
    # the least BIGINT // -1 passes 64 bits
    symbol = "//" if reach.within(bounds.MOST_INTEGER) else "//wide"
    return _build(symbol, (a, divisor), Type.INTEGER, limit & _BIGINT, may_fail=symbol == "//wide")


def _remainder(a: Expr, b: Expr) -> Expr:
    """With the sign of the dividend: -7 % 10 is -7."""
    _number("%", a, b)
    most = abs(Interval.of(b.domain)).hi
    reach = Interval.of(a.domain)
    limit = Interval(
        max(-most, reach.lo) if reach.lo < 0 else Fraction(0),
        min(most, reach.hi) if reach.hi > 0 else Fraction(0),
    )
    own, other = _form(a), _form(b)
    if own is not None and other is not None:
        scale = bounds.gcd(own, other)
        fixed = as_fixed(a, scale), as_fixed(b, scale)
        if fixed[0] is not None and fixed[1] is not None and _count(a, scale).within(bounds.MOST_INTEGER):
            divisor = _nonzero(fixed[1])
            integers = a.domain.type is b.domain.type is Type.INTEGER
            type = Type.INTEGER if integers else Type.REAL
            if _is_null(divisor):
                return null(type)
            if not isinstance(most, float):
                limit = Interval(max(limit.lo, scale - most), min(limit.hi, most - scale))
            return _build(
                "%", (fixed[0], divisor), type, limit, step=scale, scale=None if integers else scale
            )
    if a.domain.type is b.domain.type is Type.INTEGER:
        divisor = _nonzero(b)
        if not isinstance(most, float) and most >= 1:
            limit = Interval(max(limit.lo, 1 - most), min(limit.hi, most - 1))
        return _build("%wide", (a, divisor), Type.INTEGER, limit)
    doubles = as_double(a), _nonzero(as_double(b))
    if _is_null(doubles[1]):
        return null(Type.REAL)
    return _double("fmod", doubles, limit.widened())


def _negated(a: Expr) -> Expr:
    _number("neg", a)
    reach = -Interval.of(a.domain)
    if a.domain.type is Type.INTEGER and not reach.within(bounds.MOST_INTEGER):
        return _arithmetic(
            "-",
            constant(0),
            a,
            lambda x, y: x - y,
            (Interval(Fraction(0), Fraction(0)), Interval.of(a.domain)),
        )
    operand = _own_form(a)
    return _build("neg", (operand,), a.domain.type, reach, step=a.domain.step, scale=operand.scale)


def _own_form(expr: Expr) -> Expr:
    """A decimal literal as a double; anything else as it is."""
    return as_double(expr) if isinstance(expr, Constant) and expr.domain.type is Type.REAL else expr


def _absolute(a: Expr) -> Expr:
    _number("abs", a)
    reach = abs(Interval.of(a.domain))
    if a.domain.type is Type.INTEGER and not reach.within(bounds.MOST_INTEGER):
        return greatest_of("greatest", a, _negated(a))
    operand = _own_form(a)
    return _build("abs", (operand,), a.domain.type, reach, step=a.domain.step, scale=operand.scale)


def _sign(a: Expr) -> Expr:
    _number("sign", a)
    return _build("sign", (_own_form(a),), Type.INTEGER, Interval(Fraction(-1), Fraction(1)))


def _rounding(operation: str, whole: Callable[[float], float]) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        _number(operation, a)
        if a.domain.type is Type.INTEGER:
            return a
        x = as_double(a)
        reach = Interval.of(x.domain).monotone(whole)
        return _build(operation, (x,), Type.REAL, reach, step=Fraction(1))

    return typed


def _rounded_to(a: Expr, digits: Expr | None = None) -> Expr:
    _number("round", a)
    places = 0 if digits is None else _literal("round", digits, int)
    if not -15 <= places <= 15:
        raise _arguments("round")
    step = Fraction(10) ** -places
    scale = unit(a)
    if scale is not None and (step / scale).denominator == 1 and not isinstance(a, Constant):
        ratio = int(step / scale)
        power = len(str(ratio)) - 1
        if ratio == 1:
            return a
        reach = _count(a, scale)
        if 10**power == ratio and (reach + Interval(Fraction(-ratio), Fraction(ratio))).within(
            bounds.MOST_INTEGER
        ):
            edge = Interval(step * -1, step) if reach.lower is not None else Interval()
            limit = Interval.of(a.domain)
            limit = (
                Interval(_to_step(limit.lo, step), _to_step(limit.hi, step))
                if edge.lower is not None
                else limit
            )
            return _build(
                "round_integer",
                (a, constant(-power)),
                a.domain.type,
                limit,
                step=step,
                scale=a.scale,
            )
    if scale is not None and (scale / step).denominator == 1:
        return a
    x = as_double(a)
    if places == 0:
        return _build("round", (x,), Type.REAL, Interval.of(x.domain).monotone(half_away), step=Fraction(1))
    reach = Interval.of(x.domain).monotone(lambda v: round_digits(v, places))
    exact = reach.within(step * bounds.EXACT_DOUBLE)
    return _double("round_digits", (x, constant(places)), reach, step=step if exact else None)


def _to_step(end: bounds.Bound, step: Fraction) -> bounds.Bound:
    """Half away from zero."""
    if isinstance(end, float):
        return end
    count = math.floor(abs(end) / step + Fraction(1, 2))
    return count * step * (1 if end >= 0 else -1)


def _square_root(a: Expr) -> Expr:
    _number("sqrt", a)
    x = unless_negative(a)
    return _double("sqrt", (x,), (Interval.of(x.domain) & Interval(Fraction(0))).monotone(math.sqrt))


def unless_negative(x: Expr) -> Expr:
    """A number, NULL where it is below 0."""
    return _guarded("nonnegative", as_double(x), Interval(Fraction(0)))


def _guarded(operation: str, x: Expr, allowed: Interval) -> Expr:
    reach = Interval.of(x.domain)
    if reach.lo > 0 or (operation == "nonnegative" and reach.lo >= 0):
        return x
    return _build(operation, (x,), Type.REAL, reach & allowed, step=x.domain.step, may_fail=True)


def _logarithm(operation: str, function: Callable[[float], float]) -> Callable[[Expr], Expr]:
    least = Fraction(5e-324)

    def typed(a: Expr) -> Expr:
        _number(operation, a)
        x = _guarded("positive", as_double(a), Interval(Fraction(0)))
        if _is_null(x):
            return null(Type.REAL)
        reach = Interval.of(x.domain)
        reach = Interval(max(reach.lo, least), max(reach.hi, least))
        reach = Interval(Fraction(function(float(reach.lo))), reach.monotone(function).hi)
        limit = Interval(Fraction(-1100), Fraction(1100))
        return _build(operation, (x,), Type.REAL, reach.widened() & limit)

    return typed


def _exponential(a: Expr) -> Expr:
    _number("exp", a)
    x = as_double(a)
    reach = Interval.of(x.domain).monotone(math.exp)
    return _double("exp", (x,), Interval(max(reach.lo, Fraction(0)), reach.hi).widened())


def _power(a: Expr, b: Expr) -> Expr:
    _number("power", a, b)
    x, y = as_double(a), as_double(b)
    base, exponent = Interval.of(x.domain).rounded(), Interval.of(y.domain).rounded()
    reach = Interval()
    whole = _whole_exponent(b)
    if whole is not None:
        power = whole
        reach = Interval(Fraction(1), Fraction(1))
        for _ in range(power):
            reach = (reach * base).rounded()
        if power % 2 == 0:
            reach = abs(reach)
        reach = reach.widened()
    elif base.lo > 0 and exponent.within(1000):
        corners = []
        for u in (base.lo, base.hi):
            for v in (exponent.lo, exponent.hi):
                try:
                    corners.append(Fraction(math.pow(float(u), float(v))))
                except (OverflowError, ValueError):
                    return _finite(_build("power", (x, y), Type.REAL, Interval()))
        reach = Interval(min(corners), max(corners)).widened()
    return _double("power", (x, y), reach)


def _whole_exponent(expr: Expr) -> int | None:
    at = expr.domain.lo
    if not isinstance(expr, Constant) or at is None or at.denominator != 1 or not 0 <= at <= 64:
        return None
    return int(at)


def _clamp(x: Expr, lo: Expr, hi: Expr) -> Expr:
    """`clamp(x, lo, hi)`: our own, with literal bounds; NULL stays NULL."""
    _number("clamp", x, lo, hi)
    if not (isinstance(lo, Constant) and isinstance(hi, Constant)) or lo.value is None or hi.value is None:
        raise Refused("sql.literal", function="clamp", signature=FUNCTIONS["clamp"].signature)
    if lo.domain.lo is None or hi.domain.lo is None or lo.domain.lo > hi.domain.lo:
        raise _arguments("clamp")
    limit = Interval(lo.domain.lo, hi.domain.lo)
    inside = Interval.of(x.domain) & limit
    if not limit.contains(inside.lo):
        inside = Interval(limit.hi, limit.hi) if inside.lo > limit.hi else Interval(limit.lo, limit.lo)
    reach = Interval(
        limit.lo if Interval.of(x.domain).lo < limit.lo else inside.lo,
        limit.hi if Interval.of(x.domain).hi > limit.hi else inside.hi,
    )
    args, type, scale = unify("clamp", (x, lo, hi))
    step = bounds.common_step(a.domain.step for a in (x, lo, hi)) if scale or type is Type.INTEGER else None
    operation = "clamp" if x.domain.nullable else "clamp_filled"
    if scale is None and type is Type.REAL:
        reach = reach.rounded()
        step = (
            bounds.common_step(a.domain.step for a in args)
            if all(bounds.exact_in_double(a.domain) for a in args[1:])
            else None
        )
    return _build(operation, args, type, reach, step=step, scale=scale)


# --------------------------------------------------------------------------- comparison and logic


def compare(operator: str, a: Expr, b: Expr, place: Place | None = None) -> Expr:
    return apply(operator, (a, b), place)


MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}


def _comparison(symbol: str) -> Callable[[Expr, Expr], Expr]:
    def typed(a: Expr, b: Expr) -> Expr:
        args = _comparable(symbol, a, b)
        return _build(args[0], args[1], Type.BOOLEAN)

    return typed


def _comparable(symbol: str, a: Expr, b: Expr) -> tuple[str, tuple[Expr, Expr]]:
    """The operator and both sides in one form. A literal between two steps moves to the nearer one that
    keeps the meaning, so that a stored column is compared as it is stored."""
    if a.domain.type in NUMBERS and b.domain.type in NUMBERS:
        if isinstance(b, Constant) and not isinstance(a, Constant):
            return _with_literal(symbol, a, b)
        if isinstance(a, Constant) and not isinstance(b, Constant) and symbol in MIRRORED:
            return _with_literal(MIRRORED[symbol], b, a)
    args, _, _ = unify(symbol, (a, b))
    return symbol, (args[0], args[1])


def _with_literal(symbol: str, a: Expr, b: Constant) -> tuple[str, tuple[Expr, Expr]]:
    scale = unit(a)
    if scale is not None and b.domain.lo is not None:
        fixed = as_fixed(b, scale)
        if fixed is not None:
            return symbol, (a, fixed)
        count = b.domain.lo / scale
        if symbol in ("<", "<=", ">", ">=") and abs(count) < bounds.MOST_INTEGER:
            down = symbol in ("<", "<=")
            edge = Fraction(math.floor(count) if down else math.ceil(count)) * scale
            literal = as_fixed(constant(int(edge)) if scale == 1 else _real(edge), scale)
            if literal is not None:
                return "<=" if down else ">=", (a, literal)
    args, _, _ = unify(symbol, (a, b))
    return symbol, (args[0], args[1])


def _between(x: Expr, lo: Expr, hi: Expr) -> Expr:
    return _and(_comparison(">=")(x, lo), _comparison("<=")(x, hi))


def _booleans(function: str, args: Sequence[Expr]) -> tuple[Expr, ...]:
    known = tuple(null(Type.BOOLEAN) if a.domain.type is Type.NULL else a for a in args)
    _of(Type.BOOLEAN, function, *known)
    return known


def _and(*args: Expr) -> Expr:
    return _build("and", _booleans("and", args), Type.BOOLEAN, nullable=any(a.domain.nullable for a in args))


def _or(*args: Expr) -> Expr:
    return _build("or", _booleans("or", args), Type.BOOLEAN, nullable=any(a.domain.nullable for a in args))


def _not(a: Expr) -> Expr:
    return _build("not", _booleans("not", (a,)), Type.BOOLEAN)


def _is_null_of(operation: str) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        if not a.domain.nullable:
            return constant(operation == "is_not_null")
        return _build(operation, (a,), Type.BOOLEAN, nullable=False)

    return typed


def _truth(operation: str) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        return _build(operation, _booleans(operation, (a,)), Type.BOOLEAN, nullable=False)

    return typed


def _distinct(operation: str) -> Callable[[Expr, Expr], Expr]:
    def typed(a: Expr, b: Expr) -> Expr:
        symbol, args = _comparable(operation, a, b)
        return _build(symbol, args, Type.BOOLEAN, nullable=False)

    return typed


def _of_stored(answer: bool) -> Callable[[Expr], Expr]:
    """isnan, isinf, isfinite: no NaN and no infinity is stored or computed."""

    def typed(a: Expr) -> Expr:
        _number("isfinite" if answer else "isnan", a)
        return _build("true_unless_null" if answer else "false_unless_null", (a,), Type.BOOLEAN)

    return typed


# -------------------------------------------------------------------------------------- choice


def unify(function: str, args: Sequence[Expr]) -> tuple[tuple[Expr, ...], Type, Fraction | None]:
    """All in one type and one form: for CASE, COALESCE, comparisons, set operations."""
    types = {a.domain.type for a in args} - {Type.NULL}
    if not types:
        return tuple(args), Type.NULL, None
    if types == {Type.DATE, Type.STRING}:
        args = [_date_literal(function, a, args) for a in args]
        types = {Type.DATE}
    if types <= set(NUMBERS):
        return _unify_numbers(args, Type.INTEGER if types == {Type.INTEGER} else Type.REAL)
    if len(types) > 1 or Type.INTERVAL in types:
        raise _types(function, args)
    type = types.pop()
    return tuple(null(type) if a.domain.type is Type.NULL else a for a in args), type, None


def _unify_numbers(args: Sequence[Expr], type: Type) -> tuple[tuple[Expr, ...], Type, Fraction | None]:
    if type is Type.INTEGER:
        return tuple(null(type) if a.domain.type is Type.NULL else a for a in args), type, None
    forms = [_form(a) for a in args if a.domain.type is not Type.NULL]
    scale = bounds.common_step(forms)
    if scale is not None and not all(isinstance(a, Constant) for a in args):
        fixed = [as_fixed(a, scale) for a in args]
        if all(f is not None for f in fixed) and scale.denominator <= 10**15:
            return tuple(f for f in fixed if f is not None), type, scale
    if scale is not None and all(isinstance(a, Constant) for a in args):
        fixed = [as_fixed(a, scale) for a in args]
        if all(f is not None for f in fixed):
            return tuple(f for f in fixed if f is not None), type, scale
    return tuple(as_double(a) for a in args), type, None


def _date_literal(function: str, expr: Expr, args: Sequence[Expr]) -> Expr:
    """A text literal beside a date is a date."""
    if expr.domain.type is not Type.STRING:
        return expr
    if isinstance(expr, Constant) and isinstance(expr.value, str):
        try:
            return constant(dt.date.fromisoformat(expr.value.strip()))
        except ValueError:
            raise Refused("sql.date", value=expr.value) from None
    raise _types(function, args)


def _coalesce(*args: Expr) -> Expr:
    if not args:
        raise _arguments("coalesce")
    kept: list[Expr] = []
    for arg in args:
        if not _is_null(arg):
            kept.append(arg)
            if not arg.domain.nullable:
                break
    if len(kept) <= 1:
        return kept[0] if kept else args[0]
    unified, type, scale = unify("coalesce", kept)
    domain = bounds.union((a.domain for a in unified), type)
    return Apply("coalesce", unified, replace(domain, nullable=all(a.domain.nullable for a in kept)), scale)


def _nullif(a: Expr, b: Expr) -> Expr:
    if _is_null(a) or _is_null(b):
        return a
    args, type, scale = unify("nullif", (a, b))
    domain = args[0].domain
    return _build(
        "nullif",
        args,
        type,
        Interval.of(domain) if type in (*NUMBERS, Type.DATE) else None,
        step=domain.step,
        scale=scale,
        nullable=True,
        length=domain.length,
        values=domain.values,
    )


def greatest_of(function: str, *args: Expr) -> Expr:
    """greatest and least leave NULLs aside, as DuckDB does."""
    if not args:
        raise _arguments(function)
    kept = tuple(a for a in args if not _is_null(a))
    if not kept:
        return args[0]
    unified, type, scale = unify(function, kept)
    if len(unified) == 1:
        return unified[0]
    domain = bounds.union((a.domain for a in unified), type)
    if type in (*NUMBERS, Type.DATE):
        reach, sure = Interval.of(domain), [Interval.of(a.domain) for a in unified if not a.domain.nullable]
        if sure and function == "greatest":
            reach = Interval(max([reach.lo, *(i.lo for i in sure)]), reach.hi)
        elif sure:
            reach = Interval(reach.lo, min([reach.hi, *(i.hi for i in sure)]))
        values = domain.values
        if values is not None:
            values = tuple(v for v in values if reach.contains(_as_number(v)))
        domain = replace(domain, lo=reach.lower, hi=reach.upper, values=values)
    return Apply(function, unified, replace(domain, nullable=all(a.domain.nullable for a in kept)), scale)


def _as_number(value: Scalar) -> Fraction:
    return Fraction(bounds.day(value)) if isinstance(value, dt.date) else bounds.exact(value)  # type: ignore[arg-type]


def _choose(function: str) -> Callable[..., Expr]:
    return lambda *args: greatest_of(function, *args)


def case(whens: Sequence[tuple[Expr, Expr]], otherwise: Expr | None, place: Place | None = None) -> Expr:
    """`CASE WHEN … THEN … ELSE … END`; no ELSE gives NULL."""
    try:
        kept: list[tuple[Expr, Expr]] = []
        for condition, result in whens:
            (condition,) = _booleans("case", (condition,))
            if isinstance(condition, Constant) and condition.value is not True:
                continue
            if isinstance(condition, Constant):
                otherwise = result
                break
            kept.append((condition, result))
        otherwise = constant(None) if otherwise is None else otherwise
        results, type, scale = unify("case", [*(r for _, r in kept), otherwise])
        if not kept:
            return results[-1]
        domain = bounds.union((r.domain for r in results), type)
        return CaseOf(
            tuple((c, r) for (c, _), r in zip(kept, results, strict=False)), results[-1], domain, scale
        )
    except Refused as refused:
        raise refused.at(place) from None


def in_values(
    operand: Expr, values: Sequence[Expr], negated: bool = False, place: Place | None = None
) -> Expr:
    """`x [NOT] IN (…)`: of literals one node, else a chain of comparisons."""
    try:
        if not values:
            raise Refused("sql.arguments", function="IN", signature="x IN (a, b, …)")
        if not all(isinstance(v, Constant) for v in values) or isinstance(operand, Constant):
            chain = _or(*(_comparison("=")(operand, v) for v in values))
            return _not(chain) if negated else chain
        known = [v for v in values if not _is_null(v)]
        if not known:
            return null(Type.BOOLEAN)
        scale = unit(operand)
        if scale is not None and all(v.domain.type in NUMBERS for v in known):
            # a literal between two steps equals none of them
            fixed = [as_fixed(v, scale) for v in known]
            if operand.domain.type is Type.INTEGER:
                fixed = [_as_integer(f) for f in fixed]
            args: tuple[Expr, ...] = (operand, *(f for f in fixed if f is not None))
        else:
            args, _, _ = unify("in", (operand, *known))
        constants = tuple(a for a in args[1:] if isinstance(a, Constant))
        has_null = len(known) < len(values)
        if not constants:
            if has_null:
                return null(Type.BOOLEAN)
            return _build("true_unless_null" if negated else "false_unless_null", (operand,), Type.BOOLEAN)
        domain = Domain(Type.BOOLEAN, values=(False, True), nullable=operand.domain.nullable or has_null)
        node = InValues(args[0], constants, negated, domain)
        if not has_null:
            return node
        # x IN (a, NULL) is true or NULL; x NOT IN (a, NULL) is false or NULL
        return _and(node, null(Type.BOOLEAN)) if negated else _or(node, null(Type.BOOLEAN))
    except Refused as refused:
        raise refused.at(place) from None


def _as_integer(expr: Expr | None) -> Expr | None:
    if not isinstance(expr, Constant) or expr.domain.lo is None:
        return None
    return constant(int(expr.domain.lo))


# ---------------------------------------------------------------------------------------- text


def _text(operation: str, *, longer: int = 0) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        _of(Type.STRING, operation, a)
        return _build(operation, (a,), Type.STRING, length=a.domain.length)

    return typed


def _length(a: Expr) -> Expr:
    _of(Type.STRING, "length", a)
    most = math.inf if a.domain.length is None else Fraction(a.domain.length)
    return _build("length", (a,), Type.INTEGER, Interval(Fraction(0), most))


def _trimmed(operation: str) -> Callable[..., Expr]:
    def typed(a: Expr, characters: Expr | None = None) -> Expr:
        _of(Type.STRING, operation, a)
        what = " " if characters is None else _literal(operation, characters, str)
        return _build(operation, (a, constant(what)), Type.STRING, length=a.domain.length)

    return typed


def _substring(a: Expr, start: Expr, count: Expr | None = None) -> Expr:
    _of(Type.STRING, "substring", a)
    first = _literal("substring", start, int)
    many = LONGEST if count is None else _literal("substring", count, int)
    if first < 1 or many < 0:
        raise _arguments("substring")
    first, many = min(first, LONGEST), min(many, LONGEST)
    longest = many if a.domain.length is None else max(0, min(many, a.domain.length - first + 1))
    return _build("substring", (a, constant(first), constant(many)), Type.STRING, length=longest)


def _left(a: Expr, count: Expr) -> Expr:
    if _literal("left", count, int) < 0:
        raise _arguments("left")
    return _substring(a, constant(1), count)


def _right(a: Expr, count: Expr) -> Expr:
    _of(Type.STRING, "right", a)
    many = _literal("right", count, int)
    if many < 0:
        raise _arguments("right")
    many = min(many, LONGEST)
    longest = many if a.domain.length is None else min(many, a.domain.length)
    return _build("right", (a, constant(many)), Type.STRING, length=longest)


def _joined(*args: Expr) -> Expr:
    """`||`: NULL if any is."""
    result = _as_text(args[0])
    for arg in args[1:]:
        right = _as_text(arg)
        result = _build("||", (result, right), Type.STRING, length=_together("||", (result, right)))
    return result


def _concat(*args: Expr) -> Expr:
    """concat(): leaves NULLs aside."""
    if not args:
        raise _arguments("concat")
    texts = tuple(_as_text(a) for a in args)
    return _build("concat", texts, Type.STRING, nullable=False, length=_together("concat", texts))


def _together(function: str, args: Sequence[Expr]) -> int | None:
    if any(a.domain.length is None for a in args):
        return None
    total = sum(a.domain.length or 0 for a in args)
    if total > LONGEST:
        raise Refused("sql.length", function=function, most=LONGEST)
    return total


def _as_text(expr: Expr) -> Expr:
    return expr if expr.domain.type is Type.STRING else cast(expr, TypeName.VARCHAR)


def _replaced(a: Expr, old: Expr, new: Expr) -> Expr:
    _of(Type.STRING, "replace", a)
    source, target = _literal("replace", old, str), _literal("replace", new, str)
    if source == "":
        return a
    length = a.domain.length
    if length is not None:
        length = max(length, length // len(source) * len(target) + length % len(source))
        if length > LONGEST:
            raise Refused("sql.length", function="replace", most=LONGEST)
    return _build("replace", (a, constant(source), constant(target)), Type.STRING, length=length)


def _match(operation: str) -> Callable[[Expr, Expr], Expr]:
    def typed(a: Expr, pattern: Expr) -> Expr:
        _of(Type.STRING, operation, a)
        text = _literal(operation, pattern, str)
        if len(text) > 256:
            raise Refused("sql.length", function=operation, most=256)
        return _build(operation, (a, constant(text)), Type.BOOLEAN)

    return typed


# --------------------------------------------------------------------------------------- dates

_PART_BOUNDS = {
    "quarter": (1, 4),
    "month": (1, 12),
    "day": (1, 31),
    "week": (1, 53),
    "dayofweek": (0, 6),
    "isodow": (1, 7),
    "dayofyear": (1, 366),
}
"""Of the parts that come round; the others grow with the date."""


def _part(name: str, function: Callable[[dt.date], int]) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        _of(Type.DATE, name, a)
        if name in _PART_BOUNDS:
            lo, hi = _PART_BOUNDS[name]
        else:
            lo, hi = (function(d) for d in _ends(a))
        return _build(name, (a,), Type.INTEGER, Interval(Fraction(lo), Fraction(hi)))

    return typed


def _ends(expr: Expr) -> tuple[dt.date, dt.date]:
    reach = Interval.of(expr.domain)
    assert isinstance(reach.lo, Fraction) and isinstance(reach.hi, Fraction)
    return bounds.date(reach.lo), bounds.date(reach.hi)


def _named(name: str, longest: int, values: tuple[str, ...]) -> Callable[[Expr], Expr]:
    def typed(a: Expr) -> Expr:
        _of(Type.DATE, name, a)
        return _build(name, (a,), Type.STRING, length=longest, values=tuple(sorted(values)))

    return typed


UNITS = ("day", "week", "month", "quarter", "year")


def _unit(function: str, expr: Expr) -> str:
    word = str(_literal(function, expr, str)).lower()
    word = word.removesuffix("s")
    if word not in UNITS:
        raise Refused("sql.unit", unit=word, units=", ".join(UNITS))
    return word


def _truncated(unit_: Expr, a: Expr) -> Expr:
    _of(Type.DATE, "date_trunc", a)
    operation = f"trunc_{_unit('date_trunc', unit_)}"
    first, last = (OPERATIONS[operation].python(d) for d in _ends(a))
    return _build(operation, (a,), Type.DATE, _days(first, last))


def _days(first: dt.date, last: dt.date) -> Interval:
    return Interval(Fraction(bounds.day(first)), Fraction(bounds.day(last)))


def _difference(unit_: Expr, start: Expr, end: Expr) -> Expr:
    """date_diff: how many boundaries of the unit lie between."""
    name = _unit("date_diff", unit_)
    args, _, _ = unify("date_diff", (start, end))
    _of(Type.DATE, "date_diff", *args)
    python = OPERATIONS[f"diff_{name}"].python
    (a, b), (c, d) = _ends(args[0]), _ends(args[1])
    return _build(
        f"diff_{name}", args, Type.INTEGER, Interval(Fraction(python(b, c)), Fraction(python(a, d)))
    )


def _dated(symbol: str, a: Expr, b: Expr) -> Expr:
    """`date + days`, `date - days`, `date - date`."""
    types = (a.domain.type, b.domain.type)
    if symbol == "-" and types[0] is Type.DATE and types[1] in (Type.DATE, Type.STRING):
        args, _, _ = unify("-", (a, b))
        return _build(
            "days_between", args, Type.INTEGER, Interval.of(args[0].domain) - Interval.of(args[1].domain)
        )
    if symbol == "+" and types == (Type.INTEGER, Type.DATE):
        a, b = b, a
    elif types != (Type.DATE, Type.INTEGER):
        raise _types(symbol, (a, b))
    days = _build("days", (a,), Type.INTEGER, Interval.of(a.domain))
    return _from_days(_sum(symbol)(days, b))


def _from_days(days: Expr) -> Expr:
    reach = Interval.of(days.domain)
    allowed = Interval(Fraction(bounds.FIRST_DAY), Fraction(bounds.LAST_DAY))
    inside = allowed.contains(reach.lo) and allowed.contains(reach.hi)
    return _build(
        "date_of_days",
        (days,),
        Type.DATE,
        reach & allowed,
        nullable=days.domain.nullable or not inside,
    )


def interval(count: Expr, unit_: Expr) -> Expr:
    """`INTERVAL n unit`, to be added to a date."""
    return Apply(
        "interval",
        (constant(_literal("interval", count, int)), constant(_unit("interval", unit_))),
        Domain(Type.INTERVAL, nullable=False),
    )


def _shifted(symbol: str, a: Expr, b: Expr) -> Expr:
    if symbol == "+" and a.domain.type is Type.INTERVAL:
        a, b = b, a
    if a.domain.type is Type.STRING and isinstance(a, Constant):
        a = _date_literal(symbol, a, (a, b))
    if a.domain.type is not Type.DATE or not isinstance(b, Apply) or b.function != "interval":
        raise _types(symbol, (a, b))
    count = int(b.args[0].value) * (1 if symbol == "+" else -1)  # type: ignore[union-attr,arg-type]
    name = b.args[1].value  # type: ignore[union-attr]
    if name in ("day", "week"):
        return _dated("+", a, constant(count * (7 if name == "week" else 1)))
    months = count * {"month": 1, "quarter": 3, "year": 12}[str(name)]
    if abs(months) > 12 * 9998:
        raise Refused("sql.date", value=f"{count} {name}")
    shift = OPERATIONS["add_months"].python
    first, last = (shift(d, months) for d in _ends(a))
    reach = _days(first or dt.date.min, last or dt.date.max)
    inside = first is not None and last is not None
    node = _build(
        "add_months", (a, constant(months)), Type.DATE, reach, nullable=a.domain.nullable or not inside
    )
    return node if inside or not isinstance(node, Apply) else Apply("date_in_range", (node,), node.domain)


def _last_day(a: Expr) -> Expr:
    _of(Type.DATE, "last_day", a)
    first, last = (OPERATIONS["last_day"].python(d) for d in _ends(a))
    return _build("last_day", (a,), Type.DATE, _days(first, last))


def _make_date(year: Expr, month: Expr, day: Expr) -> Expr:
    _of(Type.INTEGER, "make_date", year, month, day)
    reach = Interval.of(year.domain) & Interval(Fraction(1), Fraction(9999))
    assert isinstance(reach.lo, Fraction) and isinstance(reach.hi, Fraction)
    lo, hi = max(1, min(9999, int(reach.lo))), max(1, min(9999, int(reach.hi)))
    made = _build(
        "make_date",
        (year, month, day),
        Type.DATE,
        _days(dt.date(lo, 1, 1), dt.date(hi, 12, 31)),
        may_fail=True,
    )
    return made if isinstance(made, Constant) else Apply("date_in_range", (made,), made.domain)


def _formatted(a: Expr, pattern: Expr) -> Expr:
    _of(Type.DATE, "strftime", a)
    text = _literal("strftime", pattern, str)
    symbols = iter(text)
    for symbol in symbols:
        if symbol == "%" and next(symbols, "") not in FORMATS:
            raise Refused("sql.format", format=text, directives=" ".join("%" + d for d in FORMATS))
    return _build("strftime", (a, constant(text)), Type.STRING, length=len(text) * 9)


# --------------------------------------------------------------------------------------- casts

_INTEGERS = {
    TypeName.TINYINT: 2**7,
    TypeName.SMALLINT: 2**15,
    TypeName.INTEGER: 2**31,
    TypeName.BIGINT: 2**63,
    TypeName.HUGEINT: 2**63,
}


def cast(
    expr: Expr,
    to: TypeName,
    precision: int | None = None,
    scale: int | None = None,
    place: Place | None = None,
) -> Expr:
    """CAST and TRY_CAST alike: a row that cannot be cast gives NULL."""
    try:
        if expr.domain.type is Type.INTERVAL:
            raise _cast_refused(expr, to)
        if to in _INTEGERS:
            return _to_integer(expr, to)
        if to in (TypeName.DOUBLE, TypeName.FLOAT):
            return _to_double(expr, to)
        return {
            TypeName.BOOLEAN: _to_boolean,
            TypeName.VARCHAR: _to_text,
            TypeName.DATE: _to_date,
            TypeName.TIMESTAMP: _to_date,
        }.get(to, lambda e: _to_decimal(e, precision, scale))(expr)
    except Refused as refused:
        raise refused.at(place) from None


def _cast_refused(expr: Expr, to: TypeName) -> Refused:
    return Refused("sql.cast", found=str(expr.domain.type), to=str(to))


def _to_integer(expr: Expr, to: TypeName) -> Expr:
    most = _INTEGERS[to]
    limit = Interval(Fraction(-most), Fraction(most - 1))
    type = expr.domain.type
    if type is Type.NULL:
        return null(Type.INTEGER)
    if type is Type.BOOLEAN:
        return _build("integer_of_boolean", (expr,), Type.INTEGER, Interval(Fraction(0), Fraction(1)))
    if type is Type.STRING:
        whole = _build(
            "integer_of_text",
            (expr,),
            Type.INTEGER,
            Interval(Fraction(-(2**63)), Fraction(2**63 - 1)),
            may_fail=True,
        )
    elif type is Type.INTEGER:
        whole = expr
    elif type is Type.REAL:
        whole = _whole(expr)
    else:
        raise _cast_refused(expr, to)
    reach = Interval.of(whole.domain)
    if limit.lo <= reach.lo and reach.hi <= limit.hi:
        return whole
    if isinstance(whole, Constant):
        return null(Type.INTEGER)
    inside = _and(_comparison(">=")(whole, constant(-most)), _comparison("<=")(whole, constant(most - 1)))
    return CaseOf(
        ((inside, whole),),
        null(Type.INTEGER),
        replace(whole.domain, lo=(reach & limit).lower, hi=(reach & limit).upper, nullable=True, values=None),
    )


def _whole(expr: Expr) -> Expr:
    """A real as an integer: fixed-point half away from zero, DOUBLE half to even."""
    scale = _form(expr)
    reach = Interval.of(expr.domain)
    one = Fraction(1)
    if isinstance(expr, Constant) and scale is not None:
        at = _to_step(reach.lo, one)
        fits = Interval(at, at).within(bounds.MOST_INTEGER)
        return constant(int(at)) if fits else null(Type.INTEGER)
    if scale is not None and scale.numerator == 1 and _count(expr, scale).within(Fraction(2**60)):
        rounded = Interval(_to_step(reach.lo, one), _to_step(reach.hi, one))
        return _build("integer_of_fixed", (expr,), Type.INTEGER, rounded)
    x = as_double(expr)
    ends = Interval.of(x.domain).rounded()
    most = Fraction(2**63)
    fits = ends.within(most - 2**11)
    limit = Interval(-most, most - 1)
    reach = Interval(*(e if isinstance(e, float) else Fraction(round(e)) for e in (ends.lo, ends.hi)))
    return _build("integer_of_double", (x,), Type.INTEGER, reach & limit, may_fail=not fits)


def _to_double(expr: Expr, to: TypeName) -> Expr:
    type = expr.domain.type
    if type is Type.NULL:
        return null(Type.REAL)
    if type in NUMBERS:
        return as_double(expr)
    if type is Type.BOOLEAN:
        return as_double(_to_integer(expr, TypeName.BIGINT))
    if type is Type.STRING:
        return _finite(_build("double_of_text", (expr,), Type.REAL, Interval(), may_fail=True))
    raise _cast_refused(expr, to)


def _to_decimal(expr: Expr, precision: int | None, scale: int | None) -> Expr:
    """DECIMAL(p, s) rounds half away from zero; too large gives NULL."""
    digits, places = (18 if precision is None else precision), (3 if precision is None else scale or 0)
    if not (1 <= digits <= 38 and 0 <= places <= digits):
        raise Refused("sql.arguments", function="decimal", signature="DECIMAL(1 … 38, 0 … 15)")
    real = _to_double(expr, TypeName.DECIMAL) if expr.domain.type not in NUMBERS else expr
    if _is_null(real):
        return real
    rounded = _rounded_to(real, constant(min(places, 15)))
    most = Fraction(10) ** (digits - places)
    reach = Interval.of(rounded.domain)
    if reach.within(most - Fraction(1, 10**places)):
        return rounded
    if isinstance(rounded, Constant):
        return null(Type.REAL)
    inside = _and(_comparison(">")(rounded, _real(-most)), _comparison("<")(rounded, _real(most)))
    kept = reach & Interval(-most, most)
    return CaseOf(
        ((inside, rounded),),
        Constant(None, Domain(rounded.domain.type, values=(), nullable=True), rounded.scale),
        replace(rounded.domain, lo=kept.lower, hi=kept.upper, nullable=True, values=None),
        rounded.scale,
    )


def _to_boolean(expr: Expr) -> Expr:
    type = expr.domain.type
    if type is Type.NULL:
        return null(Type.BOOLEAN)
    if type is Type.BOOLEAN:
        return expr
    if type in NUMBERS:
        return _comparison("<>")(expr, constant(0))
    if type is Type.STRING:
        return _build("boolean_of_text", (expr,), Type.BOOLEAN, may_fail=True)
    raise _cast_refused(expr, TypeName.BOOLEAN)


def _to_text(expr: Expr) -> Expr:
    type = expr.domain.type
    if type is Type.STRING:
        return expr
    if type is Type.NULL:
        return null(Type.STRING)
    if type is Type.REAL:
        return _build("text_of_double", (as_double(expr),), Type.STRING, length=25)
    name, longest = {
        Type.INTEGER: ("text_of_integer", 20),
        Type.BOOLEAN: ("text_of_boolean", 5),
        Type.DATE: ("text_of_date", 10),
    }[type]
    return _build(name, (expr,), Type.STRING, length=longest)


def _to_date(expr: Expr) -> Expr:
    type = expr.domain.type
    if type is Type.DATE:
        return expr
    if type is Type.NULL:
        return null(Type.DATE)
    if isinstance(expr, Constant) and isinstance(expr.value, str):
        return _date_literal("cast", expr, (expr,))
    if type is Type.STRING:
        made = _build("date_of_text", (expr,), Type.DATE, Interval.of(Domain(Type.DATE)), may_fail=True)
        return Apply("date_in_range", (made,), made.domain)
    raise _cast_refused(expr, TypeName.DATE)


# ------------------------------------------------------------------------------------ the table


@dataclass(frozen=True)
class Function:
    signature: str
    """What a person reads in the catalogue and in a refusal."""
    typed: Callable[..., Expr]
    least: int
    most: int | None
    null_in_null_out: bool = True
    gives: Type | None = None
    """Of a call whose argument is a bare NULL."""


def _entry(
    signature: str,
    typed: Callable[..., Expr],
    least: int,
    most: int | None = -1,
    *,
    strict: bool = True,
    gives: Type | None = None,
) -> Function:
    return Function(signature, typed, least, least if most == -1 else most, strict, gives)


_B, _I, _R, _S, _D = Type.BOOLEAN, Type.INTEGER, Type.REAL, Type.STRING, Type.DATE

FUNCTIONS: dict[str, Function] = {
    "+": _entry("a + b", _sum("+"), 2, gives=_R),
    "-": _entry("a - b", _sum("-"), 2, gives=_R),
    "*": _entry("a * b", _product, 2, gives=_R),
    "/": _entry("a / b", _quotient, 2, gives=_R),
    "//": _entry("integer // integer; of reals floor(a / b)", _integer_quotient, 2, gives=_I),
    "%": _entry("a % b", _remainder, 2, gives=_R),
    "^": _entry("a ^ b", _power, 2, gives=_R),
    "power": _entry("power(a, b)", _power, 2, gives=_R),
    "neg": _entry("-a", _negated, 1, gives=_R),
    "abs": _entry("abs(number)", _absolute, 1, gives=_R),
    "sign": _entry("sign(number)", _sign, 1, gives=_I),
    "floor": _entry("floor(number)", _rounding("floor", math.floor), 1, gives=_R),
    "ceil": _entry("ceil(number)", _rounding("ceil", math.ceil), 1, gives=_R),
    "trunc": _entry("trunc(number)", _rounding("trunc", math.trunc), 1, gives=_R),
    "round": _entry("round(number [, literal digits])", _rounded_to, 1, 2, gives=_R),
    "sqrt": _entry("sqrt(number)", _square_root, 1, gives=_R),
    "exp": _entry("exp(number)", _exponential, 1, gives=_R),
    "ln": _entry("ln(number)", _logarithm("ln", math.log), 1, gives=_R),
    "log10": _entry("log10(number)", _logarithm("log10", math.log10), 1, gives=_R),
    "log2": _entry("log2(number)", _logarithm("log2", math.log2), 1, gives=_R),
    "clamp": _entry("clamp(number, literal, literal)", _clamp, 3, gives=_R),
    **{s: _entry(f"a {s} b", _comparison(s), 2, gives=_B) for s in ("=", "<>", "<", "<=", ">", ">=")},
    "between": _entry("x BETWEEN a AND b", _between, 3, gives=_B),
    "is_distinct": _entry("a IS DISTINCT FROM b", _distinct("is_distinct"), 2, strict=False),
    "is_not_distinct": _entry("a IS NOT DISTINCT FROM b", _distinct("is_not_distinct"), 2, strict=False),
    "and": _entry("a AND b", _and, 1, None, strict=False),
    "or": _entry("a OR b", _or, 1, None, strict=False),
    "not": _entry("NOT a", _not, 1, strict=False),
    "is_null": _entry("x IS NULL", _is_null_of("is_null"), 1, strict=False),
    "is_not_null": _entry("x IS NOT NULL", _is_null_of("is_not_null"), 1, strict=False),
    "is_true": _entry("x IS TRUE", _truth("is_true"), 1, strict=False),
    "is_not_true": _entry("x IS NOT TRUE", _truth("is_not_true"), 1, strict=False),
    "is_false": _entry("x IS FALSE", _truth("is_false"), 1, strict=False),
    "is_not_false": _entry("x IS NOT FALSE", _truth("is_not_false"), 1, strict=False),
    "isnan": _entry("isnan(number)", _of_stored(False), 1, gives=_B),
    "isinf": _entry("isinf(number)", _of_stored(False), 1, gives=_B),
    "isfinite": _entry("isfinite(number)", _of_stored(True), 1, gives=_B),
    "coalesce": _entry("coalesce(a, b, …)", _coalesce, 1, None, strict=False),
    "ifnull": _entry("ifnull(a, b)", _coalesce, 2, strict=False),
    "nullif": _entry("nullif(a, b)", _nullif, 2, strict=False),
    "greatest": _entry("greatest(a, b, …)", _choose("greatest"), 1, None, strict=False),
    "least": _entry("least(a, b, …)", _choose("least"), 1, None, strict=False),
    "lower": _entry("lower(text)", _text("lower"), 1, gives=_S),
    "upper": _entry("upper(text)", _text("upper"), 1, gives=_S),
    "reverse": _entry("reverse(text)", _text("reverse"), 1, gives=_S),
    "length": _entry("length(text)", _length, 1, gives=_I),
    "trim": _entry("trim(text [, literal])", _trimmed("trim"), 1, 2, gives=_S),
    "ltrim": _entry("ltrim(text [, literal])", _trimmed("ltrim"), 1, 2, gives=_S),
    "rtrim": _entry("rtrim(text [, literal])", _trimmed("rtrim"), 1, 2, gives=_S),
    "substring": _entry("substring(text, literal from 1 [, literal])", _substring, 2, 3, gives=_S),
    "left": _entry("left(text, literal from 0)", _left, 2, gives=_S),
    "right": _entry("right(text, literal from 0)", _right, 2, gives=_S),
    "||": _entry("a || b", _joined, 2, gives=_S),
    "concat": _entry("concat(a, b, …)", _concat, 1, None, strict=False),
    "replace": _entry("replace(text, literal, literal)", _replaced, 3, gives=_S),
    "like": _entry("text LIKE literal", _match("like"), 2, gives=_B),
    "ilike": _entry("text ILIKE literal", _match("ilike"), 2, gives=_B),
    "starts_with": _entry("starts_with(text, literal)", _match("starts_with"), 2, gives=_B),
    "ends_with": _entry("ends_with(text, literal)", _match("ends_with"), 2, gives=_B),
    "contains": _entry("contains(text, literal)", _match("contains"), 2, gives=_B),
    **{name: _entry(f"{name}(date)", _part(name, f), 1, gives=_I) for name, f in parts().items()},
    "monthname": _entry(
        "monthname(date)",
        _named("monthname", 9, tuple(FORMATS["B"](dt.date(2000, m, 1)) for m in range(1, 13))),
        1,
        gives=_S,
    ),
    "dayname": _entry(
        "dayname(date)",
        _named("dayname", 9, tuple(FORMATS["A"](dt.date(2000, 1, d)) for d in range(1, 8))),
        1,
        gives=_S,
    ),
    "dow": _entry("dayofweek(date)", _part("dayofweek", parts()["dayofweek"]), 1, gives=_I),
    "doy": _entry("dayofyear(date)", _part("dayofyear", parts()["dayofyear"]), 1, gives=_I),
    "last_day": _entry("last_day(date)", _last_day, 1, gives=_D),
    "date_trunc": _entry("date_trunc('month', date)", _truncated, 2, gives=_D),
    "date_diff": _entry("date_diff('month', date, date)", _difference, 3, gives=_I),
    "date_add": _entry("date_add(date, INTERVAL n unit)", _sum("+"), 2, gives=_D),
    "interval": _entry("INTERVAL literal unit", interval, 2),
    "make_date": _entry("make_date(year, month, day)", _make_date, 3, gives=_D),
    "strftime": _entry("strftime(date, literal format)", _formatted, 2, gives=_S),
}
"""By canonical name: everything an analyst may call on a row."""

NONDETERMINISTIC = frozenset(
    [
        "random",
        "setseed",
        "uuid",
        "gen_random_uuid",
        "uuidv4",
        "uuidv7",
        "current_date",
        "current_timestamp",
        "current_time",
        "current_localtimestamp",
        "current_localtime",
        "localtime",
        "localtimestamp",
        "transaction_timestamp",
        "get_current_timestamp",
        "get_current_time",
        "nextval",
        "currval",
        "txid_current",
        "rowid",
        "current_user",
        "session_user",
        "user",
        "current_setting",
        "current_schema",
        "current_schemas",
        "current_database",
        "current_catalog",
        "current_query",
        "version",
        "pg_backend_pid",
        "current_connection_id",
        "sleep_ms",
    ]
)
"""Depend on more than the row."""

UNBOUNDED = frozenset(
    [
        "error",
        "sleep",
        "repeat",
        "lpad",
        "rpad",
        "printf",
        "format",
        "regexp_matches",
        "regexp_extract",
        "regexp_extract_all",
        "regexp_replace",
        "regexp_full_match",
        "regexp_split_to_array",
        "string_split",
        "str_split",
        "split",
        "list",
        "array",
        "struct_pack",
        "row_to_json",
        "to_json",
        "json_extract",
        "json_extract_string",
        "list_value",
        "list_extract",
        "array_extract",
        "map",
        "struct_extract",
        "unnest",
        "range",
        "generate_series",
        "chr",
        "md5",
        "sha256",
        "hash",
        "bar",
        "levenshtein",
        "jaccard",
        "hamming",
        "damerau_levenshtein",
        "editdist3",
        "factorial",
        "bit_count",
        "translate",
    ]
)
"""Work or size out of proportion to a row, nested values, or errors that tell of the row."""


def apply(function: str, args: Sequence[Expr], place: Place | None = None) -> Expr:
    """A call of `function` on typed arguments, or a refusal that says what to write instead."""
    try:
        entry = FUNCTIONS.get(function)
        if entry is None:
            raise _unknown(function)
        if len(args) < entry.least or (entry.most is not None and len(args) > entry.most):
            raise _arguments(function)
        dated = function in ("+", "-", "date_add")
        if not dated and any(a.domain.type is Type.INTERVAL for a in args):
            raise _types(function, args)
        if entry.null_in_null_out and any(a.domain.type is Type.NULL for a in args):
            return null(entry.gives or Type.NULL)
        return entry.typed(*args)
    except Refused as refused:
        raise refused.at(place) from None


UNAVAILABLE_AGGREGATES = frozenset(
    [
        "array_agg",
        "histogram",
        "entropy",
        "kurtosis",
        "skewness",
        "geomean",
        "mad",
        "approx_top_k",
        "bitstring_agg",
        "map_agg",
    ]
)
"""Aggregates of DuckDB that are none here: refused as what they are, with what to count instead."""


INSTEAD = {
    "approx_count_distinct": "count(DISTINCT x)",
    "age": "date_diff('year', x, y)",
    "to_char": "strftime(x, '%Y-%m')",
    "date_format": "strftime(x, '%Y-%m')",
    "strptime": "CAST(x AS DATE)",
    "to_date": "CAST(x AS DATE)",
    "every": "bool_and(x)",
    "width_bucket": "floor(x / 10) * 10",
    "nvl2": "CASE WHEN x IS NULL THEN a ELSE b END",
    "decode": "CASE x WHEN a THEN b END",
    "regexp_like": "x LIKE '%a%'",
    "strpos": "contains(x, 'a')",
    "instr": "contains(x, 'a')",
    "position": "contains(x, 'a')",
    "div": "a // b",
    "std": "stddev(x)",
    "stdev": "stddev(x)",
    "var": "variance(x)",
    "percentile": "quantile_cont(x, 0.9)",
    "approx_median": "median(x)",
}
"""What to write in the place of functions that others know, or that are closed here."""


def _unknown(function: str) -> Refused:
    if function in NONDETERMINISTIC:
        return Refused("sql.nondeterministic", function=function)
    if function in INSTEAD:
        return Refused("sql.function_near", function=function, near=INSTEAD[function])
    if function in UNBOUNDED:
        return Refused("sql.function_closed", function=function)
    if function in UNAVAILABLE_AGGREGATES:
        return Refused("kind.aggregate", function=function)
    near = difflib.get_close_matches(function, [f for f in FUNCTIONS if f.isidentifier()], 1)
    if near:
        return Refused("sql.function_near", function=function, near=near[0])
    return Refused("sql.function_unknown", function=function)


# ------------------------------------------------------------------- small services to `bind`

ONE = Fraction(1)


def exact(value: float) -> Fraction:
    return bounds.exact(value)


def cast_real(expr: Expr) -> Expr:
    return as_double(expr)


def union_domain(domains: Sequence[Domain], place: Place | None = None) -> Domain:
    """What a column can be that takes its values from all of these."""
    types = {d.type for d in domains} - {Type.NULL}
    if types == set(NUMBERS):
        types = {Type.REAL}
    if len(types) > 1:
        found = ", ".join(str(d.type) for d in domains)
        raise Refused("sql.types", place=place, function="UNION", found=found, signature="a UNION b")
    return bounds.union(domains, types.pop() if types else Type.NULL)


def aligned(args: Sequence[Expr], place: Place | None = None) -> tuple[Expr, ...]:
    """All in one physical form: the sides of a set operation, the columns of VALUES."""
    try:
        return unify("UNION", args)[0]
    except Refused as refused:
        raise refused.at(place) from None


def matches_like(text: str, pattern: str) -> bool:
    return bool(OPERATIONS["like"].python(text, pattern))
