"""What each construct becomes, and what is refused where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import pytest

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql import syntax
from sandbox_guard.sql.parse import Limits, canonical, parse, shape
from tests.unit.sql.reprint import reprint


def expression(text: str, parameters: Mapping[str, object] | None = None) -> syntax.Expr:
    query = parse(f"SELECT {text} FROM t", parameters or {})
    assert isinstance(query, syntax.Select)
    (projection,) = query.projections
    assert projection.alias is None
    return projection.expr


def select(text: str) -> syntax.Select:
    query = parse(text)
    assert isinstance(query, syntax.Select)
    return query


EXPRESSIONS = [
    ("a + b * c", '("a" + ("b" * "c"))'),
    ("a - b - c", '(("a" - "b") - "c")'),
    ("-a::int", '(-(CAST("a" AS integer)))'),
    ("-3", "(-3)"),
    ("a - -3", '("a" - (-3))'),
    ("1e5-3", "((100000.0::DOUBLE) - (3))"),
    ("1_000", "(1000)"),
    ("a ** 2", '("a" ^ (2))'),
    ("pow(a, 2)", '("a" ^ (2))'),
    ("mod(a, 2)", '("a" % (2))'),
    ("a == b and a != c", '(("a" = "b") and ("a" <> "c"))'),
    ("not a = b or c and d", '((NOT ("a" = "b")) or ("c" and "d"))'),
    ("a between 1 and 2 and b", '(("a" BETWEEN (1) AND (2)) and "b")'),
    ("a not between 1 and b + 1", '(NOT ("a" BETWEEN (1) AND ("b" + (1))))'),
    ("a not in (1, 2)", '("a" NOT IN ((1), (2)))'),
    ("not a in (1,)", '("a" NOT IN ((1)))'),
    ("a not like 'x%'", "(NOT (\"a\" like 'x%'))"),
    ("a ilike 'x!%' escape '!'", "(\"a\" ilike 'x!%' ESCAPE '!')"),
    ("a is not null", '(NOT ("a" IS NULL))'),
    ("a is not true", '(NOT ("a" IS TRUE))'),
    ("a is false", '("a" IS FALSE)'),
    ("a is distinct from b + 1", '("a" IS DISTINCT FROM ("b" + (1)))'),
    ("a is not distinct from b", '("a" IS NOT DISTINCT FROM "b")'),
    ("cast(a + b as double precision)", 'CAST(("a" + "b") AS double)'),
    ("a::decimal", 'CAST("a" AS decimal(18, 3))'),
    ("a::decimal(10, 2)::text", 'CAST(CAST("a" AS decimal(10, 2)) AS varchar)'),
    ("extract(year from d)", 'year("d")'),
    ("extract('DOW' from d)", 'dow("d")'),
    ("date_part('months', d)", 'month("d")'),
    ("dayofweek(d)", 'dow("d")'),
    ("date_trunc('MONTH', d)", "date_trunc('month', \"d\")"),
    ("datediff('day', a, b)", 'date_diff(\'day\', "a", "b")'),
    ("d + interval 3 days", '("d" + (INTERVAL ((3)) day))'),
    ("d - interval '3' month", '("d" - (INTERVAL ((3)) month))'),
    ("d - interval '3 months'", '("d" - (INTERVAL ((3)) month))'),
    ("d + interval (a + 1) year", '("d" + (INTERVAL (("a" + (1))) year))'),
    ("date '2024-01-31'", "DATE '2024-01-31'"),
    ("'2024-01-31'::date", "DATE '2024-01-31'"),
    ("timestamp '2024-01-31 10:00:00'", "TIMESTAMP '2024-01-31 10:00:00'"),
    ("case when a then 1 end", '(CASE WHEN "a" THEN (1) END)'),
    ("case a when 1 then 2 else 3 end", '(CASE "a" WHEN (1) THEN (2) ELSE (3) END)'),
    ("if(a, 1, 2)", '(CASE WHEN "a" THEN (1) ELSE (2) END)'),
    ("iff(a, 1, 2)", '(CASE WHEN "a" THEN (1) ELSE (2) END)'),
    ("ifnull(a, nvl(b, c))", 'coalesce("a", coalesce("b", "c"))'),
    ("log(a)", 'log10("a")'),
    ("ceiling(a)", 'ceil("a")'),
    ("mean(a)", 'avg("a")'),
    ("[0.25, 0.5]", "[(0.25), (0.5)]"),
    ("a[1]", 'list_extract("a", (1))'),
    ("(a, b) = (c, d)", '(("a", "b") = ("c", "d"))'),
    ("count(*)", "count()"),
    ("count()", "count()"),
    ("countif(a)", 'count_if("a")'),
    ("today()", "current_date()"),
    ("current_timestamp", "now()"),
    ("s.t.a", '"s"."t"."a"'),
    ('"A b"', '"A b"'),
    ("区县", '"区县"'),
    ("left(a, 2) || replace(b, 'x', 'y')", "(left(\"a\", (2)) || replace(\"b\", 'x', 'y'))"),
    ("'it''s' || $$a'b$$", "('it''s' || 'a''b')"),
    ("min(a, 3)", 'min("a", (3))'),
]


@pytest.mark.parametrize(("text", "meaning"), EXPRESSIONS)
def test_expressions(text: str, meaning: str) -> None:
    assert reprint(expression(text)) == meaning


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.50", Decimal("1.50")),
        (".5", Decimal("0.5")),
        ("1.", Decimal(1)),
        ("1e-3", 0.001),
        ("true", True),
        ("null", None),
        ("-2", -2),
        ("date '2024-2-9'", dt.date(2024, 2, 9)),
    ],
)
def test_literals_keep_their_type(text: str, value: object) -> None:
    literal = expression(text)
    assert isinstance(literal, syntax.Literal)
    assert (type(literal.value), literal.value) == (type(value), value)


def test_strings_and_names_pass_untouched() -> None:
    for text in ("DROP TABLE x; --", "10 years ago", "_w0", "s1", "{}", "$1", "\u202e", "a\nb", "{name}"):
        assert expression("'" + text + "'") == syntax.Literal(text)
    for name in ("_w0", "s1", "select", 'a"b', "n; DROP TABLE loans; --", "1"):
        quoted = name.replace('"', '""')
        assert expression(f'"{quoted}"') == syntax.Name((name,))


# ------------------------------------------------------------------------------- aggregates


def test_aggregates() -> None:
    x, y = syntax.Name(("x",)), syntax.Name(("y",))
    half = syntax.Literal(Decimal("0.5"))
    cases: dict[str, syntax.Expr] = {
        "count(DISTINCT x)": syntax.Call("count", (x,), distinct=True),
        "count(DISTINCT (x, y))": syntax.Call("count", (syntax.Row((x, y)),), distinct=True),
        "sum(x) FILTER (WHERE y)": syntax.Call("sum", (x,), where=y),
        "sum(x) FILTER (y)": syntax.Call("sum", (x,), where=y),
        "sum(ALL x)": syntax.Call("sum", (x,)),
        "sum(x,)": syntax.Call("sum", (x,)),
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY x)": syntax.Call("quantile_cont", (x, half)),
        "quantile_cont(x, 0.5)": syntax.Call("quantile_cont", (x, half)),
        "quantile(x, 0.5)": syntax.Call("quantile_disc", (x, half)),
        "mode() WITHIN GROUP (ORDER BY x)": syntax.Call("mode", (x,)),
        "string_agg(DISTINCT x, ',' ORDER BY y DESC NULLS FIRST)": syntax.Call(
            "string_agg", (x, syntax.Literal(",")), distinct=True, order=(syntax.Order(y, True, True),)
        ),
        "max_by(x, y)": syntax.Call("arg_max", (x, y)),
        '"SUM"(x)': syntax.Call("sum", (x,)),
    }
    for text, meaning in cases.items():
        assert expression(text) == meaning, text


def test_windows() -> None:
    x, y = syntax.Name(("x",)), syntax.Name(("y",))
    ordered = syntax.Window((x,), (syntax.Order(y),))
    assert expression("lag(x, 2) OVER (PARTITION BY x ORDER BY y)") == syntax.Call(
        "lag", (x, syntax.Literal(2)), window=ordered
    )
    for text, frame in {
        "ROWS BETWEEN 3 PRECEDING AND CURRENT ROW": (syntax.Frame.ROWS, "3 preceding", "current row"),
        "RANGE UNBOUNDED PRECEDING": (syntax.Frame.RANGE, "unbounded preceding", "current row"),
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING": (
            syntax.Frame.ROWS,
            "unbounded preceding",
            "2 following",
        ),
    }.items():
        call = expression(f"sum(x) OVER (ORDER BY y {text})")
        assert isinstance(call, syntax.Call) and call.window is not None and call.window.frame == frame
    query = select(
        "SELECT rank() OVER w FROM t QUALIFY rank() OVER W = 1 WINDOW w AS (PARTITION BY x ORDER BY y)"
    )
    assert query.projections[0].expr == syntax.Call("rank", window=ordered)
    assert query.qualify == syntax.Call("=", (syntax.Call("rank", window=ordered), syntax.Literal(1)))


# ------------------------------------------------------------------------------------ queries


def test_from() -> None:
    a, b, c = (syntax.TableName((name,)) for name in "abc")
    inner, cross = syntax.JoinKind.INNER, syntax.JoinKind.CROSS
    true = syntax.Literal(True)
    cases: dict[str, syntax.From] = {
        "s.a AS x(y, z)": syntax.TableName(("s", "a"), "x", ("y", "z")),
        "x: a": syntax.TableName(("a",), "x"),
        "a JOIN b USING (k)": syntax.Join(a, b, inner, using=("k",)),
        "a, b JOIN c ON true": syntax.Join(a, syntax.Join(b, c, inner, on=true), cross),
        "a JOIN b ON true, c": syntax.Join(syntax.Join(a, b, inner, on=true), c, cross),
        "a LEFT JOIN (b CROSS JOIN c) ON true": syntax.Join(
            a, syntax.Join(b, c, cross), syntax.JoinKind.LEFT, on=true
        ),
        "a NATURAL FULL OUTER JOIN b": syntax.Join(a, b, syntax.JoinKind.FULL, natural=True),
        "a SEMI JOIN b USING (k)": syntax.Join(a, b, syntax.JoinKind.SEMI, using=("k",)),
        "a ANTI JOIN b ON true": syntax.Join(a, b, syntax.JoinKind.ANTI, on=true),
        "a ASOF JOIN b ON true": syntax.Join(a, b, syntax.JoinKind.ASOF, on=true),
        "a POSITIONAL JOIN b": syntax.Join(a, b, syntax.JoinKind.POSITIONAL),
        "range(3) AS r(i)": syntax.Function(syntax.Call("range", (syntax.Literal(3),)), "r", ("i",)),
        "unnest([1]) u": syntax.Function(
            syntax.Call("unnest", (syntax.Call("list", (syntax.Literal(1),)),)), "u"
        ),
        "(VALUES (1, 2)) AS v(x, y)": syntax.Derived(
            syntax.Values(((syntax.Literal(1), syntax.Literal(2)),)), "v", ("x", "y")
        ),
        "a, LATERAL (TABLE b) l": syntax.Join(a, syntax.Derived(select("TABLE b"), "l", lateral=True), cross),
        "((a))": a,
    }
    for text, meaning in cases.items():
        assert select(f"SELECT * FROM {text}").source == meaning, text
        assert select(f"FROM {text}").source == meaning, text


def test_grouping() -> None:
    a, b, c = (syntax.Name((name,)) for name in "abc")
    cases = {
        "a, b": syntax.Grouping((a, b), ((0, 1),)),
        "(a, b), c,": syntax.Grouping((a, b, c), ((0, 1, 2),)),
        "1": syntax.Grouping((syntax.Literal(1),), ((0,),)),
        "ALL": syntax.Grouping(everything=True),
        "()": syntax.Grouping((), ((),)),
        "ROLLUP (a, b), c": syntax.Grouping((a, b, c), ((0, 1, 2), (0, 2), (2,))),
        "CUBE (a, (b, c))": syntax.Grouping((a, b, c), ((0, 1, 2), (0,), (1, 2), ())),
        "GROUPING SETS ((a), b, ())": syntax.Grouping((a, b), ((0,), (1,), ())),
        "a, GROUPING SETS (ROLLUP (b), (a, c))": syntax.Grouping((a, b, c), ((0, 1), (0,), (0, 2))),
    }
    for text, meaning in cases.items():
        assert select(f"SELECT count(*) FROM t GROUP BY {text}").group == meaning, text


def test_stars() -> None:
    one = syntax.Call("+", (syntax.Name(("a",)), syntax.Literal(1)))
    cases = {
        "*": syntax.Star(),
        "t.*": syntax.Star("t"),
        "* EXCLUDE (a, b)": syntax.Star(exclude=("a", "b")),
        "t.* EXCLUDE a": syntax.Star("t", exclude=("a",)),
        "* REPLACE (a + 1 AS a)": syntax.Star(replace=(("a", one),)),
        "* RENAME (a AS b)": syntax.Star(rename=(("a", "b"),)),
        "* LIKE 'am%'": syntax.Star(like="am%"),
        "COLUMNS('am.*')": syntax.Star(pattern="am.*"),
        "COLUMNS(*)": syntax.Star(pattern=".*"),
    }
    for text, meaning in cases.items():
        assert expression(text) == meaning, text


def test_aliases_and_headings() -> None:
    query = select('SELECT a AS x, b y, z: c, d "é €", sum( a )/*!*/ +1, 合计: 1 FROM t')
    assert [projection.alias for projection in query.projections] == ["x", "y", "z", "é €", None, "合计"]
    assert query.projections[4].text == "sum( a ) +1"


def test_tails() -> None:
    query = select("SELECT a FROM t ORDER BY a DESC, b NULLS FIRST LIMIT 5 OFFSET 2")
    order = (syntax.Order(syntax.Name(("a",)), True), syntax.Order(syntax.Name(("b",)), False, True))
    assert query.tail == syntax.Tail(order=order, limit=5, offset=2)
    assert select("SELECT a FROM t ORDER BY ALL LIMIT ALL").tail == syntax.Tail(order_all=True)
    assert select("(SELECT a FROM t) LIMIT 1").tail == syntax.Tail(limit=1)
    outer = select("(SELECT a FROM t LIMIT 2) LIMIT 1")
    assert outer.tail.limit == 1
    assert outer.source == syntax.Derived(select("SELECT a FROM t LIMIT 2"))


def test_set_operations() -> None:
    one, two = select("SELECT 1"), select("SELECT 2")
    union = parse("SELECT 1 UNION ALL BY NAME SELECT 2 ORDER BY 1 LIMIT 3")
    tail = syntax.Tail(order=(syntax.Order(syntax.Literal(1)),), limit=3)
    assert union == syntax.SetOperation("union", True, True, one, two, tail)
    assert parse("SELECT 1 EXCEPT SELECT 2") == syntax.SetOperation("except", False, False, one, two)
    assert parse("SELECT 1 UNION (SELECT 2 LIMIT 1)") == syntax.SetOperation(
        "union", False, False, one, select("SELECT 2 LIMIT 1")
    )


def test_with() -> None:
    query = select("WITH a AS MATERIALIZED (SELECT 1), b(x) AS (VALUES (1)) SELECT * FROM a, b")
    ctes = query.tail.ctes
    assert [(cte.name, cte.columns) for cte in ctes] == [("a", ()), ("b", ("x",))]
    assert ctes[0].query == select("SELECT 1")


def test_subqueries() -> None:
    inner = select("SELECT 1")
    x = syntax.Name(("x",))
    assert expression("x IN (SELECT 1)") == syntax.In(x, inner)
    assert expression("x NOT IN (SELECT 1)") == syntax.In(x, inner, True)
    assert expression("x = ANY (SELECT 1)") == syntax.In(x, inner)
    assert expression("x <> ALL (SELECT 1)") == syntax.In(x, inner, True)
    assert expression("EXISTS (SELECT 1)") == syntax.Exists(inner)
    assert expression("NOT EXISTS (SELECT 1)") == syntax.Exists(inner, True)
    assert expression("(SELECT 1)") == syntax.Scalar(inner)


def test_pivot() -> None:
    query = parse(
        "WITH t AS (SELECT 1) PIVOT t ON y IN (1 AS one, 2) USING sum(x) AS s GROUP BY g ORDER BY g LIMIT 3"
    )
    assert isinstance(query, syntax.Pivot)
    assert query.source == syntax.TableName(("t",))
    assert query.values == ((syntax.Literal(1), "one"), (syntax.Literal(2), None))
    assert query.group == (syntax.Name(("g",)),)
    assert query.tail.limit == 3 and query.tail.order and query.tail.ctes[0].name == "t"
    unpivot = parse("UNPIVOT INCLUDE NULLS t ON a, b INTO NAME n VALUE v")
    assert unpivot == syntax.Unpivot(syntax.TableName(("t",)), ("a", "b"), "n", "v", True)


# --------------------------------------------------------------------------------- parameters


def test_parameters_become_literals() -> None:
    values: dict[str, object] = {
        "i": 3, "f": 0.5, "d": Decimal("1.5"), "s": "x'; --", "b": True, "t": dt.date(2024, 1, 31), "n": None,
    }  # fmt: skip
    for name, value in values.items():
        assert expression(f":{name}", {name: value}) == syntax.Literal(value)  # type: ignore[arg-type]
    assert expression("x >=:i", {"i": 3}) == expression("x >= 3")
    assert expression("d + INTERVAL :i DAY", {"i": 3}) == expression("d + INTERVAL 3 DAY")
    assert parse("SELECT 1 LIMIT :i", {"i": 3}) == parse("SELECT 1 LIMIT 3")
    assert expression("':i'") == syntax.Literal(":i")


@pytest.mark.parametrize(
    ("text", "parameters", "code"),
    [
        (":x", {}, "sql.parameter_missing"),
        ("1", {"x": 1}, "sql.parameter_unused"),
        (":x", {"X": 1}, "sql.parameter_missing"),
        (":x", {"x": float("nan")}, "sql.parameter_value"),
        (":x", {"x": [1]}, "sql.parameter_value"),
        (":x", {"x": "\0"}, "sql.parameter_value"),
        (":x", {"x": 10**40}, "sql.parameter_value"),
        ("a :x", {"x": 1}, "sql.syntax"),
    ],
)
def test_bad_parameters(text: str, parameters: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refused:
        expression(text, parameters)
    assert refused.value.code == code


# ----------------------------------------------------------------------------------- refusals

REFUSED = [
    # what sqlglot and DuckDB read differently
    ("SELECT x ! IN (1, 2) FROM t", "sql.operator", 10),
    ("SELECT x NOT IN (42) <= true FROM t", "sql.precedence", 8),
    ("SELECT x IS TRUE || 'x' FROM t", "sql.precedence", 8),
    ("SELECT x IS NOT TRUE ::INT FROM t", "sql.precedence", 8),
    ("SELECT ~x+1 FROM t", "sql.operator", 8),
    ("SELECT x || 1 + 2 FROM t", "sql.precedence", 8),
    ("SELECT a = b IS NULL FROM t", "sql.precedence", 8),
    ("SELECT a < b < c FROM t", "sql.precedence", 8),
    ("SELECT -2 ^ 2 FROM t", "sql.precedence", 9),
    ("SELECT a ^ b ^ c FROM t", "sql.precedence", 8),
    ("SELECT 1__0 FROM t", "sql.malformed_number", 8),
    ("SELECT 0x1F FROM t", "sql.malformed_number", 8),
    ("SELECT 1e400 FROM t", "sql.malformed_number", 8),
    ("SELECT 1e FROM t", "sql.malformed_number", 8),
    ("SELECT INTERVAL '10 years ago' FROM t", "sql.unsupported", 17),
    ("SELECT INTERVAL '100 months' DAY FROM t", "sql.unsupported", 17),
    ("SELECT INTERVAL -3 DAY FROM t", "sql.unsupported", 8),
    ("SELECT $d FROM t", "sql.operator", 8),
    ("SELECT ? FROM t", "sql.operator", 8),
    ("SELECT 'a' 'b' FROM t", "sql.unsupported", 12),
    ("SELECT E'a' FROM t", "sql.unsupported", 8),
    ("SELECT (42,) FROM t", "sql.comma", 11),
    ("SELECT * FROM VALUES (0), t", "sql.unsupported", 15),
    ("SELECT count(*) FROM t,", "sql.comma", 23),
    ("SELECT x -> 'a' = 'b' FROM t", "sql.operator", 10),
    ("SELECT a[:length] FROM t", "sql.parameter_missing", 10),
    ("SELECT x ISNULL FROM t", "sql.unsupported", 10),
    ("SELECT 1 UNION SELECT 2 INTERSECT SELECT 3", "sql.precedence", 25),
    ("SELECT 1 ORDER BY 1 UNION SELECT 2", "sql.precedence", 8),
    # statements
    ("CREATE TABLE t AS SELECT 1", "sql.statement", 1),
    ("EXPLAIN SELECT 1", "sql.statement", 1),
    ("DESCRIBE t", "sql.statement", 1),
    ("SUMMARIZE t", "sql.statement", 1),
    ("t", "sql.statement", 1),
    ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "sql.statement", 12),
    ("WITH x AS (COPY (SELECT 1) TO 'f') SELECT * FROM x", "sql.statement", 12),
    ("SELECT 1; SELECT 2", "sql.several", 9),
    ("; SELECT 1", "sql.several", 1),
    ("SELECT", "sql.syntax", 1),
    # constructs
    ("WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a", "sql.recursive", 6),
    ("WITH a AS (SELECT 1), A AS (SELECT 2) SELECT 1", "sql.duplicate", 23),
    ("SELECT * FROM t FOR UPDATE", "sql.unsupported", 17),
    ("SELECT * INTO x FROM t", "sql.unsupported", 8),
    ("SELECT * FROM t TABLESAMPLE 10%", "sql.unsupported", 17),
    ("SELECT * FROM t USING SAMPLE 10", "sql.unsupported", 23),
    ("SELECT * FROM t LIMIT 10%", "sql.unsupported", 23),
    ("SELECT * FROM t LIMIT (SELECT 1)", "sql.unsupported", 31),
    ("SELECT x::\"int\" FROM t", "sql.type", 8),
    ("SELECT x::uuid FROM t", "sql.type", 8),
    ("SELECT x::int[] FROM t", "sql.type", 8),
    ("SELECT x.abs() FROM t", "sql.unsupported", 8),
    ("SELECT main.count(*) FROM t", "sql.unsupported", 8),
    ("SELECT {'a': 1} FROM t", "sql.operator", 8),
    ("SELECT f(a => 1) FROM t", "sql.operator", 12),
    ("SELECT sum(*) FROM t", "sql.unsupported", 8),
    ("SELECT sum(x) OVER w FROM t", "sql.window", 8),
    ("SELECT a FROM t JOIN u", "sql.unsupported", 22),
    ("SELECT a FROM t ANY JOIN u ON true", "sql.syntax", 17),
    ("SELECT x AS 'a' FROM t", "sql.unsupported", 13),
    ("SELECT a FROM 'f.csv'", "sql.syntax", 15),
    ("SELECT DATE '2024-02-30'", "sql.malformed_date", 8),
    # characters
    ("SELECT a\u200bb FROM t", "sql.character", 9),
    ("\ufeffSELECT 1", "sql.character", 1),
    ("SELECT 1\0", "sql.character", 9),
    ("SELECT a\u2028FROM t", "sql.character", 9),
    ("SELECT '\0'", "sql.character", 8),
    ('SELECT 1 AS "a\u202eb"', "sql.character", 13),
    ('SELECT 1 AS "a\nb"', "sql.character", 13),
    ("SELECT /* \u202e */ 1", "sql.character", 11),
    ("SELECT a FROM loan\u017f", "sql.identifier", 15),
    ("SELECT a\uff0cb FROM t", "sql.fullwidth", 9),
    ("SELECT 'a", "sql.unterminated", 8),
    ('SELECT "a', "sql.unterminated", 8),
    ("SELECT 1 /* a", "sql.unterminated", 10),
    ("SELECT $$a", "sql.unterminated", 8),
    ("SELECT (1", "sql.brackets", 8),
    ("SELECT 1)", "sql.brackets", 9),
    ("SELECT (1]", "sql.brackets", 10),
    ("SELECT CASE WHEN a THEN (1 END)", "sql.brackets", 28),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "code", "column"), REFUSED)
def test_refused(sql: str, code: str, column: int) -> None:
    with pytest.raises(Refused) as refused:
        parse(sql)
    assert refused.value.code == code
    assert refused.value.place == Place(1, column)


@pytest.mark.parametrize(("sql", "code"), [("", "sql.empty"), ("-- x", "sql.empty"), (";", "sql.empty")])
def test_empty(sql: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(sql)
    assert refused.value.code == code


def test_bytes() -> None:
    assert parse(b"SELECT 1;") == parse("SELECT 1")
    for data in (b"SELECT '\xff\xfe'", b"\xff\xfeS\x00", "SELECT '\ud800'"):
        with pytest.raises(Refused) as refused:
            parse(data)
        assert refused.value.code == "sql.encoding"


def test_places_count_lines_and_columns() -> None:
    with pytest.raises(Refused) as refused:
        parse("SELECT a,\n  b -- x\n  ! c FROM t")
    assert refused.value.place == Place(3, 3)
    query = select("SELECT a,\n  sum(区县 + b)\nFROM t")
    call = query.projections[1].expr
    assert isinstance(call, syntax.Call) and call.place == Place(2, 3)
    assert call.args[0].place == Place(2, 7)


# -------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT " + "(" * 5_000 + "1" + ")" * 5_000, "sql.nesting"),
        ("SELECT " + "(" * 101 + "1" + ")" * 101, "sql.nesting"),
        ("SELECT " + "[" * 101 + "1" + "]" * 101, "sql.nesting"),
        ("SELECT " + "CASE WHEN " * 101 + "1" + " THEN 1 END" * 101, "sql.nesting"),
        ("SELECT " + "NOT " * 101 + "a", "sql.nesting"),
        ("SELECT " + "- " * 101 + "a", "sql.nesting"),
        ("SELECT 1" + "+1" * 7_000, "sql.nesting"),
        ("SELECT 1" + " OR a" * 7_000, "sql.nesting"),
        ("SELECT a" + "::int" * 5_000, "sql.nesting"),
        ("SELECT 1" + " UNION ALL SELECT 1" * 3_000, "sql.nesting"),
        ("SELECT 1" + "+1" * 30_000, "sql.too_long"),
        ("WITH c AS (SELECT 1)" + ", c AS (SELECT 1)" * 2_000 + " SELECT 1", "sql.duplicate"),
        ("SELECT 1" + " " * 70_000, "sql.size"),
        ("SELECT " + "a" * 300, "sql.name_length"),
    ],
)
def test_size_and_depth_are_bounded(sql: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        parse(sql)
    assert refused.value.code == code


def test_what_is_within_the_limits_is_read() -> None:
    parse("SELECT " + "(" * 100 + "1" + ")" * 100)
    parse("SELECT * FROM " + "(SELECT * FROM " * 60 + "t" + ")" * 60)
    parse("SELECT 1" + "+1" * 300)
    parse("SELECT x IN (" + ", ".join(map(str, range(5_000))) + ") FROM t")
    parse("SELECT 1", limits=Limits(size=8))


# ------------------------------------------------------------------------------------- digests


def test_digests() -> None:
    one = parse("SELECT a, sum(b) FROM t WHERE c > 1 -- x")
    same = parse("select   a , sum(b)\nFROM t WHERE (c > 1);")
    other = parse("SELECT a, sum(b) FROM t WHERE c > 2")
    assert canonical(one) == canonical(same)
    assert canonical(one) != canonical(other)
    assert shape(one) == shape(other)
    assert shape(one) != shape(parse("SELECT a, sum(b) FROM t WHERE c >= 1"))
    assert canonical(parse("SELECT 1")) != canonical(parse("SELECT 1.0"))
    assert "secret" not in shape(parse("SELECT count(*) + 'secret' FROM t WHERE x = 'secret'"))


def test_the_tree_is_hashable() -> None:
    assert (
        len(
            {parse("SELECT a, [1] FROM t GROUP BY CUBE (a)"), parse("SELECT a, [1] FROM t GROUP BY CUBE (a)")}
        )
        == 1
    )
