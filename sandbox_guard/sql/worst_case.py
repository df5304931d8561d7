"""The most work that a plan can be, whatever the data: from policy caps, declared domains and the SQL alone.

A relation is as large as its tables' caps and the fan-out of its joins let it be; nothing is read off the
data, so that what follows from `Work` (release time, memory, refusal) says nothing of it (SOUNDNESS 27).
`engines.cost` knows what a unit of each kind of work takes on this machine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache, reduce

from sandbox_guard.sql import bounds
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.plan import (
    KEPT,
    Block,
    Discovered,
    Key,
    Listed,
    Measure,
    MeasureKind,
    Plan,
    Supplied,
)
from sandbox_guard.sql.printer import columns_of, used_columns
from sandbox_guard.sql.relation import (
    Apply,
    CaseOf,
    Column,
    Computed,
    Constant,
    DistinctOf,
    Domain,
    ExistsIn,
    Expr,
    Filter,
    GroupBy,
    JoinOf,
    Node,
    Project,
    RangeOf,
    Released,
    Rows,
    ScalarOf,
    Scan,
    SetOf,
    Sort,
    Type,
    WindowOf,
)
from sandbox_guard.sql.scalars import as_fixed, halvings
from sandbox_guard.sql.stored import one_row_per_unit, within
from sandbox_guard.sql.walk import nodes

ENDLESS = 2**62
"""More rows than any limit allows: sizes stop here, so that a tower of joins stays a number."""

SLOT = 48
"""Bytes that one row takes in a hash table or a sort beside its values."""

VALUE = 8
"""Bytes of a value held there; text adds its declared length (four bytes a character)."""


COMPARING = frozenset({"=", "<>", "<", "<=", ">", ">=", "and", "or", "not", "is_null"})

CLAMPING = frozenset({"clamp", "clamp_filled"})
"""Two comparisons and a CASE of them."""

ADDING = frozenset({"+", "-", "*", "neg"})
"""With casts, the least that an engine can do to a number."""

SMALL = 2**16


@dataclass(frozen=True)
class Work:
    """How often each kind of thing is done, at most."""

    values_read: int = 0
    """Stored values: rows x columns of scans."""
    expressions: int = 0
    """Operations evaluated on a row, but for these:"""
    comparisons: int = 0
    """Of numbers, with what joins and chooses by them: AND, OR, NOT, CASE. They take a fraction of the others' time."""
    arithmetic: int = 0
    """Sums, differences, products and casts of numbers: a fraction too."""
    rows_binned: int = 0
    """Rows whose value's bin is found, for a quantile over a range too long for a bin each."""
    rows_grouped: int = 0
    """Rows that meet a hash table of at most `SMALL` entries, which stays in the cache."""
    rows_hashed: int = 0
    """Rows that meet a larger one: groups, DISTINCT."""
    rows_joined: int = 0
    """Rows of both sides of a join."""
    pairs_joined: int = 0
    """Rows that come of it."""
    rows_sorted: int = 0
    """Rows of windows and sorts."""
    rows_fetched: int = 0
    """Rows that leave an engine."""
    numbers_noised: int = 0
    keys_tested: int = 0
    """Discovered keys, each against the threshold."""
    bins: int = 0
    """Scored for quantiles."""
    choices: int = 0
    """Made among them."""
    tries: int = 0
    """Of a choice, until a candidate is accepted: first among runs of bins, then among one's bins (`NoisyMin`)."""
    statements: int = 0
    """Sent to an engine."""
    finishes: int = 0
    """Sent to the finishing one."""
    parts: int = 0
    """Of the statements: relations and operations, which an engine plans before it runs them."""
    memory: int = 0
    """Bytes that hash tables, sorts and results hold at once, were none freed before the end of a statement."""

    def __add__(self, other: Work) -> Work:
        """One after the other: memory is the larger."""
        added = {
            f.name: min(getattr(self, f.name) + getattr(other, f.name), ENDLESS)
            for f in fields(self)
            if f.name != "memory"
        }
        return Work(**added, memory=max(self.memory, other.memory))

    def beside(self, other: Work) -> Work:
        """In one statement: memory adds up."""
        both = self + other
        return Work(
            **{f.name: getattr(both, f.name) for f in fields(self) if f.name != "memory"},
            memory=min(self.memory + other.memory, ENDLESS),
        )


MostReleased = Callable[[int, int], int]
"""Of so many keys, in which there are so many units in all, how many are released at most."""


@lru_cache(KEPT)
def worst_case(
    plan: Plan, catalogue: Catalogue, thresholds: tuple[tuple[int, MostReleased], ...] = ()
) -> tuple[Work, Work]:
    """`thresholds`: by block, where they are known; else every discovered key may be released.

    Of every step that reads tables, and of what is made of released ones, once; that of intervals, which repeats
    the second, is not counted."""
    sizes = _Sizes(catalogue, _used(plan))
    measuring, finishing = Work(), Work()
    known = dict(thresholds)
    for step in plan.steps:
        if isinstance(step, Block):
            work, cells = _block(step, sizes, known.get(step.index))
            sizes.released[step.index] = cells
            measuring += work
        elif step.released:
            work, sizes.computed[step.index] = sizes.statement(step.node, Work(finishes=1))
            finishing += work
        else:
            work, sizes.computed[step.index] = sizes.statement(step.node, Work(statements=1))
            measuring += work
    work, _ = sizes.statement(plan.final, Work(finishes=1))
    return measuring, finishing + work


def _used(plan: Plan) -> frozenset[int]:
    """Columns that the printed statements read."""
    own: list[object] = []
    for block in plan.blocks:
        own += [k.expr for k in block.keys]
        if block.discovery is not None or any(m.kind is MeasureKind.UNITS for m in block.measures):
            once = one_row_per_unit(block)
            own += block.unit if once is None else [once]
    return used_columns([plan]) | {n.id for tree in own for n in nodes(tree) if isinstance(n, Column)}


def _block(block: Block, sizes: _Sizes, threshold: MostReleased | None) -> tuple[Work, int]:
    source, work = sizes.of(block.source)
    exprs = [k.expr for k in block.keys] + [v for m in block.measures for v in m.values]
    exprs += [m.where for m in block.measures if m.where is not None]
    work = work.beside(_operations(source.rows, exprs))
    for measure in block.measures:
        work = work.beside(_taken(measure, block, source.rows))
    cells = min(source.rows, sizes.cells(block.keys)) if block.keys else 1
    kept = sizes.cells(block.keys) if all(isinstance(k.domain, Listed) for k in block.keys) else cells
    if threshold is not None:
        kept = threshold(cells, source.rows)
    width = _width(k.expr for k in block.keys) + VALUE * len(block.measures)
    if block.keys:
        work = work.beside(_grouped(source.rows, cells, width))
    counted_by_flag = one_row_per_unit(block) is not None
    for measure in dict.fromkeys(replace(m, fraction=Fraction(0)) for m in block.measures):
        distinct = measure.kind is MeasureKind.DISTINCT or (
            measure.kind is MeasureKind.UNITS and not (counted_by_flag and measure.where is None)
        )
        if distinct:
            work = work.beside(_hashed(source.rows, _width(measure.values) + VALUE))
        if measure.kind is MeasureKind.QUANTILE:
            bins = min(source.rows, _times(kept, measure.bins.count))
            fractions = sum(replace(m, fraction=Fraction(0)) == measure for m in block.measures)
            again = sizes.of(block.source)[1].beside(_grouped(source.rows, bins, width))
            again = again.beside(
                Work(arithmetic=source.rows) if measure.bins.exact else Work(rows_binned=source.rows)
            )
            scored = _times(3 * fractions * kept, measure.bins.count)
            chosen = _times(3 * fractions, kept)
            tries = _times(chosen, 2 * (math.isqrt(measure.bins.count) + 1))
            work += again + Work(bins=scored, choices=chosen, tries=tries, rows_fetched=bins, statements=1)
    if block.discovery is not None and not counted_by_flag:
        work = work.beside(_hashed(source.rows, width))
    plain = sum(m.kind is not MeasureKind.QUANTILE for m in block.measures)
    work += Work(
        rows_fetched=cells,
        numbers_noised=_times(kept, plain),
        keys_tested=cells if block.discovery is not None else 0,
        statements=1,
        parts=_parts((block.source, tuple(exprs))),
        memory=_times(kept, width),
    )
    return work, kept


def _taken(measure: Measure, block: Block, rows: int) -> Work:
    """What the printer puts around a value to make it a measure (`printer._measure`)."""
    match measure.kind:
        case MeasureKind.UNITS:
            return Work(comparisons=rows)  # of the flag of each unit's one row; other ways have a table
        case MeasureKind.SUM | MeasureKind.SUM_DISTINCT:
            fixed = as_fixed(measure.values[0], measure.step)
            if halvings(measure.values[0], measure.step) is not None:
                written_again = 2 * _parts(measure.values)
                return Work(arithmetic=_times(rows, 3), comparisons=_times(rows, 3), parts=written_again)
            if fixed is None:  # scaled, rounded and cast; clamped by `greatest` and `least`
                return Work(arithmetic=_times(rows, 7), expressions=_times(rows, 2))
            clamps = 0 if within(measure, fixed, block.source) else 3
            return Work(arithmetic=_times(rows, 2), comparisons=_times(rows, clamps))
    return Work()


# ------------------------------------------------------------------------------------- relations

_Columns = frozenset[int]
_Ties = frozenset[_Columns]


@dataclass(frozen=True)
class _Size:
    """At most `rows` rows; at most `n` of them agree in all of `columns`, for each (columns, n)."""

    rows: int
    agree: tuple[tuple[_Columns, int], ...] = ()

    def among(self, fixed: Iterable[int]) -> int:
        """Most rows that agree in these columns."""
        known = frozenset(fixed)
        return min((n for columns, n in self.agree if columns <= known), default=self.rows)

    def kept(self, held: Mapping[int, int]) -> _Size:
        """After a projection; `held`: the new number of each column that is passed on."""
        agree = tuple(
            (frozenset(held[c] for c in columns), n)
            for columns, n in self.agree
            if all(c in held for c in columns)
        )
        return _Size(self.rows, agree)


class _Sizes:
    """Sizes and work of relations, bottom up."""

    def __init__(self, catalogue: Catalogue, used: frozenset[int]) -> None:
        self._tables = catalogue.tables
        self._used = used
        self.released: dict[int, int] = {}
        """Most rows of each block's table."""
        self.computed: dict[int, int] = {}
        self._most_distinct: dict[int, int] = {}
        """Values of a stored column, as policy declares and the loader enforces."""

    def statement(self, node: Node, sent: Work) -> tuple[Work, int]:
        size, work = self.of(node)
        return work.beside(Work(rows_fetched=size.rows)) + sent + Work(parts=_parts(node)), size.rows

    def of(self, node: Node, ties: _Ties = frozenset()) -> tuple[_Size, Work]:
        """`ties`: pairs of columns that a WHERE above equates, where only inner joins and filters lie between."""
        match node:
            case Scan():
                return self._scan(node)
            case Released(block=index):
                rows = self.released[index]
                return _Size(rows), Work(values_read=_times(rows, len(node.columns)))
            case Computed(index=index):
                rows = self.computed[index]
                return _Size(rows), Work(values_read=_times(rows, len(node.columns)))
            case Rows():
                return _Size(len(node.rows)), Work(values_read=len(node.rows) * len(node.columns))
            case RangeOf():
                rows = len(range(node.start, node.stop, node.step))
                return _Size(rows), Work(values_read=rows)
            case Filter():
                size, work = self.of(node.input, ties | _equated(node.predicate))
                return size, work.beside(self._evaluated(size.rows, [node.predicate]))
            case Project():
                size, work = self.of(node.input)
                exprs = [e for _, e in node.columns]
                held = {e.id: c.id for c, e in node.columns if isinstance(e, Column)}
                distinct = self._most_distinct
                distinct |= {new: distinct[old] for old, new in held.items() if old in distinct}
                return size.kept(held), work.beside(self._evaluated(size.rows, exprs))
            case JoinOf():
                return self._join(node, ties)
            case GroupBy():
                return self._group(node)
            case WindowOf():
                size, work = self.of(node.input)
                calls = [call for _, call in node.columns]
                each = Work(rows_sorted=size.rows, memory=_times(size.rows, SLOT + VALUE * 4))
                exprs = [a for call in calls for a in (*call.args, *call.partition)]
                work = reduce(Work.beside, [each] * len(calls), work)
                return size, work.beside(self._evaluated(size.rows, exprs))
            case DistinctOf():
                size, work = self.of(node.input)
                return size, work.beside(_hashed(size.rows, VALUE * 8))
            case SetOf():
                return self._set(node)
            case Sort():
                size, work = self.of(node.input)
                rows = size.rows if node.limit is None else min(size.rows, node.limit)
                sorting = Work(rows_sorted=size.rows, memory=_times(size.rows, SLOT + VALUE * 4))
                return _Size(rows, size.agree), work.beside(sorting)

    def _scan(self, node: Scan) -> tuple[_Size, Work]:
        table = self._tables[node.table]
        number = {name: column.id for column, name in node.columns}
        most = table.policy.max_rows
        assert most is not None
        for stored, column in table.policy.columns.items():
            if column.max_distinct is not None:
                self._most_distinct[number[stored.lower()]] = column.max_distinct + column.nullable
        agree: list[tuple[_Columns, int]] = []
        for unique in table.policy.unique:
            agree.append((frozenset(number[c.lower()] for c in unique), 1))
        if table.population is not None:
            each = table.policy.max_rows_per_unit
            assert each is not None
            agree.append((frozenset({number["__unit"]}), each))
            agree.append((frozenset({number["__unit"], number["__rank"]}), 1))
            if table.unit:
                agree.append((frozenset(number[c] for c in table.unit), each))
        width = sum(1 + _length(c) // 16 for c, _ in node.columns if c.id in self._used)
        return _Size(most, tuple(agree)), Work(values_read=_times(most, width))

    def _join(self, node: JoinOf, ties: _Ties) -> tuple[_Size, Work]:
        ties = ties | _equated(node.on) if node.kind in ("inner", "cross") else _equated(node.on)
        below = ties if node.kind in ("inner", "cross") else frozenset()
        left, left_work = self.of(node.left, below)
        right, right_work = self.of(node.right, below)
        mine, theirs = ({c.id for c in columns_of(side)} for side in (node.left, node.right))
        across = [p for p in ties if p & mine and p & theirs]
        out = left.among(c for p in across for c in p & mine)
        back = right.among(c for p in across for c in p & theirs)
        pairs = min(_times(left.rows, back), _times(right.rows, out))
        # Without an equality every pair is looked at; with one, only those that agree.
        work = left_work.beside(right_work).beside(Work(rows_joined=left.rows + right.rows))
        # The engine builds the side that it thinks smaller, and may be wrong.
        held = max(_times(s.rows, SLOT + self._row(n)) for s, n in ((left, node.left), (right, node.right)))
        work = work.beside(Work(memory=held))
        work = work.beside(self._evaluated(pairs, [node.on] if node.on is not None else []))
        work = work.beside(Work(pairs_joined=pairs))
        match node.kind:
            case "semi" | "anti":
                return left, work
            case "left":
                rows, own, other = max(pairs, left.rows), max(back, 1), max(out, 1)
                agree = tuple((c, _times(n, own)) for c, n in left.agree)
                return _Size(min(_times(left.rows, own), rows + left.rows), agree), work
            case "full":
                return _Size(min(pairs + left.rows + right.rows, ENDLESS)), work
            case _:
                own, other = back, out
                agree = tuple((c, _times(n, own)) for c, n in left.agree)
                agree += tuple((c, _times(n, other)) for c, n in right.agree)
                return _Size(pairs, agree), work

    def _row(self, node: Node) -> int:
        """Bytes of a row of what is used of it."""
        columns = [c for c in columns_of(node) if c.id in self._used]
        return sum(VALUE + 4 * _length(c) for c in columns)

    def _group(self, node: GroupBy) -> tuple[_Size, Work]:
        size, work = self.of(node.input)
        exprs: list[Expr] = [e for _, e in node.keys] + [a for _, f in node.aggregates for a in f.args]
        exprs += [f.where for _, f in node.aggregates if f.where is not None]
        work = work.beside(self._evaluated(size.rows, exprs))
        groups = min(size.rows, _product(_values(e) for _, e in node.keys)) if node.keys else 1
        width = _width(e for _, e in node.keys) + VALUE * len(node.aggregates)
        sets = max(1, len(node.sets))
        work = work.beside(_grouped(_times(size.rows, sets), _times(groups, sets), width))
        for _, aggregate in node.aggregates:
            if aggregate.distinct or aggregate.order or aggregate.function.startswith("quantile"):
                work = work.beside(_hashed(size.rows, VALUE * 2))
        held = {e.id: c.id for c, e in node.keys if isinstance(e, Column)}
        agree = (*size.kept(held).agree, (frozenset(c.id for c, _ in node.keys), 1))
        return _Size(_times(groups, sets), agree if not node.sets else ()), work

    def _set(self, node: SetOf) -> tuple[_Size, Work]:
        left, left_work = self.of(node.left)
        right, right_work = self.of(node.right)
        rows = min(left.rows + right.rows, ENDLESS) if node.op == "union" else left.rows
        work = left_work.beside(right_work)
        if not node.all or node.op != "union":
            work = work.beside(_hashed(left.rows + right.rows, VALUE * len(node.columns)))
        sides = []
        for size, exprs in ((left, node.left_columns), (right, node.right_columns)):
            pairs = zip(exprs, node.columns, strict=True)
            sides.append(dict(size.kept({e.id: c.id for e, c in pairs if isinstance(e, Column)}).agree))
        agree = tuple((c, n + sides[1][c]) for c, n in sides[0].items() if c in sides[1])
        return _Size(rows, agree), work

    # -------------------------------------------------------------------------------- expressions

    def _evaluated(self, rows: int, exprs: Iterable[Expr]) -> Work:
        """Of every row; a subquery in them is a join of its own, with every row of the table outside."""
        found = tuple(exprs)
        work = _operations(rows, found)
        for expr in found:
            for inner in _subqueries(expr):
                size, below = self.of(inner.relation)
                met = _times(rows, self._met(inner.relation, size))
                work = work.beside(below).beside(_hashed(size.rows + rows, VALUE * 8))
                work = work.beside(Work(pairs_joined=met, expressions=met))
        return work

    def _met(self, relation: Node, size: _Size) -> int:
        """Rows of a subquery that one row outside can meet: those of one unit, where it reads private rows,
        for the planner ties those to the outer row's unit."""
        units = {
            column.id
            for n in nodes(relation)
            if isinstance(n, Scan)
            for column, name in n.columns
            if name == "__unit"
        }
        return min((n for columns, n in size.agree if columns <= units), default=size.rows)

    def cells(self, keys: tuple[Key, ...]) -> int:
        """Most rows of a block's released table."""
        counts, suppliers = [], set()
        for key in keys:
            match key.domain:
                case Listed(values=values):
                    counts.append(len(values))
                case Supplied(supplier=supplier):
                    suppliers.add(supplier)
                case Discovered():
                    counts.append(self._distinct(key.expr))
        return _product([*counts, *(self.computed[s] for s in suppliers)])

    def _distinct(self, expr: Expr) -> int:
        declared = self._most_distinct.get(expr.id, ENDLESS) if isinstance(expr, Column) else ENDLESS
        return min(declared, _values(expr))


def _operations(rows: int, exprs: Iterable[Expr]) -> Work:
    """On so many rows; text is weighed by its length. What is written twice is evaluated once."""
    done: Counter[str] = Counter()
    for node in dict.fromkeys(n for e in exprs for n in nodes(e)):
        if not isinstance(node, (Column, Constant)) and hasattr(node, "domain"):
            kind, times = _operation(node)
            done[kind] += times
    return Work(**{kind: _times(rows, times) for kind, times in done.items()})


def _operation(node: object) -> tuple[str, int]:
    """Which kind of work it is, and how often."""
    match node:
        case Apply(function=function, args=args) if not any(a.domain.type is Type.STRING for a in args):
            if function in COMPARING:
                return "comparisons", 1
            if function in CLAMPING:
                return "comparisons", 3
            if function in ADDING and all(a.domain.type is not Type.DATE for a in args):
                return "arithmetic", 1
        case CaseOf(domain=domain) if domain.type is not Type.STRING:
            return "comparisons", 1
    return "expressions", 1 + _length_of(node) // 16


def _parts(tree: object) -> int:
    return sum(not isinstance(n, (Column, Domain)) for n in nodes(tree))


def _subqueries(expr: Expr) -> list[ExistsIn | ScalarOf]:
    return [n for n in nodes(expr) if isinstance(n, (ExistsIn, ScalarOf))]


def _equated(predicate: Expr | None) -> _Ties:
    """Pairs of columns that a conjunct equates."""
    match predicate:
        case Apply(function="and", args=args):
            return frozenset().union(*(_equated(a) for a in args))
        case Apply(function="=", args=(Column() as left, Column() as right)):
            return frozenset({frozenset({left.id, right.id})})
    return frozenset()


def _values(expr: Expr) -> int:
    """How many values it can take, NULL counted."""
    listed = bounds.listed(expr.domain)
    if listed is not None:
        return len(listed) + expr.domain.nullable
    domain = expr.domain
    if domain.type is not Type.STRING and domain.lo is not None and domain.hi is not None and domain.step:
        return min(int((domain.hi - domain.lo) / domain.step) + 1 + domain.nullable, ENDLESS)
    return ENDLESS


def _grouped(rows: int, groups: int, width: int) -> Work:
    memory = _times(groups, SLOT + width)
    return (
        Work(rows_grouped=rows, memory=memory) if groups <= SMALL else Work(rows_hashed=rows, memory=memory)
    )


def _hashed(rows: int, width: int) -> Work:
    return Work(rows_hashed=min(rows, ENDLESS), memory=_times(rows, SLOT + width))


def _width(exprs: Iterable[Expr]) -> int:
    return sum(VALUE + 4 * _length_of(e) for e in exprs)


def _length(column: Column) -> int:
    return 0 if column.enum else _length_of(column)


def _length_of(expr: object) -> int:
    domain = getattr(expr, "domain", None)
    if domain is None or domain.type is not Type.STRING:
        return 0
    return domain.length if domain.length is not None else 4096


def _times(a: int, b: int) -> int:
    return min(a * b, ENDLESS)


def _product(counts: Iterable[int]) -> int:
    return reduce(_times, counts, 1)
