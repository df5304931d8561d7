"""Small databases that Hypothesis draws: a few firms with values at the ends of every range or in between,
and units of extreme values to insert. Each is loaded once, and once more for each unit more or less; many
queries share it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from sandbox_guard.policy.model import Bilingual, Column, ForeignKey, Policies, Table
from tests import firms

Rows = list[dict[str, Any]]
Draw = Callable[[st.SearchStrategy[Any]], Any]

CAP = firms.CAP
IDS = (1, 2, 3, 7, 42, 100, 2**53, 2**53 + 1, -5, 0)
FIRST, LAST = 90_001, 90_002
"""The units that are inserted."""

_WORDS = Bilingual(zh="词", en="word")


def _columns(facts: dict[str, dict[str, Any]]) -> dict[str, Column]:
    return {n: Column.model_validate({"title": _WORDS, **f}) for n, f in facts.items()}


@lru_cache
def policies(rows: int = 5000) -> Policies:
    """The corpus's schema with small caps; payments, which reach their firm through a loan; and columns
    with each fact that policy can declare."""
    base = firms.policies(rows=rows)
    small = base.datasets["small"]
    loans, people = small.tables["loans"], small.tables["firms"]
    more = _columns(
        {
            "sector": {"type": "string", "values": ["农业", "工业"], "unit_constant": True, "nullable": True},
            "balance": {"type": "number", "step": 0.5, "bounds": [-50, 20], "nullable": True},
            "note": {"type": "string", "max_length": 12, "nullable": True},
        }
    )
    keyed = {
        n: c.model_copy(update={"key": True}) if n == "industry" else c for n, c in loans.columns.items()
    }
    payments = Table(
        title=_WORDS,
        unit_through=ForeignKey(column="loan", references="loans.loan_id"),
        max_rows=rows,
        max_rows_per_unit=CAP,
        unique_in_unit=(("month", "loan"),),
        columns=_columns(
            {
                "loan": {"type": "integer"},
                "month": {"type": "integer", "values": [1, 2, 3]},
                "paid": {"type": "number", "step": 0.01, "bounds": [-100, 100], "nullable": True},
                "day": {
                    "type": "date",
                    "bounds": [dt.date(2020, 1, 1), dt.date(2020, 12, 31)],
                    "nullable": True,
                },
            }
        ),
    )
    tables = {
        **small.tables,
        "loans": loans.model_copy(update={"columns": {**keyed, **more}}),
        "firms": people,
        "payments": payments,
    }
    changed = small.model_copy(update={"tables": tables})
    return base.model_copy(update={"datasets": {**base.datasets, "small": changed}})


def _ends(*ends: Any, within: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The ends of a range, values beyond it that the loader clamps, and NULL, as often as what lies between."""
    return st.one_of(st.sampled_from((*ends, None)), within)


def _cents(lo: int, hi: int) -> st.SearchStrategy[Any]:
    return st.integers(lo, hi).map(lambda n: n / 100)


TOWNS = st.sampled_from(("Alder", "Alder", "Birch", "Harbour", "Lakeside", None, "Nowhere"))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "district": TOWNS,
    "industry": st.sampled_from(("Energy", "Energy", "Retail", "Agriculture", None)),
    "year": st.sampled_from((2018, 2020, 2021, 2021, 2025, None, 1900)),
    "amount": _ends(0, 0.01, 5_000_000, 4_999_999.99, 1e12, -1, within=_cents(0, 500_000_000)),
    "rate": _ends(0, 40, 0.001, "nan", "inf", within=st.integers(0, 40_000).map(lambda n: n / 1000)),
    "overdue_days": _ends(0, 365, 1, 100_000, -3, within=st.integers(0, 365)),
    "defaulted": st.sampled_from(("true", "false", None)),
    "balance": _ends(-50, 20, 0, -0.5, within=st.integers(-100, 40).map(lambda n: n / 2)),
    "note": st.sampled_from(("", "a", "A%_", "中文", "12", "2020-02-29", "o'clock", None)),
    "employees": _ends(0, 1, 1000, -7, within=st.integers(0, 1000)),
    "founded": _ends(
        dt.date(1960, 1, 1),
        dt.date(2023, 12, 31),
        dt.date(1700, 1, 1),
        within=st.dates(dt.date(1960, 1, 1), dt.date(2023, 12, 31)),
    ),
    "esg_score": _ends(0, 100, 0.1, 1e300, within=st.integers(0, 1000).map(lambda n: n / 10)),
    "paid": _ends(-100, 100, 0, within=_cents(-10_000, 10_000)),
    "day": _ends(
        dt.date(2020, 1, 1),
        dt.date(2020, 12, 31),
        within=st.dates(dt.date(2020, 1, 1), dt.date(2020, 12, 31)),
    ),
}
OF_LOANS = ["district", "industry", "year", "amount", "rate", "overdue_days", "defaulted", "balance", "note"]
OF_FIRMS = ["district", "employees", "founded", "esg_score"]


@dataclass(frozen=True)
class Database:
    tables: dict[str, Rows]
    extremes: dict[str, dict[str, Rows]]
    """Units to insert, by a name for each: their rows."""


def owners(tables: dict[str, Rows]) -> dict[int, int]:
    """Whose loan it is."""
    return {r["loan_id"]: r["firm_id"] for r in tables["loans"]}


def without(tables: dict[str, Rows], unit: int) -> dict[str, Rows]:
    """The source without all rows of one unit."""
    whose = owners(tables)

    def of(row: dict[str, Any]) -> object:
        return whose[row["loan"]] if "loan" in row else row.get("firm_id", ...)

    return {t: [r for r in rows if of(r) != unit] for t, rows in tables.items()}


def joined(tables: dict[str, Rows], more: dict[str, Rows]) -> dict[str, Rows]:
    return {t: rows + more.get(t, []) for t, rows in tables.items()}


@st.composite
def databases(draw: Draw) -> Database:
    tables: dict[str, Rows] = {"loans": [], "firms": [], "payments": [], "districts": firms.districts()}
    for id in draw(st.lists(st.sampled_from(IDS), min_size=4, max_size=4, unique=True)):
        _add_firm(draw, tables, id)
    return Database(tables, {"all in one cell": _in_one_cell(), "each in a cell of its own": _spread()})


def _add_firm(draw: Draw, tables: dict[str, Rows], id: int) -> None:
    sector = draw(st.sampled_from(("农业", "工业", None)))
    alike = draw(st.booleans())
    first: dict[str, Any] | None = None
    mine = []
    for _ in range(draw(st.sampled_from((CAP, CAP, 2, 1, 0, CAP + 1)))):
        row = {n: draw(VALUES[n]) for n in OF_LOANS}
        first = first or row
        if alike:  # ties
            row = first | {"amount": row["amount"], "overdue_days": row["overdue_days"]}
        number = len(tables["loans"]) + 10 * (id % 90) * 1000
        tables["loans"].append({"firm_id": id, "loan_id": number, **row, "sector": sector})
        mine.append(number)
    if draw(st.integers(0, 4)):
        row = {n: draw(VALUES[n]) for n in OF_FIRMS}
        tables["firms"].append({"firm_id": id, "name": None, **row})
    for loan in mine[: draw(st.integers(0, CAP))]:
        for month in draw(st.lists(st.integers(1, 3), max_size=3)):
            row = {n: draw(VALUES[n]) for n in ("paid", "day")}
            tables["payments"].append({"loan": loan, "month": month, **row})


def _in_one_cell() -> dict[str, Rows]:
    """As many rows as a unit may have, all alike, each at the end of its range."""
    loan = {
        "district": "Alder",
        "industry": "Energy",
        "year": 2021,
        "amount": 5_000_000,
        "rate": 40,
        "overdue_days": 365,
        "defaulted": "true",
        "balance": -50,
        "note": "a",
        "sector": "农业",
    }
    firm = {"district": "Alder", "employees": 1000, "founded": dt.date(2023, 12, 31), "esg_score": 100}
    payment = {"paid": -100, "day": dt.date(2020, 12, 31)}
    return {
        "loans": [{"firm_id": FIRST, "loan_id": 8_000_000 + i, **loan} for i in range(CAP)],
        "firms": [{"firm_id": FIRST, "name": None, **firm}],
        "payments": [{"loan": 8_000_000 + i, "month": 1, **payment} for i in range(CAP)],
    }


def _spread() -> dict[str, Rows]:
    """As many rows as a unit may have, no two in one cell, from one end of each range to the other."""
    towns = ("Alder", "Harbour", "Lakeside", None)
    trades = ("Energy", "Retail", "Agriculture", None)
    loans = [
        {
            "firm_id": LAST,
            "loan_id": 9_000_000 + i,
            "district": towns[i],
            "industry": trades[i],
            "year": (2018, 2020, 2021, 2025)[i],
            "amount": (0, 2_500_000, 5_000_000, None)[i],
            "rate": (0, 20, 40, None)[i],
            "overdue_days": (0, 100, 365, None)[i],
            "defaulted": ("true", "false", None, "true")[i],
            "balance": (-50, 0, 20, None)[i],
            "note": ("a", "", "中文", None)[i],
            "sector": "工业",
        }
        for i in range(CAP)
    ]
    firm = {"district": "Lakeside", "employees": 0, "founded": dt.date(1960, 1, 1), "esg_score": 0}
    payments = [
        {"loan": 9_000_000 + i, "month": (1, 2, 3, 1)[i], "paid": (-100, 0, 100, None)[i],
         "day": dt.date(2020, 1 + 3 * i, 1)}
        for i in range(CAP)
    ]  # fmt: skip
    return {"loans": loans, "firms": [{"firm_id": LAST, "name": None, **firm}], "payments": payments}


def many(count: int) -> dict[str, Rows]:
    """So many ordinary firms: tables of several row groups."""
    tables = firms.many(count)
    for i, loan in enumerate(tables["loans"]):
        loan |= {
            "sector": ("农业", "工业", None)[loan["firm_id"] % 3],
            "balance": (i * 7 % 140 - 100) / 2,
            "note": ("a", "12", "中文", None, "")[i % 5],
        }
    payments = [
        {
            "loan": loan["loan_id"],
            "month": 1 + i % 3,
            "paid": i % 200 - 100,
            "day": dt.date(2020, 1 + i % 12, 1),
        }
        for i, loan in enumerate(tables["loans"][::4])
    ]
    return {**tables, "payments": payments}


def drawn(count: int, seeded: int) -> list[Database]:
    """So many databases. (They outlive the example that drew them, so that queries can share them.)"""
    found: list[Database] = []

    @seed(seeded)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(databases())
    def note(database: Database) -> None:
        found.append(database)

    note()
    return found[:count]
