"""Names: what a query can see, and the state that one binding shares."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from sandbox_guard.errors import Refused, Text
from sandbox_guard.sql import syntax
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.kinds import Field, Open, Private, Relation
from sandbox_guard.sql.plan import Block, Computation
from sandbox_guard.sql.relation import Aggregate, Column, Computed, Domain, Expr, Node, Project, WindowCall


@dataclass
class Binding:
    """One query on its way to a plan: fresh numbers, and the steps found so far."""

    catalogue: Catalogue
    today: dt.date
    subquery: Callable[[syntax.Query, Scope], Relation]
    """Binds a query inside another; `expressions` cannot import `bind`, which needs it."""
    rows_per_unit: int | None = None
    """K, where the asker wants fewer rows of a unit to count than policy's cap."""
    steps: list[Block | Computation] = field(default_factory=list)
    notes: list[Text] = field(default_factory=list)
    subqueries: list[tuple[dict[str, Relation], syntax.Query, Relation]] = field(default_factory=list)
    """Open subqueries that name nothing outside, each with the CTEs that it may name."""
    _last: int = 0

    def number(self) -> int:
        self._last += 1
        return self._last

    def column(self, like: Expr | Column | Aggregate | WindowCall, domain: Domain | None = None) -> Column:
        """A new column that holds what `like` gives."""
        enum = isinstance(like, Column) and like.enum
        return Column(self.number(), domain or like.domain, like.scale, enum)

    def note(self, zh: str, en: str) -> None:
        """Something that was cut or assumed, said once with the answer."""
        if (note := Text(zh, en)) not in self.notes:
            self.notes.append(note)

    def mark(self) -> tuple[int, int, int]:
        """Where the steps, notes and subqueries stand."""
        return len(self.steps), len(self.notes), len(self.subqueries)

    def back_to(self, mark: tuple[int, int, int]) -> None:
        """Forget what was bound since: it is about to be bound otherwise."""
        steps, notes, subqueries = mark
        del self.steps[steps:], self.notes[notes:], self.subqueries[subqueries:]

    def compute(self, relation: Relation) -> Relation:
        """The same open relation, computed by itself as a step of its own."""
        assert isinstance(relation.kind, Open)
        columns = tuple(f.column for f in relation.fields)
        computations = [s for s in self.steps if isinstance(s, Computation)]
        same = [s.index for s in computations if s.node == relation.node and s.columns == columns]
        index = same[0] if same else len(computations)
        if not same:
            self.steps.append(Computation(index, relation.node, columns, relation.kind.released))
        fresh = {c.id: self.column(c) for c in columns}
        node: Node = Computed(index, tuple((fresh[c.id], i) for i, c in enumerate(columns)))
        return renumbered(self, relation, fresh, node)


def instance(binding: Binding, relation: Relation) -> Relation:
    """Another instance of the same relation, for each time a CTE is named."""
    fresh = {c.id: binding.column(c) for c in (*(f.column for f in relation.fields), *relation.hidden)}
    columns = {c.id: c for c in (*(f.column for f in relation.fields), *relation.hidden)}
    node = Project(relation.node, tuple((fresh[i], c) for i, c in columns.items()))
    return renumbered(binding, relation, fresh, node)


def renumbered(binding: Binding, relation: Relation, fresh: dict[int, Column], node: Node) -> Relation:
    """The relation under new column numbers, its facts too: a symbol that two instances shared would
    carry facts of one over to the other."""
    symbols = {old: new.id for old, new in fresh.items()}

    def number(old: int) -> int:
        if old not in symbols:
            symbols[old] = binding.number()
        return symbols[old]

    kind = relation.kind
    if isinstance(kind, Private):
        kind = replace(
            kind,
            units=tuple(
                replace(u.renumbered(lambda old: (number(old),)), dense=fresh[u.dense.id]) for u in kind.units
            ),
            supplies=tuple(
                replace(s, columns=tuple((number(old), c) for old, c in s.columns)) for s in kind.supplies
            ),
            rank=fresh[kind.rank.id] if kind.rank else None,
        )
    return replace(
        relation,
        node=node,
        fields=tuple(replace(f, column=fresh[f.column.id]) for f in relation.fields),
        kind=kind,
        contribution=relation.contribution.renumbered(number),
    )


@dataclass
class Scope:
    """Where expressions are bound: a FROM's columns, aliases of the SELECT list, and what lies outside.

    `aggregate` and `window` are set where such calls may stand; `grouped` is set behind a GROUP BY and
    turns an expression into the column that holds it, or None.
    """

    binding: Binding
    relation: Relation
    ctes: dict[str, Relation]
    parent: Scope | None = None
    aliases: dict[str, syntax.Expr] = field(default_factory=dict)
    """Of the SELECT list, for those who may name them."""
    aliases_first: bool = False
    """ORDER BY prefers them to columns."""
    outputs: dict[str, Expr] = field(default_factory=dict)
    aggregate: Callable[[syntax.Call], Expr] | None = None
    grouped: Callable[[syntax.Expr], Expr | None] | None = None
    rows: Scope | None = None
    """Behind a GROUP BY: the scope of the rows before it."""
    window: Callable[[syntax.Call, Scope], Expr] | None = None
    outer: set[int] = field(default_factory=set)
    """Columns of enclosing queries that were named: a correlated subquery."""

    def scopes(self) -> Iterator[Scope]:
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def column(self, name: syntax.Name) -> Column:
        """The column a name means, innermost scope first."""
        for depth, scope in enumerate(self.scopes()):
            found = _matching(scope.relation, name.parts)
            if len(found) > 1:
                raise Refused("name.ambiguous", place=name.place, name=".".join(name.parts))
            if found:
                if found[0].forbidden:
                    raise Refused(found[0].forbidden, place=name.place, column=found[0].label)
                if depth:
                    for inner in list(self.scopes())[:depth]:
                        inner.outer.add(found[0].column.id)
                return found[0].column
        raise self._unknown(name)

    def _unknown(self, name: syntax.Name) -> Refused:
        labels = sorted({f.label for s in self.scopes() for f in s.relation.fields if not f.merged})
        near = difflib.get_close_matches(name.parts[-1].lower(), [x.lower() for x in labels], 1, 0.6)
        if near:
            return Refused("name.column_near", place=name.place, name=".".join(name.parts), near=near[0])
        fields = [f for s in self.scopes() for f in s.relation.fields]
        return Refused(
            "name.column",
            place=name.place,
            name=".".join(name.parts),
            there=", ".join(labels[:12]),
            text=any(name.parts[-1] in (f.column.domain.values or ()) for f in fields),
        )


def _matching(relation: Relation, parts: tuple[str, ...]) -> list[Field]:
    label = parts[-1].lower()
    if len(parts) == 1:
        return [f for f in relation.fields if f.label.lower() == label and not f.merged]
    qualifier = parts[-2].lower()
    if len(parts) > 3 or (len(parts) == 3 and parts[0].lower() != "main"):
        return []
    return [
        f
        for f in relation.fields
        if f.label.lower() == label and f.qualifier is not None and f.qualifier.lower() == qualifier
    ]
