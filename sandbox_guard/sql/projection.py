"""Projection: new columns from old, and what stays known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sandbox_guard.sql.kinds import Field, Open, Private, Relation, Unit
from sandbox_guard.sql.plan import Computation
from sandbox_guard.sql.relation import Column, Computed, Expr, Project, Released
from sandbox_guard.sql.scope import Binding
from sandbox_guard.sql.walk import nodes


@dataclass(frozen=True)
class Item:
    """One column to be: its heading, its value, and whether policy lets a query use it."""

    label: str
    expr: Expr
    forbidden: str | None = None


def project(binding: Binding, relation: Relation, items: tuple[Item, ...]) -> Relation:
    """The relation with exactly these visible columns; the unit and the rank stay behind the scenes."""
    facts = relation.contribution
    named: dict[int, set[int]] = {}
    columns: list[tuple[Column, Expr]] = []
    fields: list[Field] = []
    for item in items:
        column = binding.column(item.expr)
        if isinstance(item.expr, Column):
            facts = facts.copied(item.expr.id, column.id)
            named.setdefault(item.expr.id, set()).add(column.id)
        columns.append((column, item.expr))
        fields.append(Field(item.label, column, forbidden=item.forbidden))
    columns += [(hidden, hidden) for hidden in relation.hidden]
    kind = relation.kind
    if isinstance(kind, Private):
        kind = replace(
            kind,
            units=tuple(
                Unit(u.dense, tuple(frozenset(n for o in p for n in named.get(o, ())) for p in u.published))
                for u in kind.units
            ),
            supplies=tuple(
                replace(
                    s, columns=s.columns + tuple((n, c) for o, c in s.columns for n in named.get(o, ()))
                )
                for s in kind.supplies
            ),
        )
    elif touches_released(binding, tuple(i.expr for i in items)):
        kind = Open(released=True)
    return replace(
        relation,
        node=Project(relation.node, tuple(columns)),
        fields=tuple(fields),
        kind=kind,
        contribution=facts,
    )


def touches_released(binding: Binding, tree: object) -> bool:
    """Does a bound tree hold a released table, by itself or inside a computation?"""
    released = {s.index for s in binding.steps if isinstance(s, Computation) and s.released}
    return any(
        isinstance(n, Released) or (isinstance(n, Computed) and n.index in released) for n in nodes(tree)
    )
