"""GROUP BY: exact within a unit or over open rows, measured by a block over private rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import aggregates, bounds, functions, statistics, syntax, ties
from sandbox_guard.sql.contribution import Contribution, Source
from sandbox_guard.sql.expressions import bind_expr, bind_predicate, conjuncts
from sandbox_guard.sql.kinds import Field, Open, Private, Relation, Supply
from sandbox_guard.sql.levels import NotAdditive
from sandbox_guard.sql.plan import (
    MOST,
    Block,
    Discovered,
    Key,
    Listed,
    Measure,
    MeasureKind,
    Sensitivity,
    Strategy,
    Supplied,
)
from sandbox_guard.sql.projection import touches_released
from sandbox_guard.sql.relation import (
    Aggregate,
    Column,
    Computed,
    Constant,
    DistinctOf,
    Domain,
    Expr,
    Filter,
    GroupBy,
    Node,
    Ordering,
    Project,
    Released,
    Scan,
    Type,
)
from sandbox_guard.sql.scope import Scope
from sandbox_guard.sql.walk import free_columns, nodes

CELLS = 1_000_000
"""Most cells of one result, whatever the project's limit."""

FINE = 2**30
"""A computed measure is rounded to a power of two at least so many times finer than its bound."""

ENDLESS = 2**40
"""More groups than any table has rows: stands for 'not bounded by the keys'."""


LAST = Fraction(199, 200)
"""The quantile that stands in for the greatest value."""

MOST_DENOMINATOR = 10_000
MOST_OF_UNIT = 2**44
"""Fractions are multiples of a ten-thousandth or as simple."""

BINS = 2**25
"""Most bins of one quantile over all its groups: about 20 seconds."""


class Grouped(Protocol):
    """Rows in groups, on their way to one row a group."""

    keys: tuple[tuple[Column, Expr], ...]

    def aggregate(self, call: syntax.Call) -> Expr:
        """The value of an aggregate over each group, as an expression over the grouped relation."""

    def level(self, keys: tuple[int, ...]) -> Column:
        """GROUPING of these keys."""

    def relation(self) -> Relation:
        """The grouped relation, once all its aggregates are known."""


def key_columns(scope: Scope, items: tuple[Expr, ...]) -> tuple[tuple[Column, Expr], ...]:
    return tuple((replace(scope.binding.column(item), enum=False), item) for item in items)


# -------------------------------------------------------------------------------------- exact


@dataclass
class ExactGroups:
    """Over open rows; or over private rows with the unit among the keys, where each group is one unit's
    and the functions are those of the closed list."""

    rows: Scope
    keys: tuple[tuple[Column, Expr], ...]
    sets: tuple[tuple[int, ...], ...] = ()
    found: dict[Aggregate, Column] = field(default_factory=dict)
    levels: dict[tuple[int, ...], Column] = field(default_factory=dict)

    def level(self, keys: tuple[int, ...]) -> Column:
        return self.levels.setdefault(keys, _level_column(self.rows, len(keys)))

    def aggregate(self, call: syntax.Call) -> Expr:
        scope = replace(self.rows, aggregate=None, window=None)
        args = call.args
        if len(args) == 1 and isinstance(args[0], syntax.Row):
            args = args[0].items
        bound = tuple(bind_expr(a, scope) for a in args)
        where = bind_predicate(call.where, scope) if call.where is not None else None
        order = tuple(
            Ordering(bind_expr(o.expr, scope), o.descending, bool(o.nulls_first)) for o in call.order
        )
        function = call.function
        if self.rows.relation.private and function in ("first", "last", "arg_max", "arg_min"):
            function, bound, where, order = self._without_ties(call, bound, where, order)
        aggregate = aggregates.aggregate(
            function,
            bound,
            distinct=call.distinct,
            where=where,
            order=order,
            rows_per_group=self._rows_per_group(bound if call.distinct else ()),
            per_unit=self.rows.relation.private,
            place=call.place,
        )
        if aggregate not in self.found:
            self.found[aggregate] = self.rows.binding.column(aggregate)
        return self.found[aggregate]

    def _without_ties(
        self, call: syntax.Call, args: tuple[Expr, ...], where: Expr | None, order: tuple[Ordering, ...]
    ) -> tuple[str, tuple[Expr, ...], Expr | None, tuple[Ordering, ...]]:
        """Which of the rows that tie comes first, the stored rank decides, else the engine's threads would."""
        kind = self.rows.relation.kind
        assert isinstance(kind, Private)
        rank = kind.rank
        if call.distinct or rank is None or self.rows.relation.contribution.rows({rank.id}) != 1:
            raise Refused("kind.window_ties", place=call.place)
        function = call.function
        if function in ("arg_max", "arg_min"):
            if len(args) != 2 or order:
                raise Refused(
                    "sql.arguments", place=call.place, function=function, signature=f"{function}(x, y)"
                )
            value, by = args
            where = ties.conjunction((*((where,) if where is not None else ()), *_known(value), *_known(by)))
            function, args, order = "first", (value,), (Ordering(by, descending=function == "arg_max"),)
        return function, args, where, (*order, Ordering(rank)) if order else ()

    def _rows_per_group(self, distinct: tuple[Expr, ...]) -> int | None:
        """Most rows in a group that count; of DISTINCT values no more than there are."""
        facts = self.rows.relation.contribution
        rows = facts.rows(value.id for _, value in self.keys if isinstance(value, Column))
        values = _cells_by_keys(distinct, facts) if distinct else None
        return rows if values is None else min(values, values if rows is None else rows)

    def relation(self) -> Relation:
        source = self.rows.relation
        binding = self.rows.binding
        facts = source.contribution
        bare = {value.id: column.id for column, value in self.keys if isinstance(value, Column)}
        columns = frozenset(c.id for c, _ in self.keys) | frozenset(c.id for c in self.found.values())
        kind = source.kind
        keys = self.keys
        if isinstance(kind, Private):
            dense = kind.unit.dense
            # One row for the unit of the enclosing query's row, even where it has none here.
            single = kind.correlated and not keys
            if not single:
                keys = (*keys, (dense, dense))
            units = () if single else (kind.unit.renumbered(lambda old: (bare[old],) if old in bare else ()),)
            kind = replace(kind, units=units, supplies=(), rank=None)
            identified = frozenset(
                c.id for c, v in self.keys if not (isinstance(v, Column) and facts.constant(v.id))
            )
        else:
            identified = frozenset(c.id for c, _ in self.keys)
            if touches_released(binding, tuple(self.found)):
                kind = Open(released=True)
        if self.sets and isinstance(kind, Private):
            raise Refused("kind.grouping_sets_unit")
        whole = facts.rows() if isinstance(source.kind, Private) or self.keys else 1
        sizes = _cells_by_keys(tuple(v for _, v in self.keys), facts)
        rows = None if whole is None and sizes is None else min(x for x in (whole, sizes) if x is not None)
        grouped = Contribution((Source(1 if not identified else rows, columns, (identified,)),))
        for column, value in self.keys:
            if value.domain.values is not None:
                grouped = grouped.sized(column.id, len(value.domain.values) + value.domain.nullable)
        aggregates = tuple((column, aggregate) for aggregate, column in self.found.items())
        levels = tuple((column, indices) for indices, column in self.levels.items())
        node = GroupBy(source.node, keys, aggregates, self.sets, levels)
        return Relation(node, (), kind, grouped, source.total)


def _cells_by_keys(keys: tuple[Expr, ...], facts: Contribution) -> int | None:
    """Most groups that the rows of one unit can fall in, by the keys alone."""
    cells = 1
    for key in keys:
        if isinstance(key, Column) and facts.constant(key.id):
            continue
        listed = bounds.listed(key.domain)
        if listed is None:
            return None
        cells *= max(1, len(listed) + key.domain.nullable)
    return cells


# -------------------------------------------------------------------------------------- block


@dataclass
class BlockGroups:
    """Over private rows without the unit: each aggregate becomes one or two measures of a block, and
    what the query sees is arithmetic over released numbers."""

    rows: Scope
    items: tuple[Expr, ...]
    place: Place | None
    averaged: frozenset[tuple[Expr, Expr | None]]
    """Arguments (and filters) of AVG, variances and the like in this query: what is summed around the middle of its
    range for those, and counted, SUM is made of too."""
    discover: bool = False
    """Only what is there shall be a key, though policy lists what could be."""
    sets: tuple[tuple[int, ...], ...] = ()
    """Grouping sets, added up from the groups by all keys. Raises `NotAdditive` where they cannot be."""
    keys: tuple[tuple[Column, Expr], ...] = ()
    found: dict[Measure, Column] = field(default_factory=dict)
    sums: dict[Column, Column] = field(default_factory=dict)
    levels: dict[tuple[int, ...], Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.measured_keys = key_columns(self.rows, self.items)
        self.keys = self.measured_keys
        if self.sets:
            bare = tuple((c, _nullable_key(c)) for c, _ in self.measured_keys)
            self.keys = tuple((replace(n, id=self.rows.binding.number()), c) for c, n in bare)
        self.domains = _key_domains(self.rows, self.items, self.place)

    # ------------------------------------------------------------------------- aggregates

    def aggregate(self, call: syntax.Call) -> Expr:
        scope = replace(self.rows, aggregate=None, window=None)
        conditions = tuple(bind_predicate(c, scope) for c in conjuncts(call.where))
        match call.function, call.args:
            case "count", ():
                return self._count(conditions)
            case "count", (syntax.Row() as row,) if call.distinct:
                return self._distinct(tuple(bind_expr(i, scope) for i in row.items), conditions)
            case "count", (arg,):
                value = bind_expr(arg, scope)
                if call.distinct:
                    return self._distinct((value,), conditions)
                return self._count(conditions + _known(value))
            case "count_if", (arg,):
                return self._count(conditions + tuple(bind_predicate(c, scope) for c in conjuncts(arg)))
            case ("sum" | "avg") as function, (arg,):
                value = as_number(bind_expr(arg, scope), call.place)
                if call.distinct:
                    return self._of_distinct(function, value, conditions, call.place)
                if function == "sum":
                    return self._sum(value, conditions, call.place)
                return self._average(value, conditions, call.place)
            case "bool_or", (arg,):
                yes = self._count(conditions + tuple(bind_predicate(c, scope) for c in conjuncts(arg)))
                return functions.apply(">", (yes, functions.constant(0.5)), call.place)
            case "bool_and", (arg,):
                no = functions.apply("not", (bind_predicate(arg, scope),), call.place)
                return functions.apply(
                    "<", (self._count(conditions + (no,)), functions.constant(0.5)), call.place
                )
            case "median", (arg,):
                return self._quantile(bind_expr(arg, scope), Fraction(1, 2), conditions, call)
            case (("quantile_cont" | "quantile_disc"), (arg, fraction)):
                at = _fraction(bind_expr(fraction, scope), call)
                return self._quantile(bind_expr(arg, scope), at, conditions, call)
            case ("min" | "max") as function, (arg,):
                return self._quantile(
                    bind_expr(arg, scope),
                    Fraction(function == "max"),
                    conditions,
                    replace(call, distinct=False),
                )
            case function, args if function in statistics.FUNCTIONS and not call.distinct:
                if len(args) != (1 if function in statistics.OF_ONE else 2):
                    signature = f"{function}(x)" if function in statistics.OF_ONE else f"{function}(y, x)"
                    raise Refused("sql.arguments", place=call.place, function=function, signature=signature)
                values = tuple(as_number(bind_expr(a, scope), call.place) for a in args)
                return statistics.statistic(function, _CentredSums(self, values, conditions, call.place))
        raise Refused("kind.aggregate", place=call.place, function=call.function)

    def _count(self, conditions: tuple[Expr, ...]) -> Expr:
        facts = self._facts(conditions)
        return self._measured(
            Measure(MeasureKind.COUNT, (), ties.conjunction(conditions), self._rows(facts, 1))
        )

    def _distinct(self, values: tuple[Expr, ...], conditions: tuple[Expr, ...]) -> Expr:
        if len(values) == 1:
            conditions = conditions + _known(values[0])  # a row of several values is a value, NULLs and all
        facts = self._facts(conditions)
        rows = self._bounded(facts.rows())
        where = ties.conjunction(conditions)
        if self._is_unit(values):
            # A unit counts once in each group it touches.
            cells = self._cells(facts)
            return self._measured(
                Measure(MeasureKind.UNITS, (), where, Sensitivity.of_rows(rows, 1, cells, 1))
            )
        return self._measured(Measure(MeasureKind.DISTINCT, values, where, self._rows(facts, 1)))

    def _is_unit(self, values: tuple[Expr, ...]) -> bool:
        kind = self.rows.relation.kind
        assert isinstance(kind, Private)
        named = {v.id for v in values if isinstance(v, Column)}
        parts = kind.unit.published
        return len(values) == len(parts) and all(named & part for part in parts)

    def _sum(self, value: Expr, conditions: tuple[Expr, ...], place: Place | None) -> Expr:
        """As it stands; or, where an average is asked beside it, Σ (value - c) and c for each row, which are measured
        for that in any case. One unit moves either half as far as the plain sum, so their noise together is 0.7 of
        the plain sum's, and the average's half of what it is by a plain sum."""
        centred = (value, ties.conjunction(conditions)) in self.averaged
        measure = self._sum_measure(value, conditions, place, centred)
        total = self._measured(measure)
        if not measure.centre:
            return total
        middle = measure.centre * measure.step
        each = functions.constant(int(middle) if total.domain.type is Type.INTEGER else middle)
        rows = functions.apply("*", (self._count(conditions + _known(value)), each), place)
        return functions.apply("+", (total, rows), place)

    def _average(self, value: Expr, conditions: tuple[Expr, ...], place: Place | None) -> Expr:
        measure = self._sum_measure(value, conditions, place, centred=True)
        total = self._measured(measure)
        count = self._count(conditions + _known(value))
        mean = functions.apply("/", (functions.as_double(total), count), place)
        if measure.centre:
            middle = functions.constant(float(measure.centre * measure.step))
            mean = functions.apply("+", (mean, middle), place)
        some = functions.apply(">", (count, functions.constant(0)), place)
        return functions.case(((some, mean),), None, place)

    def _of_distinct(
        self, function: str, value: Expr, conditions: tuple[Expr, ...], place: Place | None
    ) -> Expr:
        """One unit's rows add or remove no more values than it has rows."""
        plain = self._sum_measure(value, conditions, place, centred=False)
        total = self._measured(replace(plain, kind=MeasureKind.SUM_DISTINCT))
        if function == "sum":
            return total
        return functions.apply("/", (functions.as_double(total), self._distinct((value,), conditions)), place)

    def _sum_measure(
        self, value: Expr, conditions: tuple[Expr, ...], place: Place | None, centred: bool
    ) -> Measure:
        domain = value.domain
        if domain.lo is None or domain.hi is None or max(-domain.lo, domain.hi) >= MOST:
            raise Refused("bound.unbounded", place=place)  # what 64 bits hold is no bound that anyone meant
        facts = self._facts(conditions)
        total = self.rows.relation.total
        if total is None:
            raise Refused("bound.fanout", place=place)
        step = _step(value, total, self._bounded(facts.rows()))
        lo, hi = _steps_down(domain.lo, step), _steps_up(domain.hi, step)
        centre = (lo + hi) // 2 if centred else 0
        each = max(abs(lo - centre), abs(hi - centre))
        return Measure(
            MeasureKind.SUM,
            (value,),
            ties.conjunction(conditions + _known(value)),
            self._rows(facts, each),
            step,
            lo,
            hi,
            centre,
        )

    def sum_of(self, value: Expr, conditions: tuple[Expr, ...], place: Place | None) -> tuple[Expr, Fraction]:
        """Σ (value - c) and c."""
        measure = self._sum_measure(value, conditions, place, centred=True)
        return functions.as_double(self._measured(measure)), measure.centre * measure.step

    def count_of(self, conditions: tuple[Expr, ...]) -> Expr:
        return self._count(conditions)

    def square_of(
        self, value: Expr, conditions: tuple[Expr, ...], place: Place | None
    ) -> tuple[Expr, Fraction]:
        """Σ (value² - c) and c. Interval arithmetic does not see that both factors are the same."""
        squared = functions.apply("*", (value, value), place)
        positive = replace(squared.domain, lo=Fraction(0))
        squared = replace(squared, domain=positive)
        measure = self._sum_measure(squared, conditions, place, centred=True)
        return functions.as_double(self._measured(measure)), measure.centre * measure.step

    def _quantile(
        self, value: Expr, fraction: Fraction, conditions: tuple[Expr, ...], call: syntax.Call
    ) -> Expr:
        """The rank nearest to `fraction`, chosen among public bins. Of dates, in days."""
        if call.distinct:
            raise Refused("kind.aggregate", place=call.place, function=f"{call.function}(DISTINCT …)")
        if value.domain.type is Type.STRING:
            raise Refused("kind.aggregate", place=call.place, function=f"{call.function}(text)")
        epoch = functions.constant(bounds.EPOCH)
        dated = value.domain.type is Type.DATE
        number = functions.apply("-", (value, epoch), call.place) if dated else as_number(value, call.place)
        lo, hi = number.domain.lo, number.domain.hi
        if lo is None or hi is None or max(-lo, hi) >= MOST:
            raise Refused("bound.unbounded", place=call.place)
        step = _step(number, 1, 1)
        between = call.function in ("median", "quantile_cont")
        if between and number.domain.type is Type.INTEGER and not dated:
            step /= 10  # it may lie between two integers
        measure = Measure(
            MeasureKind.QUANTILE,
            (number,),
            ties.conjunction(conditions + _known(number)),
            self._rows(self._facts(conditions), 1),
            step,
            _steps_down(lo, step),
            _steps_up(hi, step),
            fraction=self._not_an_extreme(fraction, call),
        )
        whole = number.domain.type is Type.INTEGER and not between
        column = self.found.get(measure)
        if column is None:
            type = Type.INTEGER if whole or dated else Type.REAL
            scale = None if type is Type.INTEGER else step
            column = Column(self.rows.binding.number(), Domain(type, step=step, nullable=False), scale)
            self.found[measure] = column
        return functions.apply("+", (epoch, column), call.place) if dated else column

    def _not_an_extreme(self, fraction: Fraction, call: syntax.Call) -> Fraction:
        """The least and the greatest value are one unit's own: a quantile near the end stands in for them."""
        if 0 < fraction < 1:
            return fraction
        at = LAST if fraction else 1 - LAST
        self.rows.binding.note(
            f"{call.function} 只属于一个单元，不能公布；给出的是 {float(at):.1%} 分位数（带噪声）。",
            f"{call.function} is one unit's own value and is not released; the column holds the"
            f" {float(at):.1%} quantile instead, with noise.",
        )
        return at

    def _measured(self, measure: Measure) -> Column:
        if measure not in self.found:
            self.found[measure] = self._column(measure)
        column = self.found[measure]
        if not self.sets:
            return column
        return self.sums.setdefault(column, replace(column, id=self.rows.binding.number()))

    def level(self, keys: tuple[int, ...]) -> Column:
        return self.levels.setdefault(keys, _level_column(self.rows, len(keys)))

    def _column(self, measure: Measure) -> Column:
        number = self.rows.binding.number()
        whole = measure.step == 1 and (
            measure.kind not in (MeasureKind.SUM, MeasureKind.SUM_DISTINCT)
            or measure.values[0].domain.type is Type.INTEGER
        )
        if whole:
            return Column(number, Domain(Type.INTEGER, step=Fraction(1), nullable=False))
        return Column(number, Domain(Type.REAL, step=measure.step, nullable=False), measure.step)

    # ---------------------------------------------------------------------------- bounds

    def _facts(self, conditions: tuple[Expr, ...]) -> Contribution:
        """With a FILTER: only rows that pass it can count."""
        relation, _ = ties.absorbed(self.rows.relation, conditions, None)
        return relation.contribution

    def _rows(self, facts: Contribution, each: int) -> Sensitivity:
        rows = self._bounded(facts.rows())
        bare = tuple(item.id for item in self.items if isinstance(item, Column))
        per_cell = self._bounded(facts.rows(bare))
        return Sensitivity.of_rows(rows, per_cell, self._cells(facts), each)

    def _cells(self, facts: Contribution) -> int:
        by_keys = _cells_by_keys(self.items, facts)
        return min(ENDLESS, by_keys if by_keys is not None else ENDLESS)

    def _bounded(self, rows: int | None) -> int:
        if rows is None:
            raise Refused("bound.fanout", place=self.place)
        return rows

    # --------------------------------------------------------------------------- result

    def relation(self) -> Relation:
        source = self.rows.relation
        kind = source.kind
        assert isinstance(kind, Private)
        binding = self.rows.binding
        facts = source.contribution
        rows = self._bounded(facts.rows())
        if free_columns((source.node, self.items, tuple(self.found))):
            raise Refused("kind.untied_subquery", place=self.place)
        # Keys alone, that policy lists: only what is there answers anything.
        discovered = (
            self.discover
            or (bool(self.keys) and not self.found)
            or any(isinstance(d, Discovered) for d in self.domains)
        )
        discovery = Sensitivity.of_rows(rows, 1, self._cells(facts), 1) if discovered else None
        additive = all(m.kind in (MeasureKind.COUNT, MeasureKind.SUM) for m in self.found)
        if self.sets and (discovered or not additive):
            raise NotAdditive
        domains = tuple(Discovered() for _ in self.domains) if discovered else self.domains
        if discovered:
            binding.note(
                "单元数过少的分组不会出现在结果中。",
                "Groups with too few privacy units are left out of the result.",
            )
        datasets = _private_datasets(self.rows, (source.node, self.items, tuple(self.found)))
        for a in datasets:
            for b in datasets:
                if not binding.catalogue.may_join(a, b):
                    raise Refused("access.join", place=self.place, left=a, right=b)
        block = Block(
            index=sum(isinstance(s, Block) for s in binding.steps),
            population=kind.population,
            datasets=datasets,
            source=source.node,
            unit=(kind.unit.dense,),
            keys=tuple(Key(c, e, d) for (c, e), d in zip(self.measured_keys, domains, strict=True)),
            measures=tuple(self.found),
            discovery=discovery,
            strategy=_strategy(source.node, rows),
            rows_per_unit=rows,
        )
        binding.steps.append(block)
        columns = tuple(c for c, _ in self.measured_keys) + tuple(self.found.values())
        cells = _listed_cells(domains)
        if cells is not None and cells > binding.catalogue.cells:
            raise Refused("ask.cells", place=self.place, cells=cells, most=binding.catalogue.cells)
        for measure in self.found:
            if measure.kind is MeasureKind.QUANTILE and (cells or 0) * measure.bins.count > BINS:
                raise Refused("ask.cells", place=self.place, cells=cells, most=BINS // measure.bins.count)
        key_ids = frozenset(c.id for c, _ in self.measured_keys)
        node: Node = Released(block.index, tuple((c, i) for i, c in enumerate(columns)))
        if self.sets:
            return self._added_up(node, cells)
        return Relation(
            node,
            (),
            Open(released=True),
            Contribution((Source(cells, frozenset(c.id for c in columns), (key_ids,)),)),
            cells,
        )

    def _added_up(self, finest: Node, cells: int | None) -> Relation:
        """Every set from the released finest groups: more noise in a total, but paid for once."""
        totals = tuple(
            (self.sums[c], aggregates.aggregate("sum", (c,))) for c in self.found.values() if c in self.sums
        )
        levels = tuple((column, indices) for indices, column in self.levels.items())
        columns = frozenset(c.id for c, _ in (*self.keys, *totals, *levels))
        rows = None if cells is None else cells * len(self.sets) + len(self.sets)
        node = GroupBy(finest, self.keys, totals, self.sets, levels)
        return Relation(node, (), Open(released=True), Contribution((Source(rows, columns),)), rows)


def _nullable_key(column: Column) -> Column:
    return replace(column, domain=replace(column.domain, nullable=True))


def _level_column(rows: Scope, keys: int) -> Column:
    most = Fraction(2**keys - 1)
    return Column(rows.binding.number(), Domain(Type.INTEGER, Fraction(0), most, Fraction(1), nullable=False))


@dataclass(frozen=True)
class _CentredSums:
    """The sums that statistics are made of, each measured once."""

    groups: BlockGroups
    values: tuple[Expr, ...]
    conditions: tuple[Expr, ...]
    place: Place | None

    def _rows(self, *but: int) -> tuple[Expr, ...]:
        return rows_known(self.values, self.conditions, *but)

    def count(self) -> Expr:
        return self.groups.count_of(self._rows())

    def middle(self, i: int) -> Fraction:
        domain = self.values[i].domain
        if domain.lo is None or domain.hi is None:
            raise Refused("bound.unbounded", place=self.place)
        middle = (domain.lo + domain.hi) / 2
        return Fraction(round(middle)) if abs(middle) > 1 else middle

    def total(self, i: int) -> Expr:
        found, around = self.groups.sum_of(self.values[i], self._rows(i), self.place)
        return self._moved(found, around - self.middle(i))

    def product(self, i: int, j: int) -> Expr:
        x, y = self._centred(i), self._centred(j)
        if i == j:
            found, around = self.groups.square_of(x, self._rows(), self.place)
        else:
            found, around = self.groups.sum_of(functions.apply("*", (x, y)), self._rows(), self.place)
        return self._moved(found, around)

    def _centred(self, i: int) -> Expr:
        return functions.apply("-", (self.values[i], functions.constant(self.middle(i))), self.place)

    def _moved(self, total: Expr, each: Fraction) -> Expr:
        """The sum if every row were `each` more."""
        if not each:
            return total
        added = functions.apply("*", (functions.as_double(self.count()), functions.constant(each)))
        return functions.apply("+", (total, added))


def rows_known(values: tuple[Expr, ...], conditions: tuple[Expr, ...], *but: int) -> tuple[Expr, ...]:
    """Only rows in which all arguments are known; a sum sees to its own."""
    others = (v for i, v in enumerate(values) if i not in but)
    return conditions + tuple(k for v in others for k in _known(v))


def _known(value: Expr) -> tuple[Expr, ...]:
    if not value.domain.nullable:
        return ()
    return (functions.apply("not", (functions.apply("is_null", (value,), None),), None),)


def _fraction(value: Expr, call: syntax.Call) -> Fraction:
    at = value.domain.lo if isinstance(value, Constant) else None
    if at is None or not 0 <= at <= 1 or at.denominator > MOST_DENOMINATOR:
        signature = f"{call.function}(x, 0.25)"
        raise Refused("sql.literal", place=call.place, function=call.function, signature=signature)
    return at


def as_number(value: Expr, place: Place | None) -> Expr:
    if value.domain.type is Type.BOOLEAN:
        return functions.cast(value, syntax.TypeName.INTEGER, None, None, place)
    if value.domain.type not in (Type.INTEGER, Type.REAL):
        raise Refused("sql.not_a_number", place=place, type=value.domain.type.value)
    return value


def _step(value: Expr, rows: int, of_unit: int) -> Fraction:
    """What one integer of the sum is worth: the stored step where there is one, else a power of two;
    coarser until rows x bound stays below 2^62 (SOUNDNESS 24), and what one unit moves below 2^44: the noise, a few
    thousand times that where little is spent, must fit 64 bits too, and hides steps so small in any case."""
    domain = value.domain
    assert domain.lo is not None and domain.hi is not None
    most = max(abs(domain.lo), abs(domain.hi))
    if value.scale is not None:
        step = value.scale
    elif domain.type is Type.INTEGER:
        step = Fraction(1)
    else:
        step = Fraction(1)
        while step * FINE > most > 0:
            step /= 2
        while step * FINE * 2 <= most:
            step *= 2
    while rows * (most / step + 1) * 2 >= MOST or of_unit * (most / step) >= MOST_OF_UNIT:
        step *= 2
    return step


def _steps_down(bound: Fraction, step: Fraction) -> int:
    return int(bound // step)


def _steps_up(bound: Fraction, step: Fraction) -> int:
    return int(-(-bound // step))


def _strategy(node: Node, rows: int) -> Strategy:
    if any(isinstance(n, GroupBy) for n in nodes(node)):
        return Strategy.PER_UNIT
    return Strategy.ONE_ROW if rows == 1 else Strategy.RANK


def _private_datasets(scope: Scope, tree: object) -> tuple[str, ...]:
    """Every private dataset that is read, subqueries of every kind included."""
    tables = scope.binding.catalogue.tables
    return tuple(
        sorted(
            {n.dataset for n in nodes(tree) if isinstance(n, Scan) and tables[n.table].population is not None}
        )
    )


# --------------------------------------------------------------------------------- key domains


def _key_domains(
    scope: Scope, items: tuple[Expr, ...], place: Place | None
) -> tuple[Listed | Supplied | Discovered, ...]:
    kind = scope.relation.kind
    assert isinstance(kind, Private)
    required = [s for s in kind.supplies if s.required]
    domains: dict[int, Listed | Supplied | Discovered] = {}
    for supply in (*required, *(s for s in kind.supplies if not s.required)):
        held = _held(supply, scope.relation.contribution)
        narrower = any(isinstance(n, (Filter, Released)) for n in nodes(supply.node)) or touches_released(
            scope.binding, supply.node
        )
        mine = [
            i
            for i, item in enumerate(items)
            if i not in domains
            and isinstance(item, Column)
            and item.id in held
            and (supply.required or narrower or item.domain.values is None)
        ]
        if mine:
            columns = tuple(held[items[i].id] for i in mine)  # type: ignore[union-attr]
            for i, supplied in zip(mine, _supplied(scope, supply, columns), strict=True):
                domains[i] = supplied
    if required and len(domains) < len(items) or (required and not items):
        raise Refused("kind.supply", place=place)
    return tuple(domains[i] if i in domains else _own_domain(item) for i, item in enumerate(items))


def _held(supply: Supply, facts: Contribution) -> dict[int, Column]:
    """The supplier's columns, under their own numbers and those of columns that a condition equates with them."""
    held = dict(supply.columns)
    if not supply.required:
        equal = {(a, b) for a, b in facts.implies if (b, a) in facts.implies}
        for a, b in equal:
            if a in held:
                held.setdefault(b, held[a])
    return held


def _own_domain(item: Expr) -> Listed | Discovered:
    listed = bounds.listed(item.domain)
    if listed is None:
        return Discovered()
    return Listed(listed + ((None,) if item.domain.nullable else ()))


def _supplied(scope: Scope, supply: Supply, columns: tuple[Column, ...]) -> tuple[Supplied, ...]:
    """The distinct rows of the supplier's key columns, computed by themselves."""
    binding = scope.binding
    fresh = tuple(replace(binding.column(c), enum=False) for c in columns)
    node = DistinctOf(Project(supply.node, tuple(zip(fresh, columns, strict=True))))
    relation = Relation(node, (), Open(touches_released(binding, supply.node)), Contribution(), None)
    relation = replace(relation, fields=tuple(Field("", c) for c in fresh))
    computed = binding.compute(relation).node
    assert isinstance(computed, Computed)
    return tuple(Supplied(computed.index, i) for i in range(len(columns)))


def _listed_cells(domains: tuple[Listed | Supplied | Discovered, ...]) -> int | None:
    cells = 1
    for domain in domains:
        if not isinstance(domain, Listed):
            return None
        cells *= len(domain.values)
    return cells


def unit_is_key(relation: Relation, items: tuple[Expr, ...]) -> bool:
    """Is every part of the unit among the keys, by lineage?"""
    kind = relation.kind
    if not isinstance(kind, Private):
        return False
    named = {i.id for i in items if isinstance(i, Column)}
    return all(named & part for part in kind.unit.published) and bool(kind.unit.published)
