"""What an expression on known columns is worth: for narrowing listed keys by a WHERE, without data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from fractions import Fraction

from sandbox_guard.sql import bounds, functions, operations
from sandbox_guard.sql.operations import Value
from sandbox_guard.sql.relation import (
    Apply,
    CaseOf,
    Column,
    Constant,
    Expr,
    InValues,
    Scalar,
)


class Unknown(Exception):
    """The expression holds something whose value takes data, or that Python gives otherwise."""


def evaluate(expr: Expr, row: Mapping[int, Scalar]) -> Value:
    """The physical value for a row of logical column values. Raises `Unknown`."""
    match expr:
        case Column(id=number, scale=scale):
            if number not in row:
                raise Unknown
            return functions.physical(row[number], scale)
        case Constant(value=value, scale=scale):
            return functions.physical(value, scale)
        case Apply(function=function, args=args):
            if not operations.OPERATIONS[function].exact:
                raise Unknown
            return operations.evaluate(expr, [evaluate(a, row) for a in args])
        case CaseOf(whens=whens, otherwise=otherwise):
            for condition, result in whens:
                if evaluate(condition, row) is True:
                    return evaluate(result, row)
            return None if otherwise is None else evaluate(otherwise, row)
        case InValues(operand=operand, values=values, negated=negated):
            found = evaluate(operand, row)
            if found is None:
                return None
            among = any(evaluate(v, row) == found for v in values)
            return among is not negated
    raise Unknown


def holds(condition: Expr, column: int, value: Scalar) -> bool:
    """May a row with this value pass the condition on that column alone?"""
    try:
        return evaluate(condition, {column: value}) is True
    except Unknown:
        return True


def number(value: Scalar) -> Fraction | None:
    """Where a value lies in its domain's bounds: numbers as they are, dates in days."""
    if isinstance(value, dt.date):
        return Fraction(bounds.day(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return bounds.exact(value)
