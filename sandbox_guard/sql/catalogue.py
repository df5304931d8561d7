"""What a project may name: its granted tables, with the domains that policy declares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from sandbox_guard.policy import model
from sandbox_guard.sql.relation import Domain, Scalar, Type

LISTED = 10_000
"""A bounded integer column lists its values up to so many."""

EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class CatalogueTable:
    name: str
    dataset: str
    population: str | None
    """None: a public table."""
    policy: model.Table

    @cached_property
    def domains(self) -> Mapping[str, Domain]:
        """By the column's name in the policy."""
        return {name: domain(column) for name, column in self.policy.columns.items()}

    @property
    def unit(self) -> tuple[str, ...]:
        return tuple(c.lower() for c in self.policy.unit or ())


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The tables of one project, by lower-case name."""

    tables: Mapping[str, CatalogueTable]
    known: frozenset[str]
    """Names of all tables there are, granted or not: what is not granted is refused as such only to
    those who may know of it; the catalogue of a data bureau is public."""
    joins: frozenset[frozenset[str]] | None
    """Pairs of datasets that may meet; None: all."""
    cells: int = 1_000_000
    """Most cells of one result."""

    @classmethod
    def of(cls, policies: model.Policies, project: model.Project) -> Catalogue:
        tables = {
            name.lower(): CatalogueTable(
                name.lower(), dataset.name, dataset.population if table.private else None, table
            )
            for dataset in policies.datasets.values()
            if dataset.name in project.datasets
            for name, table in dataset.tables.items()
        }
        known = frozenset(t.lower() for d in policies.datasets.values() for t in d.tables)
        joins = None if project.joins == "all" else frozenset(frozenset(p) for p in project.joins)
        return cls(tables, known, joins, project.limits.cells)

    def units(self) -> dict[str, tuple[str, ...]]:
        """The columns that name the unit, by private table."""
        return {t.name: t.unit for t in self.tables.values() if t.population is not None}

    def may_join(self, a: str, b: str) -> bool:
        return self.joins is None or a == b or frozenset((a, b)) in self.joins


def domain(column: model.Column) -> Domain:
    """The domain that policy declares and the loader enforces."""
    nullable = column.nullable
    values = tuple(stored_value(column, v) for v in column.values) if column.values is not None else None
    match column.type:
        case model.ColumnType.BOOLEAN:
            return Domain(Type.BOOLEAN, values=values or (False, True), nullable=nullable)
        case model.ColumnType.STRING:
            longest = max((len(str(v)) for v in values), default=0) if values else column.max_length
            return Domain(Type.STRING, values=values, nullable=nullable, length=longest or 4096)
        case model.ColumnType.DATE:
            lo, hi = column.bounds or (None, None)
            return Domain(Type.DATE, _days(lo), _days(hi), Fraction(1), values, nullable)
        case model.ColumnType.INTEGER:
            return _number(Type.INTEGER, column, Fraction(column.step or 1), values)
        case model.ColumnType.NUMBER:
            return _number(Type.REAL, column, column.fixed_step, values)


def _number(kind: Type, column: model.Column, step: Fraction, values: tuple[Scalar, ...] | None) -> Domain:
    lo, hi = (Fraction(b) for b in column.bounds) if column.bounds else (None, None)  # type: ignore[arg-type]
    if values is not None:
        numbers = [Fraction(v) for v in values if isinstance(v, (int, float))]
        lo, hi = min(numbers), max(numbers)
    elif kind is Type.INTEGER and lo is not None and hi is not None and (hi - lo) / step < LISTED:
        first = -(-lo // step)
        values = tuple(int(step * i) for i in range(int(first), int(hi // step) + 1))
    return Domain(kind, lo, hi, step, values, column.nullable)


def stored_value(column: model.Column, value: object) -> Scalar:
    """A value of the policy file in the type of its column."""
    match column.type:
        case model.ColumnType.DATE:
            return dt.date.fromisoformat(str(value))
        case model.ColumnType.STRING:
            return str(value)
        case model.ColumnType.BOOLEAN:
            return bool(value)
        case model.ColumnType.INTEGER:
            return int(Decimal(str(value)))
        case model.ColumnType.NUMBER:
            return float(Decimal(str(value)))


def _days(date: object) -> Fraction | None:
    return Fraction((date - EPOCH).days) if isinstance(date, dt.date) else None
