"""The plan: the one frozen value that crosses from SQL to privacy.

The printer enforces its bounds, the mechanisms read the same numbers, the price follows from them, and
the ledger keeps its digest. A plan is made from SQL, policy facts and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from sandbox_guard.errors import Text
from sandbox_guard.sql.bins import Bins
from sandbox_guard.sql.relation import Column, Expr, Node, Scalar

MOST = 2**62
"""Every exact value stays below it in absolute value, so that sums and noise fit 64 bits."""


@dataclass(frozen=True)
class Sensitivity:
    """How far the rows of one unit, all added or all removed, can move an exact integer vector.

    l0: how many cells; linf: by how much in each; l1: in all, absolute values added;
    l2_squared: in all, squares added (an integer, so that no rounding creeps in before OpenDP's).
    """

    l0: int
    linf: int
    l1: int
    l2_squared: int

    def __post_init__(self) -> None:
        if not (
            0 <= self.linf <= self.l1 <= self.l0 * self.linf
            and self.linf**2 <= self.l2_squared <= self.l0 * self.linf**2
            and self.l2_squared <= self.l1 * self.linf
        ):
            raise ValueError(f"inconsistent sensitivity {self}")

    @classmethod
    def of_rows(cls, rows: int, per_cell: int, cells: int, each: int) -> Sensitivity:
        """At most `rows` rows a unit, `per_cell` of them in one cell, `cells` cells touched, each row
        moving its cell by at most `each`. The worst case fills cell after cell: squares are largest when
        the rows are packed as tightly as they may be (convexity)."""
        per_cell = min(per_cell, rows)
        rows = min(rows, per_cell * cells)
        full, rest = divmod(rows, per_cell) if per_cell else (0, 0)
        return cls(
            l0=min(cells, rows) if each else 0,
            linf=per_cell * each,
            l1=rows * each,
            l2_squared=(full * per_cell**2 + rest**2) * each**2,
        )


class MeasureKind(StrEnum):
    COUNT = "count"
    """Rows for which `where` holds."""
    UNITS = "units"
    """Distinct privacy units among them."""
    DISTINCT = "distinct"
    """Distinct values of `values` among them, NULLs aside."""
    SUM = "sum"
    """Of `values[0]`, in steps, clamped to [lo, hi], less `centre`; NULLs add nothing."""
    SUM_DISTINCT = "sum of distinct"
    """The same, each value once in a cell: no row moves a cell by more than its value."""
    QUANTILE = "quantile"
    """The `fraction` quantile of `values[0]`, in steps, clamped to [lo, hi], NULLs aside. The exact part is
    a histogram over `bins`; one unit moves it by the rows it has, which is what `sensitivity` counts."""


@dataclass(frozen=True)
class Measure:
    """One exact integer for each cell of a block, and how far one unit can move it."""

    kind: MeasureKind
    values: tuple[Expr, ...]
    where: Expr | None
    sensitivity: Sensitivity
    step: Fraction = Fraction(1)
    """What one integer is worth."""
    lo: int = 0
    hi: int = 0
    centre: int = 0
    """lo, hi and centre count steps."""
    fraction: Fraction = Fraction(0)

    @property
    def bins(self) -> Bins:
        return Bins(self.lo, self.hi)


@dataclass(frozen=True)
class Listed:
    """Keys known from policy or SQL alone; each is a row of the released table, counted or not."""

    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Supplied:
    """Keys that a public or released relation supplies: column `column` of computation `supplier`, which
    has distinct rows. Keys of one supplier go together."""

    supplier: int
    column: int


@dataclass(frozen=True)
class Discovered:
    """Keys released by threshold."""


@dataclass(frozen=True)
class Key:
    column: Column
    expr: Expr
    domain: Listed | Supplied | Discovered


class Strategy(StrEnum):
    ONE_ROW = "one row"
    RANK = "rank"
    PER_UNIT = "per unit"


@dataclass(frozen=True)
class Block:
    """One aggregating block over Private(unit): exact → noise → released table.

    The released table has the keys first, then the measures, numbered in that order.
    """

    index: int
    population: str
    datasets: tuple[str, ...]
    """Private datasets it reads."""
    source: Node
    """Bounded as the plan says: rank filters and per-unit limits are in it."""
    unit: tuple[Column, ...]
    """Columns of `source` that are the unit: dense ids."""
    keys: tuple[Key, ...]
    measures: tuple[Measure, ...]
    discovery: Sensitivity | None
    """Of COUNT(DISTINCT unit) by key, where keys are discovered."""
    strategy: Strategy
    rows_per_unit: int
    """At most so many rows of `source` belong to one unit."""


@dataclass(frozen=True)
class Computation:
    """A relation without private rows, computed once, by itself, before what names it: public
    (DESIGN section 3: in one statement with private rows even a public DISTINCT ON moved when a unit
    left), or released (the noisy value of a scalar subquery, which a private filter then compares
    with as a literal)."""

    index: int
    node: Node
    columns: tuple[Column, ...]
    released: bool


@dataclass(frozen=True)
class Output:
    """A column of the finished table."""

    column: Column
    label: str
    noisy: bool
    """Does it depend on a released number (and so get an interval)?"""


KEPT = 64
"""Plans, and what was worked out of each."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Itself alone equals it: so what follows from it is kept, and found without going through it."""

    steps: tuple[Block | Computation, ...]
    """In order of dependency."""
    final: Node
    """Over `Released`, `Computed` and literal rows only."""
    outputs: tuple[Output, ...]
    notes: tuple[Text, ...] = ()
    """What was cut or assumed, in words."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(s for s in self.steps if isinstance(s, Block))

    @property
    def datasets(self) -> frozenset[str]:
        """Private datasets that are read."""
        return frozenset(d for b in self.blocks for d in b.datasets)
