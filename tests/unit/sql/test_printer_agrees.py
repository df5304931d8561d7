"""Printed relations and blocks give what the evaluator gives."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import duckdb
import pytest

from sandbox_guard.sql import aggregates, printer, scalars
from sandbox_guard.sql.plan import (
    Block,
    Discovered,
    Key,
    Measure,
    MeasureKind,
    Sensitivity,
    Strategy,
)
from sandbox_guard.sql.relation import (
    Column,
    Computed,
    DistinctOf,
    Domain,
    ExistsIn,
    Expr,
    Filter,
    GroupBy,
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
    Type,
    WindowOf,
)
from tests.evaluator import Evaluator

F = Fraction
NONE = Sensitivity(0, 0, 0, 0)
TOWNS = ("Alder", "Birch", "海淀")


class Query:
    """Columns with fresh numbers."""

    def __init__(self) -> None:
        self.last = 0

    def column(self, domain: Domain, scale: Fraction | None = None, *, enum: bool = False) -> Column:
        self.last += 1
        return Column(self.last, domain, scale, enum)

    def like(self, expr: Any) -> Column:
        return self.column(expr.domain, expr.scale)

    def loans(self) -> tuple[Scan, dict[str, Column]]:
        whole = Domain(Type.INTEGER, step=F(1), nullable=False)
        columns = {
            "__unit": self.column(whole),
            "__rank": self.column(whole),
            "amount": self.column(Domain(Type.REAL, F(-10), F(1000), F(1, 100)), F(1, 100)),
            "days": self.column(Domain(Type.INTEGER, F(0), F(400), F(1))),
            "town": self.column(Domain(Type.STRING, values=TOWNS, length=5), enum=True),
            "late": self.column(Domain(Type.BOOLEAN, values=(False, True))),
        }
        return Scan("city", "loans", tuple((c, n) for n, c in columns.items())), columns


def rows() -> list[dict[str, Any]]:
    r = random.Random(7)
    made = []
    for unit in range(1, 21):
        for rank in range(1, r.choice([1, 1, 2, 3, 6]) + 1):
            made.append(
                {
                    "__unit": unit,
                    "__rank": rank,
                    "amount": r.choice([None, -1000, 100_000, 0, r.randrange(-1000, 100_000)]),
                    "days": r.choice([None, 0, 400, r.randrange(400)]),
                    "town": r.choice([None, *TOWNS]),
                    "late": r.choice([None, True, False]),
                }
            )
    return made


ROWS = rows()


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("ATTACH ':memory:' AS city")
    connection.execute(
        "CREATE TABLE city.main.loans (__unit BIGINT, __rank INTEGER, amount BIGINT, days BIGINT,"
        " town ENUM('Alder', 'Birch', '海淀'), late BOOLEAN)"
    )
    connection.executemany("INSERT INTO city.main.loans VALUES (?,?,?,?,?,?)", [[*r.values()] for r in ROWS])
    return connection


GIVEN = Evaluator(
    {("city", "loans"): ROWS},
    blocks={1: [["Alder", 3.5, 7], ["海淀", -0.25, None], [None, 1e-9, 2]], 2: []},
    computations={1: [[12.5]], 2: []},
)
SOURCES = printer.Literals(GIVEN.blocks, GIVEN.computations)


def key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple((v is None, 0 if v is None else round(v, 9) if isinstance(v, float) else v) for v in row)


def agree(duck: duckdb.DuckDBPyConnection, node: Node, *, ordered: bool = False) -> list[tuple[Any, ...]]:
    """Same rows from both, and some at all."""
    sql = printer.print_relation(node, SOURCES)
    second_opinion(duck, sql, printer.tables_and_selects(node, SOURCES))
    got = [tuple(r) for r in duck.execute(sql).fetchall()]
    ids = [c.id for c in printer.columns_of(node)]
    expected = [tuple(r[i] for i in ids) for r in GIVEN.rows(node)]
    if not ordered:
        got, expected = sorted(got, key=key), sorted(expected, key=key)
    assert len(got) == len(expected), sql
    for a, b in zip(got, expected, strict=True):
        for x, y in zip(a, b, strict=True):
            close = (
                isinstance(x, float)
                and isinstance(y, float)
                and math.isclose(x, y, rel_tol=1e-9, abs_tol=1e-9)
            )
            assert close or (type(x) is type(y) and x == y), (a, b, sql)
    return got


def parts(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(tree, dict):
        yield tree
        for value in tree.values():
            yield from parts(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from parts(value)


OPERATORS = {
    ">>",
    "list_value",
    "struct_extract",
    "row",
    "grouping",
    *["+", "-", "*", "/", "//", "%", "||", "~~", "~~~", "like", "ilike"],
}


def second_opinion(duck: duckdb.DuckDBPyConnection, sql: str, census: printer.Census) -> None:
    """The engine's own parser sees the tables, columns, functions and SELECTs of the tree, and no more."""
    row = duck.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    document = json.loads(row[0])
    assert not document["error"], document
    assert len(document["statements"]) == 1
    found = list(parts(document))
    paths = [p["qualified_name"]["path"] for p in found if p.get("type") == "BASE_TABLE"]
    assert {(path[0], path[2]) for path in paths} == census.tables
    assert all(path[1] == "main" and len(path) == 3 for path in paths)
    read = {name for p in found if p.get("type") == "COLUMN_REF" for name in p["column_names"]}
    assert {n for n in read if not re.fullmatch(r"c\d+|[vxy]", n)} == census.columns
    values = sum(p.get("type") == "EXPRESSION_LIST" for p in found)
    assert sum(p.get("type") == "SELECT_NODE" for p in found) == census.selects + values
    for part in found:
        if part.get("class") in ("FUNCTION", "WINDOW") and "qualified_name" in part:
            path = part["qualified_name"]["path"]
            assert path[:2] == ["system", "main"] or path[-1] in OPERATORS, path


C = scalars.constant


def call(name: str, *args: Expr) -> Expr:
    return scalars.apply(name, args)


@pytest.mark.parametrize("kind", ["inner", "left", "full", "cross", "semi", "anti"])
def test_joins(duck: duckdb.DuckDBPyConnection, kind: Any) -> None:
    q = Query()
    (left, a), (right, b) = q.loans(), q.loans()
    on = call("and", call("=", a["__unit"], b["__unit"]), call("<", a["days"], b["days"]))
    join = JoinOf(
        Filter(left, call("<=", a["__rank"], C(2))),
        Filter(right, call("=", b["town"], C("Alder"))),
        kind,
        None if kind == "cross" else on,
    )
    shown = [a["__unit"], a["town"]] + ([] if kind in ("semi", "anti") else [b["amount"]])
    assert agree(duck, Project(join, tuple((q.like(c), c) for c in shown)))


@pytest.mark.parametrize("negated", [False, True])
def test_correlated_subqueries(duck: duckdb.DuckDBPyConnection, negated: bool) -> None:
    q = Query()
    (outer, a), (inner, b), (more, d) = q.loans(), q.loans(), q.loans()
    tied = call("and", call("=", b["__unit"], a["__unit"]), call("is_true", b["late"]))
    exists = ExistsIn(Filter(inner, tied), negated, Domain(Type.BOOLEAN, nullable=False))
    total = aggregates.aggregate("sum", (d["amount"],), rows_per_group=6, per_unit=True)
    column = q.like(total)
    one = GroupBy(Filter(more, call("=", d["__unit"], a["__unit"])), (), ((column, total),))
    scalar = ScalarOf(Project(one, ((q.like(column), column),)), column.domain, column.scale)
    kept = Filter(outer, exists)
    assert agree(duck, Project(kept, ((q.like(a["__unit"]), a["__unit"]), (q.like(scalar), scalar))))


@pytest.mark.parametrize("op", ["union", "intersect", "except"])
@pytest.mark.parametrize("every", [False, True])
def test_set_operations(duck: duckdb.DuckDBPyConnection, op: Any, every: bool) -> None:
    q = Query()
    (left, a), (right, b) = q.loans(), q.loans()
    columns = (q.like(a["town"]), q.like(a["late"]))
    node = SetOf(
        op,
        every,
        Filter(left, call(">", a["days"], C(100))),
        Filter(right, call("=", b["late"], C(True))),
        columns,
        (a["town"], a["late"]),
        (b["town"], b["late"]),
    )
    assert agree(duck, node)


UNIT = sorted(aggregates.UNIT_AGGREGATES)


@pytest.mark.parametrize("function", UNIT)
@pytest.mark.parametrize("filtered", [False, True])
def test_aggregates_within_a_unit(duck: duckdb.DuckDBPyConnection, function: str, filtered: bool) -> None:
    q = Query()
    scan, c = q.loans()
    args: dict[str, tuple[Expr, ...]] = {
        "bool_and": (c["late"],),
        "bool_or": (c["late"],),
        "count_if": (c["late"],),
        "arg_max": (c["town"], c["__rank"]),
        "arg_min": (c["town"], c["__rank"]),
        "quantile_cont": (c["amount"], C(0.25)),
        "quantile_disc": (c["amount"], C(0.25)),
    }
    two = function.startswith(("covar", "corr", "regr"))
    chosen = args.get(function, (c["amount"], c["days"]) if two else (c["amount"],))
    order = (Ordering(c["__rank"]),) if function in ("first", "last") else ()
    made = aggregates.aggregate(
        function,
        chosen,
        where=call(">", c["days"], C(50)) if filtered else None,
        order=order,
        rows_per_group=6,
        per_unit=True,
    )
    unit, value = q.like(c["__unit"]), q.like(made)
    got = agree(duck, GroupBy(scan, ((unit, c["__unit"]),), ((value, made),)))
    check_inside(made.domain, made.scale, [r[1] for r in got])


def check_inside(domain: Domain, scale: Fraction | None, values: list[Any]) -> None:
    for value in values:
        if value is None:
            assert domain.nullable
        elif domain.type in (Type.INTEGER, Type.REAL):
            number = F(value) * (scale or 1)
            assert domain.lo is None or domain.lo <= number
            assert domain.hi is None or number <= domain.hi


def test_sum_of_doubles_within_a_unit_is_counted_in_steps(duck: duckdb.DuckDBPyConnection) -> None:
    q = Query()
    scan, c = q.loans()
    share = call("/", c["amount"], C(3))
    made = aggregates.aggregate("sum", (share,), rows_per_group=6, per_unit=True)
    assert made.scale == F(1, 10**6)
    agree(duck, GroupBy(scan, ((q.like(c["__unit"]), c["__unit"]),), ((q.like(made), made),)))


def test_distinct_counts_and_grouping_sets(duck: duckdb.DuckDBPyConnection) -> None:
    q = Query()
    scan, c = q.loans()
    one = aggregates.aggregate("count", (c["town"],), distinct=True)
    two = aggregates.aggregate("count", (c["town"], c["late"]), distinct=True)
    town, late, grouping = q.like(c["town"]), q.like(c["late"]), q.column(Domain(Type.INTEGER))
    node = GroupBy(
        scan,
        ((town, c["town"]), (late, c["late"])),
        ((q.like(one), one), (q.like(two), two)),
        ((0, 1), (0,), ()),
        ((grouping, (0, 1)),),
    )
    assert agree(duck, node)


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("row_number", ()),
        ("rank", ()),
        ("dense_rank", ()),
        ("percent_rank", ()),
        ("cume_dist", ()),
        ("ntile", (C(3),)),
        ("lag", ("amount",)),
        ("lead", ("amount", C(2), C(0))),
        ("first_value", ("amount",)),
        ("last_value", ("amount",)),
        ("nth_value", ("amount", C(2))),
        ("sum", ("amount",)),
        ("avg", ("days",)),
        ("count", ()),
        ("max", ("town",)),
    ],
)
@pytest.mark.parametrize("frame", [None, ("rows", "1 preceding", "current row")])
def test_windows_within_a_unit(
    duck: duckdb.DuckDBPyConnection, function: str, args: tuple[Any, ...], frame: Any
) -> None:
    if frame and function not in ("first_value", "last_value", "nth_value", "sum", "avg", "count", "max"):
        frame = None
    q = Query()
    scan, c = q.loans()
    made = aggregates.window(
        function,
        tuple(c[a] if isinstance(a, str) else a for a in args),
        (c["__unit"],),
        (Ordering(c["late"], True, True), Ordering(c["__rank"])),
        frame=frame,
        rows_per_partition=6,
        per_unit=True,
    )
    column = q.like(made)
    node = WindowOf(scan, ((column, made),))
    shown = (c["__unit"], c["__rank"], column)
    got = agree(duck, Project(node, tuple((q.like(s), s) for s in shown)))
    check_inside(made.domain, made.scale, [r[2] for r in got])


def test_guards_take_subqueries_aggregates_and_windows(duck: duckdb.DuckDBPyConnection) -> None:
    """A guard puts a long operand into a list: it must hold whatever an operand can be."""
    q = Query()
    (outer, a), (inner, b) = q.loans(), q.loans()
    total = aggregates.aggregate("sum", (b["amount"],), rows_per_group=6, per_unit=True)
    column = q.like(total)
    tied = Filter(inner, call("=", b["__unit"], a["__unit"]))
    scalar = ScalarOf(GroupBy(tied, (), ((column, total),)), column.domain, column.scale)
    share = call("/", a["amount"], scalar)
    same = call("nullif", share, call("/", scalar, scalar))
    root = call("sqrt", share)
    shown: tuple[Expr, ...] = (a["__unit"], share, same, root)
    agree(duck, Project(outer, tuple((q.like(s), s) for s in shown)))
    mean = aggregates.aggregate("avg", (call("sqrt", call("-", b["amount"], call("abs", b["days"]))),))
    assert mean.function == "avg_double"
    agree(duck, GroupBy(inner, ((q.like(b["late"]), b["late"]),), ((q.like(mean), mean),)))


def test_order_limit_offset_distinct(duck: duckdb.DuckDBPyConnection) -> None:
    q = Query()
    scan, c = q.loans()
    town, late = q.like(c["town"]), q.like(c["late"])
    pairs = DistinctOf(Project(scan, ((town, c["town"]), (late, c["late"]))))
    order = (Ordering(town, True, True), Ordering(late))
    assert len(agree(duck, Sort(pairs, order, 5, 2), ordered=True)) == 5


def test_released_computed_and_literal_rows(duck: duckdb.DuckDBPyConnection) -> None:
    q = Query()
    town, number, count = (
        q.column(Domain(Type.STRING)),
        q.column(Domain(Type.REAL)),
        q.column(Domain(Type.INTEGER)),
    )
    agree(duck, Released(1, ((town, 0), (number, 1), (count, 2))))
    agree(duck, Released(2, ((town, 0), (number, 1))))
    agree(duck, Computed(1, ((number, 0),)))
    agree(duck, Computed(2, ((number, 0),)))
    scan, c = q.loans()
    scalar = ReleasedScalar(1, 0, Domain(Type.REAL))
    assert agree(
        duck, Project(Filter(scan, call(">", c["amount"], scalar)), ((q.like(c["days"]), c["days"]),))
    )
    x, y = q.column(C(1).domain), q.column(C("a").domain)
    agree(duck, Rows((x, y), ((C(1), C("o'clock")), (C(2), C("a\n\u200bb\x00")))))
    agree(duck, RangeOf(x, 2, 11, 3))


@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("empty", [False, True])
def test_blocks(duck: duckdb.DuckDBPyConnection, keyed: bool, empty: bool) -> None:
    q = Query()
    scan, c = q.loans()
    late = call("is_true", c["late"])
    ratio = call("/", call("*", c["amount"], c["days"]), C(7))
    source = Filter(scan, call("<=", c["__rank"], C(0 if empty else 3)))
    keys = (
        Key(q.like(c["town"]), c["town"], Discovered()),
        Key(q.like(late), late, Discovered()),
    )
    measures = (
        Measure(MeasureKind.COUNT, (), None, NONE),
        Measure(MeasureKind.COUNT, (), late, NONE),
        Measure(MeasureKind.UNITS, (), late, NONE),
        Measure(MeasureKind.DISTINCT, (c["town"],), None, NONE),
        Measure(MeasureKind.DISTINCT, (c["town"], c["late"]), late, NONE),
        Measure(MeasureKind.SUM, (c["amount"],), None, NONE, F(1, 100), -500, 90_000, 1234),
        Measure(MeasureKind.SUM, (c["amount"],), late, NONE, F(4, 100), -500, 9000, 0),
        Measure(MeasureKind.SUM, (c["days"],), None, NONE, F(1), 3, 300, 0),
        Measure(MeasureKind.SUM, (ratio,), None, NONE, F(1, 1000), -1000, 2**61, 5),
    )
    block = Block(
        1,
        "firms",
        ("city",),
        source,
        (c["__unit"],),
        keys if keyed else (),
        measures,
        NONE if keyed else None,
        Strategy.RANK,
        3,
    )
    sql = printer.print_block(block)
    second_opinion(duck, sql, printer.tables_and_selects(block))
    result = duck.execute(sql)
    assert result.description is not None
    names = [d[0] for d in result.description]
    assert names == [*(["k0", "k1", "u"] if keyed else []), *(f"m{i}" for i in range(9))]
    assert all(str(d[1]) == "BIGINT" for d in result.description[2 if keyed else 0 :])
    count = 2 if keyed else 0
    got = {tuple(r[:count]): tuple(r[count:]) for r in result.fetchall()}
    assert got == GIVEN.block(block), sql


def test_names_that_are_not_the_catalogues_are_not_printed() -> None:
    column = Column(1, Domain(Type.INTEGER))
    for dataset, table, name in [
        ("city", 'x" UNION', "a"),
        ("city", "t", 'a"'),
        ('c"', "t", "a"),
        ("city", "t", "__other"),
        ("city", "t", "a\u200b"),
    ]:
        with pytest.raises(ValueError, match="not a name"):
            printer.print_relation(Scan(dataset, table, ((column, name),)))


def test_unused_columns_are_not_read() -> None:
    q = Query()
    scan, c = q.loans()
    sql = printer.print_relation(Project(scan, ((q.like(c["days"]), c["days"]),)))
    assert '"days"' in sql
    assert '"amount"' not in sql
