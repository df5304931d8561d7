"""No statement reaches the engine before the ledger holds the charge; what reads nothing private costs nothing."""

from __future__ import annotations

import json

import pytest

from sandbox_guard.pricing import Asked
from tests.oracle import Spy
from tests.seam import Bench

QUERIES = [
    "SELECT count(*) FROM loans WHERE year = 2019",
    "SELECT district, sum(amount) FROM loans GROUP BY district",
    "SELECT count(*) FROM loans WHERE amount > (SELECT avg(amount) FROM loans)",
    "SELECT d.region, count(*) FROM districts d LEFT JOIN loans l ON l.district = d.district GROUP BY 1",
]


@pytest.mark.parametrize("sql", QUERIES)
def test_the_charge_comes_first(bench: Bench, sql: str) -> None:
    spy = bench.guard.engine
    assert isinstance(spy, Spy)
    before = bench.ledger.size
    kinds: list[list[str]] = []

    def look(_: str) -> None:
        lines = [json.loads(line) for line in bench.ledger.export()]
        kinds.append([e["kind"] for e in lines if e.get("position", -1) >= before])

    spy.before = look
    try:
        assert bench.ask(sql, epsilon=1.0).status == "answered"
    finally:
        spy.before = lambda _: None
    assert kinds, "nothing was read"
    assert kinds[0] == ["charge"] and all(k == kinds[0] for k in kinds)


@pytest.mark.parametrize("sql", QUERIES)
def test_estimate_and_explain_read_nothing(bench: Bench, sql: str) -> None:
    spy = bench.guard.engine
    assert isinstance(spy, Spy)
    read, size = len(spy.asked), bench.ledger.size
    bench.guard.estimate(Asked(sql, "e", epsilon=1.0))
    bench.guard.explain(Asked(sql, "x", epsilon=1.0))
    assert (len(spy.asked), bench.ledger.size) == (read, size)
