"""PIVOT and UNPIVOT, over private rows and over released tables, against DuckDB's own."""

from __future__ import annotations

import pytest

from tests.small import City


@pytest.mark.parametrize(
    "sql",
    [
        "PIVOT loans ON year IN (2021 AS a, 2022) USING sum(overdue_days) AS s, count(*) AS n GROUP BY district",
        "PIVOT (SELECT district, defaulted FROM loans) ON defaulted IN (true, false) USING count(*) GROUP BY district",
        (
            "PIVOT (SELECT industry, year, count(*) AS n FROM loans GROUP BY industry, year) ON year IN (2021, 2022)"
            " USING first(n) ORDER BY industry"
        ),
        (
            "UNPIVOT (SELECT count(*) FILTER (WHERE defaulted) AS bad, count(*) AS every FROM loans)"
            " ON bad, every INTO NAME outcome VALUE n"
        ),
        (
            "SELECT k, count(*) AS n FROM (UNPIVOT (SELECT firm_id, rate, overdue_days::DECIMAL(9, 3) AS d FROM loans)"
            " ON rate, d INTO NAME k VALUE v) GROUP BY k ORDER BY k"
        ),
    ],
)
def test_is_what_duckdb_gives(small: City, sql: str) -> None:
    seen = small.bench.ask(sql, epsilon=1e6)
    assert seen.answer is not None, (seen.code, seen.message)
    exact = small.exact.execute(sql)
    assert [c["name"] for c in seen.answer["columns"]] == [d[0] for d in exact.description or ()]
    found = list(zip(*(seen.answer["rows"][str(i)] for i in range(len(seen.answer["columns"]))), strict=True))
    for mine, theirs in zip(sorted(found, key=str), sorted(exact.fetchall(), key=str), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a == b or float(a) == pytest.approx(float(b or 0), rel=0.02, abs=120)


def test_values_may_be_left_out_where_policy_lists_them(small: City) -> None:
    answer = small.bench.ask("PIVOT loans ON defaulted USING count(*) GROUP BY district", epsilon=1e6).answer
    assert answer is not None and [c["name"] for c in answer["columns"]] == ["district", "false", "true"]
    assert small.code("PIVOT loans ON loan_id USING count(*) GROUP BY district") == "sql.pivot"


def test_rows_of_single_firms_do_not_leave(small: City) -> None:
    assert small.code("PIVOT loans ON year IN (2021) USING sum(amount)") == "kind.rows_leave"
    assert (
        small.code("UNPIVOT (SELECT rate, amount FROM loans) ON rate, amount INTO NAME k VALUE v")
        == "kind.set_unit"
    )


def test_each_column_twice_counts_twice(small: City) -> None:
    """One firm's 60 rows come back as 120."""
    sql = "SELECT count(*) FROM (UNPIVOT (SELECT firm_id, rate, rate AS again FROM loans) ON rate, again INTO NAME k VALUE v)"
    (measure,) = small.bench.ask(sql, epsilon=1e6).measured
    assert measure.l1 == 120
