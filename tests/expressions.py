"""Generated row expressions over a stored table full of extremes, for comparing printer and evaluator."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import duckdb
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.sql import bounds, operations, scalars
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


LITERALS: dict[str, list[Any]] = {
    "integer": [0, 1, -1, 2, 3, 10, 100, 2**31, 2**62, None],
    "number": [
        *(0, 1, -1, 3, 100, Decimal("0.5"), Decimal("1.0"), Decimal("0.01"), Decimal("-2.5")),
        *(Decimal("0.1234"), Decimal("100.0"), 1e6, 1e-3, 1e300, 0.1, None),
    ],
    "text": ["", "a", "Alder", "%a%", "_", "海淀", "2020-01-31", "o'clock", "\n", "v", None],
    "date": [dt.date(2020, 1, 31), dt.date.min, dt.date.max, dt.date(1969, 12, 31), None],
    "truth": [True, False, None],
}
KINDS = {
    "integer": ["small", "wide", "plain"],
    "number": ["small", "wide", "amount", "rate", "lots", "plain", "tiny"],
    "text": ["town", "note"],
    "date": ["day", "anyday"],
    "truth": ["flag"],
}
WORDS = ["day", "week", "month", "quarter", "year"]
PATTERNS = ["%Y", "%Y-%m", "%d.%m.%y", "%B %a %j", "%%"]

N, I, T, D, B = "number", "integer", "text", "date", "truth"
Shape = tuple[str, tuple[Any, ...]]
"""A function and its arguments: kinds, or lists of literals."""

SHAPES: dict[str, list[Shape]] = {
    N: [
        *((f, (N, N)) for f in ("+", "-", "*", "/", "%", "^", "nullif", "coalesce", "greatest", "least")),
        *(
            (f, (N,))
            for f in [
                "neg",
                "abs",
                "floor",
                "ceil",
                "trunc",
                "round",
                "sqrt",
                "exp",
                "ln",
                "log10",
                "log2",
                "sign",
            ]
        ),
        ("round", (N, [-3, -1, 0, 1, 2, 4])),
        ("clamp", (N, [-100, 0, Decimal("0.5")], [1, 7, 10**7])),
    ],
    I: [
        *((f, (I, I)) for f in ("+", "-", "*", "//", "%", "nullif", "coalesce", "least")),
        *((f, (I,)) for f in ("neg", "abs", "sign")),
        *((f, (D,)) for f in sorted(operations.parts())),
        *((f, (D,)) for f in ("dow", "doy")),
        ("-", (D, D)),
        ("date_diff", (WORDS, D, D)),
        ("length", (T,)),
    ],
    T: [
        *((f, (T,)) for f in ("lower", "upper", "trim", "ltrim", "rtrim", "reverse")),
        *((f, (T, T)) for f in ("||", "concat", "coalesce", "nullif", "greatest")),
        ("trim", (T, ["a", "Ar", " _"])),
        ("substring", (T, [1, 2, 9], [0, 1, 3])),
        ("left", (T, [0, 2])),
        ("right", (T, [0, 2])),
        ("replace", (T, ["a", "x_", "中"], ["", "bb"])),
        ("||", (T, N)),
        ("strftime", (D, PATTERNS)),
        ("monthname", (D,)),
        ("dayname", (D,)),
    ],
    D: [
        ("date_trunc", (WORDS, D)),
        ("last_day", (D,)),
        ("+", (D, I)),
        ("-", (D, I)),
        ("make_date", (I, I, I)),
        *((f, (D, D)) for f in ("coalesce", "nullif", "greatest", "least")),
    ],
    B: [
        *((f, (k, k)) for f in ("=", "<>", "<", "<=", ">", ">=") for k in (N, N, T, D, B)),
        *((f, (k, k)) for f in ("is_distinct", "is_not_distinct") for k in (N, T, D)),
        *((f, (k,)) for f in ("is_null", "is_not_null") for k in (N, T, D, B)),
        *((f, (B,)) for f in ("is_true", "is_not_true", "is_false", "is_not_false", "not")),
        *((f, (B, B)) for f in ("and", "or")),
        *((f, (N,)) for f in ("isnan", "isinf", "isfinite")),
        *((f, (T, ["%a%", "a_%", "", "A\\%b", "_"])) for f in ("like", "ilike")),
        *((f, (T, ["", "a", "A", "海"])) for f in ("starts_with", "ends_with", "contains")),
        ("between", (N, N, N)),
    ],
}
CASTS = {
    N: ([N, B, T], [TypeName.DOUBLE, TypeName.DECIMAL, TypeName.FLOAT]),
    I: ([N, B, T], [TypeName.TINYINT, TypeName.INTEGER, TypeName.BIGINT]),
    T: ([N, I, B, D], [TypeName.VARCHAR]),
    D: ([T, D], [TypeName.DATE]),
    B: ([N, T], [TypeName.BOOLEAN]),
}


@st.composite
def expressions(draw: st.DrawFn, kind: str | None = None, depth: int = 3) -> Expr:
    """An expression of one kind, as wide as the table of functions."""
    kind = kind or draw(st.sampled_from(sorted(SHAPES)))
    if depth == 0:
        if draw(st.integers(0, 3)):
            return COLUMNS[draw(st.sampled_from(KINDS[kind]))][0]
        return scalars.constant(draw(st.sampled_from(LITERALS[kind])))

    def below(of: str) -> Expr:
        return draw(expressions(of, depth=draw(st.integers(0, depth - 1))))

    choice = draw(st.integers(0, 11))
    try:
        if choice == 0:
            return scalars.case([(below(B), below(kind))], draw(st.sampled_from([None, below(kind)])))
        if choice == 1 and kind == B:
            of = draw(st.sampled_from([N, I, T, D]))
            items = draw(st.lists(st.sampled_from(LITERALS[of]), min_size=1, max_size=4))
            return scalars.in_values(below(of), [scalars.constant(i) for i in items], draw(st.booleans()))
        if choice == 2:
            sources, targets = CASTS[kind]
            to = draw(st.sampled_from(targets))
            digits = (9, 2) if to is TypeName.DECIMAL else (None, None)
            return scalars.cast(below(draw(st.sampled_from(sources))), to, *digits)
        if choice == 3 and kind == D:
            span = (
                scalars.constant(draw(st.integers(-30, 30))),
                scalars.constant(draw(st.sampled_from(WORDS))),
            )
            return scalars.apply(draw(st.sampled_from("+-")), (below(D), scalars.apply("interval", span)))
        name, wanted = draw(st.sampled_from(SHAPES[kind]))
        args = [
            below(w) if isinstance(w, str) else scalars.constant(draw(st.sampled_from(w))) for w in wanted
        ]
        return scalars.apply(name, args)
    except Refused:
        return below(kind)


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
