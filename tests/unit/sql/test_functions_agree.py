"""Printed expressions give what the evaluator gives, stay in their domains, and never raise."""

from __future__ import annotations

import math
from typing import Any

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings

from sandbox_guard.sql import operations, printer
from sandbox_guard.sql.relation import Apply, Column, Domain, Expr, Project, Type
from sandbox_guard.sql.walk import nodes
from tests.evaluator import Evaluator
from tests.expressions import ROWS, SCAN, engine, expressions, inside


@pytest.fixture(scope="module")
def duck() -> Any:
    return engine()


def loose(expr: Expr) -> bool:
    """Holds an operation whose last bits Python need not share."""
    return any(isinstance(n, Apply) and not operations.OPERATIONS[n.function].exact for n in nodes(expr))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-11, abs_tol=1e-300)
    return type(a) is type(b) and a == b


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expr=expressions())
def test_expression_agrees_and_stays_in_its_domain(duck: Any, expr: Expr) -> None:
    if expr.domain.type in (Type.INTERVAL, Type.NULL):
        return
    column = Column(99, expr.domain, expr.scale, False)
    sql = printer.print_relation(Project(SCAN, ((column, expr),)))
    got = [row[0] for row in duck.execute(sql).fetchall()]
    evaluator = Evaluator({("ds", "extremes"): ROWS})
    for value in got:
        assert not (isinstance(value, float) and not math.isfinite(value)), sql
        assert inside(value, expr), (value, expr.domain, expr.scale, sql)
    if not loose(expr):
        expected = [evaluator.expr(expr, row) for row in evaluator.rows(SCAN)]
        for value, wanted, row in zip(got, expected, ROWS, strict=True):
            assert same(value, wanted), (value, wanted, row, sql)


def test_domain_check_can_fail() -> None:
    expr = Column(1, Domain(Type.INTEGER, nullable=False))
    assert not inside(None, expr)


def test_case_of_every_character_agrees(duck: Any) -> None:
    """Public keys are made by lower() and upper() in Python, and counted by those of the engine."""
    characters = [chr(i) for i in range(1, 0x110000) if not 0xD800 <= i < 0xE000]
    table = pyarrow.table({"character": characters})
    duck.register("characters", table)
    rows = duck.execute("SELECT character, lower(character), upper(character) FROM characters").fetchall()
    assert [r for r in rows if (operations.lower(r[0]), operations.upper(r[0])) != r[1:]] == []
