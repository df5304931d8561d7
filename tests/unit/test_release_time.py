"""Release time and memory follow from policy, SQL and measured rates: what is too dear is refused by them alone."""

from __future__ import annotations

import pytest

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.errors import Refused
from sandbox_guard.privacy.price import Quote
from sandbox_guard.release_time import FLOOR, LONGEST, Costs, calibrated, release_time
from tests.unit.sql.test_worst_case import JOIN, catalogue, planned

CAPPED = 50_000


@pytest.fixture(scope="module")
def costs() -> Costs:
    return calibrated(Limits())


def due(sql: str, costs: Costs, rows: int = CAPPED) -> float:
    return release_time(planned(sql, rows), Quote(()), catalogue(rows), costs)


def test_rates_are_positive_and_a_large_hash_table_costs_more_than_reading(costs: Costs) -> None:
    engine = costs.engine
    assert min(vars(engine).values()) > 0
    assert min(costs.number_noised, costs.key_tested, costs.bin_scored) > 0
    assert engine.rows_hashed > engine.values_read


def test_no_answer_leaves_before_the_floor(costs: Costs) -> None:
    assert FLOOR <= due("SELECT count(*) FROM loans", costs) < LONGEST


def test_the_time_grows_with_the_cap_not_with_the_rows(costs: Costs) -> None:
    sql = "SELECT avg(n) FROM (SELECT firm_id, count(*) AS n FROM loans GROUP BY firm_id) t"
    assert due(sql, costs, 10**6) > due(sql, costs, 10**4)


@pytest.mark.parametrize("firm", [42, 43])
def test_a_tower_of_self_joins_is_refused_for_every_firm(costs: Costs, firm: int) -> None:
    """0.005 s with one loan, seconds with fifty: its worst case is over the limit whoever is asked for."""
    tower = JOIN + "".join(f" JOIN loans c{n} ON a.firm_id = c{n}.firm_id" for n in range(6))
    with pytest.raises(Refused) as refused:
        due(f"{tower} WHERE a.firm_id = {firm}", costs)
    assert refused.value.code in ("ask.too_long", "ask.too_large")


def test_what_needs_more_memory_than_there_is_is_refused(costs: Costs) -> None:
    with pytest.raises(Refused) as refused:
        due("SELECT count(DISTINCT (loan_id, amount)) FROM loans", costs, 10**8)
    assert refused.value.code == "ask.too_large"


def test_what_takes_too_long_is_refused(costs: Costs) -> None:
    sql = "SELECT avg(n) FROM (SELECT firm_id, count(*) AS n FROM loans GROUP BY firm_id) t"
    with pytest.raises(Refused) as refused:
        release_time(planned(sql, 10**6), Quote(()), catalogue(10**6), costs, longest=FLOOR / 2)
    assert refused.value.code == "ask.too_long"
