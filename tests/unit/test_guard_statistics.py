"""Variances, correlations and regressions from released sums."""

from __future__ import annotations

import pytest

from tests.small import City, moved

ROWS = "FROM (SELECT district, CLAMP(rate, 0, 12) AS r, CLAMP(overdue_days, 0, 300) AS d FROM loans)"


@pytest.mark.parametrize(
    "call",
    [
        *(f"{f}(r)" for f in ("var_pop", "var_samp", "variance", "stddev", "stddev_pop", "stddev_samp")),
        *(f"{f}(d, r)" for f in ("covar_pop", "covar_samp", "corr", "regr_slope", "regr_intercept")),
        *(f"{f}(d, r)" for f in ("regr_count", "regr_avgx", "regr_avgy")),
        "stddev(d) / avg(d) + 0 * sum(d)",
    ],
)
def test_is_what_duckdb_gives(small: City, call: str) -> None:
    sql = f"SELECT {call} {ROWS}"
    exact = float(small.exact.execute(sql).fetchall()[0][0])
    answer = small.bench.ask(sql, epsilon=1e6).answer
    assert answer is not None
    (found,), (low,), (high,) = (answer[part]["0"] for part in ("rows", "low", "high"))
    assert high - low < 0.2 * abs(exact) + 0.02
    assert found == pytest.approx(exact, abs=2 * (high - low) + 1e-9)


def test_every_distinct_sum_is_paid_once(small: City) -> None:
    alone = small.bench.ask(f"SELECT corr(d, r) {ROWS}", epsilon=1.0)
    together = small.bench.ask(
        f"SELECT corr(d, r), regr_slope(d, r), regr_r2(d, r), covar_samp(d, r), regr_count(d, r) {ROWS}",
        epsilon=1.0,
    )
    assert len(alone.measured) == len(together.measured) == 6


def test_too_few_rows_have_no_variance(small: City) -> None:
    assert small.answer("SELECT var_samp(rate) FROM loans WHERE loan_id = -1 AND district IS NULL") == [
        (None,)
    ]


def test_a_range_must_be_known(small: City) -> None:
    assert small.code("SELECT stddev(loan_id) FROM loans") == "bound.unbounded"
    assert small.code("SELECT corr(amount) FROM loans") == "sql.arguments"


def test_one_firm_moves_no_sum_further_than_declared() -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": ["Alder", "Birch"][i % 2], "industry": "Energy", "year": 2020,
         "amount": [0, 5_000_000][i // 60], "rate": 40 * (i // 60), "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    sql = "SELECT district, corr(amount, rate), regr_slope(amount, rate) FROM loans GROUP BY district"
    for measure, l0, l1, l2_squared in moved(sql, {"loans": loans}, 2) + moved(sql, {"loans": loans}, 1):
        assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared
    reached = max(l1 / m.l1 for m, _, l1, _ in moved(sql, {"loans": loans}, 2))
    assert reached > 0.99, "the worst case is reached, so a smaller bound would fail"


def test_a_spread_of_money_in_a_small_table_can_be_paid_for(small: City) -> None:
    """The steps of its squares are not so fine that their noise would pass 64 bits."""
    seen = small.bench.ask("SELECT stddev(amount) FROM loans", epsilon=0.1)
    assert seen.answer is not None, (seen.code, seen.message)
