"""What the accepted cases of the oracle exercised: nodes of the tree, kinds of join, functions, spellings.

Aggregates, windows and joins are noted where the planner binds them, so that what is counted is what was
planned; the rest is read off the analyst's tree and off the plan.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from sandbox_guard.sql import bind, grouping, joins, scalars, syntax
from sandbox_guard.sql.kinds import Open, Private, Relation
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.plan import Block, Computation, Plan
from sandbox_guard.sql.relation import Aggregate, Apply, GroupBy, JoinOf, SetOf, WindowCall
from sandbox_guard.sql.walk import nodes

Seen = set[str]


def _kind(side: Relation) -> str:
    match side.kind:
        case Private():
            return "private"
        case Open(released=True):
            return "released"
    return "public"


def _call(call: syntax.Call) -> str:
    if call.function == "count" and not call.args:
        return "count(*)"
    return f"{call.function}({'DISTINCT ' if call.distinct else ''}x)"


@contextlib.contextmanager
def noting(found: Seen) -> Iterator[None]:
    """Note what the planner binds."""
    block, exact = grouping.BlockGroups.aggregate, grouping.ExactGroups.aggregate
    window, join, lateral = bind._Windows.call, joins.join, joins.lateral

    def noted_block(self: Any, call: syntax.Call) -> Any:
        found.add(f"aggregate {_call(call)}")
        if call.where is not None:
            found.add("aggregate with FILTER")
        return block(self, call)

    def noted_exact(self: Any, call: syntax.Call) -> Any:
        where = "within a unit" if self.rows.relation.private else "afterwards"
        found.add(f"{where} {_call(call)}")
        return exact(self, call)

    def noted_window(self: Any, call: syntax.Call, scope: Any) -> Any:
        private = self.scope.relation.private and self.scope.grouped is None
        found.add(f"window {'within a unit' if private else 'afterwards'} {call.function}")
        if call.window is not None and call.window.frame is not None:
            found.add(f"window frame {call.window.frame[0]}")
        return window(self, call, scope)

    def noted_join(left: Relation, right: Relation, kind: Any, *rest: Any) -> Any:
        found.add(f"join {_kind(left)} {kind.name} {_kind(right)}")
        return join(left, right, kind, *rest)

    def noted_lateral(left: Relation, right: Relation, kind: Any, *rest: Any) -> Any:
        found.add(f"join lateral {kind.name}")
        return lateral(left, right, kind, *rest)

    grouping.BlockGroups.aggregate = noted_block  # type: ignore[method-assign]
    grouping.ExactGroups.aggregate = noted_exact  # type: ignore[method-assign]
    bind._Windows.call = noted_window  # type: ignore[method-assign]
    joins.join = noted_join  # type: ignore[assignment]
    joins.lateral = noted_lateral  # type: ignore[assignment]
    try:
        yield
    finally:
        grouping.BlockGroups.aggregate = block  # type: ignore[method-assign]
        grouping.ExactGroups.aggregate = exact  # type: ignore[method-assign]
        bind._Windows.call = window  # type: ignore[method-assign]
        joins.join, joins.lateral = join, lateral


def written(sql: str) -> Seen:
    """Spellings."""
    # The parser puts a named window where its name stands.
    found: Seen = {"written WINDOW w AS"} if " WINDOW " in sql else set()
    for node in nodes(parse(sql)):
        match node:
            case syntax.Select():
                found |= _select(node)
            case syntax.SetOperation():
                found.add(f"written {node.op.upper()}{' ALL' if node.all else ''}")
                if node.by_name:
                    found.add("written BY NAME")
            case syntax.Pivot() | syntax.Unpivot() | syntax.Values():
                found.add(f"written {type(node).__name__.upper()}")
            case syntax.Cte():
                found.add("written WITH")
            case syntax.Derived():
                found.add("written derived table")
            case syntax.Function():
                found.add(f"written {node.call.function}()")
            case syntax.Join():
                if node.using:
                    found.add("written USING")
                if node.natural:
                    found.add("written NATURAL")
            case syntax.Star():
                found.add("written *")
                if node.exclude:
                    found.add("written EXCLUDE")
                if node.replace:
                    found.add("written REPLACE")
            case syntax.In() if not isinstance(node.items, tuple):
                row = "row " if isinstance(node.operand, syntax.Row) else ""
                found.add(f"written {row}{'NOT ' if node.negated else ''}IN (SELECT)")
            case syntax.Exists():
                found.add(f"written {'NOT ' if node.negated else ''}EXISTS")
            case syntax.Scalar():
                found.add("written scalar subquery")
            case syntax.Case():
                found.add("function CASE")
            case syntax.Cast():
                found.add(f"function {'TRY_' if node.tried else ''}CAST")
            case syntax.In():
                found.add(f"function {'NOT ' if node.negated else ''}IN")
            case syntax.Call(function="list"):
                found.add("written list of quantiles")
            case syntax.Call() if node.function in scalars.FUNCTIONS:
                found.add(f"function {node.function}")
    return found


def _select(node: syntax.Select) -> Seen:
    found = set()
    if node.distinct_on:
        found.add("written DISTINCT ON")
    if node.distinct:
        found.add("written DISTINCT")
    if node.qualify is not None:
        found.add("written QUALIFY")
    if node.having is not None:
        found.add("written HAVING")
    if node.group is not None:
        if node.group.everything:
            found.add("written GROUP BY ALL")
        if len(node.group.sets) > 1:
            found.add("written grouping sets")
        if any(isinstance(i, syntax.Literal) for i in node.group.items):
            found.add("written GROUP BY position")
    if node.tail.order or node.tail.order_all:
        found.add("written ORDER BY")
    if node.tail.limit is not None:
        found.add("written LIMIT")
    return found


def planned(plan: Plan) -> Seen:
    """What became of it."""
    found: Seen = set()
    for step in plan.steps:
        if isinstance(step, Block):
            found |= _block(step)
        elif isinstance(step, Computation):
            found.add(f"computation {'released' if step.released else 'public'}")
    for node in nodes(plan.final):
        if type(node).__module__.endswith("relation"):
            found.add(f"finish {type(node).__name__}")
        if isinstance(node, GroupBy) and node.sets:
            found.add("finish GroupBy with sets")
    if len(plan.blocks) > 1:
        found.add("several blocks")
    return found


def _block(block: Block) -> Seen:
    found = {f"strategy {block.strategy.value}", f"keys {len(block.keys)}"}
    found |= {f"measure {m.kind.value}" for m in block.measures}
    found |= {f"key {type(k.domain).__name__}" for k in block.keys}
    if block.discovery is not None:
        found.add("measure discovery")
    for node in nodes((block.source, block.keys, block.measures)):
        match node:
            case JoinOf():
                found.add(f"node JoinOf {node.kind}")
            case SetOf():
                found.add(f"node SetOf {node.op}{' all' if node.all else ''}")
            case Apply():
                found |= {"node Apply", f"operation {node.function}"}
            case Aggregate() | WindowCall():
                found.add(f"node {type(node).__name__}")
            case _ if type(node).__module__.endswith("relation"):
                found.add(f"node {type(node).__name__}")
    return found


_AGGREGATES = """
count(*), count(x), count(DISTINCT x), sum(x), sum(DISTINCT x), avg(x), avg(DISTINCT x), var_pop(x), var_samp(x),
stddev_pop(x), stddev_samp(x), covar_pop(x), covar_samp(x), corr(x), regr_slope(x), regr_intercept(x), regr_r2(x),
median(x), quantile_cont(x), quantile_disc(x), min(x), max(x), count_if(x), bool_and(x), bool_or(x)
"""
_WITHIN = _AGGREGATES.replace("sum(DISTINCT x),", "").replace("avg(DISTINCT x),", "") + (
    ", first(x), last(x), arg_max(x), arg_min(x)"
)
_WINDOWS = """
row_number, rank, dense_rank, percent_rank, cume_dist, ntile, lag, lead, first_value, last_value, nth_value,
count, sum, avg, min, max
"""
_JOINS = """
private INNER private, private LEFT private, private RIGHT private, private FULL private, private SEMI private,
private ANTI private, private CROSS private, private INNER public, private LEFT public, private CROSS public,
private SEMI public, private ANTI public, private RIGHT public, public INNER private, public LEFT private,
private INNER released, private LEFT released, released LEFT private, released INNER released,
released LEFT released, released FULL released, lateral CROSS, lateral LEFT
"""
_NODES = """
Scan, Computed, Rows, RangeOf, Filter, Project, JoinOf inner, JoinOf left, JoinOf full, JoinOf cross, GroupBy,
WindowOf, DistinctOf, SetOf union, SetOf union all, SetOf intersect, SetOf intersect all, SetOf except,
SetOf except all, Column, Constant, ReleasedScalar, Apply, CaseOf, InValues, ExistsIn, ScalarOf, Aggregate,
WindowCall
"""
_FINISH = """
Released, Computed, Filter, Project, JoinOf, GroupBy, GroupBy with sets, WindowOf, SetOf, Sort, ScalarOf
"""
_FUNCTIONS = """
+, -, *, /, //, %, ^, neg, abs, sign, floor, ceil, trunc, round, sqrt, exp, ln, log10, log2, clamp, =, <>, <,
<=, >, >=, between, is_distinct, is_not_distinct, and, or, not, is_null, is_true, is_false, isfinite, coalesce, nullif, greatest, least, lower, upper, reverse, length, trim, ltrim,
rtrim, substring, left, right, ||, concat, replace, like, ilike, starts_with, ends_with, contains, year, quarter,
month, day, week, decade, century, dow, doy, isodow, monthname, dayname, last_day, date_trunc,
date_diff, make_date, strftime, CASE, CAST, TRY_CAST, IN, NOT IN
"""
_WRITTEN = """
WITH, derived table, GROUP BY ALL, GROUP BY position, grouping sets, HAVING, ORDER BY, LIMIT, DISTINCT, DISTINCT ON,
QUALIFY, WINDOW w AS, PIVOT, UNPIVOT, VALUES, USING, NATURAL, *, EXCLUDE, REPLACE, UNION, UNION ALL, BY NAME,
INTERSECT, INTERSECT ALL, EXCEPT, EXCEPT ALL, IN (SELECT), NOT IN (SELECT), row IN (SELECT), EXISTS, NOT EXISTS,
scalar subquery, list of quantiles, range()
"""
_REST = """
measure count, measure units, measure distinct, measure sum, measure sum of distinct, measure quantile,
measure discovery, key Listed, key Supplied, key Discovered, strategy one row, strategy rank, strategy per unit,
several blocks, aggregate with FILTER, window frame rows, window frame range, computation public,
computation released, fewer rows of each unit
"""


def _names(prefix: str, text: str) -> tuple[str, ...]:
    return tuple(f"{prefix} {name.strip()}" for name in text.replace("\n", " ").split(","))


COVERAGE: tuple[str, ...] = (
    *_names("aggregate", _AGGREGATES),
    *_names("within a unit", _WITHIN),
    *_names("window within a unit", _WINDOWS),
    *_names("join", _JOINS),
    *_names("node", _NODES),
    *_names("finish", _FINISH),
    *_names("function", _FUNCTIONS),
    *_names("written", _WRITTEN),
    *(name.strip() for name in _names("", _REST)),
    "on several row groups, several threads, twice",
)
"""What the long run must have seen many cases of."""
