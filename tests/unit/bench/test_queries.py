"""The benchmark measures what it says, on data small enough for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.profile import page, profiled
from bench.queries import NotAnswered, Result, Stand, measured, stand
from bench.workloads import WORKLOADS, Workload

LOANS = 20_000


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    ledger = tmp_path_factory.mktemp("ledger")
    with stand(tmp_path_factory.mktemp("home"), LOANS, ledger, threads=1) as made:
        yield made


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_every_workload_is_answered_and_compared(ready: Stand, workload: Workload) -> None:
    found = measured(ready, workload, runs=2)
    assert isinstance(found, Result), found
    assert 0 < found.ratio.low <= found.ratio.median <= found.ratio.high
    assert found.ours.median < 60 and sum(found.stages.values()) > 0
    assert found.worker_mebibytes > 10
    asked = len(ready.raw.sql(workload.plain).columns)
    assert len(found.errors) == asked - workload.keys


def test_bias_is_told_from_noise(ready: Stand) -> None:
    count, clamped = (w for w in WORKLOADS if w.name in ("W1", "W3"))
    whole = measured(ready, count, runs=1)
    cut = measured(ready, count, runs=1, rows_per_unit=1)
    money = measured(ready, clamped, runs=1)
    assert isinstance(whole, Result) and isinstance(cut, Result) and isinstance(money, Result)
    assert whole.errors[0].bias == 0
    assert cut.errors[0].bias > 0.5 > cut.errors[0].noise
    assert money.errors[0].bias > 0.05  # amounts above the clamp


def test_a_profile_says_whose_time_it_is(ready: Stand) -> None:
    found = profiled(ready, WORKLOADS[0], runs=3)
    libraries = dict(found.libraries)
    assert found.milliseconds > 0 and {"sqlalchemy", "opendp"} <= libraries.keys()
    assert any(name.startswith("sandbox_guard.") for name in libraries)
    assert 0.5 < sum(libraries.values()) <= 1 and all(share > 0 for _, share in found.functions)
    assert "| W1 | count |" in page([found], LOANS)


def test_what_is_refused_says_why(ready: Stand) -> None:
    rows = Workload("X", "rows", "SELECT amount FROM loans", "SELECT 1", "SELECT 1")
    found = measured(ready, rows, runs=1)
    assert isinstance(found, NotAnswered) and found.why
