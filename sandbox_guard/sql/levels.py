"""GROUPING SETS, ROLLUP and CUBE as one plain SELECT for each set, put together by UNION ALL.

For what cannot be added up from the finest groups: distinct counts, quantiles and discovered keys. Each level
is measured, and paid for, by itself.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.sql import aggregates, syntax
from sandbox_guard.sql.walk import window_calls

Sets = tuple[tuple[int, ...], ...]


class NotAdditive(Exception):
    """Some measure of these grouping sets is not the sum of the finest groups'."""


def by_level(query: syntax.Select, items: tuple[syntax.Expr, ...], sets: Sets) -> syntax.Query:
    if query.qualify is not None or list(window_calls((query.projections, query.tail.order))):
        raise Refused("sql.grouping_sets", place=query.place)
    union: syntax.Query | None = None
    for indices in sets:
        level = _level(query, items, indices)
        union = (
            level
            if union is None
            else syntax.SetOperation("union", True, False, union, level, place=query.place)
        )
    assert union is not None
    return replace(union, tail=replace(query.tail, ctes=()))


def _level(query: syntax.Select, items: tuple[syntax.Expr, ...], indices: tuple[int, ...]) -> syntax.Select:
    kept = tuple(items[i] for i in indices)
    absent = tuple(item for item in items if item not in kept)
    labels = {p.alias.lower(): p.expr for p in query.projections if p.alias}

    def meant(tree: Any) -> Any:
        """With NULL for the keys that are not of this level, and GROUPING worked out."""
        if isinstance(tree, syntax.Call) and tree.function == "grouping":
            bits = [int(_key(a, labels) not in kept) for a in tree.args]
            return syntax.Literal(int("".join(map(str, bits)) or "0", 2), tree.place)
        if isinstance(tree, syntax.Call) and tree.function in aggregates.AGGREGATES:
            return tree
        if isinstance(tree, (syntax.Name, syntax.Call, syntax.Case, syntax.Cast)) and tree in absent:
            return syntax.Literal(None, tree.place)
        if isinstance(tree, tuple):
            return tuple(meant(item) for item in tree)
        if is_dataclass(tree) and not isinstance(tree, type):
            return replace(tree, **{f.name: meant(getattr(tree, f.name)) for f in fields(tree)})
        return tree

    return replace(
        query,
        projections=tuple(
            replace(p, expr=meant(p.expr), alias=p.alias or _heading(p)) for p in query.projections
        ),
        group=syntax.Grouping(kept, (tuple(range(len(kept))),)),
        having=meant(query.having),
        tail=syntax.Tail(),
    )


def _key(expr: syntax.Expr, labels: dict[str, syntax.Expr]) -> syntax.Expr:
    """What an alias of the SELECT list stands for."""
    if isinstance(expr, syntax.Name) and len(expr.parts) == 1:
        return labels.get(expr.parts[0].lower(), expr)
    return expr


def _heading(projection: syntax.Projection) -> str | None:
    """The unchanged heading of a key that becomes a literal."""
    name = projection.expr
    return name.parts[-1] if isinstance(name, syntax.Name) else projection.text or None
