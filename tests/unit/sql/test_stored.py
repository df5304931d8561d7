"""Units counted by the loader's own columns, and values that are not clamped twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox_guard.policy.model import Policies
from sandbox_guard.pricing import Asked
from sandbox_guard.sql.printer import print_block
from tests.firms import Rows, many, policies
from tests.seam import Bench, bench

LOANS: Rows = many(300)["loans"]


def keyed() -> Policies:
    """The small city with `district` of loans a key column, so that it has a flag."""
    read = policies()
    small = read.datasets["small"]
    loans = small.tables["loans"]
    columns = loans.columns | {"district": loans.columns["district"].model_copy(update={"key": True})}
    tables = {**small.tables, "loans": loans.model_copy(update={"columns": columns})}
    return read.model_copy(
        update={"datasets": {**read.datasets, "small": small.model_copy(update={"tables": tables})}}
    )


@pytest.fixture(scope="module")
def city() -> Iterator[Bench]:
    with bench(keyed(), many(300)) as ready:
        yield ready


def printed(city: Bench, sql: str, rows_per_unit: int | None = None) -> str:
    planned = city.guard.price(Asked(sql, "0" * 16, epsilon=1.0, rows_per_unit=rows_per_unit)).plan
    return print_block(planned.blocks[0])


def measured(city: Bench, sql: str, rows_per_unit: int | None = None) -> dict[str, dict[object, int]]:
    """By kind of measure: the exact integer of each cell that has one."""
    seen = city.ask(sql, epsilon=1.0, rows_per_unit=rows_per_unit)
    assert seen.answer is not None, seen.message
    found: dict[str, dict[object, int]] = {}
    for m in seen.measured:
        cells = {k[0] if k else None: v for k, v in zip(m.keys, m.exact, strict=True) if v}
        found[m.kind] = cells
    return found


def test_units_are_counted_by_rank(city: Bench) -> None:
    sql = "SELECT count(DISTINCT firm_id) FROM loans"
    assert "DISTINCT" not in printed(city, sql)
    assert measured(city, sql)["units"] == {None: len({r["firm_id"] for r in LOANS})}


@pytest.mark.parametrize("rows_per_unit", [None, 1, 2])
def test_units_are_counted_by_flag_whatever_the_cut(city: Bench, rows_per_unit: int | None) -> None:
    sql = "SELECT district, count(DISTINCT firm_id), count(*) FROM loans GROUP BY district"
    text = printed(city, sql, rows_per_unit)
    assert "DISTINCT" not in text
    (scan,) = (t for t in text.split("FROM") if "__first_district" in t and "SELECT" in t)
    assert scan
    flagged = measured(city, sql, rows_per_unit)["units"]
    # The same by a filter that is always true, which no flag answers.
    plain = "SELECT district, count(DISTINCT firm_id) FROM loans WHERE loan_id = loan_id GROUP BY district"
    assert "DISTINCT" in printed(city, plain, rows_per_unit)
    assert flagged == measured(city, plain, rows_per_unit)["units"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(DISTINCT firm_id) FROM loans WHERE defaulted",
        "SELECT count(DISTINCT firm_id) FILTER (WHERE defaulted) FROM loans",
        "SELECT year, count(DISTINCT firm_id) FROM loans GROUP BY year",
        "SELECT district, year, count(DISTINCT firm_id) FROM loans GROUP BY district, year",
        "SELECT upper(district), count(DISTINCT firm_id) FROM loans GROUP BY 1",
        "SELECT count(DISTINCT l.firm_id) FROM loans l JOIN firms f ON l.firm_id = f.firm_id",
        "SELECT count(DISTINCT firm_id) FROM (SELECT * FROM loans UNION ALL SELECT * FROM loans) t",
    ],
)
def test_no_flag_stands_for_a_filtered_or_joined_row(city: Bench, sql: str) -> None:
    assert "count(DISTINCT" in printed(city, sql)


def test_a_stored_column_is_not_clamped_again(city: Bench) -> None:
    assert "COALESCE(system.main.sum((c8))" in printed(
        city, "SELECT sum(overdue_days) FROM loans WHERE year = 2020"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(overdue_days + 1) FROM loans",
        "SELECT sum(abs(overdue_days)) FROM loans",
        "SELECT sum(d) FROM (SELECT firm_id, sum(overdue_days) AS d FROM loans GROUP BY firm_id) t",
    ],
)
def test_what_is_inferred_is_clamped(city: Bench, sql: str) -> None:
    text = printed(city, sql)
    assert text.count("::BIGINT") >= 2 and ("WHEN" in text or "greatest((" in text)
