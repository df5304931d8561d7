"""How relations may be combined (DESIGN section 3). Each rule here has its counterexample in
`tests/guarantees/`; what no rule allows is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import functions, syntax, ties
from sandbox_guard.sql.contribution import Contribution, Source
from sandbox_guard.sql.kinds import Field, Kind, Open, Private, Relation, Supply, Unit
from sandbox_guard.sql.relation import (
    Column,
    Constant,
    DistinctOf,
    ExistsIn,
    Expr,
    Filter,
    GroupBy,
    JoinOf,
    Node,
    Project,
    Sort,
    WindowOf,
)
from sandbox_guard.sql.scope import Binding, Scope
from sandbox_guard.sql.walk import nodes

Conditions = Callable[[Relation], tuple[Expr, ...]]
"""The ON condition, bound over the columns of both sides."""

_KIND = syntax.JoinKind


def join(
    left: Relation,
    right: Relation,
    kind: syntax.JoinKind,
    on: Conditions,
    using: tuple[str, ...],
    binding: Binding,
    outer: Scope | None,
    place: Place | None,
) -> Relation:
    """The joined relation, its fields those of the left, then those of the right.

    `outer` is the scope of the enclosing query, never of a side: what a condition ties to a side's own unit
    would else be taken for tied to the enclosing query's row, where there is none."""
    if kind in (_KIND.ASOF, _KIND.POSITIONAL):
        raise Refused("kind.join", place=place, join=kind.value)
    left, right = alike(left, right, binding)
    conditions = _using(left, right, using, place) + on(both(left, right))
    match kind:
        case _KIND.RIGHT:
            joined = _left(right, left, conditions, binding, outer, place)
            order = {f.column.id: i for i, f in enumerate(left.fields + right.fields)}
            joined = replace(joined, fields=tuple(sorted(joined.fields, key=lambda f: order[f.column.id])))
        case _KIND.LEFT:
            joined = _left(left, right, conditions, binding, outer, place)
        case _KIND.FULL:
            return _full(left, right, conditions, using, binding, place)
        case _KIND.SEMI | _KIND.ANTI:
            return _semi(left, right, conditions, kind is _KIND.ANTI, place)
        case _:
            joined = _inner(left, right, conditions, binding, outer, place)
    return _merged(joined, right if kind is not _KIND.RIGHT else left, using)


def alike(left: Relation, right: Relation, binding: Binding) -> tuple[Relation, Relation]:
    """Open sides that must be computed by themselves are: released ones that meet private rows, public
    ones that meet released rows (another engine holds those), and public ones that do more than scan."""

    def settled(side: Relation, other: Kind) -> Relation:
        if not isinstance(side.kind, Open):
            return side
        if isinstance(other, Private):
            return side if _plain(side.node) and not side.kind.released else binding.compute(side)
        return binding.compute(side) if other.released and not side.kind.released else side

    return settled(left, right.kind), settled(right, left.kind)


def _plain(node: Node) -> bool:
    return not any(isinstance(n, (GroupBy, DistinctOf, WindowOf, Sort, JoinOf)) for n in nodes(node))


def both(left: Relation, right: Relation) -> Relation:
    return replace(left, fields=left.fields + right.fields)


# ------------------------------------------------------------------------------------- lateral


def lateral(
    left: Relation,
    right: Relation,
    kind: syntax.JoinKind,
    conditions: tuple[Expr, ...],
    binding: Binding,
    place: Place | None,
) -> Relation:
    """`left JOIN LATERAL right`: the right is bound anew for each left row, and holds that row's unit's
    own rows. Nothing that is true of the right in one unit need hold across several left rows, so only how
    many rows it has for each of them is kept."""
    ties.require_correlated(right, place)
    always = all(isinstance(c, Constant) and c.value is True for c in conditions)
    if kind not in (_KIND.INNER, _KIND.CROSS, _KIND.LEFT) or (kind is _KIND.LEFT and not always):
        raise Refused("kind.join", place=place, join=f"{kind.value} lateral")
    assert isinstance(left.kind, Private) and isinstance(right.kind, Private)
    held = replace(
        _two_private(left.kind, right.kind, binding, place),
        units=left.kind.units,
        supplies=left.kind.supplies,
        correlated=left.kind.correlated,
    )
    many = right.contribution.rows()
    facts = left.contribution
    if many != 1:
        columns = frozenset(f.column.id for f in both(left, right).fields)
        facts = replace(facts, sources=(Source(_times(facts.rows(), many), columns),))
    optional = kind is _KIND.LEFT
    joined = Relation(
        JoinOf(
            left.node,
            right.node,
            "left" if optional else "cross",
            functions.constant(True) if optional else None,
        ),
        left.fields + (tuple(map(_nullable, right.fields)) if optional else right.fields),
        held,
        facts,
        _times(left.total, many),
    )
    return ties.restricted(joined, () if always else conditions, None)


# ------------------------------------------------------------------------------- inner, cross


def _inner(
    left: Relation,
    right: Relation,
    conditions: tuple[Expr, ...],
    binding: Binding,
    outer: Scope | None,
    place: Place | None,
) -> Relation:
    kind = _inner_kind(left, right, binding, place)
    joined = Relation(
        left.node,
        left.fields + right.fields,
        kind,
        left.contribution.joined(right.contribution),
        None,
    )
    joined, printed = ties.absorbed(joined, conditions, outer)
    on = ties.conjunction(printed)
    node = JoinOf(left.node, right.node, "inner" if on is not None else "cross", on)
    return replace(joined, node=node, total=_total(left, right, joined))


def _inner_kind(left: Relation, right: Relation, binding: Binding, place: Place | None) -> Kind:
    match left.kind, right.kind:
        case Open() as a, Open() as b:
            return Open(a.released or b.released)
        case Private() as a, Private() as b:
            return _two_private(a, b, binding, place)
        case Private() as a, Open():
            return replace(a, supplies=a.supplies + (_supply(right),))
        case _:
            assert isinstance(right.kind, Private)
            return replace(right.kind, supplies=right.kind.supplies + (_supply(left),))


def _two_private(a: Private, b: Private, binding: Binding, place: Place | None) -> Private:
    if a.population != b.population:
        raise Refused("kind.populations", place=place, left=a.population, right=b.population)
    for mine in sorted(a.datasets):
        for theirs in sorted(b.datasets):
            if not binding.catalogue.may_join(mine, theirs):
                raise Refused("access.join", place=place, left=mine, right=theirs)
    return Private(
        a.population,
        a.datasets | b.datasets,
        a.units + b.units,
        a.supplies + b.supplies,
        a.rank,
        a.correlated and b.correlated,
    )


def _supply(side: Relation, required: bool = False) -> Supply:
    return Supply(side.node, tuple((f.column.id, f.column) for f in side.fields), required)


def _total(left: Relation, right: Relation, joined: Relation) -> int | None:
    """Most rows in all: of the private side, times what each of its rows can meet."""
    base, other = (left, right) if left.private or not right.private else (right, left)
    facts = joined.contribution
    known = frozenset(f.column.id for f in base.fields) | frozenset().union(
        *(s.columns for s in base.contribution.sources)
    )
    each = replace(facts, sources=other.contribution.sources).rows(known)
    return None if base.total is None or each is None else base.total * each


# -------------------------------------------------------------------------------- left, right


def _left(
    left: Relation,
    right: Relation,
    conditions: tuple[Expr, ...],
    binding: Binding,
    outer: Scope | None,
    place: Place | None,
) -> Relation:
    if not left.private and right.private:
        return _supplied(left, right, conditions, binding, outer, place)
    kind = left.kind
    if isinstance(kind, Open):
        assert isinstance(right.kind, Open)
        kind = Open(kind.released or right.kind.released)
    elif isinstance(right.kind, Private):
        kind = replace(
            _two_private(kind, right.kind, binding, place),
            units=kind.units,
            supplies=kind.supplies,
            correlated=kind.correlated,
        )
        conditions = _tied(left.kind, right.kind, conditions, place)
    mine = {f.column.id for f in left.fields}
    held: dict[int, int] = {}
    for condition in conditions:
        pair = ties.equality(condition)
        if pair is not None and (pair[0] in mine) != (pair[1] in mine):
            a, b = pair if pair[0] in mine else (pair[1], pair[0])
            held[b] = a
    facts = left.contribution.joined(right.contribution.optional(held))
    on = ties.conjunction(conditions) or functions.constant(True)
    joined = Relation(
        JoinOf(left.node, right.node, "left", on),
        left.fields + tuple(_nullable(f) for f in right.fields),
        kind,
        facts,
        None,
    )
    return replace(joined, total=_total(left, right, joined))


def _tied(left: Kind, right: Private, conditions: tuple[Expr, ...], place: Place | None) -> tuple[Expr, ...]:
    """The tie stands in ON of this very join (an ON of another outer join does not remove rows)."""
    assert isinstance(left, Private)
    mine, theirs = left.unit, right.unit
    used = ties.parts_equated(mine, theirs, conditions)
    if used is None:
        raise Refused("kind.untied_outer", place=place)
    rest = tuple(c for i, c in enumerate(conditions) if i not in used)
    return (ties.dense_equality(mine, theirs), *rest)


def _nullable(field: Field) -> Field:
    return replace(field, column=replace(field.column, domain=replace(field.column.domain, nullable=True)))


def _supplied(
    public: Relation,
    private: Relation,
    conditions: tuple[Expr, ...],
    binding: Binding,
    outer: Scope | None,
    place: Place | None,
) -> Relation:
    """`public LEFT JOIN private`: null-extended rows are dropped before any measure, so the private rows
    are those of the inner join; the public side gives the group keys, counted or not."""
    joined = _inner(public, private, conditions, binding, outer, place)
    assert isinstance(joined.kind, Private)
    supplies = (_supply(public, required=True),) + joined.kind.supplies[:-1]
    return replace(joined, kind=replace(joined.kind, supplies=supplies))


# --------------------------------------------------------------------------- full, semi, anti


def _full(
    left: Relation,
    right: Relation,
    conditions: tuple[Expr, ...],
    using: tuple[str, ...],
    binding: Binding,
    place: Place | None,
) -> Relation:
    """The unit is COALESCE of both sides'; so is a USING column."""
    if left.private != right.private:
        raise Refused("kind.join", place=place, join="full")
    kind: Kind
    extra: list[tuple[Column, Expr]] = []
    if isinstance(left.kind, Private) and isinstance(right.kind, Private):
        conditions = _tied(left.kind, right.kind, conditions, place)
        dense = _coalesced(left.kind.unit.dense, right.kind.unit.dense, binding)
        extra.append(dense)
    merged: list[Field] = []
    published: list[frozenset[int]] = []
    for label in using:
        a, b = _named(left, label, place), _named(right, label, place)
        column, value = _coalesced(a.column, b.column, binding)
        extra.append((column, value))
        merged.append(Field(a.label, column, None, forbidden=a.forbidden))
    if isinstance(left.kind, Private) and isinstance(right.kind, Private):
        for mine in left.kind.unit.published:
            held = {
                m.column.id
                for m, label in zip(merged, using, strict=True)
                if _named(left, label, place).column.id in mine
            }
            published.append(frozenset(held))
        kind = replace(
            _two_private(left.kind, right.kind, binding, place),
            units=(Unit(dense[0], tuple(published)),),
            supplies=(),
            rank=None,
        )
    else:
        assert isinstance(left.kind, Open) and isinstance(right.kind, Open)
        kind = Open(left.kind.released or right.kind.released)
    fields = tuple(_nullable(f) for f in left.fields + right.fields)
    shown = {label.lower() for label in using}
    fields = tuple(replace(f, merged=f.merged or f.label.lower() in shown) for f in fields)
    on = ties.conjunction(conditions) or functions.constant(True)
    node = JoinOf(left.node, right.node, "full", on)
    kept = tuple((f.column, f.column) for f in fields)
    rows = _added(_matched(left, right), right.contribution.rows())
    columns = frozenset(f.column.id for f in fields)
    return Relation(
        Project(node, tuple(extra) + kept),
        tuple(merged) + fields,
        kind,
        Contribution((Source(rows, columns),)),
        _added(_times(left.total, right.contribution.rows()), right.total),
    )


def _coalesced(a: Column, b: Column, binding: Binding) -> tuple[Column, Expr]:
    value = functions.apply("coalesce", (_as_nullable(a), b), None)
    return binding.column(value), value


def _as_nullable(column: Column) -> Column:
    return replace(column, domain=replace(column.domain, nullable=True))


def _matched(left: Relation, right: Relation) -> int | None:
    return _times(left.contribution.rows(), right.contribution.rows())


def _times(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a * max(b, 1)


def _added(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _semi(
    left: Relation, right: Relation, conditions: tuple[Expr, ...], anti: bool, place: Place | None
) -> Relation:
    if right.private and not left.private:
        raise Refused("kind.existence", place=place)
    if isinstance(right.kind, Private):
        conditions = _tied(left.kind, right.kind, conditions, place)
    condition = ties.conjunction(conditions)
    inner = Filter(right.node, condition) if condition is not None else right.node
    truth = functions.constant(True).domain
    kind = left.kind
    if isinstance(kind, Private) and isinstance(right.kind, Private):
        kind = replace(kind, datasets=kind.datasets | right.kind.datasets)
    elif isinstance(kind, Open) and isinstance(right.kind, Open):
        kind = Open(kind.released or right.kind.released)
    return replace(left, node=Filter(left.node, ExistsIn(inner, anti, truth)), kind=kind)


# --------------------------------------------------------------------------------- USING


def natural(left: Relation, right: Relation) -> tuple[str, ...]:
    """The names that NATURAL JOIN equates."""
    theirs = {f.label.lower() for f in right.fields if not f.merged}
    return tuple(f.label for f in left.fields if f.label.lower() in theirs and not f.merged)


def _named(side: Relation, label: str, place: Place | None) -> Field:
    found = [f for f in side.fields if f.label.lower() == label.lower() and not f.merged]
    if len(found) != 1:
        code = "name.ambiguous" if found else "name.column"
        raise Refused(code, place=place, name=label, there=", ".join(f.label for f in side.fields))
    if found[0].forbidden:
        raise Refused(found[0].forbidden, place=place, column=label)
    return found[0]


def _using(left: Relation, right: Relation, using: tuple[str, ...], place: Place | None) -> tuple[Expr, ...]:
    return tuple(
        functions.apply("=", (_named(left, u, place).column, _named(right, u, place).column), place)
        for u in using
    )


def _merged(joined: Relation, right: Relation, using: tuple[str, ...]) -> Relation:
    """A USING column is named once: the preserved side's, the other's answers to its qualifier only."""
    hidden = {f.column.id for f in right.fields}
    shown = {label.lower() for label in using}
    return replace(
        joined,
        fields=tuple(
            replace(f, merged=f.merged or (f.column.id in hidden and f.label.lower() in shown))
            for f in joined.fields
        ),
    )
