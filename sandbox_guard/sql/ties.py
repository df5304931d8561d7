"""What a condition does to a relation: it ties units, narrows domains, and fixes columns.

A tie is a top-level AND conjunct `a.u = b.u` on the relations' own unit columns, by lineage (DESIGN
section 3). It is printed on the dense ids. Everything else stays an ordinary condition.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import functions, values
from sandbox_guard.sql.kinds import Private, Relation, Supply, Unit
from sandbox_guard.sql.relation import (
    Apply,
    Column,
    Constant,
    Domain,
    Expr,
    Filter,
    InValues,
    Scalar,
)
from sandbox_guard.sql.scope import Scope
from sandbox_guard.sql.walk import columns_of, substituted


def conjunction(parts: tuple[Expr, ...]) -> Expr | None:
    result: Expr | None = None
    for part in parts:
        result = part if result is None else functions.apply("and", (result, part), None)
    return result


def restricted(relation: Relation, conditions: tuple[Expr, ...], scope: Scope | None) -> Relation:
    """The relation's rows for which all conditions hold. `scope` is the enclosing one, for ties to the
    unit of its row."""
    relation, conditions = absorbed(relation, conditions, scope)
    predicate = conjunction(conditions)
    return replace(relation, node=Filter(relation.node, predicate)) if predicate is not None else relation


def absorbed(
    relation: Relation, conditions: tuple[Expr, ...], scope: Scope | None
) -> tuple[Relation, tuple[Expr, ...]]:
    """What the conditions say of the relation, and the conditions to print."""
    relation, conditions = _tied_inside(relation, conditions)
    relation, conditions = _tied_outside(relation, conditions, scope)
    for condition in conditions:
        relation = _supply_narrowed(_narrowed(relation, condition), condition)
    return relation, conditions


def equality(condition: Expr) -> tuple[int, int] | None:
    """The two columns of `a = b`."""
    match condition:
        case Apply(function="=", args=(Column() as a, Column() as b)):
            return a.id, b.id
    return None


def dense_equality(a: Unit, b: Unit) -> Expr:
    return functions.apply("=", (a.dense, b.dense), None)


def parts_equated(a: Unit, b: Unit, conditions: tuple[Expr, ...]) -> frozenset[int] | None:
    """Positions of the conditions that the tie stands in for, if they equate two units: every part of their
    ids, or a key that leads to both, which stays a condition beside the tie. Else None."""
    if any(_equates(c, mine, theirs) for mine, theirs in _common_keys(a, b) for c in conditions):
        return frozenset()
    used = set()
    if not a.published or len(a.published) != len(b.published):
        return None
    for mine, theirs in zip(a.published, b.published, strict=True):
        found = [i for i, condition in enumerate(conditions) if _equates(condition, mine, theirs)]
        if not found:
            return None
        used.update(found)
    return frozenset(used)


def _common_keys(a: Unit, b: Unit) -> list[tuple[frozenset[int], frozenset[int]]]:
    theirs = dict(b.keys)
    return [(columns, theirs[key]) for key, columns in a.keys if key in theirs]


def _equates(condition: Expr, mine: frozenset[int], theirs: frozenset[int]) -> bool:
    pair = equality(condition)
    return pair is not None and (
        (pair[0] in mine and pair[1] in theirs) or (pair[1] in mine and pair[0] in theirs)
    )


def require_correlated(relation: Relation, place: Place | None) -> None:
    if not (isinstance(relation.kind, Private) and relation.kind.correlated):
        raise Refused("kind.untied_subquery", place=place)


def _tied_inside(relation: Relation, conditions: tuple[Expr, ...]) -> tuple[Relation, tuple[Expr, ...]]:
    """Merge units of the relation that the conditions equate."""
    kind = relation.kind
    if not isinstance(kind, Private):
        return relation, conditions
    units = list(kind.units)
    merged = True
    while merged and len(units) > 1:
        merged = False
        for i in range(len(units)):
            for j in range(i + 1, len(units)):
                used = parts_equated(units[i], units[j], conditions)
                if used is None:
                    continue
                tie = dense_equality(units[i], units[j])
                conditions = (tie, *(c for k, c in enumerate(conditions) if k not in used))
                units[i : j + 1] = [units[i].merged(units[j]), *units[i + 1 : j]]
                merged = True
                break
            if merged:
                break
    return replace(relation, kind=replace(kind, units=tuple(units))), conditions


def _tied_outside(
    relation: Relation, conditions: tuple[Expr, ...], scope: Scope | None
) -> tuple[Relation, tuple[Expr, ...]]:
    """Tie the relation to the unit of the enclosing query's row."""
    kind = relation.kind
    if scope is None or not isinstance(kind, Private) or not kind.units:
        return relation, conditions
    for outer in scope.scopes():
        other = outer.relation.kind
        if not isinstance(other, Private) or other.population != kind.population:
            continue
        for theirs in other.units:
            ties = [parts_equated(mine, theirs, conditions) for mine in kind.units]
            if any(t is None for t in ties):
                continue
            used = frozenset().union(*(t for t in ties if t is not None))
            printed = tuple(dense_equality(mine, theirs) for mine in kind.units)
            rest = tuple(c for i, c in enumerate(conditions) if i not in used)
            units = (kind.units[0],)
            return replace(relation, kind=replace(kind, units=units, correlated=True)), printed + rest
    return relation, conditions


# --------------------------------------------------------------------------------- narrowing


def _narrowed(relation: Relation, condition: Expr) -> Relation:
    pair = equality(condition)
    own = {f.column.id for f in relation.fields}
    if pair is not None and pair[0] in own and pair[1] in own:
        contribution = relation.contribution.equated(*pair)
        relation = replace(relation, contribution=contribution)
        for column in pair:
            relation = _with_domain(relation, column, _never_null)
        return relation
    named = columns_of(condition)
    if len(named) != 1 or not named <= own:
        return relation
    (column,) = named
    return _with_domain(relation, column, lambda domain: narrowed_domain(domain, column, condition))


def _supply_narrowed(relation: Relation, condition: Expr) -> Relation:
    """A condition on a supplier's columns alone narrows the keys that it supplies."""
    kind = relation.kind
    named = columns_of(condition)
    if not isinstance(kind, Private) or not named:
        return relation

    def narrowed(supply: Supply) -> Supply:
        held = dict(supply.columns)
        if not named <= set(held):
            return supply
        return replace(supply, node=Filter(supply.node, substituted(condition, held)))

    return replace(relation, kind=replace(kind, supplies=tuple(map(narrowed, kind.supplies))))


def _never_null(domain: Domain) -> Domain:
    return replace(domain, nullable=False)


def _with_domain(relation: Relation, column: int, narrow: Callable[[Domain], Domain]) -> Relation:
    fields = []
    size: int | None = None
    for f in relation.fields:
        if f.column.id == column:
            domain = narrow(f.column.domain)
            f = replace(f, column=replace(f.column, domain=domain))
            if domain.values is not None:
                size = len(domain.values) + domain.nullable
        fields.append(f)
    contribution = relation.contribution if size is None else relation.contribution.sized(column, size)
    return replace(relation, fields=tuple(fields), contribution=contribution)


def narrowed_domain(domain: Domain, column: int, condition: Expr) -> Domain:
    """The domain of a column in rows for which the condition, on it alone, holds."""
    if domain.values is not None:
        kept = tuple(v for v in domain.values if values.holds(condition, column, v))
        nullable = domain.nullable and values.holds(condition, column, None)
        return _relisted(domain, kept, nullable)
    match condition:
        case Apply(function=op, args=(Column(), Constant(value=value))) if op in _TIGHTER:
            return _compared(domain, op, value)
        case Apply(function=op, args=(Constant(value=value), Column())) if op in _TIGHTER:
            return _compared(domain, _TIGHTER[op], value)
        case Apply(
            function=op, args=(Apply(function="year", args=(Column(),)), Constant(value=int() as year))
        ) if op in _TIGHTER:
            return _in_years(domain, op, year)
        case InValues(operand=Column(), values=among, negated=False):
            listed = tuple(dict.fromkeys(v.value for v in among if v.value is not None))
            return _relisted(domain, listed, False)
        case Apply(function="not", args=(Apply(function="is_null", args=(Column(),)),)):
            return replace(domain, nullable=False)
    return domain


_TIGHTER = {"=": "=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""Comparisons that narrow, with their mirror images."""


def _in_years(domain: Domain, op: str, year: int) -> Domain:
    """Dates of which `year(date) op year` holds."""
    if not 1 <= year < 9999:
        return domain
    first, last = dt.date(year, 1, 1), dt.date(year, 12, 31)
    if op in ("=", ">", ">="):
        domain = _compared(domain, ">" if op == ">" else ">=", last if op == ">" else first)
    if op in ("=", "<", "<="):
        domain = _compared(domain, "<" if op == "<" else "<=", first if op == "<" else last)
    return domain


def _relisted(domain: Domain, listed: tuple[Scalar, ...], nullable: bool) -> Domain:
    numbers = [values.number(v) for v in listed]
    known = [n for n in numbers if n is not None]
    if listed and len(known) == len(listed) and domain.lo is not None and domain.hi is not None:
        lo, hi = max(domain.lo, min(known)), min(domain.hi, max(known))
        if lo <= hi:
            return replace(domain, values=listed, nullable=nullable, lo=lo, hi=hi)
    return replace(domain, values=listed, nullable=nullable)


def _compared(domain: Domain, op: str, value: Scalar) -> Domain:
    if value is None:
        return domain
    domain = replace(domain, nullable=False)
    if op == "=":
        return _relisted(domain, (value,), False)
    number = values.number(value)
    if number is None:
        return domain
    lo, hi, step = domain.lo, domain.hi, domain.step
    if step is not None and op == ">":
        number = (number // step + 1) * step
    elif step is not None and op == "<":
        number = -(-number // step + 1) * step
    if op in (">", ">="):
        lo = number if lo is None else max(lo, number)
    else:
        hi = number if hi is None else min(hi, number)
    if lo is not None and hi is not None and lo > hi:
        lo = hi  # no row passes: any bound is true
    return replace(domain, lo=lo, hi=hi)
