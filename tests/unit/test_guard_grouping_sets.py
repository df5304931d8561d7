"""ROLLUP, CUBE and GROUPING SETS over private rows."""

from __future__ import annotations

import pytest

from tests.small import City, moved


def compare(small: City, sql: str, tolerance: float) -> None:
    exact = small.exact.execute(sql).fetchall()
    found = small.answer(sql)
    assert len(found) == len(exact)
    for mine, theirs in zip(sorted(found, key=str), sorted(exact, key=str), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=tolerance, abs=1)


KNOWN = "FROM loans WHERE year IS NOT NULL AND district IS NOT NULL"


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT district, year, count(*) AS n {KNOWN} GROUP BY ROLLUP (district, year)",
        (f"SELECT district, defaulted, grouping(district, defaulted) AS g, avg(rate) AS r {KNOWN}"
        " AND defaulted IS NOT NULL GROUP BY CUBE (district, defaulted)"),
        f"SELECT year, sum(overdue_days) + 0.0 AS s {KNOWN} GROUP BY GROUPING SETS ((year), ()) HAVING count(*) > 100",
        ("WITH t AS (SELECT district, year, count(*) AS n FROM loans GROUP BY 1, 2)"
        " SELECT grouping(year) AS g, year, sum(n) AS n FROM t WHERE year IS NOT NULL GROUP BY ROLLUP (year)"),
    ],
)  # fmt: skip
def test_is_what_duckdb_gives(small: City, sql: str) -> None:
    compare(small, sql, 0.2)


def test_sums_and_counts_are_measured_once_at_the_finest_level(small: City) -> None:
    seen = small.bench.ask(
        f"SELECT district, year, avg(rate) {KNOWN} GROUP BY CUBE (district, year)", epsilon=1e6
    )
    assert [(m.kind, len(m.exact)) for m in seen.measured] == [("sum", 96), ("count", 96)]


def test_distinct_counts_and_quantiles_are_measured_at_each_level(small: City) -> None:
    sql = f"SELECT coalesce(district, 'all') AS d, count(DISTINCT firm_id) AS f {KNOWN} GROUP BY ROLLUP (district)"
    compare(small, sql, 0.01)
    seen = small.bench.ask(sql, epsilon=2e6)
    assert [(m.kind, len(m.exact)) for m in seen.measured] == [("units", 12), ("units", 1)]


def test_discovered_keys_are_found_at_each_level(small: City) -> None:
    sql = "SELECT firm_id % 3 AS k, grouping(firm_id % 3) AS g, count(*) AS n FROM loans GROUP BY ROLLUP (k) ORDER BY n DESC LIMIT 1"
    ((k, g, n),) = small.answer(sql)
    assert (k, g) == (None, 1) and abs(n - 4210) <= 2


def test_a_subquery_of_the_filter_is_paid_once(small: City) -> None:
    sql = "SELECT district, count(DISTINCT firm_id) FROM loans WHERE rate > (SELECT avg(rate) FROM loans) GROUP BY ROLLUP (district)"
    kinds = [m.kind for m in small.bench.ask(sql, epsilon=1e6).measured]
    assert sorted(kinds) == ["count", "sum", "units", "units"]


def test_windows_over_levels_that_do_not_add_up_are_refused(small: City) -> None:
    sql = "SELECT district, rank() OVER (ORDER BY count(DISTINCT firm_id)) FROM loans GROUP BY ROLLUP (district)"
    assert small.code(sql) == "sql.grouping_sets"


def test_one_firm_moves_no_level_further_than_declared() -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": ["Alder", "Birch"][i % 2], "industry": "Energy", "year": 2020 + i % 3,
         "amount": 5_000_000, "rate": 3, "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    for measured in ("sum(amount)", "count(DISTINCT firm_id)", "median(rate)"):
        sql = f"SELECT district, {measured} FROM loans GROUP BY ROLLUP (district)"
        for measure, l0, l1, l2_squared in moved(sql, {"loans": loans}, 1):
            assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared
