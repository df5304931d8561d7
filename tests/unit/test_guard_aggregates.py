"""Aggregates over private rows in the spellings that analysts use."""

from __future__ import annotations

import pytest

from tests.small import City, moved


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(DISTINCT overdue_days), avg(DISTINCT overdue_days) FROM loans",
        "SELECT sum(CASE WHEN defaulted THEN overdue_days END) FROM loans",
        "FROM loans SELECT count(*), count(DISTINCT industry), count_if(rate > 5)",
        "SELECT bool_or(defaulted)::INT, bool_and(defaulted)::INT FROM loans",
    ],
)
def test_is_what_duckdb_gives(small: City, sql: str) -> None:
    (exact,) = small.exact.execute(sql).fetchall()
    (found,) = small.answer(sql)
    assert found == pytest.approx(tuple(float(e) for e in exact), rel=0.02)


def test_a_list_of_fractions_is_a_column_each(small: City) -> None:
    sql = "SELECT quantile_cont(rate, [0.25, 0.5, 0.975]) AS q FROM loans"
    seen = small.bench.ask(sql, epsilon=1e6)
    assert seen.answer is not None
    assert [c["name"] for c in seen.answer["columns"]] == ["q_25", "q_50", "q_97_5"]
    (exact,) = small.exact.execute(sql).fetchall()
    assert [seen.answer["rows"][str(i)][0] for i in range(3)] == pytest.approx(
        [float(e) for e in exact[0]], rel=4e-3
    )


def test_distinct_values_of_one_firm_move_a_sum_by_no_more_than_its_rows() -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": ["Alder", "Birch"][i % 2], "industry": "Energy", "year": 2020,
         "amount": 5_000_000 - (i if i >= 60 else 0), "rate": 40, "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    for sql in (
        "SELECT sum(DISTINCT amount) FROM loans",
        "SELECT district, avg(DISTINCT amount) FROM loans GROUP BY 1",
    ):
        found = moved(sql, {"loans": loans}, 2)
        for measure, l0, l1, l2_squared in found:
            assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared
        assert found[0][2] > 0.99 * found[0][0].l1, "the worst case is reached, so a smaller bound would fail"
