"""The analyst's query as our own closed, frozen tree: what `parse` makes and `bind` reads.

It says what was written, not what it means: names are unresolved, nothing is typed, no kind is
known. No node of the parser library goes further than `parse`.

    Query = Select | SetOperation | Values | Pivot | Unpivot       (each may carry CTEs, ORDER BY, LIMIT)
    From  = TableName | Derived | Join | Function (unnest, range)
    Expr  = Name | Star | Literal | Parameter | Call | Case | Cast | In | Exists | Scalar | Row
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal as OneOf
from typing import TypeAlias

from sandbox_guard.errors import Place

Scalar_ = bool | int | Decimal | float | str | dt.date | dt.datetime | None


# ------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Name:
    """`x`, `l.x`, `main.loans.x`: one to three parts, NFKC, as typed."""

    parts: tuple[str, ...]
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Star:
    """`*`, `l.*`, `* EXCLUDE (a)`, `* REPLACE (x AS a)`, `* RENAME (a AS b)`, `COLUMNS('regex')`."""

    qualifier: str | None = None
    exclude: tuple[str, ...] = ()
    replace: tuple[tuple[str, Expr], ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    like: str | None = None
    """`* LIKE 'am%'`"""
    pattern: str | None = None
    """`COLUMNS('regular expression')`"""
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Literal:
    """A number without a point is an int, with a point a Decimal (DuckDB's DECIMAL), with an exponent a
    float; `DATE '…'` a date; `NULL` None. `INTERVAL` literals are calls: `interval(n, 'month')`."""

    value: Scalar_
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Parameter:
    """`:name`; bound as a typed literal before planning."""

    name: str
    place: Place | None = field(default=None, compare=False)


class Frame(StrEnum):
    ROWS = "rows"
    RANGE = "range"


@dataclass(frozen=True)
class Window:
    partition: tuple[Expr, ...]
    order: tuple[Order, ...]
    frame: tuple[Frame, str, str] | None = None
    """Kind, start, end; a bound is 'unbounded preceding', 'current row', '<int> preceding', …"""


@dataclass(frozen=True)
class Call:
    """A function, an aggregate or an operator, by its canonical lower-case name.

    Operators have DuckDB's symbols as names: `+ - * / // % ^ = <> < <= > >= and or not || like ilike
    is_null is_distinct is_not_distinct neg`. `x BETWEEN a AND b` arrives as `between(x, a, b)`;
    `x NOT LIKE y` as `not(like(x, y))`; `x IS TRUE` as `is_true(x)`; `extract(year FROM d)` and
    `date_part('year', d)` as `year(d)`, and so with all parts; `count(*)` as `count` without
    arguments; `a[1]` as `list_extract`; aliases such as `mean`, `ceil`, `nvl` are made canonical.
    """

    function: str
    args: tuple[Expr, ...] = ()
    distinct: bool = False
    where: Expr | None = None
    """FILTER (WHERE …)"""
    order: tuple[Order, ...] = ()
    """ORDER BY inside the parentheses, or WITHIN GROUP."""
    window: Window | None = None
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Case:
    """`CASE [operand] WHEN … THEN … ELSE … END`; `IF(c, a, b)` and `IFF` arrive so too."""

    operand: Expr | None
    whens: tuple[tuple[Expr, Expr], ...]
    otherwise: Expr | None
    place: Place | None = field(default=None, compare=False)


class TypeName(StrEnum):
    BOOLEAN = "boolean"
    TINYINT = "tinyint"
    SMALLINT = "smallint"
    INTEGER = "integer"
    BIGINT = "bigint"
    HUGEINT = "hugeint"
    FLOAT = "float"
    DOUBLE = "double"
    DECIMAL = "decimal"
    VARCHAR = "varchar"
    DATE = "date"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True)
class Cast:
    operand: Expr
    to: TypeName
    precision: int | None = None
    scale: int | None = None
    tried: bool = False
    """TRY_CAST. (A plain CAST that fails for a row gives NULL for that row too, DESIGN section 3.)"""
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class In:
    """`x IN (a, b)` or `x IN (SELECT …)`; `= ANY (SELECT …)` arrives so, `<> ALL` as negated."""

    operand: Expr
    items: tuple[Expr, ...] | Query
    negated: bool = False
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Exists:
    query: Query
    negated: bool = False
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Scalar:
    """`(SELECT …)` as a value."""

    query: Query
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Row:
    """`(a, b)`: in `(a, b) IN …`, `count(DISTINCT (a, b))`, `(a, b) = (c, d)`."""

    items: tuple[Expr, ...]
    place: Place | None = field(default=None, compare=False)


Expr: TypeAlias = "Name | Star | Literal | Parameter | Call | Case | Cast | In | Exists | Scalar | Row"


@dataclass(frozen=True)
class Order:
    expr: Expr
    descending: bool = False
    nulls_first: bool | None = None
    """None: DuckDB's default (NULLS LAST)."""


# ------------------------------------------------------------------------------------- FROM


@dataclass(frozen=True)
class TableName:
    parts: tuple[str, ...]
    alias: str | None = None
    columns: tuple[str, ...] = ()
    """`AS t(a, b)`"""
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Derived:
    """`(SELECT …) AS t(a, b)`, `LATERAL (SELECT …)`, `(VALUES …) AS v(x)`."""

    query: Query
    alias: str | None = None
    columns: tuple[str, ...] = ()
    lateral: bool = False
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Function:
    """`range(10) AS t(i)`, `generate_series(…)`, `unnest(…)` in FROM."""

    call: Call
    alias: str | None = None
    columns: tuple[str, ...] = ()
    place: Place | None = field(default=None, compare=False)


class JoinKind(StrEnum):
    INNER = "inner"
    LEFT = "left"
    RIGHT = "right"
    FULL = "full"
    CROSS = "cross"
    SEMI = "semi"
    ANTI = "anti"
    ASOF = "asof"
    POSITIONAL = "positional"


@dataclass(frozen=True)
class Join:
    left: From
    right: From
    kind: JoinKind
    on: Expr | None = None
    using: tuple[str, ...] = ()
    natural: bool = False
    place: Place | None = field(default=None, compare=False)


From: TypeAlias = "TableName | Derived | Function | Join"


# ------------------------------------------------------------------------------------ queries


@dataclass(frozen=True)
class Projection:
    expr: Expr
    alias: str | None = None
    text: str = ""
    """What was typed, for the heading of an unnamed column."""


@dataclass(frozen=True)
class Cte:
    name: str
    columns: tuple[str, ...]
    query: Query


@dataclass(frozen=True)
class Grouping:
    """GROUP BY. `sets` are tuples of indices into `items`; one set of all items when plain.
    `everything` is GROUP BY ALL: the projections without aggregates are the items."""

    items: tuple[Expr, ...] = ()
    sets: tuple[tuple[int, ...], ...] = ()
    everything: bool = False


@dataclass(frozen=True)
class Tail:
    """What may follow any query."""

    ctes: tuple[Cte, ...] = ()
    order: tuple[Order, ...] = ()
    order_all: bool = False
    """ORDER BY ALL"""
    limit: int | Expr | None = None
    offset: int | Expr | None = None


@dataclass(frozen=True)
class Select:
    projections: tuple[Projection, ...]
    source: From | None = None
    where: Expr | None = None
    group: Grouping | None = None
    having: Expr | None = None
    qualify: Expr | None = None
    distinct: bool = False
    distinct_on: tuple[Expr, ...] = ()
    tail: Tail = Tail()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SetOperation:
    op: OneOf["union", "intersect", "except"]
    all: bool
    by_name: bool
    left: Query
    right: Query
    tail: Tail = Tail()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Values:
    rows: tuple[tuple[Expr, ...], ...]
    tail: Tail = Tail()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Pivot:
    """`PIVOT source ON column IN (values) USING aggregates GROUP BY columns`."""

    source: From
    on: Expr
    values: tuple[tuple[Literal, str | None], ...]
    """Each with its alias. Empty: not given, which only a released source may do."""
    using: tuple[Projection, ...]
    group: tuple[Expr, ...]
    tail: Tail = Tail()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Unpivot:
    source: From
    on: tuple[str, ...]
    name: str
    value: str
    include_nulls: bool = False
    tail: Tail = Tail()
    place: Place | None = field(default=None, compare=False)


Query: TypeAlias = "Select | SetOperation | Values | Pivot | Unpivot"
