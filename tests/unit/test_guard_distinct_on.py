"""DISTINCT ON, and windows that keep some rows of each unit: what they say of a unit's contribution."""

from __future__ import annotations

import pytest

from tests.small import City, moved

LATEST = "SELECT DISTINCT ON (firm_id) firm_id, year FROM loans ORDER BY firm_id, loan_id"
KEPT = [
    (f"SELECT year, count(*) FROM ({LATEST}) GROUP BY year", 1),
    ("SELECT count(*) FROM (SELECT * FROM loans QUALIFY row_number() OVER (PARTITION BY firm_id ORDER BY year DESC) <= 3)", 3),
    ("SELECT count(*) FROM (SELECT firm_id, row_number() OVER (PARTITION BY firm_id ORDER BY rate) AS r FROM loans) WHERE r = 1", 1),
    ("SELECT count(*) FROM (SELECT firm_id, row_number() OVER (PARTITION BY firm_id, year ORDER BY rate) AS r FROM loans) WHERE r = 1", 60),
    (f"SELECT count(*) FROM loans l LEFT JOIN ({LATEST}) t USING (firm_id) WHERE t.year = 2020", 60),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "rows"), KEPT)
def test_is_what_duckdb_gives_with_the_noise_of_the_rows_kept(small: City, sql: str, rows: int) -> None:
    found = sorted(r for r in small.answer(sql) if r[0] is not None)
    exact = sorted(r for r in small.exact.execute(sql).fetchall() if r[0] is not None)
    for mine, theirs in zip(found, exact, strict=True):
        assert mine == pytest.approx(theirs, abs=3)
    (measure,) = small.bench.ask(sql, epsilon=2e6).measured
    assert measure.l1 == rows


@pytest.mark.parametrize(("sql", "rows"), KEPT)
def test_one_firm_moves_no_more_than_that(sql: str, rows: int) -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": "Alder", "industry": "Energy", "year": 2020 if i % 60 < 2 else 2018 + i % 8,
         "amount": 9999, "rate": i % 2, "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    for measure, l0, l1, l2_squared in moved(sql, {"loans": loans}, 2):
        assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared


def test_over_released_rows_too(small: City) -> None:
    sql = "SELECT DISTINCT ON (year) year, district, count(*) AS n FROM loans WHERE year > 2019 GROUP BY ALL ORDER BY year, n DESC"
    assert [r[:2] for r in small.answer(sql)] == [r[:2] for r in small.exact.execute(sql).fetchall()]


def test_rows_of_several_firms_are_not_compared(small: City) -> None:
    assert (
        small.code("SELECT count(*) FROM (SELECT DISTINCT ON (district) rate FROM loans ORDER BY rate)")
        == "kind.window"
    )
