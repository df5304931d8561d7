"""A dataset's tables as they are stored: names in lower case, parents before children."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_guard.policy.model import Column, Dataset, Table


@dataclass(frozen=True)
class Stored:
    """One table, its names in lower case."""

    name: str
    policy: Table
    columns: Mapping[str, Column]

    @property
    def unit(self) -> list[str]:
        return [c.lower() for c in self.policy.unit or ()]

    @property
    def parent(self) -> tuple[str, str, str] | None:
        """(own column, parent table, parent's unique column)."""
        through = self.policy.unit_through
        if through is None:
            return None
        table, column = through.references.lower().split(".")
        return through.column.lower(), table, column

    @property
    def flags(self) -> dict[str, str]:
        """Column of 'first row of this unit with this key', by key column."""
        return {c: f"__first_{c}" for c, column in self.columns.items() if column.key}

    @property
    def sources(self) -> dict[str, str]:
        """What the file calls each column."""
        written = {c.lower(): c for c in self.policy.columns}
        return {c: column.source or written[c] for c, column in self.columns.items()}


def stored_tables(dataset: Dataset) -> dict[str, Stored]:
    """By name, parents before children."""
    tables = {
        n.lower(): Stored(n.lower(), t, {c.lower(): column for c, column in t.columns.items()})
        for n, t in dataset.tables.items()
    }
    ordered: dict[str, Stored] = {}

    def place(table: Stored) -> None:
        if table.parent and table.parent[1] not in ordered:
            place(tables[table.parent[1]])
        ordered.setdefault(table.name, table)

    for table in tables.values():
        place(table)
    return ordered
