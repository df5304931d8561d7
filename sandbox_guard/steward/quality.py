"""What a load found and did, for the steward's eyes only: these are exact numbers of restricted data.

They are shown once, by `sandbox-guard load`, and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sandbox_guard.errors import Refused, Text


class Step(StrEnum):
    READ = "read"
    ORDER = "order"
    RANK = "rank"
    CHECK = "check"
    WRITE = "write"


@dataclass(frozen=True)
class Progress:
    """How far a load has come. `done` and `total` count rows; the total is None where it is not known."""

    table: str
    step: Step
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


def quiet(progress: Progress) -> None:
    """For those who do not watch."""


class Rule(StrEnum):
    """What the loader did to a value or a row, each within one row or one unit."""

    NOT_FINITE = "not_finite"
    CLAMPED = "clamped"
    OUTSIDE = "outside"
    DOMAIN = "domain"
    LENGTH = "length"
    MISSING = "missing"
    UNIT = "unit"
    """No valid id of a unit: the row is dropped."""
    DANGLING = "dangling"
    """No parent row leads to a unit: the row is dropped."""
    UNIT_CONSTANT = "unit_constant"
    """Differs from the unit's first row: takes its value."""
    DUPLICATE = "duplicate"
    """Repeats a unique_in_unit key: the later rows are dropped."""
    CAP = "max_rows_per_unit"
    """Beyond the cap: the later rows are dropped."""


class Effect(StrEnum):
    CLAMPED = "clamped"
    EMPTIED = "emptied"
    REPLACED = "replaced"
    DROPPED = "dropped"


@dataclass(frozen=True)
class Finding:
    """`count` values (or rows, where `column` is None) to which a rule applied."""

    rule: Rule
    effect: Effect
    column: str | None
    count: int


@dataclass(frozen=True)
class TableReport:
    table: str
    file: str | None
    """None: carried over from the version before."""
    rows_read: int
    rows_stored: int
    units: int
    findings: tuple[Finding, ...] = ()
    ignored: tuple[str, ...] = ()
    """Columns of the file that policy does not mention."""


@dataclass(frozen=True)
class LoadReport:
    dataset: str
    serial: int
    version: str
    tables: tuple[TableReport, ...]


@dataclass(frozen=True)
class Problem:
    """Why a load is refused. `code` is an entry of refusals.yaml; `facts` fill its texts."""

    code: str
    table: str
    file: str = ""
    line: int | None = None
    row: int | None = None
    """Where the file has no lines (Parquet): the row, from 1."""
    column: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def where(self) -> Text:
        """File, line and column, as far as they are known."""
        zh, en = [self.file or self.table], [self.file or self.table]
        if self.line is not None:
            zh.append(f"第 {self.line} 行")
            en.append(f"line {self.line}")
        elif self.row is not None:
            zh.append(f"第 {self.row} 条记录")
            en.append(f"row {self.row}")
        if self.column is not None:
            zh.append(f"列 {self.column}")
            en.append(f"column {self.column}")
        return Text("，".join(zh), ", ".join(en))

    def refused(self) -> Refused:
        return Refused(self.code, **self.filling())

    def filling(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "column": self.column,
            "where_zh": self.where.zh,
            "where_en": self.where.en,
            **self.facts,
        }


class LoadRefused(Refused):
    """Nothing was loaded, and the version before still answers. Shown to the steward alone.

    `problems` holds everything that was found, in the order of tables; message and hint are the first one's.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        first = problems[0]
        super().__init__(first.code, **first.filling())
        self.problems = problems
