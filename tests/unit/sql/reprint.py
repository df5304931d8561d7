"""A printer for our tree with brackets around everything: for comparing our reading with DuckDB's."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sandbox_guard.sql import syntax

_INFIX = {"+", "-", "*", "/", "//", "%", "^", "=", "<>", "<", "<=", ">", ">=", "||", "and", "or"}
_POSTFIX = {"is_null": "IS NULL", "is_true": "IS TRUE", "is_false": "IS FALSE"}
_BETWEEN = {"is_distinct": "IS DISTINCT FROM", "is_not_distinct": "IS NOT DISTINCT FROM"}


def reprint(expr: syntax.Expr) -> str:
    match expr:
        case syntax.Name(parts):
            return ".".join(f'"{part}"' for part in parts)
        case syntax.Literal(value):
            return _literal(value)
        case syntax.Call("like" | "ilike" as like, (x, y, *escape)):
            tail = f" ESCAPE {reprint(escape[0])}" if escape else ""
            return f"({reprint(x)} {like} {reprint(y)}{tail})"
        case syntax.Call("between", (x, low, high)):
            return f"({reprint(x)} BETWEEN {reprint(low)} AND {reprint(high)})"
        case syntax.Call("not", (x,)):
            return f"(NOT {reprint(x)})"
        case syntax.Call("neg", (x,)):
            return f"(-({reprint(x)}))"
        case syntax.Call("interval", (x, syntax.Literal(unit))):
            return f"(INTERVAL ({reprint(x)}) {unit})"
        case syntax.Call(function, (x, y)) if function in _INFIX:
            return f"({reprint(x)} {function} {reprint(y)})"
        case syntax.Call(function, (x, y)) if function in _BETWEEN:
            return f"({reprint(x)} {_BETWEEN[function]} {reprint(y)})"
        case syntax.Call(function, (x,)) if function in _POSTFIX:
            return f"({reprint(x)} {_POSTFIX[function]})"
        case syntax.Call("list", args):
            return f"[{', '.join(map(reprint, args))}]"
        case syntax.Call(function, args):
            return f"{function}({', '.join(map(reprint, args))})"
        case syntax.Case(operand, whens, otherwise):
            arms = " ".join(f"WHEN {reprint(when)} THEN {reprint(then)}" for when, then in whens)
            start = f" {reprint(operand)}" if operand is not None else ""
            end = f" ELSE {reprint(otherwise)}" if otherwise is not None else ""
            return f"(CASE{start} {arms}{end} END)"
        case syntax.Cast(operand, to, precision, scale):
            size = f"({precision}, {scale})" if precision is not None else ""
            return f"CAST({reprint(operand)} AS {to}{size})"
        case syntax.In(operand, items, negated) if isinstance(items, tuple):
            return f"({reprint(operand)} {'NOT ' if negated else ''}IN ({', '.join(map(reprint, items))}))"
        case syntax.Row(items):
            return f"({', '.join(map(reprint, items))})"
    raise AssertionError(expr)


def _literal(value: syntax.Scalar_) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper()
        case str():
            return "'" + value.replace("'", "''") + "'"
        case dt.datetime():
            return f"TIMESTAMP '{value}'"
        case dt.date():
            return f"DATE '{value}'"
        case float():
            return f"({value!r}::DOUBLE)"
        case Decimal():
            return f"({value})"
        case _:
            return f"({value})"
