"""LATERAL tied on the unit: what each unit's rows are joined with are its own."""

from __future__ import annotations

import pytest

from tests.small import City, moved

TIED = [
    "SELECT count(*) FROM firms f, LATERAL (SELECT sum(amount) AS s FROM loans l WHERE l.firm_id = f.firm_id) t WHERE t.s > 100000",
    "SELECT sum(t.n) FROM firms f CROSS JOIN LATERAL (SELECT count(*) AS n FROM loans l WHERE l.firm_id = f.firm_id) t",
    ("SELECT count(*) FROM firms f LEFT JOIN LATERAL (SELECT max(year) AS y FROM loans l WHERE l.firm_id = f.firm_id) t"
    " ON true WHERE t.y = 2023"),
    ("SELECT count(*) FROM loans a, LATERAL (SELECT count(*) AS n FROM loans b WHERE b.firm_id = a.firm_id AND b.year > a.year)"
    " t WHERE t.n > 1"),
    "SELECT count(*) FROM loans a, LATERAL (SELECT year AS y FROM loans b WHERE b.firm_id = a.firm_id) t WHERE t.y = a.year",
]  # fmt: skip


@pytest.mark.parametrize("sql", TIED)
def test_is_what_duckdb_gives(small: City, sql: str) -> None:
    ((exact,),) = small.exact.execute(sql).fetchall()
    ((found,),) = small.answer(sql)
    assert found == pytest.approx(exact, abs=40)


@pytest.mark.parametrize("sql", TIED)
def test_one_firm_moves_nothing_further_than_declared(sql: str) -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": "Alder", "industry": "Energy", "year": 2018 + i % 8,
         "amount": 9999, "rate": 3, "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    firms = [
        {"firm_id": i, "name": "A", "district": "Alder", "employees": 9, "founded": None, "esg_score": None}
        for i in (1, 2)
    ]
    for measure, l0, l1, l2_squared in moved(sql, {"loans": loans, "firms": firms}, 2):
        assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared


def test_a_value_that_is_one_for_each_row_is_not_one_for_each_unit(small: City) -> None:
    """By `t.n` one firm's rows may fall into as many groups as it has rows."""
    sql = (
        "SELECT t.n, count(DISTINCT a.firm_id) FROM loans a, LATERAL (SELECT count(*) AS n FROM loans b"
        " WHERE b.firm_id = a.firm_id AND b.year > a.year) t GROUP BY t.n"
    )
    assert {m.l1 for m in small.bench.ask(sql, epsilon=1e6).measured} == {60}


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT count(*) FROM firms f, LATERAL (SELECT year FROM loans l) t", "kind.untied_subquery"),
        ("SELECT count(*) FROM firms f, LATERAL (SELECT year FROM loans l WHERE l.district = f.district) t", "kind.untied_subquery"),
        ("SELECT count(*) FROM districts d, LATERAL (SELECT year FROM loans l WHERE l.district = d.district) t", "kind.untied_subquery"),
        ("SELECT count(*) FROM firms f RIGHT JOIN LATERAL (SELECT year FROM loans l WHERE l.firm_id = f.firm_id) t ON true", "kind.join"),
    ],
)  # fmt: skip
def test_what_is_refused(small: City, sql: str, code: str) -> None:
    assert small.code(sql) == code
