"""Where a number that leaves is a weighted sum of measures, so that its noise is known before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from sandbox_guard.sql.plan import Block, MeasureKind, Output, Plan
from sandbox_guard.sql.relation import Apply, Column, Constant, Expr, Filter, Node, Project, Released, Sort


@dataclass(frozen=True)
class Weighted:
    """Of one block."""

    block: int
    weights: tuple[tuple[int, Fraction], ...]
    """By measure: what one integer of it adds to the number, in the result's units. Never empty, never 0."""

    @property
    def single(self) -> int | None:
        """The measure that the number is, where it is one as it stands or a multiple of it."""
        return self.weights[0][0] if len(self.weights) == 1 else None

    def quantile(self, plan: Plan) -> bool:
        """Is it one?"""
        measures = next(b.measures for b in plan.blocks if b.index == self.block)
        return measures[self.weights[0][0]].kind is MeasureKind.QUANTILE


def weighted(plan: Plan, output: Output) -> Weighted | None:
    """None where it is something else: a key, a ratio, an aggregate of what was released."""
    found = _below(output.column, plan.final, {b.index: b for b in plan.blocks})
    if found is None:
        return None
    weights = tuple((i, w) for i, w in sorted(found.weights.items()) if w)
    return Weighted(found.block, weights) if weights and found.block is not None else None


@dataclass(frozen=True)
class _Sum:
    """A constant stands without a block."""

    block: int | None
    weights: Mapping[int, Fraction]

    def times(self, factor: Fraction) -> _Sum:
        return _Sum(self.block, {i: w * factor for i, w in self.weights.items()})

    def plus(self, other: _Sum) -> _Sum | None:
        if None not in (self.block, other.block) and self.block != other.block:
            return None
        both = {
            i: self.weights.get(i, Fraction(0)) + other.weights.get(i, Fraction(0))
            for i in self.weights.keys() | other.weights.keys()
        }
        return _Sum(other.block if self.block is None else self.block, both)


_NOTHING = _Sum(None, {})


def _below(column: Column, node: Node, blocks: Mapping[int, Block]) -> _Sum | None:
    """What a column of a relation is."""
    match node:
        case Project(input=below, columns=made):
            held = [e for c, e in made if c.id == column.id]
            return _value(held[0], below, blocks) if held else None
        case Filter(input=below) | Sort(input=below):
            return _below(column, below, blocks)
        case Released(block=index, columns=columns):
            places = [i - len(blocks[index].keys) for c, i in columns if c.id == column.id]
            if not places or places[0] < 0:
                return None
            return _Sum(index, {places[0]: blocks[index].measures[places[0]].step})
    return None


def _value(expr: Expr, node: Node, blocks: Mapping[int, Block]) -> _Sum | None:
    """What an expression over a relation is. A quantile is no sum, so it stands alone or not at all."""
    found = _linear(expr, node, blocks)
    if found is None or found.block is None or isinstance(expr, Column):
        return found
    kinds = (blocks[found.block].measures[i].kind for i in found.weights)
    return None if MeasureKind.QUANTILE in kinds else found


def _linear(expr: Expr, node: Node, blocks: Mapping[int, Block]) -> _Sum | None:
    match expr:
        case Column():
            return _below(expr, node, blocks)
        case Constant(domain=domain) if domain.lo is not None:
            return _NOTHING
        case Apply(function="double" | "finite" | "rescale", args=(arg,)):
            return _linear(arg, node, blocks)
        case Apply(function=("+" | "+wide" | "-" | "-wide") as sign, args=(a, b)):
            one, other = _linear(a, node, blocks), _linear(b, node, blocks)
            if one is None or other is None:
                return None
            return one.plus(other if sign[0] == "+" else other.times(Fraction(-1)))
        case (
            Apply(function="*" | "*wide", args=(Constant() as factor, value))
            | Apply(function="*" | "*wide", args=(value, Constant() as factor))
        ) if factor.domain.lo is not None:
            found = _linear(value, node, blocks)
            return None if found is None else found.times(factor.domain.lo)
    return None
