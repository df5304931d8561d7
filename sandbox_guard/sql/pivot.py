"""PIVOT and UNPIVOT as the plain queries that they stand for, so that every rule holds for them unchanged.

PIVOT t ON k IN (a, b) USING sum(x) GROUP BY g
    SELECT g, sum(x) FILTER (WHERE k = a) AS "a", sum(x) FILTER (WHERE k = b) AS "b" FROM t GROUP BY g
UNPIVOT t ON a, b INTO NAME n VALUE v
    SELECT * EXCLUDE (a, b), 'a' AS n, a AS v FROM t WHERE a IS NOT NULL UNION ALL SELECT …
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.sql import aggregates, syntax
from sandbox_guard.sql.relation import Scalar
from sandbox_guard.sql.walk import own_nodes

SOURCE = "(pivot)"
"""The name under which the source is bound: no analyst can type it unquoted, and none stands before it."""


def pivoted(pivot: syntax.Pivot, labels: Iterable[str], listed: tuple[Scalar, ...] | None) -> syntax.Select:
    """`labels` are the source's columns; `listed` all values that the key can take, where none are given."""
    values = pivot.values or tuple((syntax.Literal(v, pivot.place), None) for v in listed or ())
    if not values:
        raise Refused("sql.pivot", place=pivot.place)
    group = pivot.group or _remaining(pivot, labels)
    made = [syntax.Projection(g, text=g.parts[-1] if isinstance(g, syntax.Name) else "") for g in group]
    for literal, alias in values:
        heading = alias or _text(literal.value)
        condition = syntax.Call("=", (pivot.on, literal), place=pivot.place)
        for using in pivot.using:
            label = f"{heading}_{_suffix(using)}" if len(pivot.using) > 1 or using.alias else heading
            made.append(syntax.Projection(_filtered(using.expr, condition), label))
    whole = tuple(range(len(group)))
    return syntax.Select(
        tuple(made),
        syntax.TableName((SOURCE,), place=pivot.place),
        group=syntax.Grouping(group, (whole,)) if group else None,
        tail=pivot.tail,
        place=pivot.place,
    )


def unpivoted(unpivot: syntax.Unpivot, labels: Iterable[str]) -> syntax.Query:
    """One SELECT for each column."""
    place = unpivot.place
    others = {label.lower() for label in labels} - {label.lower() for label in unpivot.on}
    star = (syntax.Projection(syntax.Star(exclude=unpivot.on, place=place)),) if others else ()

    def one(label: str) -> syntax.Select:
        column = syntax.Name((label,), place)
        return syntax.Select(
            (
                *star,
                syntax.Projection(syntax.Literal(label, place), unpivot.name),
                syntax.Projection(column, unpivot.value),
            ),
            syntax.TableName((SOURCE,), place=place),
            where=None if unpivot.include_nulls else syntax.Call("is_not_null", (column,), place=place),
            place=place,
        )

    query: syntax.Query = one(unpivot.on[0])
    for label in unpivot.on[1:]:
        query = syntax.SetOperation("union", True, False, query, one(label), place=place)
    return replace(query, tail=unpivot.tail)


def _remaining(pivot: syntax.Pivot, labels: Iterable[str]) -> tuple[syntax.Expr, ...]:
    """Without GROUP BY: every column that is neither the key nor aggregated."""
    named = {
        n.parts[-1].lower()
        for n in own_nodes((pivot.on, tuple(u.expr for u in pivot.using)))
        if isinstance(n, syntax.Name)
    }
    return tuple(syntax.Name((label,), pivot.place) for label in labels if label.lower() not in named)


def _filtered(tree: Any, condition: syntax.Expr) -> Any:
    """The expression with `condition` on each of its aggregates."""
    if isinstance(tree, syntax.Call) and tree.window is None and tree.function in aggregates.AGGREGATES:
        both = condition if tree.where is None else syntax.Call("and", (tree.where, condition))
        # Over released rows there is one for each key; with no order, FIRST is any.
        unordered = tree.function in ("first", "last") and not tree.order
        return replace(tree, function="any_value" if unordered else tree.function, where=both)
    if isinstance(tree, tuple):
        return tuple(_filtered(item, condition) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return replace(tree, **{f.name: _filtered(getattr(tree, f.name), condition) for f in fields(tree)})
    return tree


def _suffix(using: syntax.Projection) -> str:
    if using.alias or using.text:
        return using.alias or using.text
    return using.expr.function if isinstance(using.expr, syntax.Call) else "value"


def _text(value: object) -> str:
    """As DuckDB heads the column."""
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else str(value)
