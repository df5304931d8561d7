"""Walks over the two trees, by their dataclass fields."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from operator import attrgetter
from typing import Any

from sandbox_guard.sql import relation as bound
from sandbox_guard.sql import syntax


def nodes(tree: Any) -> Iterator[Any]:
    """Every dataclass in the tree, the tree itself first."""
    left = [tree]
    while left:
        node = left.pop()
        kind = type(node)
        if kind is tuple:
            left += node[::-1]
            continue
        if kind not in _PARTS:
            _PARTS[kind] = _parts(kind)
        parts = _PARTS[kind]
        if parts is not None:
            yield node
            # Planning walks trees hundreds of times, and half of what they hold are names and numbers.
            left += [part for part in parts(node) if type(part) not in _LEAVES]


def _parts(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """Gives what a dataclass holds, the last field first; None where it is no dataclass. A domain holds values only,
    but may list thousands."""
    if not is_dataclass(kind):
        return None
    names = [] if kind is bound.Domain else [f.name for f in reversed(fields(kind))]
    if len(names) < 2:
        return lambda node: tuple(getattr(node, name) for name in names)
    return attrgetter(*names)


_LEAVES = frozenset({int, str, bool, float, type(None), Fraction})
_PARTS: dict[type, Callable[[Any], tuple[Any, ...]] | None] = {}


def columns_of(tree: Any) -> set[int]:
    """Numbers of all columns that a bound tree makes or names."""
    return {n.id for n in nodes(tree) if isinstance(n, bound.Column)}


def free_columns(tree: Any) -> set[int]:
    """Columns that a bound tree names but does not make: those of an enclosing query."""
    made: set[int] = set()
    for node in nodes(tree):
        match node:
            case bound.Scan() | bound.Released() | bound.Computed():
                made |= {c.id for c, _ in node.columns}
            case bound.Rows() | bound.SetOf():
                made |= {c.id for c in node.columns}
            case bound.RangeOf():
                made.add(node.column.id)
            case bound.Project() | bound.WindowOf():
                made |= {c.id for c, _ in node.columns}
            case bound.GroupBy():
                made |= {c.id for c, _ in (*node.keys, *node.aggregates, *node.grouping)}
    return columns_of(tree) - made


def own_nodes(expr: Any) -> Iterator[Any]:
    """Every node of an expression of the analyst's, subqueries left out: their aggregates are theirs."""
    if isinstance(expr, (syntax.Exists, syntax.Scalar)):
        return
    if isinstance(expr, syntax.In) and not isinstance(expr.items, tuple):
        yield from own_nodes(expr.operand)
        return
    if is_dataclass(expr) and not isinstance(expr, type):
        yield expr
        for f in fields(expr):
            yield from own_nodes(getattr(expr, f.name))
    elif isinstance(expr, tuple):
        for item in expr:
            yield from own_nodes(item)


def aggregate_calls(expr: Any, aggregates: frozenset[str]) -> Iterator[syntax.Call]:
    """Aggregates of this query block, those inside a window's arguments included, windows themselves not."""
    for node in own_nodes(expr):
        if isinstance(node, syntax.Call) and node.window is None and node.function in aggregates:
            yield node


def window_calls(expr: Any) -> Iterator[syntax.Call]:
    for node in own_nodes(expr):
        if isinstance(node, syntax.Call) and node.window is not None:
            yield node


def substituted(tree: Any, columns: dict[int, bound.Column]) -> Any:
    """The bound tree with some columns named otherwise."""
    if isinstance(tree, bound.Column):
        return columns.get(tree.id, tree)
    if isinstance(tree, tuple):
        return tuple(substituted(item, columns) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        changed = {f.name: substituted(getattr(tree, f.name), columns) for f in fields(tree)}
        return replace(tree, **changed)
    return tree
