"""The most work a plan can be: an upper bound on what the engine meets, from policy and SQL alone."""

from __future__ import annotations

import datetime as dt

import pytest

from sandbox_guard.policy.model import Policies
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.planner import plan
from sandbox_guard.sql.printer import print_relation
from sandbox_guard.sql.worst_case import ENDLESS, Work, _Sizes, worst_case
from tests.firms import CAP, many, policies
from tests.seam import bench

FIRMS = 200
ROWS = FIRMS * CAP


def catalogue(rows: int = 5000) -> Catalogue:
    read: Policies = policies(rows=rows)
    return Catalogue.of(read, next(iter(read.projects.values())))


def planned(sql: str, rows: int = 5000) -> Plan:
    return plan(parse(sql, {}), catalogue(rows), today=dt.date(2026, 6, 30))


def work(sql: str, rows: int = 5000) -> Work:
    """Of what reads tables."""
    return worst_case(planned(sql, rows), catalogue(rows))[0]


JOIN = "SELECT count(*) FROM loans a" + "".join(
    f" JOIN loans b{n} ON a.firm_id = b{n}.firm_id" for n in range(5)
)

SOURCES = (
    "SELECT count(*) FROM loans",
    "SELECT count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id",
    "SELECT count(*) FROM loans a JOIN loans b ON a.firm_id = b.firm_id",
    "SELECT count(*) FROM loans a LEFT JOIN loans b ON a.firm_id = b.firm_id AND b.amount > 50000",
    "SELECT count(*) FROM loans a FULL JOIN loans b ON a.firm_id = b.firm_id AND a.amount < b.amount",
    "SELECT count(*) FROM loans l JOIN districts d ON l.district = d.district",
    "SELECT count(*) FROM loans l CROSS JOIN districts d",
    "SELECT count(*) FROM (SELECT firm_id FROM loans UNION ALL SELECT firm_id FROM firms) t",
    "SELECT avg(n) FROM (SELECT firm_id, district, count(*) AS n FROM loans GROUP BY firm_id, district) t",
    "SELECT count(*) FROM (SELECT DISTINCT firm_id, year FROM loans) t JOIN loans l ON t.firm_id = l.firm_id",
    "SELECT count(*) FROM loans a, loans b WHERE a.firm_id = b.firm_id",
    "SELECT count(*) FROM loans a, firms f, districts d WHERE a.firm_id = f.firm_id AND d.district = f.district",
    "SELECT count(*) FROM firms f WHERE EXISTS (SELECT 1 FROM loans l WHERE l.firm_id = f.firm_id)",
)


def test_no_relation_is_larger_than_its_bound() -> None:
    """Every firm holds as many loans as it may, and every cap is met exactly."""
    data = many(FIRMS)
    first = {r["firm_id"]: r for r in data["loans"]}
    data["loans"] = [
        {**row, "loan_id": 10 * i + n} for i, row in enumerate(first.values()) for n in range(CAP)
    ]
    assert len(data["loans"]) == ROWS
    with bench(policies(rows=ROWS), data) as city:
        for sql in SOURCES:
            made = planned(sql, ROWS)
            size, _ = _Sizes(catalogue(ROWS), frozenset()).of(made.blocks[0].source)
            text = f"SELECT count(*) AS n FROM ({print_relation(made.blocks[0].source)}) t"
            assert city.guard.engine.rows(text, 60).column("n").to_pylist()[0] <= size.rows, sql


@pytest.mark.parametrize("sql", SOURCES)
def test_the_bound_is_of_use(sql: str) -> None:
    """Keys and fan-outs are used: nothing here is the product of all tables, but the cross join."""
    size, _ = _Sizes(catalogue(ROWS), frozenset()).of(planned(sql, ROWS).blocks[0].source)
    assert size.rows <= ROWS * (100 if "CROSS" in sql else CAP) + 2 * ROWS


def test_self_joins_grow_with_the_cap_of_a_unit() -> None:
    fewer = work(JOIN.rsplit(" JOIN", 1)[0]).pairs_joined
    assert work(JOIN).pairs_joined > fewer * CAP / 2


def test_an_equality_within_one_side_ties_nothing() -> None:
    tied = "SELECT count(*) FROM loans l JOIN districts d ON l.district = d.district"
    loose = "SELECT count(*) FROM loans l JOIN districts d ON d.region = d.district"
    rows = [
        _Sizes(catalogue(ROWS), frozenset()).of(planned(sql, ROWS).blocks[0].source)[0].rows
        for sql in (tied, loose)
    ]
    assert rows == [ROWS, ROWS * 100]


def test_a_literal_makes_no_difference() -> None:
    """A plan for one firm costs what it costs for any: its loans decide nothing."""
    assert work(JOIN + " WHERE a.firm_id = 42") == work(JOIN + " WHERE a.firm_id = 43")


def test_towers_of_joins_stay_numbers() -> None:
    tower = "SELECT count(*) FROM loans a" + "".join(f" CROSS JOIN districts d{n}" for n in range(40))
    found = work(tower)
    assert found.pairs_joined == found.memory == ENDLESS


def test_released_keys_count_by_what_policy_declares() -> None:
    listed = work("SELECT district, count(*) FROM loans GROUP BY district")
    assert listed.keys_tested == 0 and listed.numbers_noised == 13  # twelve districts and NULL
    found = work("SELECT loan_id, count(*) FROM loans GROUP BY loan_id")
    assert found.keys_tested == 5000
