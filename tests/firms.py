"""A dozen firms of extreme shapes under the corpus's schema, with small caps so that a unit fills them."""

from __future__ import annotations

import datetime as dt
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies

Rows = list[dict[str, Any]]

POLICIES = Path(__file__).parent / "data" / "small" / "policies"
CAP = 4
DISTRICTS = (
    *(("Alder", "North"), ("Birch", "North"), ("Cedar", "North"), ("Dunmore", "South")),
    *(("Eastgate", "South"), ("Fenwick", "South"), ("Grange", "West"), ("Harbour", "West")),
    *(("Ivydale", "West"), ("Juniper", "East"), ("Kingsmoor", "East"), ("Lakeside", "East")),
)
INDUSTRIES = ("Agriculture", "Construction", "Energy", "Finance", "Retail", "Technology", "Transport")


@lru_cache
def policies(cap: int = CAP, rows: int = 5000) -> Policies:
    """The small policies, with a cap on the loans of one firm that a test can reach."""
    read = read_policies(POLICIES)
    small = read.datasets["small"]
    loans = small.tables["loans"].model_copy(update={"max_rows_per_unit": cap, "max_rows": rows})
    firms = small.tables["firms"].model_copy(update={"max_rows": rows})
    tables = {**small.tables, "loans": loans, "firms": firms}
    return read.model_copy(
        update={"datasets": {**read.datasets, "small": small.model_copy(update={"tables": tables})}}
    )


def districts() -> Rows:
    return [{"district": d, "region": r} for d, r in DISTRICTS]


def extreme() -> dict[str, Rows]:
    """Firms at the ends of every declared range, some with as many loans as there may be."""
    r = random.Random(20260630)
    pick = r.choice
    firms: Rows = []
    loans: Rows = []

    def firm(id: int, district: object = "Alder", **more: object) -> None:
        row: dict[str, Any] = {
            "firm_id": id,
            "name": f"Firm {id}",
            "district": district,
            "employees": 17,
            "founded": dt.date(1999, 12, 31),
            "esg_score": 31.4,
        }
        firms.append(row | more)

    def loan(id: int, **more: object) -> None:
        row: dict[str, Any] = {
            "firm_id": id,
            "loan_id": 1000 + len(loans),
            "district": "Alder",
            "industry": "Energy",
            "year": 2021,
            "amount": 125000.0,
            "rate": 3.5,
            "overdue_days": 5,
            "defaulted": "true",
        }
        loans.append(row | more)

    def ordinary(id: int, count: int) -> None:
        firm(
            id,
            pick(DISTRICTS)[0],
            employees=r.randrange(1, 300),
            founded=dt.date(1970 + r.randrange(50), 1 + r.randrange(12), 1 + r.randrange(28)),
            esg_score=round(r.random() * 100, 1),
        )
        for _ in range(count):
            loan(
                id,
                district=pick(DISTRICTS)[0],
                industry=pick(INDUSTRIES),
                year=2018 + r.randrange(8),
                amount=round(r.lognormvariate(10.5, 1.2), 2),
                rate=round(r.random() * 12, 3),
                overdue_days=pick([0, 0, 1, 30, 91]),
                defaulted=pick(["true", "false"]),
            )

    for _ in range(CAP):  # all that may be, all in one cell, all the same
        loan(1, amount=5_000_000, rate=40, overdue_days=365)
    firm(1, employees=1000, esg_score=100, founded=dt.date(2023, 12, 31))
    for i in range(CAP):  # all that may be, each in a cell of its own
        loan(
            2,
            district=DISTRICTS[i * 3][0],
            industry=INDUSTRIES[i],
            year=2018 + 2 * i,
            amount=i * 1_250_000,
            rate=i * 10,
            overdue_days=i * 100,
            defaulted=pick(["true", "false"]),
        )
    firm(2, "Lakeside", employees=0, esg_score=0, founded=dt.date(1960, 1, 1))
    for _ in range(CAP):  # nothing known
        nothing = dict.fromkeys(
            ("district", "industry", "year", "amount", "rate", "overdue_days", "defaulted")
        )
        loan(3, **nothing)
    firm(3, None, employees=None, founded=None, esg_score=None)
    for year in (2020, 2020, 2021, None):  # ties, and NULL among values
        loan(4, year=year, amount=None if year is None else year / 4, district=pick(["Alder", None]))
    firm(4, "Alder")
    loan(5, amount=999_999_999_999.99, rate=float("nan"), overdue_days=-3, year=1900)  # out of bounds
    loan(5, amount=-1, rate=float("inf"), overdue_days=100_000)
    firm(5, employees=-7, esg_score=1e300)
    firm(6, "Harbour")  # no loans
    loan(7, amount=0.01, rate=0, overdue_days=0)  # no row in firms
    for id in (-(2**53) - 1, 2**53, 2**53 + 1):
        loan(id, district="Grange", amount=4_999_999.99, year=2025)
    firm(2**53, "Grange")
    for year, amount, days in ((2021, 125000.0, 0), (2022, 87654.32, 120), (2023, 43210.0, 5)):
        loan(
            42,
            district="Harbour",
            year=year,
            amount=amount,
            overdue_days=days,
            defaulted="true" if days > 90 else "false",
        )
    firm(42, "Harbour")
    ordinary(100, CAP)
    ordinary(101, 2)
    ordinary(102, 1)
    return {"loans": loans, "firms": firms, "districts": districts()}


def many(firms: int, seed: int = 1) -> dict[str, Rows]:
    """So many ordinary firms with up to CAP loans each, ties in plenty: tables of several row groups."""
    r = random.Random(seed)
    towns = [d for d, _ in DISTRICTS] + [None]
    people: Rows = []
    loans: Rows = []
    for id in range(1, firms + 1):
        people.append(
            {
                "firm_id": id,
                "name": None,
                "district": r.choice(towns),
                "employees": r.randrange(0, 1000),
                "founded": dt.date(1960 + r.randrange(63), 1 + r.randrange(12), 1),
                "esg_score": r.randrange(0, 1000) / 10,
            }
        )
        for _ in range(CAP if id == 42 else r.randrange(1, CAP + 1)):
            loans.append(
                {
                    "firm_id": id,
                    "loan_id": len(loans),
                    "district": r.choice(towns),
                    "industry": r.choice(INDUSTRIES),
                    "year": r.choice([2019, 2020, 2021]),
                    "amount": r.randrange(0, 10_000_000) / 100,
                    "rate": r.randrange(0, 40_000) / 1000,
                    "overdue_days": r.randrange(0, 5) * 30,
                    "defaulted": r.choice(["true", "false", None]),
                }
            )
    return {"loans": loans, "firms": people, "districts": districts()}
