"""The same question over the same data is the same release, free; another question is not."""

from __future__ import annotations

import pytest

from tests.oracle import Spy
from tests.seam import Bench

SAME = [
    ("SELECT count(*) FROM loans WHERE year = 2020", "select COUNT(*)  from loans where year=2020 -- again"),
    ("SELECT sum(rate) AS a FROM loans", "SELECT sum(rate) AS b FROM loans"),
    (
        "SELECT year, count(*) AS n FROM loans GROUP BY year",
        "SELECT l.year, count(*) AS n FROM loans l GROUP BY 1",
    ),
]
OTHER = [
    ("SELECT count(*) FROM loans WHERE year = 2021", "SELECT count(*) FROM loans WHERE year = 2022"),
    ("SELECT sum(overdue_days) FROM loans", "SELECT sum(overdue_days) FROM loans WHERE defaulted"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_same(bench: Bench, first: str, second: str) -> None:
    spy = bench.guard.engine
    assert isinstance(spy, Spy)
    paid = bench.ask(first, epsilon=2.0)
    read = len(spy.asked)
    again = bench.ask(second, epsilon=2.0)
    assert paid.answer and again.answer and not paid.answer["free"] and again.answer["free"]
    assert not again.charged and len(spy.asked) == read
    assert again.answer["rows"] == paid.answer["rows"]


@pytest.mark.parametrize(("first", "second"), OTHER)
def test_other(bench: Bench, first: str, second: str) -> None:
    assert bench.ask(first, epsilon=2.0).charged
    assert bench.ask(second, epsilon=2.0).charged


def test_another_price_is_another_question(bench: Bench) -> None:
    sql = "SELECT avg(esg_score) FROM firms"
    assert bench.ask(sql, epsilon=2.0).charged
    assert bench.ask(sql, epsilon=2.5).charged
