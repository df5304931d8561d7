"""From the analyst's query to a plan: binds it, insists that what leaves has been released, and says
which of its columns are noisy. No data is touched."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any

from sandbox_guard.errors import Refused
from sandbox_guard.sql import syntax
from sandbox_guard.sql.bind import bind_query, subquery
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.kinds import Open
from sandbox_guard.sql.plan import KEPT, Block, Computation, Listed, Output, Plan, Sensitivity, Supplied
from sandbox_guard.sql.relation import (
    Column,
    Computed,
    Constant,
    DistinctOf,
    Domain,
    ExistsIn,
    Filter,
    GroupBy,
    InValues,
    JoinOf,
    Node,
    Ordering,
    Project,
    Released,
    ReleasedScalar,
    Rows,
    ScalarOf,
    Scan,
    SetOf,
    Sort,
    WindowOf,
)
from sandbox_guard.sql.scope import Binding
from sandbox_guard.sql.walk import columns_of, nodes


def plan(
    query: syntax.Query, catalogue: Catalogue, *, today: dt.date, rows_per_unit: int | None = None
) -> Plan:
    """The plan of a query. Raises `Refused`; what it refuses never depends on data.

    rows_per_unit: K, where fewer rows of each unit shall count than policy's cap.
    """
    if rows_per_unit is not None and not 1 <= rows_per_unit < 2**31:
        raise Refused("ask.rows_per_unit", asked=rows_per_unit)
    binding = Binding(catalogue, today, subquery, rows_per_unit)
    relation = bind_query(query, binding)
    if not isinstance(relation.kind, Open):
        raise Refused("kind.rows_leave", place=query.place)
    if not relation.fields:
        raise Refused("sql.no_columns", place=query.place)
    for f in relation.fields:
        if f.forbidden:
            raise Refused(f.forbidden, place=query.place, column=f.label)
    if not relation.kind.released:
        relation = binding.compute(relation)
    if any(isinstance(n, Scan) for n in nodes(relation.node)):
        raise Refused("sql.public_correlated", place=query.place)
    steps, final = _named(tuple(binding.steps), relation.node)
    noisy = _Noisy(steps).columns(final)
    outputs = tuple(Output(f.column, f.label, f.column.id in noisy) for f in relation.fields)
    return Plan(steps, _in_key_order(final, outputs), outputs, tuple(binding.notes))


@lru_cache(KEPT)
def digest(plan: Plan) -> str:
    """SHA-256 of all that makes two questions the same: what is measured, how, and what is made of it.
    Headings do not matter."""
    unlabelled = replace(plan, outputs=tuple(replace(o, label="") for o in plan.outputs), notes=())
    return hashlib.sha256(repr(unlabelled).encode()).hexdigest()


@lru_cache(KEPT)
def shape(plan: Plan) -> str:
    """SHA-256 of the tree without its literals: what two questions share that differ in them alone."""
    return hashlib.sha256(repr(_outline((plan.steps, plan.final))).encode()).hexdigest()


def _outline(tree: Any) -> Any:
    """Names, functions and columns; no constant, and no number that one decides (bounds, bins, K)."""
    match tree:
        case Constant() | Listed() | Sensitivity() | Rows():
            return type(tree).__name__
        case Column():
            return tree.id
        case Domain():
            return tree.type.value
        case InValues():
            return "in", tree.negated, _outline(tree.operand)
        case str() | bool() | None:
            return tree
        case tuple():
            return tuple(_outline(item) for item in tree)
    if is_dataclass(tree) and not isinstance(tree, type):
        return type(tree).__name__, *(_outline(getattr(tree, f.name)) for f in fields(tree))
    return ""


Step = Block | Computation
Name = tuple[type, int]
"""How a step is named elsewhere: its class and its number."""


def _named(steps: tuple[Step, ...], final: Node) -> tuple[tuple[Step, ...], Node]:
    """Only the steps that the answer names, itself or through others, numbered anew: a CTE that nothing
    reads must cost nothing."""
    wanted = _names(final)
    kept: list[Step] = []
    for step in reversed(steps):
        if (type(step), step.index) in wanted:
            kept.insert(0, step)
            wanted |= _names(step)
    if len(kept) == len(steps):
        return steps, final
    numbers: dict[Name, int] = {}
    for step in kept:
        numbers[type(step), step.index] = sum(kind is type(step) for kind, _ in numbers)
    return _numbered(tuple(kept), numbers), _numbered(final, numbers)


def _names(tree: object) -> set[Name]:
    return {name for n in nodes(tree) if (name := _name(n)) is not None}


def _name(node: object) -> Name | None:
    match node:
        case Released(block=index):
            return Block, index
        case Computed(index=index) | Supplied(supplier=index) | ReleasedScalar(computation=index):
            return Computation, index
    return None


def _numbered(tree: Any, numbers: dict[Name, int]) -> Any:
    """The same tree, its steps and their names under other numbers."""
    if isinstance(tree, tuple):
        return tuple(_numbered(item, numbers) for item in tree)
    if not is_dataclass(tree) or isinstance(tree, type):
        return tree
    changed = {f.name: _numbered(getattr(tree, f.name), numbers) for f in fields(tree)}
    match tree:
        case Block() | Computation():
            changed["index"] = numbers[type(tree), tree.index]
        case Released():
            changed["block"] = numbers[Block, tree.block]
        case Computed():
            changed["index"] = numbers[Computation, tree.index]
        case Supplied():
            changed["supplier"] = numbers[Computation, tree.supplier]
        case ReleasedScalar():
            changed["computation"] = numbers[Computation, tree.computation]
    return replace(tree, **changed)


def _in_key_order(node: Node, outputs: tuple[Output, ...]) -> Node:
    """Rows leave in key order, unless the query asks for another: an order of arrival may tell."""
    keys = tuple(Ordering(o.column) for o in outputs if not o.noisy)
    if isinstance(node, Sort):
        given = {o.expr for o in node.order}
        return replace(node, order=node.order + tuple(k for k in keys if k.expr not in given))
    return Sort(node, keys) if keys else node


class _Noisy:
    """Which columns depend on a released number, rather than on keys and public data alone."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.blocks = {s.index: s for s in steps if isinstance(s, Block)}
        self.computations: dict[int, set[int]] = {}
        for step in steps:
            if isinstance(step, Computation):
                noisy = self.columns(step.node) if step.released else set()
                self.computations[step.index] = {i for i, c in enumerate(step.columns) if c.id in noisy}

    def columns(self, node: Node) -> set[int]:
        match node:
            case Released(block=index, columns=columns):
                keys = len(self.blocks[index].keys)
                return {c.id for c, i in columns if i >= keys}
            case Computed(index=index, columns=columns):
                return {c.id for c, i in columns if i in self.computations.get(index, set())}
            case Filter(input=below) | DistinctOf(input=below) | Sort(input=below):
                return self.columns(below)
            case Project(input=below, columns=made):
                noisy = self.columns(below)
                return {c.id for c, e in made if self._depends(e, noisy)}
            case JoinOf(left=left, right=right):
                return self.columns(left) | self.columns(right)
            case GroupBy(input=below, keys=keys, aggregates=made):
                noisy = self.columns(below)
                return {c.id for c, e in (*keys, *made) if self._depends(e, noisy)}
            case WindowOf(input=below, columns=calls):
                noisy = self.columns(below)
                return noisy | {c.id for c, e in calls if self._depends(e, noisy)}
            case SetOf(left=left, right=right, columns=columns, left_columns=a, right_columns=b):
                noisy = self.columns(left) | self.columns(right)
                return {
                    c.id
                    for c, x, y in zip(columns, a, b, strict=True)
                    if self._depends(x, noisy) or self._depends(y, noisy)
                }
        return set()

    def _depends(self, expr: object, noisy: set[int]) -> bool:
        if columns_of(expr) & noisy:
            return True
        inner = [n.relation for n in nodes(expr) if isinstance(n, (ScalarOf, ExistsIn))]
        return any(self.columns(n) for n in inner)
