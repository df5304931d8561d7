"""Generated row expressions over a stored table full of extremes, for comparing printer and evaluator."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.sql import bounds, scalars
from sandbox_guard.sql.relation import Column, Domain, Expr, Scan, Type
from sandbox_guard.sql.syntax import TypeName

F = Fraction


def _number(lo: int | None, hi: int | None, step: Fraction, type: Type = Type.REAL) -> Domain:
    return Domain(type, None if lo is None else F(lo), None if hi is None else F(hi), step, None, True)


COLUMNS: dict[str, tuple[Column, str, list[Any]]] = {
    "small": (Column(1, _number(-7, 12, F(1), Type.INTEGER)), "BIGINT", [-7, -1, 0, 1, 3, 10, 12, None]),
    "wide": (
        Column(2, Domain(Type.INTEGER, None, None, F(1), None, True)),
        "BIGINT",
        [-(2**63), 2**63 - 1, 2**62, -(2**31), 0, 1, -1, 7, None],
    ),
    "amount": (
        Column(3, _number(-500, 5_000_000, F(1, 100)), F(1, 100)),
        "BIGINT",
        [-50_000, 500_000_000, 0, 1, -1, 50, 51, 149, 250, 12_345, None],
    ),
    "rate": (
        Column(4, _number(0, 40, F(1, 1000)), F(1, 1000)),
        "BIGINT",
        [0, 1, 500, 1500, 2500, 40_000, None],
    ),
    "lots": (Column(5, _number(-1000, 1000, F(5, 2)), F(5, 2)), "BIGINT", [-400, 400, 0, 1, -1, 3, None]),
    "plain": (Column(6, Domain(Type.INTEGER, F(1), F(9), F(1), None, False)), "BIGINT", [1, 2, 9, 5]),
    "flag": (Column(7, Domain(Type.BOOLEAN, values=(False, True))), "BOOLEAN", [True, False, None]),
    "day": (
        Column(8, Domain(Type.DATE, F(-3652), F(19722), F(1), None, True)),
        "DATE",
        [dt.date(1960, 1, 2), dt.date(2023, 12, 31), dt.date(2020, 2, 29), dt.date(1970, 1, 1), None],
    ),
    "anyday": (
        Column(9, Domain(Type.DATE)),
        "DATE",
        [dt.date.min, dt.date.max, dt.date(2000, 2, 29), dt.date(1899, 12, 31), None],
    ),
    "town": (
        Column(10, Domain(Type.STRING, values=("Alder", "Birch", "海淀"), length=5), enum=True),
        "ENUM('Alder', 'Birch', '海淀')",
        ["Alder", "Birch", "海淀", None],
    ),
    "note": (
        Column(11, Domain(Type.STRING, length=10)),
        "VARCHAR",
        ["", "a", "A%b", " x_ ", "12", "2020-02-29", "true", "o'clock", "中文 abc", None],
    ),
    "tiny": (Column(12, _number(0, 1, F(1, 10**9)), F(1, 10**9)), "BIGINT", [0, 1, 10**9, 999_999_999, None]),
}

SCAN = Scan("ds", "extremes", tuple((column, name) for name, (column, _, _) in COLUMNS.items()))

ROWS = [{name: values[i % len(values)] for name, (_, _, values) in COLUMNS.items()} for i in range(41)] + [
    {name: values[(i * 7 + 3) // 2 % len(values)] for name, (_, _, values) in COLUMNS.items()}
    for i in range(60)
]


def engine() -> duckdb.DuckDBPyConnection:
    """An engine with the table, stored as the loader does."""
    connection = duckdb.connect()
    connection.execute("ATTACH ':memory:' AS ds")
    columns = ", ".join(f'"{name}" {type}' for name, (_, type, _) in COLUMNS.items())
    connection.execute(f"CREATE TABLE ds.main.extremes ({columns})")
    marks = ", ".join("?" * len(COLUMNS))
    connection.executemany(
        f"INSERT INTO ds.main.extremes VALUES ({marks})", [[row[n] for n in COLUMNS] for row in ROWS]
    )
    return connection


LITERALS = [
    *(0, 1, -1, 2, 3, 10, 100, 2**31, 2**62, None, True, False),
    *(Decimal("0.5"), Decimal("1.0"), Decimal("0.01"), Decimal("-2.5"), Decimal("0.1234"), Decimal("100.0")),
    *(1e6, 1e-3, 1e300, 0.1),
    *("", "a", "Alder", "%a%", "_", "海淀", "2020-01-31", "o'clock", "\n"),
    *(dt.date(2020, 1, 31), dt.date.min, dt.date.max),
]
WORDS = ["day", "week", "month", "quarter", "year"]
TYPES = [t for t in TypeName if t not in (TypeName.TIMESTAMP,)]
FUNCTIONS = sorted(set(scalars.FUNCTIONS) - {"interval"})
ARITY = {
    name: (f.least, min(f.most if f.most is not None else 3, 3)) for name, f in scalars.FUNCTIONS.items()
}


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> Expr:
    """Any expression that typing accepts."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        if draw(st.integers(0, 2)):
            return COLUMNS[draw(st.sampled_from(sorted(COLUMNS)))][0]
        return scalars.constant(draw(st.sampled_from(LITERALS)))
    kind = draw(st.integers(0, 11))
    below = expressions(depth=depth - 1)
    try:
        if kind == 0:
            return scalars.case([(draw(below), draw(below))], draw(below))
        if kind == 1:
            items = draw(st.lists(st.sampled_from(LITERALS), min_size=1, max_size=4))
            return scalars.in_values(draw(below), [scalars.constant(i) for i in items], draw(st.booleans()))
        if kind == 2:
            to = draw(st.sampled_from(TYPES))
            return scalars.cast(draw(below), to, *((9, 2) if to is TypeName.DECIMAL else (None, None)))
        if kind == 3:
            word = scalars.constant(draw(st.sampled_from(WORDS)))
            choice = draw(st.integers(0, 2))
            if choice == 0:
                return scalars.apply("date_trunc", (word, draw(below)))
            if choice == 1:
                return scalars.apply("date_diff", (word, draw(below), draw(below)))
            count = scalars.constant(draw(st.integers(-30, 30)))
            return scalars.apply(
                draw(st.sampled_from("+-")), (draw(below), scalars.apply("interval", (count, word)))
            )
        if kind == 4:
            pattern = draw(st.sampled_from(["%Y", "%Y-%m", "%d.%m.%y", "%B %a %j", "%%"]))
            return scalars.apply("strftime", (draw(below), scalars.constant(pattern)))
        if kind == 5:
            ends = sorted(draw(st.lists(st.integers(-100, 10**7), min_size=2, max_size=2)))
            return scalars.apply("clamp", (draw(below), *(scalars.constant(e) for e in ends)))
        if kind == 6:
            return scalars.apply("round", (draw(below), scalars.constant(draw(st.integers(-3, 4)))))
        name = draw(st.sampled_from(FUNCTIONS))
        least, most = ARITY[name]
        args = [draw(below) for _ in range(draw(st.integers(least, most)))]
        return scalars.apply(name, args)
    except Refused:
        return draw(below)


def inside(value: Any, expr: Expr) -> bool:
    """Does a physical value keep what the domain promises?"""
    domain = expr.domain
    if value is None:
        return domain.nullable
    if domain.type is Type.NULL:
        return False
    if domain.type is Type.STRING and domain.length is not None and len(value) > domain.length:
        return False
    if domain.values is not None:
        shown = scalars.logical(value, expr.scale)
        if shown not in domain.values:
            return False
    if domain.type is Type.DATE:
        number: Fraction | float = F(bounds.day(value))
    elif domain.type in (Type.INTEGER, Type.REAL):
        number = value * (expr.scale or F(1)) if isinstance(value, int) else value
    else:
        return True
    lo, hi = domain.lo, domain.hi
    if isinstance(number, float):
        low_enough = lo is None or number >= float(lo)
        high_enough = hi is None or number <= float(hi)
        if not (low_enough and high_enough):
            return False
        if domain.step is not None:
            count = round(F(number) / domain.step)
            return float(count * domain.step) == number
        return True
    if (lo is not None and number < lo) or (hi is not None and number > hi):
        return False
    return domain.step is None or (number / domain.step).denominator == 1
