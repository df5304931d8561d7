"""The sensitivity oracle (DESIGN section 8): the exact integers that mechanisms would be handed, on a
database and on the same database without one unit, loaded again from the source.

What was released is held fixed across the two: a released scalar in a private filter, or released keys, are
public by then. So the first database's released computations are replayed on every neighbour.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from sandbox_guard import release as releasing
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.engine import InProcess
from sandbox_guard.policy.model import Policies
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.plan import Block, Measure, MeasureKind, Plan
from sandbox_guard.sql.planner import plan
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
        return np.ones(len(units), dtype=bool), units


def _unnoised(block: Block) -> Any:
    """In the place of a priced block. A quantile is drawn after all, for it has no exact integers to let out;
    what it is handed is noted before."""
    discovery = _Everything() if block.discovery is not None else None
    return SimpleNamespace(
        index=block.index, measures=tuple(map(_mechanism, block.measures)), discovery=discovery
    )


def _mechanism(measure: Measure) -> Any:
    if measure.kind is not MeasureKind.QUANTILE:
        return _Exact()
    bins = measure.bins.count
    return Quantile.within(measure.fraction, bins, measure.sensitivity.l2_squared, 10**9)


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


@dataclass(frozen=True)
class Neighbours:
    """A database with engines over it and over what is left of it when one unit goes."""

    policies: Policies
    engine: InProcess
    without: Mapping[object, InProcess]
    finisher: LocalFinisher

    def planned(
        self, sql: str | bytes, params: Mapping[str, Any] = {}, rows_per_unit: int | None = None
    ) -> Plan:
        """Raises `Refused`."""
        project = next(iter(self.policies.projects.values()))
        catalogue = Catalogue.of(self.policies, project)
        return plan(parse(sql, params), catalogue, today=TODAY, rows_per_unit=rows_per_unit)

    def exact(self, plan: Plan, engine: InProcess | None = None, held: Exact | None = None) -> Exact:
        """Every measure of the plan. `held`: whose released computations to replay."""
        engine = engine or self.engine
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
        if held is None:
            found.finished = releasing.finish(released, self.finisher, SECONDS)
        return found

    def moves(self, plan: Plan, units: Sequence[object] | None = None) -> list[Moved]:
        """Every measure that some unit (of `units`, or of all) moves by more than declared: none, if the
        planner is right."""
        whole = self.exact(plan)
        result = []
        for unit in self.without if units is None else units:
            less = self.exact(plan, self.without[unit], held=whole)
            for a, b in zip(whole.measured, less.measured, strict=True):
                difference = differences(a, b)
                if exceeds(difference, a):
                    result.append(Moved(unit, a, difference))
        return result

    def close(self) -> None:
        for engine in (self.engine, *self.without.values()):
            engine.close()
        self.finisher.close()


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
    policies: Policies, tables: Mapping[str, Rows], units: Sequence[object] | None = None, threads: int = 1
) -> Neighbours:
    """Load the database, and once more without each unit (`units`: without these only). Tables with a
    `firm_id` are private."""
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

    def less(unit: object) -> dict[str, Rows]:
        return {t: [r for r in rows if r.get("firm_id", ...) != unit] for t, rows in tables.items()}

    chosen = sorted(ids) if units is None else units
    return Neighbours(policies, opened(tables), {u: opened(less(u)) for u in chosen}, LocalFinisher())


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
