"""From a priced plan to a released table: exact → noise → finish, block by block.

The only place where exact numbers of restricted data and mechanisms meet. Nothing here is logged, and
what goes wrong is a `Fault`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sandbox_guard.errors import Fault
from sandbox_guard.privacy.price import Noise, PricedBlock, Quote
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.sql import functions
from sandbox_guard.sql.as_released import as_released
from sandbox_guard.sql.grouping import CELLS
from sandbox_guard.sql.plan import (
    Block,
    Computation,
    Discovered,
    Key,
    Listed,
    Measure,
    MeasureKind,
    Plan,
    Supplied,
)
from sandbox_guard.sql.printer import Literals, Tables, print_block, print_histogram, print_relation
from sandbox_guard.sql.relation import Scalar

Integers = NDArray[np.int64]


Z = 1.959964
"""A normal variable lies within so many deviations at 95 %."""


class Rows(Protocol):
    """Our SQL over restricted and public data."""

    def rows(self, sql: str, timeout: float) -> pa.Table: ...


class Finish(Protocol):
    """Our SQL over released tables."""

    def run(self, tables: Mapping[str, pa.Table], sql: str, timeout: float = ...) -> pa.Table: ...


@dataclass(frozen=True)
class ReleasedBlock:
    """What one block let out: a row for each key, integers for measures, and their noise."""

    block: Block
    keys: pa.Table
    """Physical values, columns `c0` … in the plan's order."""
    measures: tuple[Integers, ...]
    noise: tuple[Noise | Quantile, ...]
    ends: Mapping[int, tuple[Integers, Integers]] = field(default_factory=dict)
    """By position of a quantile: where it lies at 95 %, released with it."""

    def redrawn(self, i: int, draws: int, rng: np.random.Generator) -> Integers:
        """Measure i with noise drawn anew around what was released, draw after draw. A quantile's is taken
        for normal on either side."""
        values, noise = np.tile(self.measures[i], draws), self.noise[i]
        if not isinstance(noise, Quantile):
            return values + noise.simulate_noise(len(values), rng)
        low, high = (np.tile(end, draws) for end in self.ends[i])
        away = rng.normal(0.0, 1 / Z, len(values))
        moved: Integers = values + np.rint(away * np.where(away < 0, values - low, high - values)).astype(
            np.int64
        )
        return moved

    def table(self, measures: tuple[Integers, ...] | None = None) -> pa.Table:
        """As the finish engine sees it: keys, then measures, in physical form."""
        columns = {f"c{i}": self.keys.column(i) for i in range(self.keys.num_columns)}
        first = len(columns)
        for i, values in enumerate(self.measures if measures is None else measures):
            columns[f"c{first + i}"] = pa.array(values, pa.int64())
        return pa.table(columns) if columns else pa.table({"c0": pa.array([0], pa.int64())})


@dataclass
class Released:
    """All that a plan's steps gave, so far."""

    plan: Plan
    blocks: dict[int, ReleasedBlock] = field(default_factory=dict)
    computed: dict[int, pa.Table] = field(default_factory=dict)

    def tables(self) -> dict[str, pa.Table]:
        """By the names that the finish SQL uses."""
        tables = {f"b{i}": b.table() for i, b in self.blocks.items()}
        return tables | {f"p{i}": t for i, t in self.computed.items()}


def measure(plan: Plan, quote: Quote, engine: Rows, finisher: Finish, timeout: float) -> Released:
    """Run every step of the plan. Raises `Fault`."""
    released = Released(plan)
    priced = {b.index: b for b in quote.blocks}
    for step in plan.steps:
        if isinstance(step, Block):
            released.blocks[step.index] = _release(step, priced[step.index], released, engine, timeout)
        else:
            released.computed[step.index] = _compute(step, released, engine, finisher, timeout)
    return released


def finish(released: Released, finisher: Finish, timeout: float) -> pa.Table:
    """The finished table: post-processing of what was released."""
    found = as_it_stands(released)
    if found is not None:
        return found
    return finisher.run(released.tables(), print_relation(released.plan.final, Tables()), timeout)


def as_it_stands(released: Released) -> pa.Table | None:
    """The finished table where it is a released one with columns picked and rows sorted, so that nothing is to be
    computed and no engine need be asked."""
    stands = as_released(released.plan)
    if stands is None:
        return None
    table = released.blocks[stands.block].table()
    picked = pa.table({f"c{c}": table.column(f"c{place}") for c, place in stands.places.items()})
    return picked.take(places_in_order(picked, stands.by))


def places_in_order(table: pa.Table, by: Sequence[int]) -> Integers:
    """The rows of a table whose columns are called after their numbers, NULL last."""
    if not by:
        return np.arange(table.num_rows)
    keys = [(f"c{c}", "ascending", "at_end") for c in by]
    return np.asarray(pc.sort_indices(table, sort_keys=keys).to_numpy(), dtype=np.int64)


def _compute(
    step: Computation, released: Released, engine: Rows, finisher: Finish, timeout: float
) -> pa.Table:
    if step.released:
        return computed(step, released, finisher, timeout)
    table = engine.rows(print_relation(step.node, Literals(computations=_inlined(released))), timeout)
    return _in_order(step, table)


def computed(step: Computation, released: Released, finisher: Finish, timeout: float) -> pa.Table:
    """A computation over released tables."""
    return _in_order(step, finisher.run(released.tables(), print_relation(step.node, Tables()), timeout))


def _in_order(step: Computation, table: pa.Table) -> pa.Table:
    names = [f"c{c.id}" for c in step.columns]
    return table.select(names).rename_columns([f"c{i}" for i in range(len(names))])


def _inlined(released: Released) -> dict[int, list[tuple[Scalar, ...]]]:
    """Computed tables as logical values, for SQL in the vault, where they are printed as literals."""
    scales = {
        s.index: [c.scale for c in s.columns] for s in released.plan.steps if isinstance(s, Computation)
    }
    return {
        i: list(
            zip(
                *(
                    [functions.logical(v, s) for v in c.to_pylist()]
                    for c, s in zip(t.columns, scales[i], strict=True)
                ),
                strict=False,
            )
        )
        for i, t in released.computed.items()
    }


def _release(
    block: Block, priced: PricedBlock, released: Released, engine: Rows, timeout: float
) -> ReleasedBlock:
    literals = Literals(computations=_inlined(released))
    exact = _exact(block, literals, engine, timeout)
    plain = [i for i, m in enumerate(block.measures) if m.kind is not MeasureKind.QUANTILE]
    counted = {i: _integers(exact.column(f"m{i}")) for i in plain}
    units = None
    if priced.discovery is not None:
        order = _key_order(exact, block.keys)
        keys = _keys(exact.take(pa.array(order)), block)
        units = _integers(exact.column("u"))[order]
        cells = {i: values[order] for i, values in counted.items()}
    else:
        keys, where = _cells(block, exact, released)
        cells = {i: _placed(v, where, keys.num_rows if block.keys else 1) for i, v in counted.items()}
    histograms = _histograms(block, keys, literals, engine, timeout)
    rows = {i: h.rows for i, h in histograms.items()}
    measured_cells(block, keys, tuple((cells | rows)[i] for i in range(len(block.measures))), units)
    for i, histogram in histograms.items():
        measured_histogram(block, block.measures[i], keys, histogram)
    kept = np.arange(keys.num_rows if block.keys else 1)
    if priced.discovery is not None:
        assert units is not None
        kept = kept[priced.discovery.release(units)]
        keys = keys.take(pa.array(kept))
    noisy: list[Integers] = []
    ends = {}
    for i, (measure, mechanism) in enumerate(zip(block.measures, priced.measures, strict=True)):
        if isinstance(mechanism, Quantile):
            at, ends[i] = _quantile(measure, mechanism, histograms[i], kept)
            noisy.append(at)
        else:
            noisy.append(mechanism.release(cells[i][kept]))
    return ReleasedBlock(block, keys, tuple(noisy), priced.measures, ends)


def _exact(block: Block, literals: Literals, engine: Rows, timeout: float) -> pa.Table:
    """What every measure but the quantiles is taken from."""
    if not block.keys and all(m.kind is MeasureKind.QUANTILE for m in block.measures):
        return pa.table({})
    return engine.rows(print_block(block, literals), timeout)


@dataclass(frozen=True)
class Histogram:
    """How many rows fall into each bin of each cell; what is not there is 0."""

    cells: int
    cell: Integers
    bin: Integers
    n: Integers

    @property
    def rows(self) -> Integers:
        """By cell."""
        return _placed(self.n, self.cell, self.cells)

    def of(self, cell: int, bins: int) -> Integers:
        """One cell's, every bin."""
        here = self.cell == cell
        return _placed(self.n[here], self.bin[here], bins)


def _histograms(
    block: Block, keys: pa.Table, literals: Literals, engine: Rows, timeout: float
) -> dict[int, Histogram]:
    """Of each quantile; several fractions of the same values share one."""
    found: dict[Measure, Histogram] = {}
    by_measure = {}
    quantiles = [(i, m) for i, m in enumerate(block.measures) if m.kind is MeasureKind.QUANTILE]
    if not quantiles:
        return {}
    cells: list[tuple[Scalar, ...]] = _rows(keys) if block.keys else [()]
    for i, measure in quantiles:
        same = replace(measure, fraction=Fraction(0))
        if same not in found:
            exact = engine.rows(print_histogram(block, measure, literals), timeout)
            at = np.zeros(exact.num_rows, dtype=np.int64)
            if block.keys:
                at = _places(_keys(exact, block), tuple(range(len(block.keys))), cells)
            known = at >= 0
            bins, n = _integers(exact.column("bin")), _integers(exact.column("n"))
            found[same] = Histogram(len(cells), at[known], bins[known], n[known])
        by_measure[i] = found[same]
    return by_measure


def _rows(keys: pa.Table) -> list[tuple[Scalar, ...]]:
    return list(zip(*(c.to_pylist() for c in keys.columns), strict=True))


def _quantile(
    measure: Measure, mechanism: Quantile, histogram: Histogram, kept: Integers
) -> tuple[Integers, tuple[Integers, Integers]]:
    """In steps, the middle of the bin chosen in each kept cell, and where the quantile lies at 95 %."""
    at, low, high = [], [], []
    for cell in kept.tolist():
        chosen = mechanism.release(histogram.of(cell, mechanism.bins).reshape(1, -1))
        first, last = measure.bins.edges(int(chosen.at[0]))
        at.append((first + last) // 2)
        low.append(min(first, measure.bins.edges(int(chosen.low[0]))[0]))
        high.append(max(last, measure.bins.edges(int(chosen.high[0]))[1]))
    return _array(at), (_array(low), _array(high))


def _array(values: list[int]) -> Integers:
    return np.array(values, dtype=np.int64)


def measured_cells(block: Block, keys: pa.Table, cells: tuple[Integers, ...], units: Integers | None) -> None:
    """Called with what the mechanisms are about to be handed. Does nothing: the sensitivity oracle
    stands here (`tests/seam.py`), so that noise can be off in a test and never in the product."""


def measured_histogram(block: Block, measure: Measure, keys: pa.Table, histogram: Histogram) -> None:
    """The same for what a quantile is about to be chosen from."""


def _integers(column: pa.ChunkedArray) -> Integers:
    """Raises ValueError where one is missing: what is printed gives a number over any rows, or over none."""
    if column.null_count:
        raise ValueError("an exact number is NULL")
    return np.asarray(column.combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int64)


def _placed(values: Integers, where: Integers, cells: int) -> Integers:
    """Exact values at their cells, zero in the others; keys outside the plan's are dropped."""
    placed = np.zeros(cells, dtype=np.int64)
    known = where >= 0
    np.add.at(placed, where[known], values[known])
    return placed


# ----------------------------------------------------------------------------------- keys


def _cells(block: Block, exact: pa.Table, released: Released) -> tuple[pa.Table, Integers]:
    """All cells of public keys, and the cell of each exact row (-1: none)."""
    if not block.keys:
        return pa.table({}), np.zeros(exact.num_rows, dtype=np.int64)
    axes = _axes(block.keys, released)
    sizes = [len(rows) for _, rows in axes]
    cells = math.prod(sizes)
    if cells > CELLS:
        raise Fault()  # public rows alone decide it, but the charge is spent
    found = _keys(exact, block)
    where = np.zeros(exact.num_rows, dtype=np.int64)
    columns_of: dict[int, pa.Array] = {}
    inner = cells
    for positions, rows in axes:
        at = _places(found, positions, rows)
        where = np.where((where < 0) | (at < 0), -1, where * len(rows) + at)
        inner //= max(1, len(rows))
        along = np.tile(np.repeat(np.arange(len(rows)), inner), cells // max(1, inner * len(rows)))
        for place, position in enumerate(positions):
            columns_of[position] = _along(rows, place, _arrow(found, position)).take(pa.array(along))
    return pa.table({f"c{i}": columns_of[i] for i in range(len(block.keys))}), where


def _places(found: pa.Table, positions: tuple[int, ...], rows: list[tuple[Scalar, ...]]) -> Integers:
    """Which of `rows` the keys at these positions are, by exact row (-1: none)."""
    if len(positions) == 1:
        (position,) = positions
        values = _along(rows, 0, _arrow(found, position))
        at = pc.index_in(found.column(position).combine_chunks(), value_set=values)
        return np.asarray(at.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    index = {row: i for i, row in enumerate(rows)}
    columns = [found.column(p).to_pylist() for p in positions]
    return np.fromiter(
        (index.get(row, -1) for row in zip(*columns, strict=True)), dtype=np.int64, count=found.num_rows
    )


def _along(rows: list[tuple[Scalar, ...]], place: int, type: pa.DataType) -> pa.Array:
    return _unsigned(pa.array([row[place] for row in rows], type))


def _unsigned(values: pa.Array) -> pa.Array:
    """A zero without its sign. Of a group that holds both the engine shows the one that it met first, which tells of a
    row, and Arrow, unlike the engine, takes them for two values."""
    return pc.add(values, 0.0) if pa.types.is_floating(values.type) else values


Axis = tuple[tuple[int, ...], list[tuple[Scalar, ...]]]
"""Positions of keys that go together, and the rows that they may take."""


def _axes(keys: tuple[Key, ...], released: Released) -> list[Axis]:
    axes: list[Axis] = []
    supplied: dict[int, list[int]] = {}
    for position, key in enumerate(keys):
        match key.domain:
            case Listed(values=values):
                axes.append(((position,), [(functions.physical(v, key.expr.scale),) for v in values]))
            case Supplied(supplier=supplier):
                supplied.setdefault(supplier, []).append(position)
            case Discovered():
                raise Fault()
    for supplier, positions in supplied.items():
        table = released.computed[supplier]
        picked = [table.column(keys[p].domain.column).to_pylist() for p in positions]  # type: ignore[union-attr]
        axes.append((tuple(positions), sorted(set(zip(*picked, strict=True)), key=_sortable)))
    return axes


def _keys(exact: pa.Table, block: Block) -> pa.Table:
    columns = (exact.column(f"k{i}").combine_chunks() for i in range(len(block.keys)))
    return pa.table({f"c{i}": _unsigned(values) for i, values in enumerate(columns)})


def _arrow(found: pa.Table, i: int) -> pa.DataType:
    return found.schema.field(i).type


def _key_order(exact: pa.Table, keys: tuple[Key, ...]) -> Integers:
    """Key order, NULL last, so that the order of arrival tells nothing."""
    order = pc.sort_indices(exact, sort_keys=[(f"k{i}", "ascending", "at_end") for i in range(len(keys))])
    return np.asarray(order.to_numpy(), dtype=np.int64)


def _sortable(row: tuple[Scalar, ...]) -> tuple[tuple[bool, Any], ...]:
    return tuple((value is None, value if value is not None else 0) for value in row)
