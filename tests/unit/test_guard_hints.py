"""A refusal leads to a query that is accepted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox_guard.errors import Place, Refused
from sandbox_guard.pricing import Asked
from sandbox_guard.sql.suggest import clamped
from tests.small import City, city


@pytest.fixture(scope="module")
def small() -> Iterator[City]:
    with city() as ready:
        yield ready


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
