"""What goes wrong in the engine is one constant message: no text of the engine's, whatever failed."""

from __future__ import annotations

import json

import pytest

from tests.oracle import Spy
from tests.seam import Bench

BROKEN = {
    "a cast": "SELECT CAST('Firm 00042' AS BIGINT) AS m0",
    "a table": "SELECT amount FROM small.main.nothing",
    "an error": "SELECT error(CAST(max(amount) AS VARCHAR)) AS m0 FROM small.main.loans",
    "an overflow": "SELECT CAST(9223372036854775807 AS BIGINT) + max(firm_id) AS m0 FROM small.main.loans",
    "a parse": "SELEC",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_fault_says_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The engine fails for real, on the statement that the test puts in the place of ours."""
    spy = bench.guard.engine
    assert isinstance(spy, Spy)
    real = spy.engine.rows
    monkeypatch.setattr(spy.engine, "rows", lambda _, timeout: real(BROKEN[name], timeout))
    year = 2018 + list(BROKEN).index(name)
    seen = bench.ask(f"SELECT count(*), sum(rate) FROM loans WHERE year = {year}", epsilon=3.0)
    assert seen.status == "fault" and seen.answer is None
    assert [e["kind"] for e in seen.entries] == ["charge", "fault"]
    told = json.dumps([seen.message, seen.entries[-1]], ensure_ascii=False)
    for word in ("Error", "duckdb", "00042", "small.main", "overflow", "SELEC", "m0"):
        assert word not in told
    assert (
        seen.message == bench.ask(f"SELECT count(*) FROM firms WHERE employees = {year}", epsilon=3.0).message
    )
