"""A steward's own file, real and dirty: 22,427 loans guaranteed by the US Small Business Administration.

Loaded by the product's loader, asked through the whole path at the demo project's whole budget (rho 1).
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.seam import Bench, bench

ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "tests/data/sba/policies"
WHOLE_BUDGET = 1.0


def _file() -> Path:
    given = os.environ.get("SANDBOX_GUARD_SBA")
    place = Path(given) if given else ROOT.parent / "shared/data/sba_loans.csv"
    if not place.exists():
        required = "sba" in os.environ.get("SANDBOX_GUARD_REQUIRE", "").split(",")
        (pytest.fail if required else pytest.skip)("the SBA file is not here (SANDBOX_GUARD_SBA)")
    return place


@pytest.fixture(scope="module")
def loans() -> Iterator[Bench]:
    with bench(POLICIES, {"sba_loan": _file()}) as ready:
        yield ready


def _exact(by: str) -> dict[str, tuple[int, int]]:
    """Loans and charge-offs by key, of the file as the policy loads it: at most 4 of a borrower."""
    seen: dict[str, int] = defaultdict(int)
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    with _file().open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            seen[row["Name"]] += 1
            if row["MIS_Status"] in ("P I F", "CHGOFF"):
                found[row[by]][0] += 1
                found[row[by]][1] += row["MIS_Status"] == "CHGOFF"
    return {k: (n, d) for k, (n, d) in found.items()}


def _columns(answer: dict[str, Any]) -> dict[str, list[Any]]:
    return {c["name"]: answer["rows"][str(i)] for i, c in enumerate(answer["columns"])}


def _interval(answer: dict[str, Any], name: str) -> list[tuple[float | None, float | None]]:
    index = str([c["name"] for c in answer["columns"]].index(name))
    return list(zip(answer["low"][index], answer["high"][index], strict=True))


RATE = """
    SELECT {key}, count(*) AS loans, avg(CASE WHEN MIS_Status = 'CHGOFF' THEN 1 ELSE 0 END) AS default_rate
    FROM sba_loan WHERE MIS_Status IS NOT NULL GROUP BY {key}
"""


def test_default_rate_by_state_lies_in_its_interval(loans: Bench) -> None:
    """Asked five times over (a hair's breadth apart in price, so that each is a draw of its own): of 255 intervals that
    hold with 95 %, fewer than 85 % do once in a thousand million runs."""
    exact = _exact("State")
    inside, states = 0, 0
    for ask in range(5):
        seen = loans.ask(RATE.format(key="State"), rho=WHOLE_BUDGET - ask * 1e-6)
        assert seen.answer is not None, seen.message
        columns = _columns(seen.answer)
        intervals = _interval(seen.answer, "default_rate")
        assert set(exact) <= set(columns["State"])
        for state, rate, (low, high) in zip(
            columns["State"], columns["default_rate"], intervals, strict=True
        ):
            if state not in exact:
                continue
            states += 1
            n, defaults = exact[state]
            if low is None or high is None:
                continue
            inside += low <= defaults / n <= high
            if n > 500:
                assert (high - low) / 2 <= 0.05, (state, n, rate, low, high)
    assert inside >= 0.85 * states, f"{inside} of {states}"


def test_average_loan_by_fiscal_year_is_near(loans: Bench) -> None:
    """Five times over too: of 55 intervals that hold with 95 %, fewer than 70 % do once in a thousand million runs."""
    exact: dict[int, list[int]] = defaultdict(list)
    with _file().open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            exact[int(row["ApprovalFY"])].append(min(int(row["GrAppv"]), 1_000_000))
    inside, years = 0, 0
    for ask in range(5):
        seen = loans.ask(
            "SELECT ApprovalFY, count(*) AS loans, avg(LEAST(GrAppv, 1000000)) AS average_loan"
            " FROM sba_loan WHERE ApprovalFY BETWEEN 1980 AND 2006 GROUP BY ApprovalFY ORDER BY ApprovalFY",
            rho=WHOLE_BUDGET - ask * 1e-6,
        )
        assert seen.answer is not None, seen.message
        columns = _columns(seen.answer)
        assert columns["ApprovalFY"] == list(range(1980, 2007))
        for year, (low, high) in zip(
            columns["ApprovalFY"], _interval(seen.answer, "average_loan"), strict=True
        ):
            if len(exact.get(year, ())) < 30:
                continue
            years += 1
            average = sum(exact[year]) / len(exact[year])
            inside += low is not None and high is not None and low <= average <= high
    assert years == 5 * 11
    assert inside >= 0.7 * years, f"{inside} of {years}"


def test_default_rate_by_fiscal_year_and_its_price(loans: Bench) -> None:
    seen = loans.ask(RATE.format(key="ApprovalFY"), rho=WHOLE_BUDGET)
    assert seen.answer is not None, seen.message
    assert seen.answer["cost"]["rho"] <= WHOLE_BUDGET
    assert len(seen.charged) == 1
