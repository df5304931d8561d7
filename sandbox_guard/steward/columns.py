"""How one column of a file becomes one stored column: SQL for its value and for what was wrong with it.

Row by row, a function of the value and of policy alone: what this module drops, clamps or empties can bring
back no other unit's row (DESIGN section 3). The issue found is stored beside each staged value as a
small number, so that one aggregate counts them all.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pyarrow as pa

from sandbox_guard.policy.model import Column, ColumnType
from sandbox_guard.steward.sql import text, texts


def _furthest(column: Column) -> int:
    """Further out is out of bounds, declared or not: a DOUBLE counts steps one by one up to 2^53, and sums
    of integers need some room below 2^63."""
    return 2**62 if column.type is ColumnType.INTEGER else 2**53


class Issue(IntEnum):
    """What may be wrong with one value. Only MALFORMED refuses the load."""

    NONE = 0
    MALFORMED = 1
    """Not of the declared type or format."""
    NOT_FINITE = 2
    """NaN or an infinity."""
    CLAMPED = 3
    """A number out of bounds."""
    OUTSIDE = 4
    """A date out of bounds, or a number with no bounds that no stored integer can hold."""
    DOMAIN = 5
    """Not among the declared values."""
    LENGTH = 6
    """Longer than max_length."""
    MISSING = 7
    """Empty where policy says not nullable."""


@dataclass(frozen=True)
class Staged:
    """One column on its way, as SQL at four levels, each over the names of those before it."""

    read: str
    """The file's value, NULL where it is empty."""
    parsed: str
    """Of the declared type, NULL where it cannot be."""
    issue: str
    """What is wrong with it: an `Issue`."""
    value: str
    """What is stored."""


def stored_type(column: Column) -> str:
    """DuckDB's type of the stored column (ARCHITECTURE, Storage)."""
    match column.type:
        case ColumnType.BOOLEAN:
            return "BOOLEAN"
        case ColumnType.INTEGER | ColumnType.NUMBER:
            return "BIGINT"
        case ColumnType.DATE:
            return "DATE"
        case ColumnType.STRING:
            return f"ENUM({texts(string_values(column))})" if column.values else "VARCHAR"


def string_values(column: Column) -> list[str]:
    """The declared domain of a string column as text, without repetition."""
    return list(dict.fromkeys(str(v) for v in column.values or ()))


def stored_bounds(column: Column) -> tuple[int, int] | None:
    """Bounds of a number in steps, inclusive: the steps that lie within the declared bounds."""
    if column.bounds is None or column.type is ColumnType.DATE:
        return None
    lo, hi = (Fraction(b) / column.fixed_step for b in column.bounds if isinstance(b, Decimal | int))
    return max(math.ceil(lo), -_furthest(column)), min(math.floor(hi), _furthest(column))


def staged(column: Column, n: int, raw: str, arrow: pa.DataType) -> Staged:
    """SQL for the `n`th column, called `raw` in the file and of type `arrow` there. The levels know it as
    `read<n>`, `parsed<n>`, `issue<n>`."""
    read, parsed = f"read{n}", f"parsed{n}"
    native = _native(column.type, arrow)
    match column.type:
        case ColumnType.BOOLEAN:
            core = _boolean(column, read, parsed, native)
        case ColumnType.INTEGER | ColumnType.NUMBER:
            core = _number(column, read, parsed, arrow, native)
        case ColumnType.DATE:
            core = _date(column, read, parsed, native)
        case ColumnType.STRING:
            core = _string(column, read, parsed)
    missing = Issue.NONE if column.nullable else Issue.MISSING
    tests = "".join(f" WHEN {condition} THEN {issue:d}" for condition, issue in core.tests)
    return Staged(
        raw if native else _cleaned(column, raw),
        core.parsed,
        f"CAST(CASE WHEN {read} IS NULL THEN {missing:d}{tests} ELSE {Issue.NONE:d} END AS UTINYINT)",
        f"CASE WHEN {parsed} IS NOT NULL AND issue{n} IN ({Issue.NONE:d}, {Issue.CLAMPED:d}) THEN {core.value} END",
    )


@dataclass(frozen=True)
class _Core:
    parsed: str
    value: str
    """Over `parsed`, where no test but CLAMPED holds."""
    tests: list[tuple[str, Issue]]


def _native(kind: ColumnType, arrow: pa.DataType) -> bool:
    """Does the file hold values of this kind, so that no text needs to be read?"""
    types = pa.types
    match kind:
        case ColumnType.BOOLEAN:
            return bool(types.is_boolean(arrow))
        case ColumnType.INTEGER | ColumnType.NUMBER:
            return bool(types.is_integer(arrow) or types.is_floating(arrow) or types.is_decimal(arrow))
        case ColumnType.DATE:
            return bool(types.is_date(arrow) or (types.is_timestamp(arrow) and arrow.tz is None))
        case ColumnType.STRING:
            return False


_BLANKS = " \t\r\n\u00a0\u3000\ufeff"


def _cleaned(column: Column, raw: str) -> str:
    """Text without surrounding blanks; the declared null values, and nothing at all, are NULL."""
    cleaned = f"trim(CAST({raw} AS VARCHAR), {text(_BLANKS)})"
    nulls = set(column.null_values)
    if column.type is not ColumnType.STRING:
        nulls.add("")
    for null in sorted(nulls):
        cleaned = f"NULLIF({cleaned}, {text(null)})"
    return cleaned


def _boolean(column: Column, read: str, parsed: str, native: bool) -> _Core:
    true, false = texts(column.true_values), texts(column.false_values)
    words = f"CASE WHEN lower({read}) IN ({true}) THEN true WHEN lower({read}) IN ({false}) THEN false END"
    known = f"{parsed} IS NOT NULL"
    if column.values is not None:
        known += f" AND {parsed} IN ({', '.join('true' if v else 'false' for v in column.values)})"
    return _Core(read if native else words, parsed, [(f"NOT ({known})", Issue.DOMAIN)])


def _number(column: Column, read: str, parsed: str, arrow: pa.DataType, native: bool) -> _Core:
    """A count of steps, rounded half away from zero, and only then clamped (10 in steps of 4 is 12).

    Integers are read as integers, so that an id of 18 digits stays itself; what has a fraction is a DOUBLE.
    """
    step = column.fixed_step
    plain = f"replace({read}, ',', '.')" if column.decimal == "," else read
    exact = (
        column.type is ColumnType.INTEGER and step == 1 and (not native or bool(pa.types.is_integer(arrow)))
    )
    if exact:
        digits = f"regexp_full_match({plain}, '[+-]?[0-9]{{1,37}}([.]0*)?')"
        counted = (
            f"CAST({read} AS HUGEINT)"
            if native
            else f"CASE WHEN {digits} THEN CAST(split_part({plain}, '.', 1) AS HUGEINT) END"
        )
        tests = [(f"{parsed} IS NULL", Issue.MALFORMED)]
    else:
        number = f"CAST({read} AS DOUBLE)" if native else f"TRY_CAST({plain} AS DOUBLE)"
        scaled = f"{number} * {step.denominator} / {step.numerator}" if step != 1 else number
        whole = column.type is ColumnType.INTEGER and step == 1
        counted = scaled if whole else f"round({scaled})"
        tests = [(f"{parsed} IS NULL", Issue.MALFORMED), (f"NOT isfinite({parsed})", Issue.NOT_FINITE)]
        if whole:
            tests.append((f"{parsed} <> trunc({parsed})", Issue.MALFORMED))
    if column.values is not None:
        steps = ", ".join(str(round(Fraction(str(v)) / step)) for v in column.values)
        tests.append((f"{parsed} NOT IN ({steps})", Issue.DOMAIN))
    bounds = stored_bounds(column)
    if bounds is None:
        tests.append((f"{parsed} NOT BETWEEN -{_furthest(column)} AND {_furthest(column)}", Issue.OUTSIDE))
        inside = f"CAST({parsed} AS BIGINT)"
    else:
        lo, hi = bounds
        tests.append((f"{parsed} NOT BETWEEN {lo} AND {hi}", Issue.CLAMPED))
        inside = f"CAST(least(greatest({parsed}, {lo}), {hi}) AS BIGINT)"
    return _Core(counted, inside, tests)


def _date(column: Column, read: str, parsed: str, native: bool) -> _Core:
    if native:
        day = f"CAST({read} AS DATE)"
    elif column.format is None:
        day = f"COALESCE(TRY_CAST({read} AS DATE), CAST(TRY_CAST({read} AS TIMESTAMP) AS DATE))"
    else:
        day = f"CAST(TRY_STRPTIME({read}, {text(column.format)}) AS DATE)"
        if column.pivot_year is not None and "%y" in column.format:
            short = f"(year({day}) % 100)"
            century = f"CASE WHEN {short} > {column.pivot_year % 100} THEN 1900 ELSE 2000 END"
            day = f"make_date({century} + {short}, month({day}), day({day}))"
    lo, hi = column.bounds or (dt.date.min, dt.date.max)
    tests = [
        (f"{parsed} IS NULL", Issue.MALFORMED),
        (f"NOT isfinite({parsed})", Issue.NOT_FINITE),
        (f"{parsed} < DATE '{lo}' OR {parsed} > DATE '{hi}'", Issue.OUTSIDE),
    ]
    if column.values is not None:
        days = ", ".join(f"DATE {text(str(v))}" for v in column.values)
        tests.append((f"{parsed} NOT IN ({days})", Issue.DOMAIN))
    return _Core(day, parsed, tests)


def _string(column: Column, read: str, parsed: str) -> _Core:
    tests: list[tuple[str, Issue]] = []
    value = read
    if column.values:
        value = f"TRY_CAST({read} AS {stored_type(column)})"
        tests.append((f"{parsed} IS NULL", Issue.DOMAIN))
    if column.max_length is not None:
        tests.append((f"length({read}) > {column.max_length}", Issue.LENGTH))
    return _Core(value, parsed, tests)
