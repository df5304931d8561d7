"""Projection: new columns from old, and what stays known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql.kinds import Field, Kind, Open, Private, Relation
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
        _insist_on_lineage(binding, relation, item)
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
            units=tuple(u.renumbered(lambda old: named.get(old, ())) for u in kind.units),
            supplies=tuple(
                replace(s, columns=s.columns + tuple((n, c) for o, c in s.columns for n in named.get(o, ())))
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


def _insist_on_lineage(binding: Binding, relation: Relation, item: Item) -> None:
    """A column called like the unit must be the unit, or keep the name it had. The unit is found by
    lineage, so anything else would be sound; but whoever reads on would take it for the unit."""
    same = item.expr.id if isinstance(item.expr, Column) else None
    kept = any(f.column.id == same and f.label.lower() == item.label.lower() for f in relation.fields)
    if not kept and item.label.lower() in unit_names(binding, relation.kind) and not is_unit(relation, same):
        raise Refused("name.unit_shadow", name=item.label)


def relabelled(
    binding: Binding, relation: Relation, labels: tuple[str, ...], place: Place | None
) -> Relation:
    """`AS t(a, b)`."""
    renamed = relation.labelled(labels, place)
    for f in renamed.fields[: len(labels)]:
        if f.label.lower() in unit_names(binding, relation.kind) and not is_unit(relation, f.column.id):
            raise Refused("name.unit_shadow", place=place, name=f.label)
    return renamed


def unit_names(binding: Binding, kind: Kind) -> set[str]:
    """What the unit's columns are called in the tables of a private relation."""
    if not isinstance(kind, Private):
        return set()
    tables = binding.catalogue.tables.values()
    return {u for t in tables if t.dataset in kind.datasets for u in t.unit}


def is_unit(relation: Relation, column: int | None) -> bool:
    """Does the column hold the unit's published id, by lineage?"""
    kind = relation.kind
    return isinstance(kind, Private) and any(column in p for u in kind.units for p in u.published)


def touches_released(binding: Binding, tree: object) -> bool:
    """Does a bound tree hold a released table, by itself or inside a computation?"""
    released = {s.index for s in binding.steps if isinstance(s, Computation) and s.released}
    return any(
        isinstance(n, Released) or (isinstance(n, Computed) and n.index in released) for n in nodes(tree)
    )
