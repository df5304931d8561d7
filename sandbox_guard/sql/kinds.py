"""The three kinds of relation (DESIGN section 3), and the one invariant that the rules in `joins` keep:

a row of Private(u) is a deterministic function of that one unit's own rows and of public data,
and u is never NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql.contribution import Contribution
from sandbox_guard.sql.relation import Column, Node


@dataclass(frozen=True)
class Field:
    """A column that a query can name."""

    label: str
    column: Column
    qualifier: str | None = None
    """Alias of the FROM item it comes from."""
    merged: bool = False
    """Stands behind a USING column: reachable by its qualifier only."""
    forbidden: str | None = None
    """Refusal code, where policy lets no query use it (an identifier, another population's member)."""


@dataclass(frozen=True)
class Unit:
    """Where a private relation keeps its unit."""

    dense: Column
    """The loader's dense id. Never visible."""
    published: tuple[frozenset[int], ...]
    """For each part of the published id, the columns that hold exactly it, by lineage."""
    keys: tuple[tuple[str, frozenset[int]], ...] = ()
    """Columns that lead to the unit though they do not hold it: by `dataset.table.column` of a unique key, or a
    foreign key to one (DESIGN section 3), those that hold it, by lineage. Equal values mean one unit."""

    def renumbered(self, held: Callable[[int], Iterable[int]]) -> Unit:
        """Behind a projection: `held` says which columns hold what a column held."""

        def kept(columns: frozenset[int]) -> frozenset[int]:
            return frozenset(new for old in columns for new in held(old))

        return Unit(self.dense, tuple(map(kept, self.published)), tuple((k, kept(c)) for k, c in self.keys))

    def merged(self, other: Unit) -> Unit:
        """Two units that are one."""
        mine, theirs = dict(self.keys), dict(other.keys)
        return Unit(
            self.dense,
            tuple(a | b for a, b in zip(self.published, other.published, strict=True))
            if self.published and other.published
            else self.published or other.published,
            tuple((k, mine.get(k, frozenset()) | theirs.get(k, frozenset())) for k in mine | theirs),
        )


@dataclass(frozen=True)
class Supply:
    """A public or released relation that was joined to private rows and may supply group keys."""

    node: Node
    columns: tuple[tuple[int, Column], ...]
    """(column of the join, the supplier's column that it holds)."""
    required: bool = False
    """`public LEFT JOIN private`: it must supply all of them."""


@dataclass(frozen=True)
class Private:
    population: str
    datasets: frozenset[str]
    units: tuple[Unit, ...]
    """One, once every pair is tied. An inner or comma join waits for its WHERE with several; an ungrouped
    aggregate over the rows of the enclosing query's unit has none of its own."""
    supplies: tuple[Supply, ...] = ()
    rank: Column | None = None
    """The loader's rank within the unit, while it still says something of the row."""
    correlated: bool = False
    """Tied to the unit of the enclosing query's row: it holds that unit's rows alone."""

    @property
    def unit(self) -> Unit:
        if len(self.units) != 1:
            raise Refused("kind.untied")
        return self.units[0]


@dataclass(frozen=True)
class Open:
    """Public, or released and so public from then on."""

    released: bool


Kind: TypeAlias = "Private | Open"


@dataclass(frozen=True)
class Relation:
    node: Node
    fields: tuple[Field, ...]
    kind: Kind
    contribution: Contribution
    total: int | None
    """Most rows in all, within policy's caps."""

    @property
    def private(self) -> bool:
        return isinstance(self.kind, Private)

    @property
    def hidden(self) -> tuple[Column, ...]:
        """Columns that must survive a projection though nobody can name them."""
        if not isinstance(self.kind, Private):
            return ()
        rank = (self.kind.rank,) if self.kind.rank else ()
        return tuple(u.dense for u in self.kind.units) + rank

    def labelled(self, labels: tuple[str, ...], place: Place | None) -> Relation:
        """`AS t(a, b)`: the first columns get these names."""
        if len(labels) > len(self.fields):
            raise Refused("name.too_many", place=place, given=len(labels), there=len(self.fields))
        renamed = tuple(replace(f, label=label) for f, label in zip(self.fields, labels, strict=False))
        return replace(self, fields=renamed + self.fields[len(labels) :])

    def aliased(self, alias: str | None) -> Relation:
        """As one FROM item: its columns answer to this alias."""
        return replace(
            self,
            fields=tuple(replace(f, qualifier=alias, merged=False) for f in self.fields if not f.merged),
        )
