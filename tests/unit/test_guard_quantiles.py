"""Medians, quantiles, MIN and MAX, chosen among public bins."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_guard.pricing import Asked
from sandbox_guard.privacy import measurements
from sandbox_guard.privacy.quantile import Quantile
from tests.small import City, moved


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT median(amount) FROM loans",
        "SELECT median(amount) FROM loans WHERE year = 2021",
        "SELECT quantile_disc(overdue_days, 0.95) FROM loans WHERE overdue_days > 0",
        "SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY rate) FROM loans",
        "SELECT median(employees) FROM firms",
        "SELECT -median(-amount) FROM loans",
        "SELECT median(amount) FILTER (WHERE defaulted) FROM loans",
    ],
)
def test_is_what_duckdb_gives(small: City, sql: str) -> None:
    exact = float(small.exact.execute(sql).fetchall()[0][0])
    assert small.answer(sql) == [(pytest.approx(exact, rel=4e-3),)]


def test_is_within_a_thousandth_at_the_middle(small: City) -> None:
    exact = float(small.exact.execute("SELECT median(amount) FROM loans").fetchall()[0][0])
    assert small.answer("SELECT median(amount) FROM loans") == [(pytest.approx(exact, rel=1e-3),)]


def test_by_group_with_other_measures_and_through_ctes(small: City) -> None:
    sql = "SELECT district, count(*), median(rate) FROM loans WHERE district IS NOT NULL GROUP BY district ORDER BY 1"
    exact = small.exact.execute(sql).fetchall()
    for mine, theirs in zip(small.answer(sql), exact, strict=True):
        assert mine == (theirs[0], theirs[1], pytest.approx(float(theirs[2]), rel=0.02))
    wrapped = f"WITH m AS ({sql.replace('median(rate)', 'median(rate) AS m')}) SELECT max(m) FROM m"
    assert small.answer(wrapped)[0][0] == pytest.approx(max(float(r[2]) for r in exact), rel=0.02)


def test_the_interval_comes_from_the_mechanism(small: City) -> None:
    def ask(epsilon: float) -> dict[str, Any]:
        seen = small.bench.ask("SELECT median(amount) AS m FROM loans", epsilon=epsilon)
        assert seen.answer is not None
        return seen.answer

    sharp, blunt = ask(1e5), ask(3.0)
    assert sharp["interval"] == "exact"
    for answer in (sharp, blunt):
        (low,), (at,), (high,) = (answer[k]["0"] for k in ("low", "rows", "high"))
        assert 0 <= low <= at <= high <= 5_000_000
    assert blunt["high"]["0"][0] - blunt["low"]["0"][0] > 10 * (sharp["high"]["0"][0] - sharp["low"]["0"][0])


def test_what_is_computed_from_a_quantile_has_an_interval(small: City) -> None:
    answer = small.bench.ask("SELECT 2 * median(amount) AS m, median(rate) FROM loans", epsilon=100.0).answer
    assert answer is not None and answer["interval"] == "simulated"
    assert answer["low"]["0"][0] < answer["rows"]["0"][0] < answer["high"]["0"][0]


def test_the_least_and_the_greatest_say_what_they_are(small: City) -> None:
    answer = small.bench.ask("SELECT min(employees), max(employees) FROM firms", epsilon=1e6).answer
    assert answer is not None
    notes = " ".join(n["en"] for n in answer["notes"])
    assert "0.5% quantile" in notes and "99.5% quantile" in notes
    (found,) = small.exact.execute("SELECT quantile_disc(employees, 0.995) FROM firms").fetchall()
    assert answer["rows"]["1"] == [pytest.approx(found[0], rel=0.05)]


def test_dates_have_medians(small: City) -> None:
    (exact,) = small.exact.execute("SELECT quantile_disc(founded, 0.5) FROM firms").fetchall()
    ((found,),) = small.answer("SELECT median(founded) FROM firms")
    assert found[:4] == str(exact[0].year)


def test_each_fraction_is_paid_and_a_margin_cannot_name_one(small: City) -> None:
    guard = small.bench.guard
    one = guard.price(Asked("SELECT median(amount) FROM loans", "a", rho=0.01))
    two = guard.price(Asked("SELECT median(amount), quantile_cont(amount, 0.9) FROM loans", "b", rho=0.01))
    assert len(one.plan.blocks[0].measures) == 1 and len(two.plan.blocks[0].measures) == 2
    for priced in (one, two):
        (block,) = priced.quote.blocks
        costs = [m.cost.rho for m in block.measures if isinstance(m, Quantile)]
        least = [
            3 * float(measurements.noisy_min(m.choice.scale).map(60 * m.choice.weight))
            for m in block.measures
            if isinstance(m, Quantile)
        ]
        assert block.cost.rho == sum(costs) and len(costs) == len(block.measures)
        spent = sum(least)
        assert block.cost.rho / 1e9 >= spent
    assert (
        small.bench.ask("SELECT median(amount) AS m FROM loans", margin={"m": 1000}).code
        == "ask.margin_column"
    )
    assert (
        small.bench.ask("SELECT median(amount) FROM loans", epsilon=1.0, pure=True).code
        == "ask.pure_quantile"
    )
    assert guard.estimate(Asked("SELECT median(amount) FROM loans", "c", rho=0.01))["columns"][0]["why"]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT median(loan_id) FROM loans", "bound.unbounded"),
        ("SELECT quantile_cont(amount, rate) FROM loans", "sql.literal"),
        ("SELECT quantile_cont(amount, 1.5) FROM loans", "sql.literal"),
        ("SELECT max(industry) FROM loans", "kind.aggregate"),
    ],
)
def test_what_is_refused(small: City, sql: str, code: str) -> None:
    assert small.code(sql) == code


def test_one_firm_moves_the_histogram_by_its_own_rows_only() -> None:
    loans = [
        {"firm_id": 1 + i // 60, "loan_id": i, "district": ["Alder", "Birch"][i % 2], "industry": "Energy", "year": 2020,
         "amount": 7 if i < 60 else 999 * i, "rate": 3, "overdue_days": 365, "defaulted": True}
        for i in range(120)
    ]  # fmt: skip
    sql = "SELECT median(amount), quantile_disc(overdue_days, 0.9) FROM loans"
    for firm in (1, 2):
        found = moved(sql, {"loans": loans}, firm)
        assert {m.kind for m, *_ in found} == {"quantile", "histogram"}
        for measure, l0, l1, l2_squared in found:
            assert l0 <= measure.l0 and l1 <= measure.l1 and l2_squared <= measure.l2_squared
        assert max(l2_squared / m.l2_squared for m, _, _, l2_squared in found) == 1, (
            "a smaller bound would fail"
        )


@pytest.mark.parametrize(
    "key", ["(ln(rate + 1) - 1.7) * overdue_days", "(1.7 - ln(rate + 1)) * overdue_days"]
)
def test_a_group_of_zeros_of_either_sign_has_none(small: City, key: str) -> None:
    """The engine shows the zero that it met first, which tells of a row; and a bin's may be the other."""
    sql = f"SELECT {key} AS k, count(*), median(amount) FROM loans GROUP BY k"
    (exact,) = (row for row in small.exact.execute(sql).fetchall() if row[0] == 0)
    assert [(str(k), n, m) for k, n, m in small.answer(sql)] == [
        ("0.0", exact[1], pytest.approx(float(exact[2]), rel=0.02))
    ]
