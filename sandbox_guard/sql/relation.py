"""The bound query: typed expressions and relations, closed and frozen. `bind` makes it, `printer` prints it.

Columns have numbers, unique in the whole query, and no names: what the analyst typed ends in `bind`.

    Expr = Column | Constant | ReleasedScalar | Apply | CaseOf | InValues | ExistsIn | ScalarOf
    Node = Scan | Released | Computed | Rows | Filter | Project | JoinOf | GroupBy | WindowOf | DistinctOf
           | SetOf | Sort | RangeOf

Each expression knows its `Domain` (type, bounds, listed values, nullability: what it can be for *any*
data within policy, never what it is) and its physical form: booleans as BOOLEAN, integers as BIGINT,
text as VARCHAR (or ENUM in a stored column), dates as DATE, reals as DOUBLE, or, where `scale` is set,
as a BIGINT count of `scale` (the stored form of a policy's `number`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal, TypeAlias

Scalar = bool | int | float | str | dt.date | None


class Type(StrEnum):
    BOOLEAN = "boolean"
    INTEGER = "integer"
    REAL = "real"
    STRING = "string"
    DATE = "date"
    INTERVAL = "interval"
    """`INTERVAL n unit`: only to be added to a date; never a column."""
    NULL = "null"
    """The type of a bare NULL, which fits any other."""


@dataclass(frozen=True)
class Domain:
    """All that an expression can be, whatever the data."""

    type: Type
    lo: Fraction | None = None
    """Numbers: least value, None where unbounded. Dates: days since 1970-01-01."""
    hi: Fraction | None = None
    step: Fraction | None = None
    """Numbers: every value is an exact multiple of it (integers: 1, or more). None where unknown."""
    values: tuple[Scalar, ...] | None = None
    """All values there can be, NULL aside, in a natural order; None where not listed."""
    nullable: bool = True
    length: int | None = None
    """Strings: most characters."""

    @property
    def bounded(self) -> bool:
        return self.lo is not None and self.hi is not None


# ------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Column:
    id: int
    domain: Domain
    scale: Fraction | None = None
    enum: bool = False
    """Stored as ENUM: cast to VARCHAR before anything but `=`, `<>`, IN, GROUP BY."""


@dataclass(frozen=True)
class Constant:
    """A literal. `domain.lo` is its exact decimal value; `value` the nearest double. Where `scale` is set
    it is printed as the integer `domain.lo / scale`, to meet a column of that scale."""

    value: Scalar
    domain: Domain
    scale: Fraction | None = None


@dataclass(frozen=True)
class ReleasedScalar:
    """The one value of a released one-row computation: printed as a typed literal once it is known."""

    computation: int
    column: int
    domain: Domain
    scale: None = None


@dataclass(frozen=True)
class Apply:
    """A function of the closed table in `functions.py`, by its canonical name."""

    function: str
    args: tuple[Expr, ...]
    domain: Domain
    scale: Fraction | None = None


@dataclass(frozen=True)
class CaseOf:
    whens: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr | None
    domain: Domain
    scale: Fraction | None = None


@dataclass(frozen=True)
class InValues:
    operand: Expr
    values: tuple[Constant, ...]
    negated: bool
    domain: Domain
    scale: None = None


@dataclass(frozen=True)
class ExistsIn:
    """`[NOT] EXISTS (SELECT 1 FROM relation)`; the relation may name columns of the outer query."""

    relation: Node
    negated: bool
    domain: Domain
    scale: None = None


@dataclass(frozen=True)
class ScalarOf:
    """The single value of a relation that has at most one row for each outer row, by construction."""

    relation: Node
    domain: Domain
    scale: Fraction | None = None


Expr: TypeAlias = "Column | Constant | ReleasedScalar | Apply | CaseOf | InValues | ExistsIn | ScalarOf"


@dataclass(frozen=True)
class Ordering:
    expr: Expr
    descending: bool = False
    nulls_first: bool = False


@dataclass(frozen=True)
class Aggregate:
    """An exact aggregate. Within a unit: one of the closed list. Over released or public rows: any of
    `functions.AGGREGATES`. `distinct` and `where` (FILTER) as in SQL."""

    function: str
    args: tuple[Expr, ...]
    domain: Domain
    scale: Fraction | None = None
    distinct: bool = False
    where: Expr | None = None
    order: tuple[Ordering, ...] = ()


@dataclass(frozen=True)
class WindowCall:
    function: str
    args: tuple[Expr, ...]
    partition: tuple[Expr, ...]
    order: tuple[Ordering, ...]
    domain: Domain
    scale: Fraction | None = None
    frame: tuple[str, str, str] | None = None
    """('rows' | 'range', start, end) in words of a closed list, integers as digits."""
    where: Expr | None = None


# --------------------------------------------------------------------------------- relations


@dataclass(frozen=True)
class Scan:
    """A stored table of a dataset. `columns` maps numbers to stored names, which come from the
    catalogue or are the loader's own (`__unit`, `__rank`, `__first_…`)."""

    dataset: str
    table: str
    columns: tuple[tuple[Column, str], ...]


@dataclass(frozen=True)
class Released:
    """The table that block `block` released: (new column, the block's output column)."""

    block: int
    columns: tuple[tuple[Column, int], ...]


@dataclass(frozen=True)
class Computed:
    """The table that computation `index` of the plan gave: (new column, the computation's column)."""

    index: int
    columns: tuple[tuple[Column, int], ...]


@dataclass(frozen=True)
class Rows:
    """Literal rows."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Constant, ...], ...]


@dataclass(frozen=True)
class Filter:
    input: Node
    predicate: Expr


@dataclass(frozen=True)
class Project:
    """Exactly these columns."""

    input: Node
    columns: tuple[tuple[Column, Expr], ...]


@dataclass(frozen=True)
class JoinOf:
    """All columns of both sides; `semi` and `anti` keep the left's only."""

    left: Node
    right: Node
    kind: Literal["inner", "left", "full", "cross", "semi", "anti"]
    on: Expr | None = None


@dataclass(frozen=True)
class GroupBy:
    """`keys` and `aggregates` are the output columns. No keys: one row."""

    input: Node
    keys: tuple[tuple[Column, Expr], ...]
    aggregates: tuple[tuple[Column, Aggregate], ...]
    sets: tuple[tuple[int, ...], ...] = ()
    """GROUPING SETS over released or public rows, as indices into keys."""
    grouping: tuple[tuple[Column, tuple[int, ...]], ...] = ()
    """GROUPING(keys…) as output columns."""


@dataclass(frozen=True)
class WindowOf:
    """The input's columns and these."""

    input: Node
    columns: tuple[tuple[Column, WindowCall], ...]


@dataclass(frozen=True)
class DistinctOf:
    input: Node


@dataclass(frozen=True)
class SetOf:
    """Set operation; the i-th output column takes the i-th of `left_columns` and `right_columns`."""

    op: Literal["union", "intersect", "except"]
    all: bool
    left: Node
    right: Node
    columns: tuple[Column, ...]
    left_columns: tuple[Expr, ...]
    right_columns: tuple[Expr, ...]


@dataclass(frozen=True)
class Sort:
    """ORDER BY, LIMIT, OFFSET."""

    input: Node
    order: tuple[Ordering, ...]
    limit: int | None = None
    offset: int | None = None


@dataclass(frozen=True)
class RangeOf:
    """`range(start, stop, step)` with literal bounds, as one integer column."""

    column: Column
    start: int
    stop: int
    step: int


Node: TypeAlias = (
    "Scan | Released | Computed | Rows | Filter | Project | JoinOf | GroupBy | WindowOf | DistinctOf | SetOf"
    " | Sort | RangeOf"
)
