"""The 95 % intervals hold the exact value about 95 times in 100: for counts and sums, whose noise is known,
and for averages and ratios, whose intervals are simulated around released values.

Every ask is a draw of its own (a hair's breadth apart in price). The exact value is the same question's
at epsilon 1e6.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.corpus.make_small import build
from tests.seam import Bench, bench

POLICIES = Path(__file__).parents[1] / "data/small/policies"

QUESTION = """
    SELECT district, count(*) AS n, sum(overdue_days) AS days, avg(overdue_days) AS mean,
           count(*) FILTER (WHERE defaulted) / count(*) AS rate
    FROM loans WHERE district IS NOT NULL AND overdue_days IS NOT NULL GROUP BY district
"""
COLUMNS = ("n", "days", "mean", "rate")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("intervals")
    connection = duckdb.connect()
    build(connection, csv_dir=str(folder))
    connection.close()
    with bench(POLICIES, {t: folder / f"{t}.csv" for t in ("loans", "firms", "districts")}) as ready:
        yield ready


def _covered(city: Bench, asks: int, rho: float) -> dict[str, float]:
    """By column, the part of all intervals that hold the exact value."""
    best = city.ask(QUESTION, epsilon=1e6).answer
    assert best is not None
    inside = dict.fromkeys(COLUMNS, 0)
    cells = 0
    for ask in range(asks):
        seen = city.ask(QUESTION, rho=rho + ask * 1e-7).answer
        assert seen is not None
        cells += seen["shape"][0]
        for position, name in enumerate(COLUMNS, start=1):
            at = str(position)
            triples = zip(seen["low"][at], best["rows"][at], seen["high"][at], strict=True)
            inside[name] += sum(low is not None and low <= exact <= high for low, exact, high in triples)
    return {name: hits / cells for name, hits in inside.items()}


def test_intervals_hold_95_times_in_100(city: Bench) -> None:
    """100 asks, 12 districts: 1,200 intervals a column, of which 60 miss: 109 do once in 10^8 runs, 17 once in 10^10.
    Half-widths a fifth too narrow, or a third too wide, are seen."""
    for name, part in _covered(city, 100, rho=8.0).items():
        assert 0.91 <= part <= 0.985, (name, part)


@pytest.mark.long
def test_intervals_hold_within_two_points_over_a_thousand_asks(city: Bench) -> None:
    for name, part in _covered(city, 1000, rho=8.0).items():
        assert 0.93 <= part <= 0.97, (name, part)
