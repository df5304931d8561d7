"""A slow evaluator of bound trees in plain Python: what the printed SQL should give.

Tables are lists of rows in the *stored* form: dense ids and fixed-point numbers as integers, ENUMs as
text. A relation's rows are dicts from column number to physical value. Row expressions take their
meaning from `operations`, beside the SQL; relations, NULLs, aggregates and measures are written out here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cmp_to_key
from typing import Any

from sandbox_guard.sql import operations, scalars
from sandbox_guard.sql.plan import Block, Measure, MeasureKind
from sandbox_guard.sql.printer import columns_of
from sandbox_guard.sql.relation import (
    Aggregate,
    Apply,
    CaseOf,
    Column,
    Computed,
    Constant,
    DistinctOf,
    ExistsIn,
    Expr,
    Filter,
    GroupBy,
    InValues,
    JoinOf,
    Node,
    Ordering,
    Project,
    RangeOf,
    Released,
    ReleasedScalar,
    Rows,
    ScalarOf,
    Scan,
    SetOf,
    Sort,
    WindowCall,
    WindowOf,
)
from sandbox_guard.sql.walk import free_columns

Value = Any
Row = dict[int, Value]
Table = Sequence[Mapping[str, Value]]


@dataclass
class Evaluator:
    tables: Mapping[tuple[str, str], Table] = field(default_factory=dict)
    """By dataset and table: rows by stored column name."""
    blocks: Mapping[int, Sequence[Sequence[Value]]] = field(default_factory=dict)
    computations: Mapping[int, Sequence[Sequence[Value]]] = field(default_factory=dict)

    # ------------------------------------------------------------------------- expressions

    def expr(self, expr: Expr, row: Row) -> Value:
        match expr:
            case Column():
                return row[expr.id]
            case Constant():
                return constant(expr)
            case ReleasedScalar():
                rows = self.computations[expr.computation]
                return rows[0][expr.column] if rows else None
            case Apply():
                return operations.evaluate(expr, [self.expr(a, row) for a in expr.args])
            case CaseOf():
                for condition, result in expr.whens:
                    if self.expr(condition, row) is True:
                        return self.expr(result, row)
                return None if expr.otherwise is None else self.expr(expr.otherwise, row)
            case InValues():
                value = self.expr(expr.operand, row)
                if value is None:
                    return None
                found = value in [constant(c) for c in expr.values]
                return found is not expr.negated
            case ExistsIn():
                return bool(self.rows(expr.relation, row)) is not expr.negated
            case ScalarOf():
                found_rows = self.rows(expr.relation, row)
                assert len(found_rows) <= 1
                return found_rows[0][columns_of(expr.relation)[0].id] if found_rows else None

    # --------------------------------------------------------------------------- relations

    def rows(self, node: Node, outer: Row | None = None) -> list[Row]:
        """`outer` holds the columns that a correlated subquery may name."""
        outer = outer or {}

        def at(expr: Expr, row: Row) -> Value:
            return self.expr(expr, {**outer, **row})

        match node:
            case Scan():
                table = self.tables[node.dataset, node.table]
                return [{c.id: row[name] for c, name in node.columns} for row in table]
            case Released():
                return _given(node.columns, self.blocks[node.block])
            case Computed():
                return _given(node.columns, self.computations[node.index])
            case Rows():
                return [
                    {c.id: at(v, {}) for c, v in zip(node.columns, row, strict=True)} for row in node.rows
                ]
            case RangeOf():
                return [{node.column.id: i} for i in range(node.start, node.stop, node.step)]
            case Filter():
                return [r for r in self.rows(node.input, outer) if at(node.predicate, r) is True]
            case Project():
                return [{c.id: at(e, r) for c, e in node.columns} for r in self.rows(node.input, outer)]
            case JoinOf():
                return self._join(node, outer)
            case GroupBy():
                return self._group(node, outer)
            case WindowOf():
                return self._windows(node, outer)
            case DistinctOf():
                ids = [c.id for c in columns_of(node.input)]
                found: dict[tuple[Value, ...], Row] = {}
                for row in self.rows(node.input, outer):
                    found.setdefault(tuple(row[i] for i in ids), row)
                return list(found.values())
            case SetOf():
                return self._set(node, outer)
            case Sort():
                rows = _sorted(self.rows(node.input, outer), node.order, at)
                first = node.offset or 0
                return rows[first:] if node.limit is None else rows[first : first + node.limit]

    def _join(self, node: JoinOf, outer: Row) -> list[Row]:
        if node.kind in ("cross", "inner", "left") and free_columns(node.right) - outer.keys():
            return self._lateral(node, outer)
        lefts, rights = self.rows(node.left, outer), self.rows(node.right, outer)

        def matches(left: Row, right: Row) -> bool:
            return node.on is None or self.expr(node.on, {**outer, **left, **right}) is True

        if node.kind in ("semi", "anti"):
            return [r for r in lefts if any(matches(r, s) for s in rights) is (node.kind == "semi")]
        nothing = {c.id: None for c in columns_of(node.right)}
        result, met = [], set()
        for left in lefts:
            mates = [i for i, right in enumerate(rights) if matches(left, right)]
            met.update(mates)
            result += [{**left, **rights[i]} for i in mates]
            if not mates and node.kind in ("left", "full"):
                result.append({**left, **nothing})
        if node.kind == "full":
            blank = {c.id: None for c in columns_of(node.left)}
            result += [{**blank, **r} for i, r in enumerate(rights) if i not in met]
        return result

    def _lateral(self, node: JoinOf, outer: Row) -> list[Row]:
        """The right side anew for each left row."""
        result = []
        nothing = {c.id: None for c in columns_of(node.right)}
        for left in self.rows(node.left, outer):
            mates = [{**left, **right} for right in self.rows(node.right, {**outer, **left})]
            kept = [m for m in mates if node.on is None or self.expr(node.on, {**outer, **m}) is True]
            result += kept or ([{**left, **nothing}] if node.kind == "left" else [])
        return result

    def _set(self, node: SetOf, outer: Row) -> list[Row]:
        def side(relation: Node, exprs: Sequence[Expr]) -> list[tuple[Value, ...]]:
            return [tuple(self.expr(e, {**outer, **r}) for e in exprs) for r in self.rows(relation, outer)]

        left, right = side(node.left, node.left_columns), side(node.right, node.right_columns)
        if node.op == "union":
            rows = left + right
        else:
            rest = list(right)
            rows = []
            for row in left:
                present = row in rest
                if present and node.all:
                    rest.remove(row)
                if present is (node.op == "intersect"):
                    rows.append(row)
        if not node.all:
            rows = list(dict.fromkeys(rows))
        return [{c.id: v for c, v in zip(node.columns, row, strict=True)} for row in rows]

    def _group(self, node: GroupBy, outer: Row) -> list[Row]:
        rows = self.rows(node.input, outer)
        result = []
        for indices in node.sets or (tuple(range(len(node.keys))),):
            groups: dict[tuple[Value, ...], list[Row]] = {}
            for row in rows:
                key = tuple(
                    self.expr(e, {**outer, **row}) if i in indices else None
                    for i, (_, e) in enumerate(node.keys)
                )
                groups.setdefault(key, []).append(row)
            if not indices and not groups:
                groups[tuple(None for _ in node.keys)] = []
            for key, members in groups.items():
                made = {c.id: v for (c, _), v in zip(node.keys, key, strict=True)}
                made |= {c.id: self.aggregate(a, members, outer) for c, a in node.aggregates}
                for column, asked in node.grouping:
                    bits = "".join("0" if i in indices else "1" for i in asked)
                    made[column.id] = int(bits, 2)
                result.append(made)
        return result

    # -------------------------------------------------------------------------- aggregates

    def aggregate(self, call: Aggregate | WindowCall, rows: Iterable[Row], outer: Row) -> Value:
        kept = [
            {**outer, **r}
            for r in rows
            if call.where is None or self.expr(call.where, {**outer, **r}) is True
        ]
        if isinstance(call, Aggregate) and call.order:
            kept = _sorted(kept, call.order, self.expr)
        if call.function == "count" and not call.args:
            return len(kept)
        values = [tuple(self.expr(a, r) for a in call.args) for r in kept]
        if isinstance(call, Aggregate) and call.distinct:
            values = list(dict.fromkeys(values))
        if call.function == "count" and len(call.args) > 1:
            return len(values)
        if call.function in ("arg_max", "arg_min"):
            both = [v for v in values if v[0] is not None and v[1] is not None]
            pick = max if call.function == "arg_max" else min
            return pick(both, key=lambda v: v[1])[0] if both else None
        if call.function in ("first", "last"):
            return None if not values else values[0 if call.function == "first" else -1][0]
        present = [v for v in values if all(x is not None for x in v)]
        return _aggregate(call, present)

    def _windows(self, node: WindowOf, outer: Row) -> list[Row]:
        rows = [dict(r) for r in self.rows(node.input, outer)]
        for column, call in node.columns:
            groups: dict[tuple[Value, ...], list[Row]] = {}
            for row in rows:
                key = tuple(self.expr(p, {**outer, **row}) for p in call.partition)
                groups.setdefault(key, []).append(row)
            for members in groups.values():
                self._window(column, call, members, outer)
        return rows

    def _window(self, column: Column, call: WindowCall, members: list[Row], outer: Row) -> None:
        def at(expr: Expr, row: Row) -> Value:
            return self.expr(expr, {**outer, **row})

        ordered = _sorted(members, call.order, at)
        keys = [tuple(at(o.expr, r) for o in call.order) for r in ordered]
        firsts = [keys.index(k) for k in keys]
        made: list[Value] = []
        for i, row in enumerate(ordered):
            start, end = _frame(call, i, keys)
            frame = ordered[start:end]
            match call.function:
                case "row_number":
                    made.append(i + 1)
                case "rank":
                    made.append(firsts[i] + 1)
                case "dense_rank":
                    made.append(len(set(firsts[: i + 1])))
                case "percent_rank":
                    made.append(firsts[i] / (len(keys) - 1) if len(keys) > 1 else 0.0)
                case "cume_dist":
                    made.append((firsts[i] + keys.count(keys[i])) / len(keys))
                case "ntile":
                    made.append(_ntile(i, len(keys), constant(call.args[0])))
                case "lag" | "lead":
                    step = constant(call.args[1]) if len(call.args) > 1 else 1
                    j = i - step if call.function == "lag" else i + step
                    other = at(call.args[2], row) if len(call.args) == 3 else None
                    made.append(at(call.args[0], ordered[j]) if 0 <= j < len(ordered) else other)
                case "first_value":
                    made.append(at(call.args[0], frame[0]) if frame else None)
                case "last_value":
                    made.append(at(call.args[0], frame[-1]) if frame else None)
                case "nth_value":
                    n = constant(call.args[1])
                    made.append(at(call.args[0], frame[n - 1]) if n <= len(frame) else None)
                case _:
                    made.append(self.aggregate(call, frame, outer))
        for row, value in zip(ordered, made, strict=True):
            row[column.id] = value

    # ------------------------------------------------------------------------------ blocks

    def block(self, block: Block) -> dict[tuple[Value, ...], tuple[int, ...]]:
        """The exact integers by key: [units,] measures."""
        groups: dict[tuple[Value, ...], list[Row]] = {}
        for row in self.rows(block.source):
            key = tuple(logical(self.expr(k.expr, row), k.expr) for k in block.keys)
            groups.setdefault(key, []).append(row)
        if not block.keys:
            groups.setdefault((), [])
        return {
            key: (
                *([_units(rows, block)] if block.discovery is not None else []),
                *(self.measure(m, rows, block) for m in block.measures),
            )
            for key, rows in groups.items()
        }

    def measure(self, measure: Measure, rows: Sequence[Row], block: Block) -> int:
        kept = [r for r in rows if measure.where is None or self.expr(measure.where, r) is True]
        match measure.kind:
            case MeasureKind.COUNT:
                return len(kept)
            case MeasureKind.UNITS:
                return _units(kept, block)
            case MeasureKind.DISTINCT:
                found = {tuple(self.expr(v, r) for v in measure.values) for r in kept}
                return len(found - {(None,)})
            case MeasureKind.SUM:
                return sum(self._steps(measure, r) for r in kept)
            case MeasureKind.SUM_DISTINCT:
                return sum({self._steps(measure, r) for r in kept})
            case MeasureKind.QUANTILE:
                raise NotImplementedError("a quantile is measured by counts of bins, not by one integer")

    def _steps(self, measure: Measure, row: Row) -> int:
        value = measure.values[0]
        fixed = scalars.as_fixed(value, measure.step)
        halved = scalars.halvings(value, measure.step)
        if fixed is not None or halved is not None:
            count = self.expr(value if fixed is None else fixed, row)
            if count is None:
                return 0
            if fixed is None:
                assert halved is not None
                count = (count + 2 ** (halved - 1)) // 2**halved
        else:
            number = self.expr(scalars.as_double(value), row)
            if number is None:
                return 0
            scaled = number * float(measure.step.denominator) / float(measure.step.numerator)
            count = int(operations.half_away(min(max(scaled, float(measure.lo)), float(measure.hi))))
        return int(min(max(count, measure.lo), measure.hi)) - measure.centre


def _units(rows: Iterable[Row], block: Block) -> int:
    return len({tuple(r[c.id] for c in block.unit) for r in rows})


def constant(expr: Expr) -> Value:
    assert isinstance(expr, Constant)
    if expr.value is None or expr.scale is None:
        return expr.value
    assert expr.domain.lo is not None
    return int(expr.domain.lo / expr.scale)


def logical(value: Value, expr: Expr) -> Value:
    return scalars.logical(value, expr.scale)


def _given(columns: Sequence[tuple[Column, int]], rows: Sequence[Sequence[Value]]) -> list[Row]:
    return [{c.id: scalars.physical(row[i], c.scale) for c, i in columns} for row in rows]


def _sorted(rows: list[Row], order: Sequence[Ordering], at: Callable[[Expr, Row], Value]) -> list[Row]:
    def compare(a: Row, b: Row) -> int:
        for ordering in order:
            x, y = at(ordering.expr, a), at(ordering.expr, b)
            if x == y:
                continue
            if x is None or y is None:
                return -1 if (x is None) is ordering.nulls_first else 1
            return -1 if (x < y) is not ordering.descending else 1
        return 0

    return sorted(rows, key=cmp_to_key(compare))


def _frame(call: WindowCall, i: int, keys: list[tuple[Value, ...]]) -> tuple[int, int]:
    n = len(keys)
    peers_end = i + 1
    while peers_end < n and keys[peers_end] == keys[i]:
        peers_end += 1
    if call.frame is None:
        return (0, peers_end) if call.order else (0, n)
    kind, *ends = call.frame

    def place(word: str, end: bool) -> int:
        if word.startswith("unbounded"):
            return 0 if "preceding" in word else n
        if word == "current row":
            if kind == "range":
                return peers_end if end else keys.index(keys[i])
            return i + 1 if end else i
        count = int(word.split()[0]) * (-1 if "preceding" in word else 1)
        return min(n, max(0, i + count + (1 if end else 0)))

    return place(ends[0], False), place(ends[1], True)


def _ntile(i: int, count: int, parts: int) -> int:
    size, larger = divmod(count, parts)
    edge = larger * (size + 1)
    return i // (size + 1) + 1 if i < edge else larger + (i - edge) // max(size, 1) + 1


def _aggregate(call: Aggregate | WindowCall, values: list[tuple[Value, ...]]) -> Value:
    first = [v[0] for v in values]
    n = len(first)
    match call.function:
        case "count" | "regr_count":
            return n
    if not n:
        return None
    match call.function:
        case "sum":
            total = sum(first)
            return total if abs(total) < 2**63 else None
        case "sum_double":
            return math.fsum(first)
        case "avg":
            scale = operations.unit(call.args[0]) or Fraction(1)
            total = sum(first)
            return float(total) * float(scale.numerator) / (float(n) * float(scale.denominator))
        case "avg_double":
            return math.fsum(first) / n
        case "min":
            return min(first)
        case "max":
            return max(first)
        case "bool_and":
            return all(first)
        case "bool_or":
            return any(first)
        case "quantile_cont":
            return _quantile_cont(sorted(first), constant(call.args[1]))
        case "quantile_disc":
            return sorted(first)[max(0, math.ceil(n * Fraction(repr(constant(call.args[1])))) - 1)]
    name = call.function.removeprefix("exact_")
    scales = [float(operations.unit(a) or 1) for a in call.args]
    return _moments(name, [[v[i] * s for v in values] for i, s in enumerate(scales)])


def _quantile_cont(values: list[float], fraction: float) -> float:
    at = fraction * (len(values) - 1)
    low, high = math.floor(at), math.ceil(at)
    return values[low] + (values[high] - values[low]) * (at - low)


def _moments(name: str, columns: list[list[Value]]) -> float | None:
    exact = [[Fraction(v) for v in column] for column in columns]
    n = len(exact[0])
    means = [sum(c, Fraction(0)) / n for c in exact]

    def about(i: int, j: int) -> Fraction:
        return sum(
            ((a - means[i]) * (b - means[j]) for a, b in zip(exact[i], exact[j], strict=True)), Fraction(0)
        )

    if name.endswith("samp") and n < 2:
        return None
    divisor = n - 1 if name.endswith("samp") else n
    if name.startswith(("var", "stddev")):
        variance = float(about(0, 0) / divisor)
        return math.sqrt(variance) if name.startswith("stddev") else variance
    if name.startswith("covar"):
        return float(about(0, 1) / divisor)
    sxx, syy, sxy = about(1, 1), about(0, 0), about(0, 1)
    match name:
        case "corr":
            return float(sxy) / math.sqrt(float(sxx) * float(syy)) if sxx and syy else None
        case "regr_slope":
            return float(sxy / sxx) if sxx else None
        case "regr_intercept":
            return float(means[0] - means[1] * sxy / sxx) if sxx else None
        case "regr_r2":
            return None if not sxx else 1.0 if not syy else float(sxy * sxy / (sxx * syy))
    raise NotImplementedError(name)


__all__ = ["Evaluator", "constant", "logical"]
