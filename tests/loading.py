"""A small dataset for the loader's tests: firms, their loans, and payments that reach a firm through a loan."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import yaml

from sandbox_guard.engines.versions import current
from sandbox_guard.policy.model import (
    Bilingual,
    Budget,
    Classification,
    Column,
    Dataset,
    ForeignKey,
    Policies,
    Population,
    Table,
    UnitId,
)

WORDS = Bilingual(zh="词", en="word")
BUDGET = Budget(rho=Decimal(1), delta=Decimal("1e-6"))

LOANS: dict[str, Any] = {
    "firm_id": {"type": "integer"},
    "loan_id": {"type": "integer"},
    "district": {"type": "string", "values": ["Alder", "Birch"], "nullable": True, "key": True},
    "amount": {"type": "number", "step": 0.01, "bounds": [0, 1000], "nullable": True},
    "day": {"type": "date", "bounds": [dt.date(2000, 1, 1), dt.date(2030, 1, 1)], "nullable": True},
    "bad": {"type": "boolean", "nullable": True},
}
FIRMS: dict[str, Any] = {
    "firm_id": {"type": "integer"},
    "name": {"type": "string", "identifier": True, "nullable": True},
}
PAYMENTS: dict[str, Any] = {
    "loan": {"type": "integer"},
    "paid": {"type": "integer", "bounds": [0, 100]},
}
DISTRICTS: dict[str, Any] = {"district": {"type": "string"}}


def columns(facts: dict[str, dict[str, Any]]) -> dict[str, Column]:
    return {n: Column.model_validate({"title": WORDS, **f}) for n, f in facts.items()}


def loans(facts: dict[str, dict[str, Any]] = LOANS, **terms: Any) -> Table:
    terms = {
        "unit": ("firm_id",),
        "max_rows": 1000,
        "max_rows_per_unit": 5,
        "unique": (("loan_id",),),
        **terms,
    }
    return Table(title=WORDS, columns=columns(facts), **terms)


def firms(**terms: Any) -> Table:
    terms = {"unit": ("firm_id",), "max_rows": 1000, "max_rows_per_unit": 1, **terms}
    return Table(title=WORDS, columns=columns(FIRMS), **terms)


def payments(**terms: Any) -> Table:
    through = ForeignKey(column="loan", references="loans.loan_id")
    terms = {"unit_through": through, "max_rows": 1000, "max_rows_per_unit": 10, **terms}
    return Table(title=WORDS, columns=columns(PAYMENTS), **terms)


def districts(**terms: Any) -> Table:
    return Table(
        title=WORDS, columns=columns(DISTRICTS), **{"max_rows": 50, "unique": (("district",),), **terms}
    )


def policies(tables: dict[str, Table], unit: UnitId | None = None, dataset: str = "city") -> Policies:
    population = Population(
        name="firms",
        title=WORDS,
        protects=WORDS,
        id=unit or UnitId(type="integer"),
        budget=BUDGET,
        query_delta=Decimal("1e-7"),
    )
    described = Dataset(
        name=dataset,
        title=WORDS,
        classification=Classification.CONDITIONAL,
        department=WORDS,
        update_frequency=WORDS,
        population="firms",
        budget=BUDGET,
        tables=tables,
    )
    return Policies(
        populations={"firms": population},
        datasets={dataset: described},
        people={},
        projects={},
        analyses={},
        digest="0" * 64,
    )


def csv(folder: Path, table: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / f"{table}.csv"
    path.write_bytes(text.encode(encoding))
    return path


def stored(home: Path, sql: str, dataset: str = "city") -> list[tuple[Any, ...]]:
    """A query over the current version; its tables are in schema main."""
    version = current(home / "restricted" / dataset)
    assert version is not None
    with duckdb.connect(str(version.data), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def read_columns(policy: Path, table: str) -> list[str]:
    """The names of a table's columns, as its policy file writes them."""
    columns: dict[str, Any] = yaml.safe_load(policy.read_text("utf-8"))["tables"][table]["columns"]
    return list(columns)
