"""What the table of functions infers, and what it refuses."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.sql import aggregates, bounds, printer, scalars
from sandbox_guard.sql.relation import Column, Constant, Domain, Expr, Ordering, Type
from sandbox_guard.sql.syntax import TypeName

F = Fraction
C = scalars.constant
call = scalars.apply


def number(id: int, lo: int, hi: int, step: Fraction) -> Column:
    return Column(id, Domain(Type.REAL, F(lo), F(hi), step, None, True), step)


AMOUNT = number(1, 0, 5_000_000, F(1, 100))
RATE = number(2, 0, 40, F(1, 1000))
ESG = number(3, 0, 100, F(1, 10))
YEAR = Column(4, Domain(Type.INTEGER, F(2018), F(2025), F(1)))
FOUNDED = Column(5, Domain(Type.DATE, F(-3653), F(19722), F(1)))
TOWN = Column(6, Domain(Type.STRING, values=("Alder", "Birch"), length=5), enum=True)
UNBOUNDED = Column(7, Domain(Type.INTEGER, step=F(1)))
NOTE = Column(8, Domain(Type.STRING, length=3000))


def listed(expr: Expr) -> Any:
    return bounds.listed(expr.domain)


def test_public_keys_are_listed() -> None:
    assert listed(call("year", [FOUNDED])) == tuple(range(1960, 2024))
    assert listed(call("*", [call("floor", [call("/", [ESG, C(10)])]), C(10)])) == tuple(
        float(10 * i) for i in range(11)
    )
    assert listed(call("/", [call("round", [call("*", [RATE, C(2)])]), C(2)])) == tuple(
        i / 2 for i in range(81)
    )
    small = call("<", [AMOUNT, C(1000)])
    assert listed(scalars.case([(small, C("small"))], C("large"))) == ("large", "small")
    assert listed(call("||", [TOWN, C("区")])) == ("Alder区", "Birch区")
    assert len(listed(call("strftime", [FOUNDED, C("%Y-%m")]))) == 64 * 12
    assert listed(call("is_null", [AMOUNT])) == (False, True)
    assert listed(call("%", [call("neg", [YEAR]), C(4)])) == (-3, -2, -1, 0)
    assert listed(call("//", [YEAR, C(10)])) == (201, 202)
    assert listed(AMOUNT) is None


def test_no_else_adds_null() -> None:
    assert scalars.case([(call("<", [YEAR, C(2020)]), C(1))], None).domain.nullable
    assert not scalars.case([(call("<", [YEAR, C(2020)]), C(1))], C(0)).domain.nullable


def test_fixed_point_stays_fixed() -> None:
    product = call("*", [AMOUNT, RATE])
    assert (product.scale, product.domain.hi) == (F(1, 10**5), F(200_000_000))
    assert call("*", [AMOUNT, C(Decimal("0.45"))]).scale == F(1, 10**4)
    assert call("+", [AMOUNT, RATE]).scale == F(1, 1000)
    either = scalars.case([(call("is_true", [C(True)]), AMOUNT)], C(0))
    assert either.scale == F(1, 100)
    assert call("/", [AMOUNT, C(100)]).scale is None
    power = AMOUNT
    for _ in range(4):
        power = call("*", [power, AMOUNT])  # type: ignore[assignment]
    assert power.scale is None


@pytest.mark.parametrize(
    ("symbol", "literal", "expected"),
    [
        ("<", Decimal("0.5"), "(c2 < 500::BIGINT)"),
        ("<", Decimal("0.1234"), "(c2 <= 123::BIGINT)"),
        (">", Decimal("0.1234"), "(c2 >= 124::BIGINT)"),
        ("=", 7, "(c2 = 7000::BIGINT)"),
        (">=", 1e1, "(c2 >= 10000::BIGINT)"),
    ],
)
def test_stored_columns_are_compared_as_stored(symbol: str, literal: Any, expected: str) -> None:
    assert printer.print_expr(call(symbol, [RATE, C(literal)])) == expected
    mirrored = {"<": ">", ">": "<", ">=": "<=", "=": "="}[symbol]
    assert printer.print_expr(call(mirrored, [C(literal), RATE])) == expected


def test_constants_are_folded() -> None:
    assert call("+", [C(1), C(2)]) == C(3)
    assert isinstance(call("/", [C(1), C(0)]), Constant)
    assert call("/", [C(1), C(0)]).domain.nullable
    assert call("and", [C(True), C(None)]).domain.type is Type.BOOLEAN
    assert call("+", [C("2020-01-31"), call("interval", [C(1), C("month")])]) == C(dt.date(2020, 2, 29))


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("sql.function_near", lambda: call("roundd", [AMOUNT])),
        ("sql.function_unknown", lambda: call("zzzzqqq", [AMOUNT])),
        ("sql.nondeterministic", lambda: call("random", [])),
        ("sql.nondeterministic", lambda: call("setseed", [C(0.5)])),
        ("sql.function_closed", lambda: call("repeat", [NOTE, C(10)])),
        ("sql.function_closed", lambda: call("error", [NOTE])),
        ("sql.function_closed", lambda: call("regexp_matches", [NOTE, C("a")])),
        ("sql.types", lambda: call("+", [TOWN, C(1)])),
        ("sql.types", lambda: call("=", [TOWN, C(42)])),
        ("sql.types", lambda: call("and", [YEAR, C(True)])),
        ("sql.types", lambda: call("upper", [call("interval", [C(1), C("day")])])),
        ("sql.types", lambda: scalars.case([(call("<", [YEAR, C(1)]), C(1))], C("x"))),
        ("sql.arguments", lambda: call("abs", [])),
        ("sql.arguments", lambda: call("clamp", [AMOUNT, C(5), C(1)])),
        ("sql.literal", lambda: call("clamp", [AMOUNT, C(5), YEAR])),
        ("sql.literal", lambda: call("like", [TOWN, TOWN])),
        ("sql.literal", lambda: call("round", [AMOUNT, YEAR])),
        ("sql.length", lambda: call("||", [NOTE, NOTE])),
        ("sql.length", lambda: call("replace", [NOTE, C("a"), C("b" * 100)])),
        ("sql.unit", lambda: call("date_trunc", [C("hour"), FOUNDED])),
        ("sql.format", lambda: call("strftime", [FOUNDED, C("%H")])),
        ("sql.cast", lambda: scalars.cast(YEAR, TypeName.DATE)),
        ("sql.date", lambda: call("<", [FOUNDED, C("soon")])),
        ("sql.characters", lambda: C("\ud800")),
        ("sql.number", lambda: C(10**400)),
        ("sql.aggregate_unknown", lambda: aggregates.aggregate("mode", (YEAR,), per_unit=True)),
        ("sql.aggregate_unknown", lambda: aggregates.aggregate("histogram", (YEAR,))),
        ("sql.needs_order", lambda: aggregates.aggregate("first", (YEAR,), per_unit=True)),
        (
            "sql.unbounded",
            lambda: aggregates.aggregate("sum", (call("/", [UNBOUNDED, C(3)]),), per_unit=True),
        ),
        ("sql.literal", lambda: aggregates.window("ntile", (YEAR,), (), (Ordering(YEAR),))),
    ],
)
def test_refusals(code: str, make: Any) -> None:
    with pytest.raises(Refused) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.hint is not None


def test_deep_nesting_stays_small_and_fast() -> None:
    started = time.process_time()
    expr: Expr = AMOUNT
    for _ in range(60):
        expr = call("/", [C(1), expr])
    assert len(printer.print_expr(expr)) < 60 * 300
    chain: Expr = YEAR
    for _ in range(100):
        chain = call("+", [chain, C(1)])
    assert time.process_time() - started < 5
    assert chain.domain.hi == 2125
