"""The data dictionary of this project: what can be asked about, and what each column may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from sandbox_guard.client.display import View, Viewed, number
from sandbox_guard.client.words import pick, say, sentences

VALUES_SHOWN = 8


@dataclass(frozen=True)
class Column:
    """`role` is 'unit', 'identifier', 'other' or None; `values` the declared domain, or None."""

    name: str
    type: str
    title: str
    description: str
    measure: str | None
    bounds: tuple[Any, Any] | None
    values: tuple[Any, ...] | None
    nullable: bool
    usable: bool
    role: str | None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        bounds, values = body.get("bounds"), body.get("values")
        return cls(
            name=body["name"],
            type=body["type"],
            title=pick(body.get("title")),
            description=pick(body.get("description")),
            measure=body.get("measure"),
            bounds=(bounds[0], bounds[1]) if bounds else None,
            values=tuple(values) if values else None,
            nullable=bool(body.get("nullable")),
            usable=bool(body.get("usable", True)),
            role=body.get("role"),
        )

    @property
    def allowed(self) -> str:
        if self.values:
            more = " …" if len(self.values) > VALUES_SHOWN else ""
            return ", ".join(str(value) for value in self.values[:VALUES_SHOWN]) + more
        return f"{_bound(self.bounds[0])} … {_bound(self.bounds[1])}" if self.bounds else ""


@dataclass(frozen=True, repr=False)
class Table(Viewed):
    """One table. `private`: its rows belong to protected persons or firms."""

    name: str
    dataset: str
    title: str
    private: bool
    columns: tuple[Column, ...]
    rows_per_unit: int = 1
    """How many rows of one protected unit it may hold."""

    def view(self) -> View:
        return View(
            above=[f"{self.name} · {self.title} · {say('private' if self.private else 'public')}"],
            heads=[say("column"), say("type"), say("title"), say("allowed"), say("description")],
            rows=[
                [
                    column.name,
                    column.type + (f" ({column.measure})" if column.measure else ""),
                    column.title,
                    column.allowed,
                    " ".join(
                        part
                        for part in (say(f"role_{column.role}") if column.role else "", column.description)
                        if part
                    ),
                ]
                for column in self.columns
            ],
            unbroken=frozenset({0, 1, 2}),
        )


def _bound(bound: object) -> str:
    """A number as people read it; a date is text."""
    whole = isinstance(bound, float) and bound.is_integer()
    return number(int(bound) if whole else bound)  # type: ignore[call-overload]


@dataclass(frozen=True, repr=False)
class Catalogue(Viewed):
    """Everything this project may ask about."""

    project: str
    purpose: str
    expires: str
    """Of the agreement, an ISO date."""
    free_queries: bool
    """False: approved analyses only."""
    tables: tuple[Table, ...]
    functions: tuple[str, ...]
    protects: tuple[str, ...]
    """Of each population concerned, what one protected unit is, in words."""
    backend: str
    warning: str

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        project = body["project"]
        return cls(
            project=pick(project.get("title")) or project["name"],
            purpose=pick(project.get("purpose")),
            expires=project.get("expires") or "",
            free_queries=bool(project.get("free_queries", True)),
            tables=tuple(
                Table(
                    name=table["name"],
                    dataset=dataset["name"],
                    title=pick(table.get("title")),
                    private=bool(table["private"]),
                    columns=tuple(Column.read(column) for column in table["columns"]),
                    rows_per_unit=table.get("max_rows_per_unit") or 1,
                )
                for dataset in body["datasets"]
                for table in dataset["tables"]
            ),
            functions=tuple(body.get("functions", ())),
            protects=tuple(pick(population["protects"]) for population in body.get("populations", ())),
            backend=body.get("backend") or "",
            warning=pick(body.get("warning")),
        )

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def __getitem__(self, name: str) -> Table:
        """A table by its name, without regard to case."""
        for table in self.tables:
            if table.name.lower() == name.lower():
                return table
        raise KeyError(name)

    def most_rows(self, sql: str) -> int:
        """Of one unit, in any one of the tables that this SQL names."""
        words = {word.lower() for word in re.findall(r"\w+", sql)}
        return max((table.rows_per_unit for table in self.tables if table.name.lower() in words), default=1)

    def frame(self) -> pd.DataFrame:
        """One row a column of any table."""
        return pd.DataFrame(
            [
                {
                    "dataset": table.dataset,
                    "table": table.name,
                    "column": column.name,
                    "type": column.type,
                    "title": column.title,
                    "private": table.private,
                    "allowed": column.allowed,
                }
                for table in self.tables
                for column in table.columns
            ]
        )

    def view(self) -> View:
        return View(
            banner=self.warning or None,
            above=[
                sentences(f"{say('project')}{self.project}", say("expires", date=self.expires)),
                self.purpose,
                *(say("protects", unit=unit) for unit in self.protects),
                *([] if self.free_queries else [say("analyses_only")]),
            ],
            heads=[say("table"), say("title"), say("kind"), say("column")],
            rows=[
                [
                    table.name,
                    table.title,
                    say("private" if table.private else "public"),
                    ", ".join(column.name for column in table.columns),
                ]
                for table in self.tables
            ],
            unbroken=frozenset({0, 1, 2}),
        )
