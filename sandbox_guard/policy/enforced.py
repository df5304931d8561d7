"""What a dataset's policy promises of the stored data: written into the manifest at load.

Plans take bounds, keys and caps from policy, and are sound only if the stored data was loaded under
the same ones. So the loader writes this down, and whoever opens the data compares it with today's
policy (SOUNDNESS 21, 22). What is not a fact about stored rows (titles, budgets, how the file writes
a date, who may use a column) is left out: changing it needs no reload.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sandbox_guard.policy.model import Column, Dataset, Table


def enforced(dataset: Dataset) -> dict[str, Any]:
    """Canonical JSON-able facts: equal exactly where policy promises the same of stored data.

    `{"population", "tables": {table: {"unit", "unit_through", "max_rows", "max_rows_per_unit", "unique",
    "unique_in_unit", "columns": [{"name", "type", …}]}}}`. Names are in lower case, columns in stored
    order, numbers as normalised decimal text.
    """
    return {
        "population": dataset.population,
        "tables": {name.lower(): _table(table) for name, table in sorted(dataset.tables.items())},
    }


def _table(table: Table) -> dict[str, Any]:
    through = table.unit_through
    return {
        "unit": _names(table.unit) if table.unit else None,
        "unit_through": [through.column.lower(), through.references.lower()] if through else None,
        "max_rows": table.max_rows,
        "max_rows_per_unit": table.max_rows_per_unit,
        "unique": sorted(_names(columns) for columns in table.unique),
        "unique_in_unit": sorted(_names(columns) for columns in table.unique_in_unit),
        "columns": [_column(name, column) for name, column in table.columns.items()],
    }


def _column(name: str, column: Column) -> dict[str, Any]:
    return {
        "name": name.lower(),
        "type": str(column.type),
        "nullable": column.nullable,
        "bounds": [_scalar(bound) for bound in column.bounds] if column.bounds else None,
        "step": _scalar(column.step) if column.step is not None else None,
        "values": [_scalar(value) for value in column.values] if column.values is not None else None,
        "max_length": column.max_length,
        "max_distinct": column.max_distinct,
        "unit_constant": column.unit_constant,
        "key": column.key,
    }


def _names(columns: tuple[str, ...]) -> list[str]:
    return [column.lower() for column in columns]


def _scalar(value: bool | int | Decimal | str | dt.date) -> str | bool:
    """Numbers as text, so that 0.10, 0.1 and a float of either are one fact."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, dt.date):
        return value.isoformat()
    return format(Decimal(value).normalize(), "f")
