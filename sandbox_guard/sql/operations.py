"""What an `Apply` can be: one entry an operation, its SQL beside its meaning in Python.

An operation works on physical values: a fixed-point number is the stored integer. So `+` is one
operation for integers, fixed-point numbers and doubles: `functions` has brought both sides to one form.
No operation raises for any row, and none yields NaN, an infinity or an integer outside BIGINT, given that
`functions` puts the guards where bounds do not exclude it.

What looks at its operand twice binds a long one to a name, as `list_extract(list_transform([x], lambda v: …), 1)`:
written out, a nest of guards would grow exponentially. That costs 15 ns a row.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sandbox_guard.sql import bounds
from sandbox_guard.sql.relation import Apply, Expr, Type

SHORT = 48
"""Operands of so many characters are written again rather than bound to a name."""

Value = Any
"""bool, int, float, str, date or None."""


@dataclass(frozen=True)
class Operation:
    sql: str | Callable[[Apply, Sequence[str]], str]
    """`{0}`, `{1}` are the printed arguments."""
    python: Callable[..., Value]
    strict: bool = True
    """NULL in any argument gives NULL; `python` is then never called with None."""
    exact: bool = True
    """Does Python give what DuckDB gives, to the last bit?"""
    scaled: bool = False
    """`python` takes the scales of the arguments and of the result (keyword `scales`) too."""
    enum: bool = False
    """The engine gives the same for an ENUM as for its text."""

    def print(self, node: Apply, args: Sequence[str]) -> str:
        if isinstance(self.sql, str):
            return self.sql.format(*args)
        return self.sql(node, args)

    def value(self, node: Apply, values: Sequence[Value]) -> Value:
        if self.strict and any(v is None for v in values):
            return None
        if self.scaled:
            return self.python(*values, scales=(*(unit(a) for a in node.args), unit(node)))
        return self.python(*values)


def unit(expr: Expr) -> Fraction | None:
    """What one stored integer is worth; None for what is not stored as an integer count."""
    if expr.domain.type is Type.INTEGER:
        return Fraction(1)
    return expr.scale


def decoded(stored: int, scale: Fraction) -> float:
    """A fixed-point number as a double, by the very operations that the engine does."""
    value = float(stored)
    if scale.numerator != 1:
        value *= float(scale.numerator)
    return value / float(scale.denominator) if scale.denominator != 1 else value


def double(value: float) -> str:
    """A DOUBLE literal: with an exponent, since `0.1` alone is a DECIMAL."""
    text = repr(value)
    text = text if "e" in text else text + "e0"
    return f"({text})" if value < 0 else text


def _call(name: str, count: int = 1) -> str:
    marks = ", ".join(f"{{{i}}}" for i in range(count))
    return f"system.main.{name}({marks})"


def _infix(symbol: str) -> str:
    return "({0} " + symbol + " {1})"


def _kept(condition: str) -> Callable[[Apply, Sequence[str]], str]:
    return lambda node, args: kept(args[0], condition)


def kept(text: str, condition: str) -> str:
    """The operand where `condition`, an expression over `v`, holds; else NULL."""
    return once(text, f"CASE WHEN {condition} THEN v END")


def once(text: str, body: str) -> str:
    """`body`, an expression over `v`, of an operand that is written several times only where short."""
    if len(text) <= SHORT:
        return f"({re.sub(r'(?<![A-Za-z0-9_])v(?![A-Za-z0-9_])', lambda _: text, body)})"
    return f"system.main.list_extract(system.main.list_transform([{text}], lambda v: {body}), 1)"


def clamped(text: str, lo: str, hi: str) -> str:
    """Within [lo, hi], NULL staying NULL."""
    return once(text, f"CASE WHEN v < {lo} THEN {lo} WHEN v > {hi} THEN {hi} ELSE v END")


def clamped_filled(text: str, lo: str, hi: str) -> str:
    """The same of an operand that is never NULL. `greatest` and `least` write it once, and take twice the time
    of a CASE."""
    return (
        clamped(text, lo, hi)
        if len(text) <= SHORT
        else f"system.main.greatest({lo}, system.main.least({hi}, {text}))"
    )


def _print_nullif(left: str, right: str) -> str:
    if len(left) <= SHORT:
        return f"(CASE WHEN ({left} = {right}) THEN NULL ELSE {left} END)"
    pair = f"system.main.struct_pack(x := {left}, y := {right})"
    return once(pair, "CASE WHEN (v.x = v.y) THEN NULL ELSE v.x END")


# ------------------------------------------------------------------------------------- forms


def _print_double(node: Apply, args: Sequence[str]) -> str:
    scale = unit(node.args[0])
    assert scale is not None
    text = f"CAST({args[0]} AS DOUBLE)"
    if scale.numerator != 1:
        text = f"({text} * {double(float(scale.numerator))})"
    if scale.denominator != 1:
        text = f"({text} / {double(float(scale.denominator))})"
    return text


def _print_rescale(node: Apply, args: Sequence[str]) -> str:
    return f"({args[0]} * {_ratio(unit(node.args[0]), unit(node))}::BIGINT)"


def _ratio(source: Fraction | None, target: Fraction | None) -> int:
    assert source is not None and target is not None
    ratio = source / target
    assert ratio.denominator == 1
    return int(ratio)


# ------------------------------------------------------------------------ meanings in Python


def _ieee(function: Callable[..., float]) -> Callable[..., float | None]:
    """Python raises where IEEE gives an infinity or NaN; the guard above makes both NULL."""

    def value(*args: float) -> float | None:
        try:
            result = function(*args)
        except (OverflowError, ZeroDivisionError, ValueError):
            return None
        if isinstance(result, float) and not math.isfinite(result):
            return None
        return result

    return value


def _bigint(function: Callable[..., int]) -> Callable[..., int | None]:
    def value(*args: int) -> int | None:
        result = function(*args)
        return result if -(2**63) <= result < 2**63 else None

    return value


def _and(*args: bool | None) -> bool | None:
    return False if False in args else None if None in args else True


def _or(*args: bool | None) -> bool | None:
    return True if True in args else None if None in args else False


def _floor_divide(a: int, b: int) -> int:
    """Towards zero, as C and DuckDB do."""
    return abs(a) // abs(b) * (1 if (a >= 0) == (b >= 0) else -1)


def half_away(value: float) -> float:
    """C's round()."""
    whole = math.floor(abs(value))
    if abs(value) - whole >= 0.5:
        whole += 1
    return math.copysign(float(whole), value)


def round_digits(value: float, digits: int) -> float:
    if digits >= 0:
        rounded = half_away(value * 10.0**digits) / 10.0**digits
    else:
        rounded = half_away(value / 10.0**-digits) * 10.0**-digits
    return rounded if math.isfinite(rounded) else value


def _round_integer(value: int, digits: int) -> int:
    """To a multiple of 10^-digits, digits below 0, half away from zero."""
    step = int(10**-digits)
    return (abs(value) + step // 2) // step * step * (1 if value >= 0 else -1)


def _like(text: str, pattern: str) -> bool:
    """`%` any run, `_` one character; the pattern has no escape."""
    reach = {0}
    for symbol in pattern:
        if symbol == "%":
            reach = set(range(min(reach), len(text) + 1)) if reach else reach
        else:
            reach = {i + 1 for i in reach if i < len(text) and symbol in ("_", text[i])}
    return len(text) in reach


def lower(text: str) -> str:
    """Character by character, as the engine does."""
    return "".join(c.lower()[0] for c in text)


def upper(text: str) -> str:
    return "".join(_upper(c) for c in text)


def _upper(character: str) -> str:
    """The one capital of a character; Greek letters with iota have a title form, ß its own."""
    for form in (character.upper(), "ẞ" if character == "ß" else character.title()):
        if len(form) == 1:
            return form
    return character


def _months(date: dt.date, months: int) -> dt.date | None:
    index = date.year * 12 + date.month - 1 + months
    year, month = divmod(index, 12)
    if not 1 <= year <= 9999:
        return None
    return dt.date(year, month + 1, min(date.day, _days_in(year, month + 1)))


def _days_in(year: int, month: int) -> int:
    return 31 if month in (1, 3, 5, 7, 8, 10, 12) else 28 + (2 if month != 2 else _leap(year))


def _leap(year: int) -> int:
    return int(year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))


def _date_or_none(number: int) -> dt.date | None:
    return bounds.date(number) if bounds.FIRST_DAY <= number <= bounds.LAST_DAY else None


def _make_date(year: int, month: int, day: int) -> dt.date | None:
    try:
        return dt.date(year, month, day)
    except (ValueError, OverflowError):
        return None


def _truncated(unit: str) -> Callable[[dt.date], dt.date]:
    def value(date: dt.date) -> dt.date:
        if unit == "week":
            return bounds.date(bounds.day(date) - date.weekday())
        if unit == "day":
            return date
        month = {"month": date.month, "quarter": (date.month - 1) // 3 * 3 + 1, "year": 1}
        if unit in month:
            return date.replace(month=month[unit], day=1)
        return dt.date(max(1, date.year // 10 * 10), 1, 1)

    return value


def _ordinal(unit: str) -> Callable[[dt.date], int]:
    """The number of the unit that the date lies in."""
    return {
        "day": bounds.day,
        "week": lambda d: (bounds.day(d) + 3) // 7,
        "month": lambda d: d.year * 12 + d.month - 1,
        "quarter": lambda d: d.year * 4 + (d.month - 1) // 3,
        "year": lambda d: d.year,
    }[unit]


def _date_diff(unit: str) -> Callable[[dt.date, dt.date], int]:
    ordinal = _ordinal(unit)
    return lambda start, end: ordinal(end) - ordinal(start)


def parts() -> dict[str, Callable[[dt.date], int]]:
    return {
        "year": lambda d: d.year,
        "quarter": lambda d: (d.month - 1) // 3 + 1,
        "month": lambda d: d.month,
        "day": lambda d: d.day,
        "week": lambda d: d.isocalendar().week,
        "isoyear": lambda d: d.isocalendar().year,
        "yearweek": lambda d: d.isocalendar().year * 100 + d.isocalendar().week,
        "dayofweek": lambda d: d.isoweekday() % 7,
        "isodow": lambda d: d.isoweekday(),
        "dayofyear": lambda d: d.timetuple().tm_yday,
        "decade": lambda d: d.year // 10,
        "century": lambda d: (d.year - 1) // 100 + 1,
    }


MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

FORMATS: dict[str, Callable[[dt.date], str]] = {
    "Y": lambda d: f"{d.year:04d}",
    "y": lambda d: f"{d.year % 100:02d}",
    "m": lambda d: f"{d.month:02d}",
    "d": lambda d: f"{d.day:02d}",
    "j": lambda d: f"{d.timetuple().tm_yday:03d}",
    "b": lambda d: MONTHS[d.month - 1][:3],
    "B": lambda d: MONTHS[d.month - 1],
    "a": lambda d: DAYS[d.weekday()][:3],
    "A": lambda d: DAYS[d.weekday()],
    "%": lambda d: "%",
}
"""Directives of `strftime` that a date can fill."""


def _strftime(date: dt.date, pattern: str) -> str:
    pieces = pattern.split("%")
    text, i = pieces[0], 1
    while i < len(pieces):
        if pieces[i] == "":
            text += "%" + (pieces[i + 1] if i + 1 < len(pieces) else "")
            i += 2
        else:
            text += FORMATS[pieces[i][0]](date) + pieces[i][1:]
            i += 1
    return text


def _substring(text: str, start: int, count: int) -> str:
    """start and count at least 1 and 0."""
    return text[start - 1 : start - 1 + count]


def shown(value: float) -> str:
    return "0.0" if value == 0 else repr(value)


def _parsed_integer(text: str) -> int | None:
    """Plain decimal integers; the engine reads more spellings, which tests leave alone."""
    try:
        value = int(text.strip(" "))
    except ValueError:
        return None
    return value if -(2**63) <= value < 2**63 else None


def _parsed_double(text: str) -> float | None:
    try:
        value = float(text.strip(" "))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _parsed_date(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text.strip(" "))
    except ValueError:
        return None


def _parsed_boolean(text: str) -> bool | None:
    word = text.lower()
    return (
        True
        if word in ("true", "t", "1", "yes", "y")
        else (False if word in ("false", "f", "0", "no", "n") else None)
    )


def _half_even_bigint(value: float) -> int | None:
    result = round(value)
    return result if -(2**63) <= result < 2**63 else None


def _clamped(value: Value, lo: Value, hi: Value) -> Value:
    return lo if value < lo else min(value, hi)


def _concat(*args: str | None) -> str:
    return "".join(a for a in args if a is not None)


_DATES = "DATE '0001-01-01' AND DATE '9999-12-31'"
_UNITS = ("day", "week", "month", "quarter", "year")


def _wide(symbol: str) -> str:
    return "TRY_CAST((CAST({0} AS HUGEINT) " + symbol + " CAST({1} AS HUGEINT)) AS BIGINT)"


OPERATIONS: dict[str, Operation] = {
    # forms
    "double": Operation(_print_double, lambda v, scales: decoded(v, scales[0]), scaled=True),
    "rescale": Operation(_print_rescale, lambda v, scales: v * _ratio(scales[0], scales[1]), scaled=True),
    "count_of": Operation(
        lambda node, a: f"TRY_CAST(system.main.round(({a[0]} * {double(_inverse(node))})) AS BIGINT)",
        lambda v, scales: _counted(v, scales[1]),
        scaled=True,
    ),
    # guards: the operand, or NULL
    "finite": Operation(_kept("system.main.isfinite(v)"), _ieee(lambda v: v)),
    "nonzero": Operation(_kept("v <> 0"), lambda v: v if v != 0 else None),
    "positive": Operation(_kept("v > 0"), lambda v: v if v > 0 else None),
    "nonnegative": Operation(_kept("v >= 0"), lambda v: v if v >= 0 else None),
    "date_in_range": Operation(_kept(f"v BETWEEN {_DATES}"), lambda v: v),
    # arithmetic
    "neg": Operation("(-{0})", lambda a: -a),
    "+": Operation(_infix("+"), _ieee(lambda a, b: a + b)),
    "-": Operation(_infix("-"), _ieee(lambda a, b: a - b)),
    "*": Operation(_infix("*"), _ieee(lambda a, b: a * b)),
    "/": Operation(_infix("/"), _ieee(lambda a, b: a / b)),
    "//": Operation(_infix("//"), _floor_divide),
    "%": Operation(_infix("%"), lambda a, b: a - b * _floor_divide(a, b)),
    "fmod": Operation(_infix("%"), _ieee(math.fmod)),
    "+wide": Operation(_wide("+"), _bigint(lambda a, b: a + b)),
    "-wide": Operation(_wide("-"), _bigint(lambda a, b: a - b)),
    "*wide": Operation(_wide("*"), _bigint(lambda a, b: a * b)),
    "//wide": Operation(_wide("//"), _bigint(_floor_divide)),
    "%wide": Operation(_wide("%"), _bigint(lambda a, b: a - b * _floor_divide(a, b))),
    "abs": Operation(_call("abs"), abs),
    "sign": Operation("CAST(system.main.sign({0}) AS BIGINT)", lambda a: (a > 0) - (a < 0)),
    "floor": Operation(_call("floor"), lambda a: float(math.floor(a))),
    "ceil": Operation(_call("ceil"), lambda a: float(math.ceil(a))),
    "trunc": Operation(_call("trunc"), lambda a: float(math.trunc(a))),
    "round": Operation(_call("round"), half_away),
    "round_digits": Operation("system.main.round({0}, CAST({1} AS INTEGER))", round_digits),
    "round_integer": Operation("system.main.round({0}, CAST({1} AS INTEGER))", _round_integer),
    "sqrt": Operation(_call("sqrt"), math.sqrt),
    "exp": Operation(_call("exp"), _ieee(math.exp), exact=False),
    "ln": Operation(_call("ln"), math.log, exact=False),
    "log10": Operation(_call("log10"), math.log10, exact=False),
    "log2": Operation(_call("log2"), math.log2, exact=False),
    "power": Operation(_call("pow", 2), _ieee(math.pow), exact=False),
    "clamp": Operation(lambda node, a: clamped(*a), _clamped),
    "clamp_filled": Operation(lambda node, a: clamped_filled(*a), _clamped),
    # comparison and logic
    "=": Operation(_infix("="), lambda a, b: a == b, enum=True),
    "<>": Operation(_infix("<>"), lambda a, b: a != b, enum=True),
    "<": Operation(_infix("<"), lambda a, b: a < b),
    "<=": Operation(_infix("<="), lambda a, b: a <= b),
    ">": Operation(_infix(">"), lambda a, b: a > b),
    ">=": Operation(_infix(">="), lambda a, b: a >= b),
    "is_distinct": Operation(_infix("IS DISTINCT FROM"), lambda a, b: a != b, strict=False, enum=True),
    "is_not_distinct": Operation(
        _infix("IS NOT DISTINCT FROM"), lambda a, b: a == b, strict=False, enum=True
    ),
    "is_null": Operation("({0} IS NULL)", lambda a: a is None, strict=False, enum=True),
    "is_not_null": Operation("({0} IS NOT NULL)", lambda a: a is not None, strict=False, enum=True),
    "is_true": Operation("({0} IS TRUE)", lambda a: a is True, strict=False),
    "is_not_true": Operation("({0} IS NOT TRUE)", lambda a: a is not True, strict=False),
    "is_false": Operation("({0} IS FALSE)", lambda a: a is False, strict=False),
    "is_not_false": Operation("({0} IS NOT FALSE)", lambda a: a is not False, strict=False),
    "and": Operation(lambda node, a: f"({' AND '.join(a)})", _and, strict=False),
    "or": Operation(lambda node, a: f"({' OR '.join(a)})", _or, strict=False),
    "not": Operation("(NOT {0})", lambda a: not a),
    "false_unless_null": Operation("(({0} IS NULL) AND NULL)", lambda a: False, enum=True),
    "true_unless_null": Operation("(({0} IS NOT NULL) OR NULL)", lambda a: True, enum=True),
    # choice
    "coalesce": Operation(
        lambda node, a: f"COALESCE({', '.join(a)})",
        lambda *args: next((a for a in args if a is not None), None),
        strict=False,
    ),
    "nullif": Operation(
        lambda node, a: _print_nullif(a[0], a[1]),
        lambda a, b: None if a is not None and a == b else a,
        strict=False,
    ),
    "greatest": Operation(
        lambda node, a: f"system.main.greatest({', '.join(a)})",
        lambda *args: max((a for a in args if a is not None), default=None),
        strict=False,
    ),
    "least": Operation(
        lambda node, a: f"system.main.least({', '.join(a)})",
        lambda *args: min((a for a in args if a is not None), default=None),
        strict=False,
    ),
    # text
    "lower": Operation(_call("lower"), lower),
    "upper": Operation(_call("upper"), upper),
    "length": Operation(_call("length"), len),
    "trim": Operation(_call("trim", 2), lambda a, b: a.strip(b)),
    "ltrim": Operation(_call("ltrim", 2), lambda a, b: a.lstrip(b)),
    "rtrim": Operation(_call("rtrim", 2), lambda a, b: a.rstrip(b)),
    "reverse": Operation(_call("reverse"), lambda a: a[::-1], exact=False),
    "substring": Operation(_call("substring", 3), _substring),
    "right": Operation(_call("right", 2), lambda a, n: a[-n:] if n else ""),
    "||": Operation(_infix("||"), lambda a, b: a + b),
    "concat": Operation(lambda node, a: f"system.main.concat({', '.join(a)})", _concat, strict=False),
    "replace": Operation(_call("replace", 3), lambda a, b, c: a.replace(b, c)),
    "like": Operation(_infix("LIKE"), _like),
    "ilike": Operation(_infix("ILIKE"), lambda a, b: _like(lower(a), lower(b))),
    "starts_with": Operation(_call("starts_with", 2), lambda a, b: a.startswith(b)),
    "ends_with": Operation(_call("ends_with", 2), lambda a, b: a.endswith(b)),
    "contains": Operation(_call("contains", 2), lambda a, b: b in a),
    # dates
    **{name: Operation(_call(name), f) for name, f in parts().items()},
    "monthname": Operation(_call("monthname"), lambda d: MONTHS[d.month - 1]),
    "dayname": Operation(_call("dayname"), lambda d: DAYS[d.weekday()]),
    "last_day": Operation(_call("last_day"), lambda d: d.replace(day=_days_in(d.year, d.month))),
    "strftime": Operation(_call("strftime", 2), _strftime),
    **{
        f"trunc_{u}": Operation(f"CAST(system.main.date_trunc('{u}', {{0}}) AS DATE)", _truncated(u))
        for u in (*_UNITS, "decade")
    },
    **{f"diff_{u}": Operation(f"system.main.date_diff('{u}', {{0}}, {{1}})", _date_diff(u)) for u in _UNITS},
    # DuckDB 2.0 counts the two weeks around 1970-01-01 as one
    "diff_week": Operation(
        "((CAST(system.main.date_trunc('week', {1}) AS DATE)"
        " - CAST(system.main.date_trunc('week', {0}) AS DATE)) // 7)",
        _date_diff("week"),
    ),
    "days_between": Operation(_infix("-"), lambda a, b: (a - b).days),
    "days": Operation("({0} - DATE '1970-01-01')", bounds.day),
    "date_of_days": Operation(
        lambda node, a: once(
            a[0],
            f"CASE WHEN v BETWEEN {bounds.FIRST_DAY} AND {bounds.LAST_DAY}"
            " THEN DATE '1970-01-01' + CAST(v AS INTEGER) END",
        ),
        _date_or_none,
    ),
    "add_months": Operation(
        lambda node, a: f"CAST(({a[0]} + system.main.to_months(CAST({a[1]} AS INTEGER))) AS DATE)", _months
    ),
    "make_date": Operation(
        "TRY_CAST((CAST({0} AS VARCHAR) || '-' || CAST({1} AS VARCHAR) || '-' || CAST({2} AS VARCHAR)) AS DATE)",
        _make_date,
    ),
    # casts
    "integer_of_double": Operation("TRY_CAST({0} AS BIGINT)", _half_even_bigint),
    "integer_of_boolean": Operation("CAST({0} AS BIGINT)", int),
    "integer_of_fixed": Operation(
        lambda node, a: once(
            a[0],
            f"(2 * v + CASE WHEN v < 0 THEN {-_parts(node)} ELSE {_parts(node)} END) // {2 * _parts(node)}",
        ),
        lambda v, scales: _round_fixed(v, scales[0]),
        scaled=True,
    ),
    "boolean_of_number": Operation("({0} <> 0)", lambda a: a != 0),
    "text_of_integer": Operation("CAST({0} AS VARCHAR)", str),
    "text_of_double": Operation(
        lambda node, a: once(a[0], "CASE WHEN v = 0 THEN '0.0' ELSE CAST(v AS VARCHAR) END"), shown
    ),
    "text_of_boolean": Operation("CAST({0} AS VARCHAR)", lambda a: "true" if a else "false"),
    "text_of_date": Operation("CAST({0} AS VARCHAR)", lambda a: a.isoformat()),
    "integer_of_text": Operation("TRY_CAST({0} AS BIGINT)", _parsed_integer, exact=False),
    "double_of_text": Operation("TRY_CAST({0} AS DOUBLE)", _parsed_double, exact=False),
    "boolean_of_text": Operation("TRY_CAST({0} AS BOOLEAN)", _parsed_boolean, exact=False),
    "date_of_text": Operation("TRY_CAST({0} AS DATE)", _parsed_date, exact=False),
}
"""By the name in `Apply.function`."""


def _inverse(node: Apply) -> float:
    scale = unit(node)
    assert scale is not None
    return float(1 / scale)


def _counted(value: float, scale: Fraction) -> int | None:
    product = value * float(1 / scale)
    if not math.isfinite(product):
        return None
    count = int(half_away(product))
    return count if -(2**63) <= count < 2**63 else None


def _parts(node: Apply) -> int:
    scale = unit(node.args[0])
    assert scale is not None and scale.numerator == 1
    return scale.denominator


def _round_fixed(value: int, scale: Fraction) -> int:
    """Half away from zero, as DECIMAL does."""
    parts = scale.denominator
    return _floor_divide(2 * value + (-parts if value < 0 else parts), 2 * parts)


def evaluate(node: Apply, values: Sequence[Value]) -> Value:
    """The operation's value for these physical arguments."""
    return OPERATIONS[node.function].value(node, values)
