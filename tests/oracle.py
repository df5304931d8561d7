"""The sensitivity oracle (DESIGN section 8): the exact integers that mechanisms would be handed, on a
database and on the same database without one unit, loaded again from the source.

What was released is held fixed across the two: a released scalar in a private filter, or released keys, are
public by then. So the first database's released computations are replayed on every neighbour.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sandbox_guard import release as releasing
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import InProcess
from sandbox_guard.errors import Fault, Refused
from sandbox_guard.policy.model import Policies
from sandbox_guard.privacy.quantile import Bins, Quantile
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.plan import Block, Computation, Measure, MeasureKind, Plan
from sandbox_guard.sql.planner import plan
from tests import databases
from tests.local import LocalFinisher
from tests.seam import Measured, loaded, watched

Rows = list[dict[str, Any]]
TODAY = dt.date(2026, 6, 30)
SECONDS = 60.0
SECRET = bytes(range(32))


class _Exact:
    """A mechanism that adds nothing: "noise off" is a seam of the tests."""

    def release(self, values: Any) -> Any:
        return values


class _Everything:
    """A threshold that every key passes."""

    def release(self, units: Any) -> Any:
        return np.ones(len(units), dtype=bool)


class _Nearest(Quantile):
    """The bin nearest to the quantile, in the place of a draw."""

    def release(self, histogram: NDArray[np.int64]) -> Bins:
        up_to = np.cumsum(histogram, axis=1)
        at = np.argmax(up_to * self.fraction.denominator >= up_to[:, -1:] * self.fraction.numerator, axis=1)
        return Bins(at, at, at)


@cache
def _quantile(fraction: Fraction, bins: int) -> Quantile:
    drawn = Quantile.within(fraction, bins, 1, 10**9)
    return _Nearest(fraction, bins, drawn.choice)


def _unnoised(block: Block) -> Any:
    """In the place of a priced block."""
    discovery = _Everything() if block.discovery is not None else None
    return SimpleNamespace(
        index=block.index, measures=tuple(map(_mechanism, block.measures)), discovery=discovery
    )


def _mechanism(measure: Measure) -> Any:
    if measure.kind is not MeasureKind.QUANTILE:
        return _Exact()
    return _quantile(measure.fraction, measure.bins.count)


@dataclass
class Exact:
    """What one database gives: the measures, and the released computations to replay."""

    measured: list[Measured] = field(default_factory=list)
    computed: dict[int, pa.Table] = field(default_factory=dict)
    finished: pa.Table | None = None


@dataclass(frozen=True)
class Moved:
    """A measure that one unit moved further than the plan declared."""

    unit: object
    measure: Measured
    difference: tuple[int, ...]

    def __str__(self) -> str:
        d = [abs(x) for x in self.difference if x]
        found = (len(d), max(d), sum(d), sum(x * x for x in d))
        m = self.measure
        declared = (m.l0, m.linf, m.l1, m.l2_squared)
        return f"unit {self.unit} moves a {m.kind} by (l0, linf, l1, l2²) = {found}, declared {declared}"


PUBLIC = Measured(0, "public result", (), (), 1.0, 0, 0, 0, 0)
"""What is computed without noise may not move at all."""


def _rows_of(table: pa.Table) -> list[str]:
    return sorted(map(repr, zip(*(c.to_pylist() for c in table.columns), strict=True)))


@dataclass(frozen=True)
class Neighbours:
    """A database with engines over it and over what it is when one unit goes, or another comes."""

    policies: Policies
    engine: InProcess
    without: Mapping[object, InProcess]
    """By the unit that goes, or by the name of the one that is inserted."""
    finisher: LocalFinisher

    def planned(
        self, sql: str | bytes, params: Mapping[str, Any] = {}, rows_per_unit: int | None = None
    ) -> Plan:
        """Raises `Refused`."""
        project = next(iter(self.policies.projects.values()))
        catalogue = Catalogue.of(self.policies, project)
        return plan(parse(sql, params), catalogue, today=TODAY, rows_per_unit=rows_per_unit)

    def exact(self, plan: Plan, engine: InProcess | None = None, held: Exact | None = None) -> Exact:
        """Every measure of the plan, and the finished table. `held`: whose released computations to replay."""
        found, released = self._measured(plan, engine or self.engine, held)
        if held is None:
            found.finished = releasing.finish(released, self.finisher, SECONDS)
        return found

    def _measured(self, plan: Plan, engine: InProcess, held: Exact | None) -> tuple[Exact, Any]:
        found = Exact()
        released = releasing.Released(plan)
        with watched(found.measured):
            for step in plan.steps:
                if isinstance(step, Block):
                    released.blocks[step.index] = releasing._release(
                        step, _unnoised(step), released, engine, SECONDS
                    )
                elif held is not None and step.released:
                    released.computed[step.index] = held.computed[step.index]
                else:
                    released.computed[step.index] = releasing._compute(
                        step, released, engine, self.finisher, SECONDS
                    )
        found.computed = released.computed
        return found, released

    def moves(self, plan: Plan, units: Sequence[object] | None = None) -> list[Moved]:
        """Every measure that some unit (of `units`, or of all) moves by more than declared: none, if the
        planner is right."""
        with printed_once():
            whole, _ = self._measured(plan, self.engine, None)
            neighbours = [
                (unit, self._measured(plan, self.without[unit], whole)[0])
                for unit in (self.without if units is None else units)
            ]
        result = []
        for unit, less in neighbours:
            for a, b in zip(whole.measured, less.measured, strict=True):
                difference = differences(a, b)
                if exceeds(difference, a):
                    result.append(Moved(unit, a, difference))
            for step in plan.steps:
                if isinstance(step, Computation) and not step.released:
                    mine, theirs = (_rows_of(e.computed[step.index]) for e in (whole, less))
                    if mine != theirs:
                        result.append(Moved(unit, PUBLIC, (1,)))
        return result

    def violated(self, sql: str) -> str | None:
        """What goes wrong with this query, if anything does; what is refused cannot."""
        try:
            planned = self.planned(sql)
        except Refused:
            return None
        if self._fails(planned, self.engine):
            others = [u for u, engine in self.without.items() if not self._fails(planned, engine)]
            return f"an error, and none without {others[0]}" if others else None
        first = self.exact(planned)
        again = self.exact(planned, held=first)
        for a, b in zip(first.measured, again.measured, strict=True):
            if any(differences(a, b)):
                return f"two runs on the same data differ in a {a.kind}"
        moved = self.moves(planned)
        return str(moved[0]) if moved else None

    def _fails(self, plan: Plan, engine: InProcess) -> bool:
        try:
            self.exact(plan, engine)
        except Fault:
            return True
        return False

    def close(self) -> None:
        for engine in (self.engine, *self.without.values()):
            engine.close()
        self.finisher.close()


@contextlib.contextmanager
def printed_once() -> Iterator[None]:
    """Blocks are the same for all neighbours, and so are the released values that they name: their SQL need
    be printed once."""
    product: Any = releasing
    block, histogram = product.print_block, product.print_histogram
    printed: dict[Any, str] = {}

    def once(printer: Any, *what: Any) -> str:
        *trees, literals = what
        key = (printer, *map(id, trees), repr(literals))
        if key not in printed:
            printed[key] = printer(*what)
        return printed[key]

    product.print_block = partial(once, block)
    product.print_histogram = partial(once, histogram)
    try:
        yield
    finally:
        product.print_block, product.print_histogram = block, histogram


def differences(a: Measured, b: Measured) -> tuple[int, ...]:
    """Cell by cell, by key; a key that one side lacks counts 0 there."""
    mine, theirs = ({_hashable(k): v for k, v in zip(m.keys, m.exact, strict=True) if v} for m in (a, b))
    keys = [*mine, *(k for k in theirs if k not in mine)]
    return tuple(mine.get(k, 0) - theirs.get(k, 0) for k in keys)


def _hashable(key: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((type(k).__name__, k) for k in key)


def exceeds(difference: Sequence[int], declared: Measured) -> bool:
    moved = [abs(d) for d in difference if d]
    return bool(moved) and (
        len(moved) > declared.l0
        or max(moved) > declared.linf
        or sum(moved) > declared.l1
        or sum(d * d for d in moved) > declared.l2_squared
    )


def neighbours(
    policies: Policies,
    tables: dict[str, Rows],
    units: Sequence[int] | None = None,
    threads: int = 1,
    inserted: Mapping[str, dict[str, Rows]] = {},
) -> Neighbours:
    """Load the database, once more without each unit (`units`: without these only), and once more with
    each of the units to insert."""
    ids = {r["firm_id"] for rows in tables.values() for r in rows if "firm_id" in r}
    limits = Limits(threads=threads)

    def opened(data: Mapping[str, Rows]) -> InProcess:
        with tempfile.TemporaryDirectory() as folder:
            # The secret behind ranks outlives versions; dense ids are dealt anew.
            keys = Path(folder, "keys")
            keys.mkdir(mode=0o700)
            for population in policies.populations:
                place = keys / f"rank-{population}.key"
                place.write_bytes(SECRET)
                place.chmod(0o600)
            # DuckDB keeps the file open: it may go once it is attached.
            return InProcess(loaded(policies, data, Path(folder)), limits=limits)

    chosen = sorted(ids) if units is None else units
    other: dict[object, InProcess] = {u: opened(databases.without(tables, u)) for u in chosen}
    other |= {name: opened(databases.joined(tables, unit)) for name, unit in inserted.items()}
    return Neighbours(policies, opened(tables), other, LocalFinisher())


class Spy:
    """An engine that counts what it is asked."""

    def __init__(self, engine: InProcess) -> None:
        self.engine = engine
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        """Called before each statement runs."""

    def versions(self) -> dict[str, str]:
        return self.engine.versions()

    def rows(self, sql: str, timeout: float) -> pa.Table:
        self.before(sql)
        self.asked.append(sql)
        return self.engine.rows(sql, timeout)
