"""The closed printer: SQL for DuckDB from the bound tree, and from nothing else.

No text of an analyst's reaches its output. Identifiers are `r<n>` for relations, `c<n>` for columns, `k<n>`,
`m<n>` and `u` for a block's result, and catalogue names, checked again and quoted; functions, types and units
come from the tables of this package; literals are written anew. Every operator stands in parentheses, and
every function is named `system.main.…`, which a macro cannot shadow.

    print_relation(node, sources)      a SELECT
    print_block(block, sources)        the exact integers of a block: keys, [u], measures, all BIGINT but keys
    print_expr(expr, sources)

`sources` says how released and computed tables are named: `Literals` writes their rows out (beside private
tables, which may see no other table), `Tables` names them `b<n>` and `p<n>` (the finishing engine).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol

from sandbox_guard.sql import scalars, stored
from sandbox_guard.sql.operations import OPERATIONS, clamped, clamped_filled, double, kept, unit
from sandbox_guard.sql.plan import MOST, Block, Measure, MeasureKind
from sandbox_guard.sql.relation import (
    Aggregate,
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
    InValues,
    JoinOf,
    Node,
    Ordering,
    Project,
    RangeOf,
    Released,
    ReleasedScalar,
    Rows,
    Scalar,
    ScalarOf,
    Scan,
    SetOf,
    Sort,
    Type,
    WindowCall,
    WindowOf,
)
from sandbox_guard.sql.walk import nodes

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}|__unit|__rank|__first_[A-Za-z][A-Za-z0-9_]{0,62}")
_DATASET = re.compile(r"[a-z][a-z0-9_-]{0,62}")


# --------------------------------------------------------------------------- names and literals


def name(text: str) -> str:
    """A table or column of the catalogue, or one of the loader's own columns."""
    if not _NAME.fullmatch(text):
        raise ValueError("not a name of the catalogue")
    return f'"{text}"'


def _dataset(text: str) -> str:
    if not _DATASET.fullmatch(text):
        raise ValueError("not a name of a dataset")
    return f'"{text}"'


def _column(column: Column) -> str:
    return f"c{int(column.id)}"


def sql_type(type: Type, scale: Fraction | None) -> str:
    return {
        Type.BOOLEAN: "BOOLEAN",
        Type.INTEGER: "BIGINT",
        Type.REAL: "DOUBLE" if scale is None else "BIGINT",
        Type.STRING: "VARCHAR",
        Type.DATE: "DATE",
        Type.NULL: "INTEGER",
    }[type]


def text_literal(value: str) -> str:
    """Printable text with its quotes doubled; anything else by its bytes."""
    if value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return "system.main.decode('" + "".join(f"\\x{b:02X}" for b in value.encode("utf-8")) + "'::BLOB)"


def literal(value: Scalar, domain: Domain, scale: Fraction | None) -> str:
    """A typed literal: without its type, 2000000000 * 3 would overflow an INTEGER."""
    type = domain.type
    if value is None:
        return f"CAST(NULL AS {sql_type(type, scale)})"
    if scale is not None or type is Type.INTEGER:
        exact = domain.lo if domain.lo is not None and domain.lo == domain.hi else None
        count = exact / scale if exact is not None and scale is not None else scalars.physical(value, scale)
        number = int(count)
        return f"{number}::BIGINT" if number >= 0 else f"(({number})::BIGINT)"
    if type is Type.REAL:
        assert isinstance(value, int | float)
        return double(float(value))
    if type is Type.BOOLEAN:
        return "TRUE" if value else "FALSE"
    if type is Type.DATE:
        assert isinstance(value, dt.date)
        return f"DATE '{value.isoformat()}'"
    assert isinstance(value, str)
    return text_literal(value)


def _value(value: Scalar, column: Column) -> str:
    """A value of a released or computed table, in the form of this column."""
    if value is not None and column.scale is not None:
        return f"({scalars.physical(value, column.scale)})::BIGINT"
    if column.domain.type is Type.REAL and value is not None:
        assert isinstance(value, int | float)
        return double(float(value))
    if column.domain.type is Type.INTEGER and value is not None:
        assert isinstance(value, int)
        return f"({int(value)})::BIGINT"
    return literal(value, Domain(column.domain.type), column.scale)


# -------------------------------------------------------------------------------------- sources

Table = Sequence[Sequence[Scalar]]


class Sources(Protocol):
    def released(self, node: Released) -> _Select: ...

    def computed(self, node: Computed) -> _Select: ...

    def scalar(self, expr: ReleasedScalar) -> str: ...


@dataclass(frozen=True)
class Literals:
    """Rows of the tables released and computed so far, by number, written into the statement."""

    blocks: Mapping[int, Table] = field(default_factory=dict)
    computations: Mapping[int, Table] = field(default_factory=dict)

    def released(self, node: Released) -> _Select:
        return _values(node.columns, self.blocks[node.block])

    def computed(self, node: Computed) -> _Select:
        return _values(node.columns, self.computations[node.index])

    def scalar(self, expr: ReleasedScalar) -> str:
        rows = self.computations[expr.computation]
        value = rows[0][expr.column] if rows else None
        return _value(value, Column(0, expr.domain))


@dataclass(frozen=True)
class Tables:
    """The tables `b<block>` and `p<computation>` of the finishing engine, with columns `c0`, `c1`, …"""

    def released(self, node: Released) -> _Select:
        return _stored_table("b", node.block, node.columns)

    def computed(self, node: Computed) -> _Select:
        return _stored_table("p", node.index, node.columns)

    def scalar(self, expr: ReleasedScalar) -> str:
        return f"(SELECT c{int(expr.column)} FROM p{int(expr.computation)})"


def _stored_table(letter: str, number: int, columns: Sequence[tuple[Column, int]]) -> _Select:
    return _Select(f"{letter}{int(number)}", [(c, f"c{int(i)}") for c, i in columns])


def _values(columns: Sequence[tuple[Column, int]], rows: Table) -> _Select:
    kept = [c for c, _ in columns]
    return _literal_rows(kept, [[_value(row[i], c) for c, i in columns] for row in rows])


def _literal_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> _Select:
    if not rows:
        nulls = [(c, f"CAST(NULL AS {sql_type(c.domain.type, c.scale)})") for c in columns]
        return _Select("", nulls, where=["FALSE"])
    if not columns:
        return _Select(f"system.main.range({len(rows)})", [])
    values = ", ".join(f"({', '.join(row)})" for row in rows)
    heads = ", ".join(_column(c) for c in columns)
    return _Select(f"(VALUES {values}) AS v({heads})", [(c, _column(c)) for c in columns], plain=True)


# ---------------------------------------------------------------------------------------- SELECT


@dataclass
class _Select:
    """One SELECT being put together."""

    source: str
    columns: list[tuple[Column, str]]
    plain: bool = False
    """All columns are those of the source, under their own names: WHERE may be added and the list
    replaced without a subquery."""
    where: list[str] = field(default_factory=list)
    group: str | None = None
    distinct: bool = False
    tail: str = ""

    def text(self) -> str:
        items = ", ".join(
            _column(c) if self.plain or text == _column(c) else f"{text} AS {_column(c)}"
            for c, text in self.columns
        )
        parts = ["SELECT DISTINCT" if self.distinct else "SELECT", items or "1"]
        if self.source:
            parts.append(f"FROM {self.source}")
        if self.where:
            parts.append("WHERE " + " AND ".join(self.where))
        if self.group is not None:
            parts.append(f"GROUP BY {self.group}")
        return " ".join(parts) + self.tail


@dataclass
class _Printer:
    """One statement. Columns have numbers of their own in the whole query, so that no name needs its
    relation in front, inside a correlated subquery either."""

    sources: Sources
    used: frozenset[int]
    relations: int = 0
    selects: int = 0

    # ------------------------------------------------------------------------------- relations

    def text(self, select: _Select) -> str:
        self.selects += 1
        return select.text()

    def derived(self, select: _Select) -> str:
        self.relations += 1
        return f"({self.text(select)}) AS r{self.relations}"

    def open(self, node: Node) -> _Select:
        """A SELECT to which a WHERE may be added and whose list may be replaced."""
        select = self.select(node)
        if select.plain:
            return select
        return _Select(self.derived(select), [(c, _column(c)) for c, _ in select.columns], plain=True)

    def select(self, node: Node) -> _Select:
        match node:
            case Scan():
                table = f"{_dataset(node.dataset)}.{_dataset('main')}.{name(node.table)}"
                kept = [(c, name(n)) for c, n in node.columns if c.id in self.used]
                return _Select(table, kept)
            case Released():
                return self.sources.released(node)
            case Computed():
                return self.sources.computed(node)
            case Rows():
                return _literal_rows(node.columns, [[self.expr(v) for v in row] for row in node.rows])
            case RangeOf():
                ends = ", ".join(f"{int(n)}" for n in (node.start, node.stop, node.step))
                return _Select(
                    f"system.main.range({ends}) AS v({_column(node.column)})",
                    [(node.column, _column(node.column))],
                    plain=True,
                )
            case Filter():
                select = self.open(node.input)
                select.where.append(self.expr(node.predicate))
                return select
            case Project():
                select = self.open(node.input)
                select.columns = [(c, self.typed(e, c)) for c, e in node.columns if c.id in self.used]
                select.plain = False
                return select
            case JoinOf():
                return self.join(node)
            case GroupBy():
                return self.group(node)
            case WindowOf():
                select = self.open(node.input)
                windows = [(c, self.window(w)) for c, w in node.columns if c.id in self.used]
                select.columns = [(c, _column(c)) for c, _ in select.columns] + windows
                select.plain = False
                return select
            case DistinctOf():
                select = self.open(node.input)
                select.distinct, select.plain = True, False
                return select
            case SetOf():
                return self.set_operation(node)
            case Sort():
                select = self.open(node.input)
                select.tail = self.tail(node)
                select.plain = False
                return select

    def join(self, node: JoinOf) -> _Select:
        if node.kind in ("semi", "anti"):
            select = self.open(node.left)
            right = self.open(node.right)
            if node.on is not None:
                right.where.append(self.expr(node.on))
            exists = f"EXISTS ({self.text(replace(right, columns=[]))})"
            select.where.append(exists if node.kind == "semi" else f"(NOT {exists})")
            return select
        left, right_select = self.open(node.left), self.select(node.right)
        source = left.source if not left.where else self.derived(left)
        if right_select.plain and not right_select.where and " JOIN " not in right_select.source:
            right_source = right_select.source
        else:
            right_source = self.derived(right_select)
        columns = [*left.columns, *right_select.columns]
        if node.kind == "cross" or (node.on is None and node.kind == "inner"):
            joined = f"{source} CROSS JOIN {right_source}"
        else:
            word = {"inner": "INNER", "left": "LEFT", "full": "FULL"}[node.kind]
            joined = f"{source} {word} JOIN {right_source} ON {self.expr(node.on) if node.on else 'TRUE'}"
        return _Select(joined, columns, plain=True)

    def group(self, node: GroupBy) -> _Select:
        select = self.open(node.input)
        keys = [self.expr(e, enum=True) for _, e in node.keys]
        select.columns = [
            *((c, self.typed(e, c)) for c, e in node.keys if c.id in self.used),
            *((c, self.aggregate(a)) for c, a in node.aggregates if c.id in self.used),
            *((c, self.grouping(node, indices)) for c, indices in node.grouping if c.id in self.used),
        ]
        select.plain = False
        if node.sets:
            sets = ", ".join(f"({', '.join(keys[i] for i in indices)})" for indices in node.sets)
            select.group = f"GROUPING SETS ({sets})"
        elif keys:
            # a bare literal would be read as the position of a column
            select.group = ", ".join(f"({k})" for k in keys)
        elif not select.columns:
            select.columns = []
            select.group = "()"
        else:
            select.group = None
        return select

    def grouping(self, node: GroupBy, indices: Sequence[int]) -> str:
        keys = ", ".join(self.expr(node.keys[i][1], enum=True) for i in indices)
        return f"GROUPING({keys})"

    def set_operation(self, node: SetOf) -> _Select:
        sides = []
        for side, exprs in ((node.left, node.left_columns), (node.right, node.right_columns)):
            select = self.open(side)
            select.columns = [(c, self.typed(e, c)) for c, e in zip(node.columns, exprs, strict=True)]
            select.plain = False
            sides.append(self.text(select))
        word = node.op.upper() + (" ALL" if node.all else "")
        self.relations += 1
        columns = [(c, _column(c)) for c in node.columns]
        return _Select(f"({sides[0]} {word} {sides[1]}) AS r{self.relations}", columns, plain=True)

    def tail(self, node: Sort) -> str:
        text = f" ORDER BY {self.orderings(node.order)}" if node.order else ""
        if node.limit is not None:
            text += f" LIMIT {int(node.limit)}"
        if node.offset is not None:
            text += f" OFFSET {int(node.offset)}"
        return text

    def orderings(self, order: Iterable[Ordering]) -> str:
        return ", ".join(
            f"{self.expr(o.expr)} {'DESC' if o.descending else 'ASC'} NULLS"
            f" {'FIRST' if o.nulls_first else 'LAST'}"
            for o in order
        )

    # ----------------------------------------------------------------------------- expressions

    def typed(self, expr: Expr, column: Column) -> str:
        """As this column: an ENUM stays one only where the column says so."""
        return self.expr(expr, enum=column.enum)

    def expr(self, expr: Expr, *, enum: bool = False) -> str:
        """`enum`: an ENUM column may stay one."""
        match expr:
            case Column():
                if expr.enum and not enum:
                    return f"CAST({_column(expr)} AS VARCHAR)"
                return _column(expr)
            case Constant():
                return literal(expr.value, expr.domain, expr.scale)
            case ReleasedScalar():
                return self.sources.scalar(expr)
            case Apply():
                operation = OPERATIONS[expr.function]
                raw = operation.enum and _enum_against_constants(expr.args)
                return operation.print(expr, [self.expr(a, enum=raw) for a in expr.args])
            case CaseOf():
                whens = " ".join(f"WHEN {self.expr(c)} THEN {self.expr(r)}" for c, r in expr.whens)
                otherwise = f" ELSE {self.expr(expr.otherwise)}" if expr.otherwise is not None else ""
                return f"(CASE {whens}{otherwise} END)"
            case InValues():
                values = ", ".join(self.expr(v) for v in expr.values)
                return (
                    f"({self.expr(expr.operand, enum=True)} {'NOT IN' if expr.negated else 'IN'} ({values}))"
                )
            case ExistsIn():
                select = self.select(expr.relation)
                return f"({'NOT ' if expr.negated else ''}EXISTS ({self.text(select)}))"
            case ScalarOf():
                return f"({self.text(self.select(expr.relation))})"

    def aggregate(self, call: Aggregate) -> str:
        modifiers = _Modifiers(
            "DISTINCT " if call.distinct else "",
            f" ORDER BY {self.orderings(call.order)}" if call.order else "",
            f" FILTER (WHERE {self.expr(call.where)})" if call.where is not None else "",
        )
        enum = call.function == "count" and len(call.args) == 1
        args = [self.expr(a, enum=enum) for a in call.args]
        return _print_aggregate(call.function, call.args, args, modifiers)

    def window(self, call: WindowCall) -> str:
        over = []
        if call.partition:
            over.append("PARTITION BY " + ", ".join(self.expr(p, enum=True) for p in call.partition))
        if call.order:
            over.append("ORDER BY " + self.orderings(call.order))
        if call.frame is not None:
            kind, start, end = call.frame
            over.append(f"{_word(kind)} BETWEEN {_word(start)} AND {_word(end)}")
        where = f" FILTER (WHERE {self.expr(call.where)})" if call.where is not None else ""
        modifiers = _Modifiers("", "", where + f" OVER ({' '.join(over)})")
        return _print_aggregate(call.function, call.args, [self.expr(a) for a in call.args], modifiers)


def _enum_against_constants(args: Sequence[Expr]) -> bool:
    enums = [a for a in args if isinstance(a, Column) and a.enum]
    return len(enums) == 1 and all(isinstance(a, Constant) for a in args if a is not enums[0])


_WORDS = re.compile(
    r"rows|range|unbounded (preceding|following)|current row|[0-9]{1,9} (preceding|following)"
)


def _word(text: str) -> str:
    if not _WORDS.fullmatch(text):
        raise ValueError("not a word of a window frame")
    return text.upper()


# ----------------------------------------------------------------------------------- aggregates


@dataclass(frozen=True)
class _Modifiers:
    distinct: str
    order: str
    after: str
    """FILTER and OVER."""

    def call(self, function: str, *args: str) -> str:
        return f"system.main.{function}({self.distinct}{', '.join(args)}{self.order}){self.after}"


_AGGREGATE_NAMES = frozenset(
    [
        "min",
        "max",
        "bool_and",
        "bool_or",
        "var_pop",
        "var_samp",
        "stddev_pop",
        "stddev_samp",
        "covar_pop",
        "covar_samp",
        "corr",
        "regr_slope",
        "regr_intercept",
        "regr_r2",
        "regr_avgx",
        "regr_avgy",
        "quantile_cont",
        "quantile_disc",
        "any_value",
        "first",
        "last",
        "arg_max",
        "arg_min",
        "string_agg",
        "product",
        "mode",
        "row_number",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "ntile",
        "lag",
        "lead",
        "first_value",
        "last_value",
        "nth_value",
    ]
)
_INTEGERS = frozenset(["row_number", "rank", "dense_rank", "ntile"])
_MAY_BE_INFINITE = frozenset(["sum_double", "avg_double", "product"])


def _print_aggregate(function: str, exprs: Sequence[Expr], args: list[str], m: _Modifiers) -> str:
    if function == "count":
        if not args:
            return m.call("count", "*")
        return m.call("count", args[0] if len(args) == 1 else f"({', '.join(args)})")
    if function == "sum":
        return f"TRY_CAST({m.call('sum', args[0])} AS BIGINT)"
    if function == "avg":
        scale = unit(exprs[0]) or Fraction(1)
        total = f"CAST(TRY_CAST({m.call('sum', args[0])} AS BIGINT) AS DOUBLE)"
        if scale.numerator != 1:
            total = f"({total} * {double(float(scale.numerator))})"
        count = f"CAST({m.call('count', args[0])} AS DOUBLE)"
        return f"({total} / ({count} * {double(float(scale.denominator))}))"
    if function in _MAY_BE_INFINITE:
        value = m.call(function.removesuffix("_double"), args[0])
        return kept(value, "system.main.isfinite(v)")
    if function == "regr_count":
        return f"CAST({m.call('regr_count', *args)} AS BIGINT)"
    if function.startswith("exact_"):
        return _print_moment(function.removeprefix("exact_"), exprs, args, m)
    if function not in _AGGREGATE_NAMES:
        raise ValueError("not an aggregate of the table")
    value = m.call(function, *(_bare(e, a) for e, a in zip(exprs, args, strict=True)))
    return f"CAST({value} AS BIGINT)" if function in _INTEGERS else value


def _bare(expr: Expr, text: str) -> str:
    """Offsets, buckets and fractions are literals that DuckDB wants foldable; casts are."""
    return text


def _print_moment(function: str, exprs: Sequence[Expr], args: list[str], m: _Modifiers) -> str:
    """From n, Σx, Σy, Σxx, Σxy, Σyy in HUGEINT, so that no order of rows shows. Of two arguments the
    first is y, as in regr_slope(y, x), and rows with a NULL in either have been filtered out."""
    wide = [f"CAST({a} AS HUGEINT)" for a in args]
    n = f"CAST({m.call('count', args[0])} AS HUGEINT)"

    def total(*factors: str) -> str:
        return m.call("sum", f"({' * '.join(factors)})")

    def about(a: str, b: str) -> str:
        """n² times the covariance, exactly, and then as a double."""
        return f"CAST((({n} * {total(a, b)}) - ({total(a)} * {total(b)})) AS DOUBLE)"

    def over(top: str, bottom: str) -> str:
        return f"({top} / {kept(bottom, 'v <> 0')})"

    y, x = wide[0], wide[-1]
    of_y, of_x = (double(float(unit(e) or 1)) for e in (exprs[0], exprs[-1]))
    count = f"CAST({n} AS DOUBLE)"
    pairs = f"({count} * ({count} - 1e0))" if function.endswith("samp") else f"({count} * {count})"
    if function.startswith(("var", "covar")):
        return f"(({over(about(y, x), pairs)} * {of_y}) * {of_x})"
    if function.startswith("stddev"):
        return f"(system.main.sqrt({over(about(y, x), pairs)}) * {of_y})"
    slope = over(about(x, y), about(x, x))
    match function:
        case "corr":
            roots = f"(system.main.sqrt({about(x, x)}) * system.main.sqrt({about(y, y)}))"
            return over(about(x, y), roots)
        case "regr_slope":
            return f"(({slope} * {of_y}) / {of_x})"
        case "regr_intercept":
            rest = f"(CAST({total(y)} AS DOUBLE) - ({slope} * CAST({total(x)} AS DOUBLE)))"
            return f"(({rest} / {count}) * {of_y})"
        case "regr_r2":
            ratio = f"({slope} * {over(about(x, y), about(y, y))})"
            return f"(CASE WHEN ({about(x, x)} <> 0) THEN COALESCE({ratio}, 1e0) END)"
    raise ValueError("not an aggregate of the table")


# ------------------------------------------------------------------------------- entry points


def columns_of(node: Node) -> tuple[Column, ...]:
    """Output columns, in order."""
    match node:
        case Scan() | Released() | Computed():
            return tuple(c for c, _ in node.columns)
        case Rows():
            return node.columns
        case RangeOf():
            return (node.column,)
        case Filter() | DistinctOf() | Sort():
            return columns_of(node.input)
        case Project():
            return tuple(c for c, _ in node.columns)
        case JoinOf():
            left = columns_of(node.left)
            return left if node.kind in ("semi", "anti") else left + columns_of(node.right)
        case GroupBy():
            return (
                *(c for c, _ in node.keys),
                *(c for c, _ in node.aggregates),
                *(c for c, _ in node.grouping),
            )
        case WindowOf():
            return columns_of(node.input) + tuple(c for c, _ in node.columns)
        case SetOf():
            return node.columns


def used_columns(trees: Iterable[object]) -> frozenset[int]:
    """Numbers of the columns that are read somewhere; what is only made need not be."""
    found: set[int] = set()
    for tree in trees:
        for node in nodes(tree):
            found |= _read_by(node)
    return frozenset(found)


def _expressions(exprs: Iterable[Expr | None]) -> set[int]:
    return {e.id for e in exprs if isinstance(e, Column)}


def _read_by(node: object) -> set[int]:
    """Columns that this one dataclass reads itself."""
    match node:
        case Apply():
            return _expressions(node.args)
        case CaseOf():
            return _expressions([e for pair in node.whens for e in pair] + [node.otherwise])
        case InValues():
            return _expressions([node.operand])
        case Ordering():
            return _expressions([node.expr])
        case Aggregate():
            return _expressions([*node.args, node.where])
        case WindowCall():
            return _expressions([*node.args, *node.partition, node.where])
        case Filter():
            return _expressions([node.predicate])
        case Project():
            return _expressions(e for _, e in node.columns)
        case GroupBy():
            return _expressions(e for _, e in node.keys)
        case JoinOf():
            return _expressions([node.on])
        case SetOf():
            return _expressions([*node.left_columns, *node.right_columns])
        case DistinctOf():
            return {c.id for c in columns_of(node.input)}
        case ScalarOf():
            return {c.id for c in columns_of(node.relation)}
        case Measure():
            return _expressions([*node.values, node.where])
        case _:
            return set()


def print_relation(
    node: Node, sources: Sources | None = None, columns: Sequence[Column] | None = None
) -> str:
    """A SELECT with these columns of the relation (all by default), ENUMs as VARCHAR."""
    return _relation(node, sources, columns)[0]


def _relation(node: Node, sources: Sources | None, columns: Sequence[Column] | None) -> tuple[str, _Printer]:
    shown = tuple(columns) if columns is not None else columns_of(node)
    printer = _Printer(sources or Literals(), used_columns([node]) | {c.id for c in shown})
    select = printer.select(node)
    if [c.id for c, _ in select.columns] != [c.id for c in shown] or any(c.enum for c in shown):
        source = printer.derived(select)
        select = _Select(source, [(replace(c, enum=False), printer.expr(c)) for c in shown])
    return printer.text(select), printer


def print_expr(expr: Expr, sources: Sources | None = None) -> str:
    return _Printer(sources or Literals(), used_columns([expr]) | _expressions([expr])).expr(expr)


def print_block(block: Block, sources: Sources | None = None) -> str:
    """The exact integers: columns k0, k1, …, `u` where keys are discovered, then m0, m1, … as BIGINT."""
    return _block(block, sources)[0]


def _block(block: Block, sources: Sources | None) -> tuple[str, _Printer]:
    keys = tuple(k.expr for k in block.keys)
    used = (
        used_columns([block.source, *keys, *block.measures]) | _expressions(keys) | {c.id for c in block.unit}
    )
    once_each = stored.one_row_per_unit(block)
    if once_each is not None:
        used |= used_columns([once_each]) | _expressions([once_each])
    printer = _Printer(sources or Literals(), used)
    select = printer.open(block.source)
    items = [f"{printer.expr(k)} AS k{i}" for i, k in enumerate(keys)]
    if once_each is not None and not keys and all(_counts_units(m) for m in block.measures):
        # Of the rows that are left each is a unit, and the row groups of other ranks are skipped.
        select.where.append(printer.expr(once_each))
        items += [f"system.main.count(*) AS m{i}" for i in range(len(block.measures))]
    else:
        if block.discovery is not None:
            items.append(f"{_units(block, once_each, None, printer)} AS u")
        items += [
            f"{_measure(m, block, once_each, printer)} AS m{i}"
            for i, m in enumerate(block.measures)
            if m.kind is not MeasureKind.QUANTILE
        ]
    parts = [f"SELECT {', '.join(items or ['system.main.count(*) AS n'])} FROM {select.source}"]
    if select.where:
        parts.append("WHERE " + " AND ".join(select.where))
    if keys:
        parts.append("GROUP BY " + ", ".join(f"({printer.expr(k, enum=True)})" for k in keys))
    printer.selects += 1
    return " ".join(parts), printer


def print_histogram(block: Block, measure: Measure, sources: Sources | None = None) -> str:
    """The exact part of a quantile: columns k0, k1, …, `bin` and `n`, a row for each bin that has rows."""
    keys = tuple(k.expr for k in block.keys)
    used = used_columns([block.source, *keys, measure]) | _expressions(keys)
    printer = _Printer(sources or Literals(), used)
    select = printer.open(block.source)
    where = [*select.where, *([printer.expr(measure.where)] if measure.where is not None else [])]
    items = [
        *(f"{printer.expr(k)} AS k{i}" for i, k in enumerate(keys)),
        f"{_steps(measure, block, printer)} AS v",
    ]
    inner = f"SELECT {', '.join(items)} FROM {select.source}" + (
        " WHERE " + " AND ".join(where) if where else ""
    )
    names = [f"k{i}" for i in range(len(keys))]
    # NULL is left out before bins are found: a condition on them would find each twice.
    found = ", ".join([*names, f"{measure.bins.sql('v')} AS bin"])
    by = ", ".join([*names, "bin"])
    return (
        f"SELECT {by}, system.main.count(*) AS n FROM"
        f" (SELECT {found} FROM ({inner}) AS g WHERE (v IS NOT NULL)) AS h GROUP BY {by}"
    )


def _counts_units(measure: Measure) -> bool:
    return measure.kind is MeasureKind.UNITS and measure.where is None


def _units(block: Block, once_each: Expr | None, where: Expr | None, printer: _Printer) -> str:
    """How many units; `once_each` holds for one row of each, but only among all rows."""
    if once_each is not None and where is None:
        # Over no rows `count_if` is NULL, and a lone unit that left moved its own count by 2^63.
        return f"system.main.count(*) FILTER (WHERE {printer.expr(once_each)})"
    units = ", ".join(_column(c) for c in block.unit)
    text = f"system.main.count(DISTINCT {units if len(block.unit) == 1 else f'({units})'})"
    return text + (f" FILTER (WHERE {printer.expr(where)})" if where is not None else "")


def _measure(measure: Measure, block: Block, once_each: Expr | None, printer: _Printer) -> str:
    where = f" FILTER (WHERE {printer.expr(measure.where)})" if measure.where is not None else ""
    match measure.kind:
        case MeasureKind.COUNT:
            return f"system.main.count(*){where}"
        case MeasureKind.UNITS:
            return _units(block, once_each, measure.where, printer)
        case MeasureKind.DISTINCT:
            values = ", ".join(printer.expr(v, enum=len(measure.values) == 1) for v in measure.values)
            one = values if len(measure.values) == 1 else f"({values})"
            return f"system.main.count(DISTINCT {one}){where}"
        case MeasureKind.SUM | MeasureKind.SUM_DISTINCT:
            each = "DISTINCT " if measure.kind is MeasureKind.SUM_DISTINCT else ""
            steps = _steps(measure, block, printer)
            total = f"COALESCE(system.main.sum({each}{steps}){where}, 0)"
            return f"CAST(system.main.greatest({-MOST}, system.main.least({MOST}, {total})) AS BIGINT)"
        case MeasureKind.QUANTILE:
            raise ValueError("a quantile has a histogram of its own")


def _steps(measure: Measure, block: Block, printer: _Printer) -> str:
    """The value in steps, clamped after rounding, less the centre; NULL stays NULL, so that it adds
    nothing. A double is clamped before it is cast, and again after unless its bounds are the very same
    integers: what lies between two integers rounds to neither's other side."""
    lo, hi, centre = int(measure.lo), int(measure.hi), int(measure.centre)
    less = f" - ({centre})::BIGINT" if centre else ""
    value = measure.values[0]
    fixed = scalars.as_fixed(value, measure.step)
    if fixed is not None:
        text = printer.expr(fixed)
        if stored.within(measure, fixed, block.source):
            return f"({text}{less})"
        return _clamped(text, f"({lo})::BIGINT", f"({hi})::BIGINT", less, fixed.domain.nullable)
    halved = scalars.halvings(value, measure.step)
    if halved is not None:
        # By shifting, halves upwards: a fraction of what arithmetic in doubles takes.
        rounded = f"(({printer.expr(value)} + ({1 << (halved - 1)})::BIGINT) >> {halved})"
        low, high = f"({lo})::BIGINT", f"({hi})::BIGINT"
        # The engine works out once what is written thrice.
        choice = f"WHEN {rounded} < {low} THEN {low} WHEN {rounded} > {high} THEN {high} ELSE {rounded}"
        return f"(CASE {choice} END{less})"
    counted = printer.expr(scalars.as_double(value))
    step = measure.step
    if step.denominator != 1:
        counted = f"({counted} * {double(float(step.denominator))})"
    if step.numerator != 1:
        counted = f"({counted} / {double(float(step.numerator))})"
    nullable = value.domain.nullable
    rounded = _clamped(counted, double(float(lo)), double(float(hi)), "", nullable)
    whole = f"CAST(system.main.round({rounded}) AS BIGINT)"
    if int(float(lo)) == lo and int(float(hi)) == hi:
        return f"({whole}{less})"
    return _clamped(whole, f"({lo})::BIGINT", f"({hi})::BIGINT", less, nullable)


def _clamped(text: str, lo: str, hi: str, less: str, nullable: bool) -> str:
    return f"({clamped(text, lo, hi) if nullable else clamped_filled(text, lo, hi)}{less})"


# ------------------------------------------------------------------------------- second opinion


@dataclass(frozen=True)
class Census:
    """What the printed text must turn out to hold when the engine's own parser reads it."""

    tables: frozenset[tuple[str, str]]
    """Dataset and table."""
    columns: frozenset[str]
    """Stored names."""
    selects: int
    """Its own SELECTs; the parser counts one more for each VALUES list."""


def tables_and_selects(tree: Node | Block, sources: Sources | None = None) -> Census:
    """A second opinion on the printed text (an injected SELECT or table would not be in the tree)."""
    printer = _block(tree, sources)[1] if isinstance(tree, Block) else _relation(tree, sources, None)[1]
    scans = [n for n in nodes(tree) if isinstance(n, Scan)]
    return Census(
        frozenset((s.dataset, s.table) for s in scans),
        frozenset(name for s in scans for c, name in s.columns if c.id in printer.used),
        printer.selects,
    )
