"""The 95 % interval of each released number.

A number that is one measure, or a weighted sum of some, has the half-width of its mechanisms' noise. Any other
(a ratio, an average, a window over counts) is simulated: the noise is drawn again many times around
the released values, with public randomness, and the finish is computed for each draw. That uses nothing
but what was released, so it costs nothing and leaks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sandbox_guard.privacy.mechanism import Gaussian
from sandbox_guard.privacy.price import Noise
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.release import Finish, Released, Z, computed, finish, places_in_order
from sandbox_guard.sql.as_released import as_released, plain_order
from sandbox_guard.sql.plan import Block, Computation, Plan
from sandbox_guard.sql.printer import Tables, print_relation
from sandbox_guard.sql.relation import (
    Column,
    Computed,
    Domain,
    Filter,
    Node,
    Project,
    Sort,
    Type,
)
from sandbox_guard.sql.relation import Released as ReleasedTable
from sandbox_guard.sql.walk import nodes
from sandbox_guard.sql.weighted import Weighted, weighted

DRAWS = 200
"""Simulations; a quantile of 200 draws is within 3 points of the one asked."""

WHOLE_RUNS = 40
"""Runs of a finish that must be computed whole each time."""

LEVEL = 0.95
SEED = 20240229
"""Public: the same release always shows the same interval."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How far the interval reaches below and above each row's value; NaN: not known."""

    below: Floats
    above: Floats


@dataclass(frozen=True)
class Intervals:
    """By output; None where the column is not noisy."""

    spreads: tuple[Spread | None, ...]
    exact: bool
    """By the mechanism's own distribution, for every column."""


def finished(released: Released, finisher: Finish, timeout: float) -> tuple[pa.Table, Intervals]:
    """The finished table and its intervals."""
    plan = released.plan
    direct = [weighted(plan, o) if o.noisy else None for o in plan.outputs]
    exact = all(s is not None or not o.noisy for o, s in zip(plan.outputs, direct, strict=True))
    simulated: tuple[Floats, ...] = ()
    if exact:
        table = finish(released, finisher, timeout)
    else:
        table, simulated = _simulated(released, finisher, timeout)
    spreads: list[Spread | None] = []
    for position, (output, source) in enumerate(zip(plan.outputs, direct, strict=True)):
        if not output.noisy:
            spreads.append(None)
        elif source is not None:
            spreads.append(_of_mechanism(released, source, table.num_rows, finisher, timeout))
        else:
            spreads.append(Spread(simulated[position], simulated[position]))
    return table, Intervals(tuple(spreads), exact)


def effort(plan: Plan) -> tuple[int, int]:
    """How often what is made of released tables is run, intervals included, and how many draws of each released number
    these make: from the plan alone. In stacked draws one run has all of them."""
    direct = [weighted(plan, o) for o in plan.outputs if o.noisy]
    blocks = {b.index: b for b in plan.blocks}
    quantiles = sum(bool(s is not None and blocks[s.block].keys and s.quantile(plan)) for s in direct)
    if None not in direct:
        computed_first = any(isinstance(s, Computation) and s.released for s in plan.steps)
        return quantiles + (as_released(plan) is None or computed_first), 0
    rowwise = _rowwise(plan)
    if rowwise is None:
        return quantiles + 1 + WHOLE_RUNS, WHOLE_RUNS
    return quantiles + (1 if _order_alone(rowwise[1], plan) is not None else 2), DRAWS


def _order_alone(node: Node, plan: Plan) -> tuple[int, ...] | None:
    """The columns by which the rows that `node` makes are sorted, where that is all that is done to them: none is left
    out, and no engine need sort them."""
    ordered = plain_order(plan.final)
    return ordered[0] if ordered is not None and ordered[1] == node else None


def _of_mechanism(
    released: Released, number: Weighted, rows: int, finisher: Finish, timeout: float
) -> Spread:
    """By the noise of its measures, or the ends that a quantile was released with."""
    block = released.blocks[number.block]
    width = half_width(number, block.noise)
    if width is not None:
        widths = np.full(rows, width)
        return Spread(widths, widths)
    ((measure, step),) = number.weights
    shown = _shown_rows(released, number.block, len(block.table().column_names), rows, finisher, timeout)
    at, (low, high) = block.measures[measure], block.ends[measure]
    below, above = ((d[shown] * float(step)).astype(np.float64) for d in (at - low, high - at))
    return Spread(below, above)


def half_width(number: Weighted, noise: Sequence[Noise | Quantile]) -> float | None:
    """At 95 %, of a number whose measures bear this noise; None where one of them is a quantile, which has none."""
    parts = tuple((abs(weight), noise[i]) for i, weight in number.weights)
    if any(isinstance(n, Quantile) for _, n in parts):
        return None
    return _half_width_of(parts)


@lru_cache(256)
def _half_width_of(parts: tuple[tuple[Fraction, Noise], ...]) -> float:
    """A mechanism's own for one measure. A sum of Gaussian numbers is one; of others it is found by drawing."""
    if len(parts) == 1:
        ((weight, noise),) = parts
        return float(noise.half_width() * weight)
    scale = gaussian_scale(parts)
    if scale is not None and min(n.scale for _, n in parts) >= _SMOOTH:
        return Z * scale
    rng = np.random.default_rng(SEED)
    drawn = sum(float(weight) * noise.simulate_noise(_DRAWN, rng) for weight, noise in parts)
    return float(np.quantile(np.abs(drawn), LEVEL, method="higher"))


_SMOOTH = 2.0
"""From this scale on, steps of a discrete Gaussian do not show in the quantiles of a sum."""

_DRAWN = 20_000


def gaussian_scale(parts: Sequence[tuple[Fraction, Noise]]) -> float | None:
    """Of a weighted sum of Gaussian numbers; None where one is not."""
    if not all(isinstance(n, Gaussian) for _, n in parts):
        return None
    return math.sqrt(sum((float(weight) * n.scale) ** 2 for weight, n in parts))


# -------------------------------------------------------------------------------- simulation


def _simulated(released: Released, finisher: Finish, timeout: float) -> tuple[pa.Table, tuple[Floats, ...]]:
    """The finished table, and how far each output's draws lie from it."""
    rowwise = _rowwise(released.plan)
    if rowwise is not None:
        return _stacked(released, rowwise, finisher, timeout)
    table = finish(released, finisher, timeout)
    return table, _repeated(released, table, finisher, timeout)


def _rowwise(plan: Plan) -> tuple[int, Node, tuple[Column, ...]] | None:
    """Where the finish computes each row from one released row: the block, the projection alone
    (no HAVING, ORDER BY or LIMIT, which only choose and order rows), and the output columns."""
    node = plan.final
    while isinstance(node, (Sort, Filter)):
        node = node.input
    projections: list[Project] = []
    while isinstance(node, (Project, Filter, Sort)):
        if isinstance(node, Sort) and (node.limit is not None or node.offset is not None):
            return None
        if isinstance(node, Project):
            projections.append(node)
        node = node.input
    if not isinstance(node, ReleasedTable) or any(isinstance(n, Computed) for n in nodes(plan.final)):
        return None
    rebuilt: Node = node
    for projection in reversed(projections):
        rebuilt = replace(projection, input=rebuilt)
    return node.block, rebuilt, tuple(o.column for o in plan.outputs)


def _stacked(
    released: Released, rowwise: tuple[int, Node, tuple[Column, ...]], finisher: Finish, timeout: float
) -> tuple[pa.Table, tuple[Floats, ...]]:
    """All draws of all rows in one statement. Row numbers ride along as a column of their own."""
    index, node, outputs = rowwise
    block = released.blocks[index]
    rows = len(block.measures[0]) if block.measures else block.keys.num_rows
    rng = np.random.default_rng(SEED)
    draws = max(1, min(DRAWS, 2_000_000 // max(rows, 1)))
    base = block.table()
    # What was released comes first, then the draws around it.
    stacked = {
        name: pa.chunked_array([base.column(name).combine_chunks()] * (1 + draws)).combine_chunks()
        for name in base.column_names
    }
    keys = block.keys.num_columns
    for i, values in enumerate(block.measures):
        stacked[f"c{keys + i}"] = pa.array(np.concatenate([values, block.redrawn(i, draws, rng)]), pa.int64())
    number = len(base.column_names)
    stacked[f"c{number}"] = pa.array(np.tile(np.arange(rows), 1 + draws), pa.int64())
    stacked[f"c{number + 1}"] = pa.array(np.repeat(np.arange(1 + draws), rows), pa.int64())
    found = _numbered(finisher, node, index, number, pa.table(stacked), timeout)
    table, shown = _shown(released, index, number, node, found.slice(0, rows), finisher, timeout)
    widths = []
    for column in outputs:
        spread = _floats(found, column).reshape(1 + draws, rows)
        with np.errstate(invalid="ignore"):
            away = np.abs(spread[1:] - spread[0])
            widths.append(_quantile(away)[shown] if len(shown) else np.zeros(0))
    return table, tuple(widths)


def _shown(
    released: Released,
    index: int,
    number: int,
    node: Node,
    rows: pa.Table,
    finisher: Finish,
    timeout: float,
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The finished table, and which released row each of its rows is. `rows` is what `node` makes of each: all that
    is to be done, unless rows are chosen or an engine must sort them."""
    by = _order_alone(node, released.plan)
    if by is not None:
        order = places_in_order(rows, by)
        return rows.take(order), order
    return _finished_with_numbers(released, index, number, finisher, timeout)


def _quantile(away: Floats) -> Floats:
    """By row, the distance within which LEVEL of the draws lie; a draw without a value counts as far."""
    draws = away.shape[0]
    ordered = np.sort(np.where(np.isnan(away), np.inf, away), axis=0)
    at = ordered[min(draws - 1, int(np.ceil(LEVEL * draws)) - 1)]
    return np.where(np.isinf(at), np.nan, at)


ROW, DRAW = (Column(10**9 + i, Domain(Type.INTEGER, nullable=False)) for i in range(2))


def _numbered(
    finisher: Finish, node: Node, index: int, number: int, stacked: pa.Table, timeout: float
) -> pa.Table:
    """What becomes of every row, in order of draw and row."""
    carried = _carrying(node, index, (ROW, number), (DRAW, number + 1))
    found = finisher.run({f"b{index}": stacked}, print_relation(carried, Tables()), timeout)
    return found.take(np.lexsort((_floats(found, ROW), _floats(found, DRAW))))


def _carrying(node: Node, index: int, *extra: tuple[Column, int]) -> Node:
    match node:
        case ReleasedTable(columns=columns):
            return replace(node, columns=columns + extra)
        case Project(input=below, columns=made):
            kept = tuple((c, c) for c, _ in extra)
            return Project(_carrying(below, index, *extra), made + kept)
        case Filter(input=below) | Sort(input=below):
            return replace(node, input=_carrying(below, index, *extra))
    raise AssertionError(node)


def _shown_rows(
    released: Released, index: int, number: int, rows: int, finisher: Finish, timeout: float
) -> NDArray[np.int64]:
    """Which released row each of the finished table's `rows` is."""
    if released.blocks[index].table().num_rows == 1:
        return np.zeros(rows, dtype=np.int64)
    return _finished_with_numbers(released, index, number, finisher, timeout)[1]


def _finished_with_numbers(
    released: Released, index: int, number: int, finisher: Finish, timeout: float
) -> tuple[pa.Table, NDArray[np.int64]]:
    """The finished table of one block, and which of its released rows each row is."""
    base = released.blocks[index].table()
    tables = dict(released.tables())
    tables[f"b{index}"] = base.append_column(f"c{number}", pa.array(np.arange(base.num_rows), pa.int64()))
    carried = _carrying(released.plan.final, index, (ROW, number))
    found = finisher.run(tables, print_relation(carried, Tables()), timeout)
    return found, _floats(found, ROW).astype(np.int64)


def _repeated(released: Released, table: pa.Table, finisher: Finish, timeout: float) -> tuple[Floats, ...]:
    """Run the whole finish for each draw, and match rows by the columns without noise."""
    plan = released.plan
    rng = np.random.default_rng(SEED)
    keys = tuple(o.column for o in plan.outputs if not o.noisy)
    centre = [_floats(table, o.column) if o.noisy else None for o in plan.outputs]
    at = {row: i for i, row in enumerate(_rows(table, keys))}
    unique = len(at) == table.num_rows
    sums = [np.zeros(table.num_rows) for _ in plan.outputs]
    seen = np.zeros(table.num_rows)
    for _ in range(WHOLE_RUNS):
        redrawn = _redrawn_tables(released, rng, finisher, timeout)
        found = finisher.run(redrawn, print_relation(plan.final, Tables()), timeout)
        if unique:
            places = np.array([at.get(row, -1) for row in _rows(found, keys)], dtype=np.int64)
        else:
            places = np.where(np.arange(found.num_rows) < table.num_rows, np.arange(found.num_rows), -1)
        there = places >= 0
        np.add.at(seen, places[there], 1)
        for position, output in enumerate(plan.outputs):
            middle = centre[position]
            if middle is not None:
                away = _floats(found, output.column)[there] - middle[places[there]]
                np.add.at(sums[position], places[there], away**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return tuple(Z * np.sqrt(s / np.where(seen > 0, seen, np.nan)) for s in sums)


def _redrawn_tables(
    released: Released, rng: np.random.Generator, finisher: Finish, timeout: float
) -> Mapping[str, pa.Table]:
    """All tables with their noise drawn again; what was computed from released tables is so again."""
    again = Released(released.plan, dict(released.blocks), dict(released.computed))
    for step in released.plan.steps:
        if isinstance(step, Block):
            block = released.blocks[step.index]
            drawn = tuple(block.redrawn(i, 1, rng) for i in range(len(block.measures)))
            again.blocks[step.index] = replace(block, measures=drawn)
        elif step.released:
            again.computed[step.index] = computed(step, again, finisher, timeout)
    return again.tables()


def _rows(table: pa.Table, columns: tuple[Column, ...]) -> list[tuple[object, ...]]:
    if not columns:
        return [()] * table.num_rows
    return list(zip(*(table.column(f"c{c.id}").to_pylist() for c in columns), strict=True))


def _floats(table: pa.Table, column: Column) -> Floats:
    """Logical values as doubles, NULL as NaN; what is no number as NaN."""
    found = table.column(f"c{column.id}").combine_chunks()
    if pa.types.is_boolean(found.type) or not (
        pa.types.is_integer(found.type) or pa.types.is_floating(found.type)
    ):
        return np.full(len(found), np.nan)
    values = np.asarray(found.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)
    return values * float(column.scale) if column.scale is not None else values
