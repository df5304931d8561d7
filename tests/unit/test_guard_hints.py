"""A refusal leads to a query that is accepted."""

from __future__ import annotations

import pytest

from sandbox_guard.errors import Place, Refused
from sandbox_guard.pricing import Asked
from sandbox_guard.sql.suggest import clamped
from tests.small import City


@pytest.mark.parametrize(
    ("sql", "instead"),
    [
        ("SELECT sum(loan_id) FROM loans", "SELECT sum(CLAMP(loan_id, 0, 1000000)) FROM loans"),
        (
            "SELECT avg(loan_id),\n  corr(loan_id, rate) FROM loans",
            "SELECT avg(CLAMP(loan_id, 0, 1000000)),\n  corr(CLAMP(loan_id, 0, 1000000), rate) FROM loans",
        ),
        ("SELECT sum(DISTINCT loan_id) FROM loans", "SELECT sum(DISTINCT CLAMP(loan_id, 0, 1000000)) FROM loans"),
        (
            "SELECT median(loan_id * length(')')) FROM loans",
            "SELECT median(CLAMP(loan_id * length(')'), 0, 1000000)) FROM loans",
        ),
    ],
)  # fmt: skip
def test_a_range_is_written_out(small: City, sql: str, instead: str) -> None:
    with pytest.raises(Refused) as refused:
        small.bench.guard.price(Asked(sql, "a", rho=0.1))
    assert (refused.value.code, refused.value.instead) == ("bound.unbounded", instead)
    small.bench.guard.price(Asked(instead, "b", rho=0.1))


@pytest.mark.parametrize(
    ("sql", "code", "instead"),
    [
        (
            "SELECT distric, count(*) FROM loans -- distric\nWHERE 'distric' <> industry GROUP BY distric",
            "name.column_near",
            "SELECT district, count(*) FROM loans -- distric\nWHERE 'distric' <> industry GROUP BY district",
        ),
        ("SELECT cont(*) FROM loans", "sql.unsupported", "SELECT count(*) FROM loans"),
        ("SELECT avrg(rate) FROM loans", "sql.function_near", "SELECT avg(rate) FROM loans"),
        ("SELECT count(*) FROM loan", "name.table", "SELECT count(*) FROM loans"),
        (
            "SELECT count(*) FROM loans WHERE district = Alder",
            "name.column",
            "SELECT count(*) FROM loans WHERE district = 'Alder'",
        ),
        (
            'SELECT count(*) FROM loans WHERE district = "Alder"',
            "name.column",
            "SELECT count(*) FROM loans WHERE district = 'Alder'",
        ),
        ("SELECT nothing_like_it, count(*) FROM loans GROUP BY 1", "name.column", None),
        (
            "SELECT district, industry, count(*) FROM loans",
            "sql.not_grouped",
            "SELECT district, industry, count(*) FROM loans\nGROUP BY industry, district",
        ),
        (
            "SELECT district, count(*) AS n FROM loans ORDER BY n;",
            "sql.not_grouped",
            "SELECT district, count(*) AS n FROM loans\nGROUP BY district\nORDER BY n",
        ),
        ("SELECT avg(distric) FROM loans", "name.column_near", None),
        (
            "SELECT district， count(*） FROM loans WHERE district = ‘Alder’ GROUP BY district；",
            "sql.fullwidth",
            "SELECT district, count(*) FROM loans WHERE district = 'Alder' GROUP BY district;",
        ),
        ("SELECT count(*), FROM loans,", "sql.comma", "SELECT count(*), FROM loans"),
        ("SELECT avg(rate AS r FROM loans", "sql.brackets", "SELECT avg(rate) AS r FROM loans"),
        ("SELECT count(*)) FROM loans", "sql.brackets", "SELECT count(*) FROM loans"),
        (
            "SELECT count(*) FROM loans WHERE district = 'Alder",
            "sql.unterminated",
            "SELECT count(*) FROM loans WHERE district = 'Alder'",
        ),
        ("SELECT count(*) FROM loans; SELECT 2", "sql.several", "SELECT count(*) FROM loans"),
        ("EXPLAIN SELECT count(*) FROM loans", "sql.statement", "SELECT count(*) FROM loans"),
        (
            "SELECT count(*) FROM loans TABLESAMPLE 10% WHERE rate > 3",
            "sql.unsupported",
            "SELECT count(*) FROM loans WHERE rate > 3",
        ),
        (
            "SELECT approx_count_distinct(district) FROM loans",
            "sql.function_near",
            "SELECT count(DISTINCT district) FROM loans",
        ),
        (
            "SELECT count(*) FROM firms WHERE founded < now()",
            "sql.now",
            "SELECT count(*) FROM firms WHERE founded < current_date",
        ),
        (
            "SELECT * FROM loans WHERE rate > 3 ORDER BY amount LIMIT 5",
            "kind.limit",
            "SELECT COUNT(*) AS n FROM loans WHERE rate > 3",
        ),
        ("FROM loans", "kind.rows_leave", "SELECT COUNT(*) AS n FROM loans"),
        (
            "SELECT avg(amount) FROM loans l, firms f WHERE rate > 3",
            "kind.untied",
            "SELECT avg(amount) FROM loans l JOIN firms f USING (firm_id) WHERE rate > 3",
        ),
        (
            "SELECT avg(amount) FROM loans JOIN firms AS f ON year = 1 OR rate > 3 WHERE rate > 1",
            "kind.untied",
            "SELECT avg(amount) FROM loans JOIN firms AS f ON loans.firm_id = f.firm_id AND (year = 1 OR rate > 3) WHERE rate > 1",
        ),
        (
            "SELECT avg(amount) FROM loans LEFT JOIN firms USING (district)",
            "kind.untied_outer",
            "SELECT avg(amount) FROM loans LEFT JOIN firms USING (firm_id, district)",
        ),
        (
            "SELECT count(DISTINCT name) FROM firms",
            "name.identifier",
            "SELECT count(DISTINCT firm_id) FROM firms",
        ),
        (
            "SELECT mode(industry) FROM loans WHERE rate > 3",
            "kind.aggregate",
            "SELECT industry, COUNT(*) AS n FROM loans WHERE rate > 3\nGROUP BY industry\nORDER BY n DESC LIMIT 5",
        ),
        ("SELECT d.district, (SELECT amount FROM loans LIMIT 1) FROM districts d", "kind.limit", None),
        ("DELETE FROM loans", "sql.statement", None),
    ],
)
def test_a_slip_is_corrected(small: City, sql: str, code: str, instead: str | None) -> None:
    with pytest.raises(Refused) as refused:
        small.bench.guard.price(Asked(sql, "a", rho=0.1))
    assert (refused.value.code, refused.value.instead) == (code, instead)
    if instead:
        small.bench.guard.price(Asked(instead, "b", rho=0.1))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("district = 'Nowhere'", True),
        ("district <> 'Nowhere'", True),
        ("district IN ('Nowhere')", True),
        ("CASE district WHEN 'Nowhere' THEN true ELSE false END", True),
        ("district IN (NULL, 'Alder')", False),
        ("district = 'Alder'", False),
        ("upper(district) = 'Nowhere'", False),
    ],
)
def test_a_value_that_is_never_there_is_said_with_the_price(small: City, condition: str, said: bool) -> None:
    """It costs what any question costs, and its answer is noise around nothing."""
    plan = small.bench.guard.price(Asked(f"SELECT count(*) FROM loans WHERE {condition}", "a", rho=0.1)).plan
    assert any("district" in note.en and "never holds" in note.en for note in plan.notes) is said


def test_nothing_is_offered_that_would_be_refused(small: City) -> None:
    with pytest.raises(Refused) as refused:
        small.bench.guard.price(Asked("SELECT sum(loan_id), mode(rate) FROM loans", "a", rho=0.1))
    assert refused.value.instead is None


def test_what_is_no_call_is_left_alone() -> None:
    assert clamped("SELECT sum", Place(1, 8)) is None
    assert clamped("SELECT sum(x", Place(1, 8)) is None
    assert clamped("SELECT 1", Place(9, 1)) is None


@pytest.mark.parametrize(
    "call", ["mode(industry)", "histogram(year)", "list(rate)", "string_agg(district, ',')"]
)
def test_counting_stands_in_for_lists(small: City, call: str) -> None:
    with pytest.raises(Refused) as refused:
        small.bench.guard.price(Asked(f"SELECT {call} FROM loans", "a", rho=0.1))
    assert refused.value.code == "kind.aggregate" and refused.value.hint is not None
    assert "GROUP BY x" in refused.value.hint.en
    sql = "SELECT industry AS x, count(*) AS n FROM loans GROUP BY x ORDER BY n DESC LIMIT 5"
    assert len(small.answer(sql)) == 5
