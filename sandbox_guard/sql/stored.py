"""What the loader's own columns and enforced bounds spare the engine.

Counting units takes a hash table of units, unless one row of each can be told by a stored column: the row of
rank 1, or for one key column the first row of the unit with that value. And a stored value need not be
clamped to bounds that the loader has clamped it to.
"""

from __future__ import annotations

from fractions import Fraction

from sandbox_guard.sql.operations import unit
from sandbox_guard.sql.plan import Block, Measure
from sandbox_guard.sql.relation import Apply, Column, Constant, Domain, Expr, Filter, Node, Scan, Type
from sandbox_guard.sql.walk import nodes

_RANK, _UNIT = "__rank", "__unit"


def one_row_per_unit(block: Block) -> Expr | None:
    """A condition that holds for exactly one row of each unit in each cell, if stored columns give one.

    Only over a whole table, or one cut by rank: the first row of a value has the least rank of its unit's
    rows with that value, so a cut by rank keeps it or drops them all. Any other filter might drop it alone.
    """
    scan = _cut_by_rank(block.source)
    if scan is None:
        return None
    stored = {name: column for column, name in scan.columns}
    if block.unit != (stored.get(_UNIT),):
        return None
    match block.keys:
        case ():
            return _equals_one(stored[_RANK])
        case (key,) if isinstance(key.expr, Column):
            names = [n for c, n in scan.columns if c.id == key.expr.id]
            return stored.get(f"__first_{names[0]}") if names else None
    return None


def _cut_by_rank(node: Node) -> Scan | None:
    """The scan, where at most rows of a rank above some number are missing."""
    match node:
        case Scan():
            return node
        case Filter(
            input=Scan() as scan, predicate=Apply(function="<=", args=(Column() as left, Constant()))
        ):
            ranked = any(c.id == left.id and name == _RANK for c, name in scan.columns)
            return scan if ranked else None
    return None


def _equals_one(column: Column) -> Expr:
    whole = Domain(Type.INTEGER, Fraction(1), Fraction(1), Fraction(1), nullable=False)
    return Apply("=", (column, Constant(1, whole)), Domain(Type.BOOLEAN, nullable=False))


def within(measure: Measure, value: Expr, source: Node) -> bool:
    """Does `value`, printed as it is, lie in the measure's bounds for any data: a stored column that the
    loader has clamped, or a clamp to literals? What is only inferred is clamped again."""
    if unit(value) != measure.step:
        return False
    lo, hi = measure.lo * measure.step, measure.hi * measure.step
    match value:
        case Column(id=id):
            kept = [c for n in nodes(source) if isinstance(n, Scan) for c, _ in n.columns if c.id == id]
            if not kept:
                return False
            least, most = kept[0].domain.lo, kept[0].domain.hi
        case Apply(function="clamp" | "clamp_filled", args=(_, Constant() as low, Constant() as high)):
            least, most = low.domain.lo, high.domain.lo
        case _:
            return False
    return least is not None and most is not None and lo <= least and most <= hi
