"""Where a finish has nothing to compute: a released table as it stands, its columns picked and its rows in plain order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.relation import Column, Node, Project, Released, Sort


@dataclass(frozen=True)
class AsReleased:
    """The rows of a block's table, in order of these columns, NULL last."""

    block: int
    places: Mapping[int, int]
    """By number of a column, where it stands in the block's table."""
    by: tuple[int, ...]


def as_released(plan: Plan) -> AsReleased | None:
    """None where an engine must be asked."""
    ordered = plain_order(plan.final)
    if ordered is None:
        return None
    by, node = ordered
    source = {i: i for i in (*(o.column.id for o in plan.outputs), *by)}
    while isinstance(node, Project):
        made = {c.id: e for c, e in node.columns}
        for column, below in source.items():
            e = made[below]
            if not isinstance(e, Column):
                return None
            source[column] = e.id
        node = node.input
    if not isinstance(node, Released):
        return None
    places = {c.id: place for c, place in node.columns}
    return AsReleased(node.block, {c: places[below] for c, below in source.items()}, by)


def plain_order(node: Node) -> tuple[tuple[int, ...], Node] | None:
    """The columns that a table is sorted by, and what is sorted; None where an engine must do it: by expressions,
    downwards, NULL first, or not all of it."""
    if not isinstance(node, Sort):
        return (), node
    by = tuple(
        o.expr.id for o in node.order if isinstance(o.expr, Column) and not o.descending and not o.nulls_first
    )
    whole = node.limit is None and node.offset is None and len(by) == len(node.order)
    return (by, node.input) if whole else None
