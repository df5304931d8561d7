"""How many rows of a relation one unit can own, from declared facts alone.

A relation is made of *sources* that were joined. Of each we know the most rows one unit owns in it (a
public source: the most rows in all), and which column sets identify one of them. Equalities between
columns say which column is fixed once another is. From that follow both the rows of one unit in the
whole relation and its rows within one group: fix the group's key columns and count again.

Columns appear here as numbers only. They stay valid symbols after a projection drops them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations

UNIT = 0
"""The symbol of the unit itself: (UNIT, c) says that c is the same in all rows of one unit."""

PERMUTED = 5
"""Up to so many sources every order is tried; beyond it, the order in which they were joined."""


@dataclass(frozen=True)
class Source:
    rows: int | None
    """Most rows of one unit; None where nothing bounds it."""
    columns: frozenset[int]
    unique: tuple[frozenset[int], ...] = ()
    """Column sets that, within one unit, identify a row."""
    optional: bool = False
    """Null-extended for some rows, so that nothing of it is constant in a unit."""


@dataclass(frozen=True)
class Contribution:
    sources: tuple[Source, ...] = ()
    implies: frozenset[tuple[int, int]] = frozenset()
    """(a, b): within one unit, rows that agree in a agree in b."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(column, n): the column takes at most n values, NULL counted."""

    def rows(self, fixed: Iterable[int] = ()) -> int | None:
        """Most rows of one unit that agree in all `fixed` columns."""
        sizes: dict[int, int] = {}
        for column, size in self.sizes:
            sizes[column] = min(size, sizes.get(column, size))
        single = frozenset(c for c, size in sizes.items() if size == 1)
        start = self._closure(frozenset(fixed) | single | {UNIT})
        orders = permutations(self.sources) if len(self.sources) <= PERMUTED else [self.sources]
        found = [self._rows_in_order(order, start, sizes) for order in orders]
        bounded = [n for n in found if n is not None]
        return min(bounded) if bounded else None

    def _rows_in_order(
        self, order: Iterable[Source], known: frozenset[int], sizes: dict[int, int]
    ) -> int | None:
        total: int | None = 1
        for source in order:
            choices = [source.rows] + [_product(sizes, unique - known) for unique in source.unique]
            bounded = [max(n, 1) for n in choices if n is not None]
            if not bounded:
                return None
            total = total * min(bounded) if total is not None else None
            known = self._closure(known | source.columns)
        return total

    def _closure(self, known: frozenset[int]) -> frozenset[int]:
        while True:
            more = {b for a, b in self.implies if a in known} - known
            if not more:
                return known
            known |= more

    def constant(self, column: int) -> bool:
        """Is the column the same in all rows of one unit?"""
        one = frozenset().union(
            *(s.columns for s in self.sources if not s.optional and (s.rows == 1 or frozenset() in s.unique))
        )
        return column in self._closure(one | {UNIT})

    # ------------------------------------------------------------------ how operations change it

    def joined(self, other: Contribution) -> Contribution:
        return Contribution(
            self.sources + other.sources, self.implies | other.implies, self.sizes + other.sizes
        )

    def equated(self, a: int, b: int) -> Contribution:
        """Every row satisfies `a = b`."""
        return replace(self, implies=self.implies | {(a, b), (b, a)})

    def optional(self, held: Mapping[int, int]) -> Contribution:
        """As the right side of a LEFT JOIN. `held`: its columns that ON equates with one of the left's.

        Rows without a match are null-extended, which breaks every equality and constancy inside it: rows
        that agree in the left's column need not agree in the right's, since ON may match only some of
        them. What stays: how many rows one left row can meet, known by the left's own columns."""
        columns = frozenset().union(*(s.columns for s in self.sources))
        unique: tuple[frozenset[int], ...] = ()
        if len(self.sources) == 1:
            own = self.sources[0].unique
            fixed = {c: a for b, a in held.items() for c in self._closure(frozenset({b}))}
            unique = own + tuple(frozenset(fixed.get(c, c) for c in u) for u in own)
        return Contribution((Source(self.rows(), columns, unique, optional=True),))

    def sized(self, column: int, size: int) -> Contribution:
        return replace(self, sizes=self.sizes + ((column, size),))

    def copied(self, old: int, new: int) -> Contribution:
        """`new` is another name of `old`."""
        sized = tuple((new, n) for c, n in self.sizes if c == old)
        return replace(self, implies=self.implies | {(old, new), (new, old)}, sizes=self.sizes + sized)

    def renumbered(self, number: Callable[[int], int]) -> Contribution:
        """The same facts of another instance of the relation: no symbol may be shared, or a fact of
        one instance would be taken for a fact of both."""

        def all_of(columns: frozenset[int]) -> frozenset[int]:
            return frozenset(number(c) for c in columns)

        return Contribution(
            tuple(
                Source(s.rows, all_of(s.columns), tuple(all_of(u) for u in s.unique), s.optional)
                for s in self.sources
            ),
            frozenset((number(a) if a else UNIT, number(b)) for a, b in self.implies),
            tuple((number(c), n) for c, n in self.sizes),
        )


def _product(sizes: dict[int, int], columns: frozenset[int]) -> int | None:
    total = 1
    for column in columns:
        if column not in sizes:
            return None
        total *= sizes[column]
    return total
