"""Each counterexample behind the design (its numbers), under several spellings: refused by name, or sound.

`sound` means that the planner accepts it and the sensitivity oracle finds no unit that moves any measure by more
than declared. A reviewer adds a case by adding a line.
"""

from __future__ import annotations

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.sql.plan import Block, MeasureKind, Plan, Sensitivity
from tests.oracle import Neighbours

SOUND = "sound"

CASES = [
    (
        1,
        "null-extended rows",
        "kind.supply",
        """SELECT count(*) FROM range(1000000) n LEFT JOIN loans l ON l.firm_id = 42 WHERE l.firm_id IS NULL""",
    ),
    (
        1,
        "null-extended rows of a table",
        "sound",
        """SELECT d.region, count(*) FROM districts d LEFT JOIN loans l ON l.firm_id = 42 WHERE l.firm_id IS NULL GROUP BY 1""",
    ),
    (
        1,
        "null-extended rows from the right",
        "kind.supply",
        """SELECT count(*) FROM loans l RIGHT JOIN districts d ON l.firm_id = 42 WHERE l.firm_id IS NULL""",
    ),
    (
        1,
        "null-extended rows counted by CASE",
        "sound",
        """SELECT d.region, sum(CASE WHEN l.firm_id IS NULL THEN 1 ELSE 0 END) FROM districts d LEFT JOIN loans l ON l.district = d.district GROUP BY 1""",
    ),
    (
        2,
        "existence by SEMI",
        "kind.existence",
        """SELECT district FROM districts d SEMI JOIN loans l ON l.district = d.district AND l.firm_id = 42""",
    ),
    (
        2,
        "existence by ANTI",
        "kind.existence",
        """SELECT count(*) FROM districts d ANTI JOIN loans l ON l.district = d.district AND l.firm_id = 42""",
    ),
    (
        2,
        "existence by EXISTS",
        "kind.untied_subquery",
        """SELECT district FROM districts d WHERE EXISTS (SELECT 1 FROM loans l WHERE l.district = d.district AND l.firm_id = 42)""",
    ),
    (
        2,
        "existence by IN",
        "kind.untied_subquery",
        """SELECT district FROM districts WHERE district IN (SELECT district FROM loans WHERE firm_id = 42)""",
    ),
    (
        2,
        "existence by a scalar",
        "kind.untied_subquery",
        """SELECT district, (SELECT max(amount) FROM loans l WHERE l.district = d.district) FROM districts d""",
    ),
    (
        2,
        "ASOF",
        "kind.join",
        """SELECT count(*) FROM loans a ASOF JOIN loans b ON a.firm_id = b.firm_id AND a.year >= b.year""",
    ),
    (2, "POSITIONAL", "kind.join", """SELECT count(*) FROM loans a POSITIONAL JOIN loans b"""),
    (
        3,
        "tied by a literal",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id = 42)""",
    ),
    (
        3,
        "tied by two literals",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id = 42 AND l.firm_id = 42)""",
    ),
    (
        3,
        "tied by a public column",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.district = l.district AND x.firm_id = 42)""",
    ),
    (
        3,
        "tied by an expression",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id + 0 = l.firm_id)""",
    ),
    (
        3,
        "tied under OR",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id = l.firm_id OR x.firm_id = 42)""",
    ),
    (
        3,
        "tied under NOT",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE NOT (x.firm_id <> l.firm_id))""",
    ),
    (
        3,
        "tied in one branch of a union",
        "kind.set_unit",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM loans x WHERE x.firm_id = l.firm_id UNION ALL SELECT 1 FROM loans y WHERE y.firm_id = 42)""",
    ),
    (
        3,
        "tied in ON of an outer join",
        "sound",
        """SELECT count(*) FROM loans l WHERE EXISTS (SELECT 1 FROM districts d LEFT JOIN loans x ON x.firm_id = l.firm_id)""",
    ),
    (
        3,
        "tied to a loan's district through IN",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE l.district IN (SELECT district FROM loans WHERE firm_id = 42)""",
    ),
    (
        3,
        "tied to itself in a join, so that a whole count is taken for the outer row's",
        "sound",
        """SELECT count(*) FROM loans a, (SELECT count(*) AS n FROM loans l JOIN districts d ON l.firm_id = l.firm_id AND l.firm_id = 42) x WHERE x.n > 0""",
    ),
    (
        3,
        "tied to itself in a self-join",
        "sound",
        """SELECT count(*) FROM loans a CROSS JOIN (SELECT count(*) AS n FROM loans l JOIN loans m ON l.firm_id = m.firm_id AND m.firm_id = m.firm_id AND l.firm_id = 42) x WHERE x.n > 0""",
    ),
    (
        3,
        "tied to itself in a supplied join",
        "bound.fanout",
        """SELECT count(*) FROM loans a, (SELECT d.district, count(*) AS n FROM districts d LEFT JOIN loans l ON l.firm_id = l.firm_id AND l.firm_id = 42 GROUP BY 1) x WHERE x.n > 0""",
    ),
    (
        3,
        "tied to itself in WHERE",
        "sound",
        """SELECT count(*) FROM loans a, (SELECT count(*) AS n FROM loans l WHERE l.firm_id = l.firm_id AND l.firm_id = 42) x WHERE x.n > 0""",
    ),
    (
        3,
        "tied to itself in EXISTS",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans a WHERE EXISTS (SELECT 1 FROM loans l JOIN districts d ON l.firm_id = l.firm_id WHERE l.firm_id = 42)""",
    ),
    (
        4,
        "NOT IN and NULL",
        "kind.not_in_null",
        """SELECT count(*) FROM firms WHERE firm_id NOT IN (SELECT f.firm_id FROM loans l LEFT JOIN firms f ON l.firm_id = f.firm_id AND f.employees < 0 WHERE l.firm_id = 42)""",
    ),
    (
        4,
        "NOT IN of a nullable column",
        "kind.not_in_null",
        """SELECT count(*) FROM firms WHERE district NOT IN (SELECT district FROM loans)""",
    ),
    (
        4,
        "<> ALL",
        "kind.not_in_null",
        """SELECT count(*) FROM firms WHERE firm_id <> ALL (SELECT f.firm_id FROM loans l LEFT JOIN firms f ON l.firm_id = f.firm_id AND f.employees < 0)""",
    ),
    (
        5,
        "NULL as a unit",
        "sound",
        """SELECT avg(n) FROM (SELECT l.firm_id, count(*) AS n FROM loans l FULL JOIN firms f ON l.firm_id = f.firm_id GROUP BY l.firm_id)""",
    ),
    (
        5,
        "NULL as a unit of a left join",
        "sound",
        """SELECT avg(n) FROM (SELECT l.firm_id, count(*) AS n FROM firms f LEFT JOIN loans l ON l.firm_id = f.firm_id GROUP BY l.firm_id)""",
    ),
    (
        5,
        "ROLLUP emits a total as a unit",
        "kind.grouping_sets_unit",
        """SELECT avg(n) FROM (SELECT firm_id, count(*) AS n FROM loans GROUP BY ROLLUP (firm_id))""",
    ),
    (
        5,
        "GROUPING SETS emit a total as a unit",
        "kind.grouping_sets_unit",
        """SELECT avg(n) FROM (SELECT firm_id, count(*) AS n FROM loans GROUP BY GROUPING SETS ((firm_id), ()))""",
    ),
    (
        5,
        "CUBE emits a total as a unit",
        "kind.grouping_sets_unit",
        """SELECT avg(n) FROM (SELECT firm_id, count(*) AS n FROM loans GROUP BY CUBE (firm_id, year))""",
    ),
    (
        6,
        "fan-out by UNNEST",
        "sql.function_closed",
        """SELECT count(*) FROM (SELECT firm_id, unnest(range(1000)) AS i FROM loans)""",
    ),
    (6, "fan-out by a public table", "sound", """SELECT count(*) FROM loans CROSS JOIN range(1000)"""),
    (
        6,
        "K + K of a union",
        "sound",
        """SELECT count(*) FROM (SELECT firm_id FROM loans UNION ALL SELECT firm_id FROM loans)""",
    ),
    (6, "K squared of a self-join", "sound", """SELECT count(*) FROM loans a JOIN loans b USING (firm_id)"""),
    (
        6,
        "one row twice in a union",
        "sound",
        """SELECT sum(employees) FROM (SELECT firm_id, employees FROM firms UNION ALL SELECT firm_id, employees FROM firms)""",
    ),
    (7, "parity of dense ids", "sound", """SELECT firm_id % 2, count(*) FROM loans GROUP BY 1"""),
    (7, "rowid", "name.column", """SELECT count(*) FROM loans WHERE rowid % 2 = 0"""),
    (7, "the dense id by its name", "name.column", """SELECT count(*) FROM loans WHERE __unit = 42"""),
    (7, "the rank by its name", "name.column", """SELECT __rank, count(*) FROM loans GROUP BY 1"""),
    (
        7,
        "the id as text",
        "kind.untied",
        """SELECT count(*) FROM loans a JOIN loans b ON CAST(a.firm_id AS VARCHAR) = CAST(b.firm_id AS VARCHAR)""",
    ),
    (
        7,
        "the id as a double",
        "kind.untied",
        """SELECT count(*) FROM loans a JOIN loans b ON CAST(a.firm_id AS DOUBLE) = CAST(b.firm_id AS DOUBLE)""",
    ),
    (
        7,
        "ids that one double holds",
        "sound",
        """SELECT count(DISTINCT firm_id), count(*) FROM loans WHERE firm_id > 9007199254740990""",
    ),
    (
        11,
        "row_number over ties",
        "sound",
        """SELECT sum(year) FROM (SELECT firm_id, year, row_number() OVER (PARTITION BY firm_id ORDER BY district) AS r FROM loans) WHERE r = 1""",
    ),
    (
        11,
        "row_number without order",
        "sql.needs_order",
        """SELECT sum(amount) FROM (SELECT firm_id, amount, row_number() OVER (PARTITION BY firm_id) AS r FROM loans) WHERE r = 1""",
    ),
    (
        11,
        "lag over ties",
        "sound",
        """SELECT sum(p) FROM (SELECT firm_id, lag(overdue_days) OVER (PARTITION BY firm_id ORDER BY district) AS p FROM loans)""",
    ),
    (
        11,
        "a ROWS frame without order",
        "sql.needs_order",
        """SELECT sum(s) FROM (SELECT firm_id, sum(overdue_days) OVER (PARTITION BY firm_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM loans)""",
    ),
    (
        11,
        "a ROWS frame over ties",
        "sound",
        """SELECT sum(s) FROM (SELECT firm_id, sum(overdue_days) OVER (PARTITION BY firm_id ORDER BY district ROWS 1 PRECEDING) AS s FROM loans)""",
    ),
    (
        11,
        "arg_max over ties",
        "sound",
        """SELECT sum(a) FROM (SELECT firm_id, arg_max(overdue_days, district) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "max_by over ties",
        "sound",
        """SELECT sum(a) FROM (SELECT firm_id, max_by(overdue_days, year) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "first over ties",
        "sound",
        """SELECT sum(a) FROM (SELECT firm_id, first(overdue_days ORDER BY district) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "first without order",
        "sql.needs_order",
        """SELECT sum(a) FROM (SELECT firm_id, first(overdue_days) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "any_value",
        "sql.aggregate_unknown",
        """SELECT sum(a) FROM (SELECT firm_id, any_value(overdue_days) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "mode",
        "sql.aggregate_unknown",
        """SELECT sum(a) FROM (SELECT firm_id, mode(overdue_days) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "kurtosis",
        "sql.not_grouped",
        """SELECT sum(a) FROM (SELECT firm_id, kurtosis(rate) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "list",
        "sql.not_grouped",
        """SELECT sum(a) FROM (SELECT firm_id, list(overdue_days)[1] AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "product",
        "sql.aggregate_unknown",
        """SELECT sum(a) FROM (SELECT firm_id, product(rate) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "stddev",
        "sound",
        """SELECT sum(a) FROM (SELECT firm_id, stddev(rate) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "regr_slope",
        "sound",
        """SELECT sum(least(greatest(a, -1), 1)) FROM (SELECT firm_id, regr_slope(rate, overdue_days) AS a FROM loans GROUP BY firm_id)""",
    ),
    (
        11,
        "DISTINCT ON",
        "sql.needs_order",
        """SELECT sum(overdue_days) FROM (SELECT DISTINCT ON (firm_id) firm_id, overdue_days FROM loans)""",
    ),
    (
        11,
        "LIMIT within the unit",
        "kind.limit",
        """SELECT count(*) FROM (SELECT firm_id, year FROM loans ORDER BY year LIMIT 3)""",
    ),
    (
        12,
        "cells by a join",
        "sound",
        """SELECT d.district, sum(f.employees) FROM firms f CROSS JOIN districts d GROUP BY 1""",
    ),
    (
        12,
        "cells of a unit after grouping",
        "sound",
        """SELECT g.district, sum(least(t, 10)) FROM (SELECT firm_id, sum(amount) AS t FROM loans GROUP BY firm_id) s, districts g GROUP BY 1""",
    ),
    (
        12,
        "a key that a LEFT JOIN makes NULL",
        "sound",
        """SELECT m.district, count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id LEFT JOIN loans m ON l.firm_id = m.firm_id AND f.district = m.district AND l.year = m.year GROUP BY 1""",
    ),
    (
        12,
        "a key that a RIGHT JOIN makes NULL",
        "sound",
        """SELECT f.district, count(*) FROM firms f RIGHT JOIN loans l ON f.firm_id = l.firm_id AND l.year = 2021 GROUP BY 1""",
    ),
    (
        12,
        "a derived key that a LEFT JOIN makes NULL",
        "sound",
        """SELECT m.d, count(*) FROM loans l JOIN firms f ON l.firm_id = f.firm_id LEFT JOIN (SELECT firm_id, district AS d, year AS y FROM loans) m ON l.firm_id = m.firm_id AND f.district = m.d AND l.year = m.y GROUP BY 1""",
    ),
    (
        13,
        "ntile by a column",
        "sql.literal",
        """SELECT count(*) FROM (SELECT firm_id, ntile(overdue_days) OVER (PARTITION BY firm_id ORDER BY year) AS n FROM loans)""",
    ),
    (
        13,
        "lag by a column",
        "sql.literal",
        """SELECT count(x) FROM (SELECT firm_id, lag(year, overdue_days) OVER (PARTITION BY firm_id ORDER BY year) AS x FROM loans)""",
    ),
    (
        13,
        "a frame bound by a column",
        "sql.unsupported",
        """SELECT sum(s) FROM (SELECT firm_id, sum(year) OVER (PARTITION BY firm_id ORDER BY year ROWS overdue_days PRECEDING) AS s FROM loans)""",
    ),
    (
        14,
        "the engine's own mistake",
        "sound",
        """SELECT count(*) FROM (SELECT firm_id, amount / sum(amount) OVER (PARTITION BY firm_id) AS share FROM loans) t WHERE share <= 1""",
    ),
    (
        15,
        "an average in a filter",
        "sound",
        """SELECT count(*) FROM loans WHERE amount > (SELECT avg(amount) FROM loans)""",
    ),
    (
        15,
        "an average in HAVING of a unit",
        "sound",
        """SELECT count(*) FROM (SELECT firm_id FROM loans GROUP BY firm_id HAVING sum(amount) > (SELECT avg(amount) FROM loans))""",
    ),
    (
        15,
        "an average in a key",
        "sound",
        """SELECT amount > (SELECT avg(amount) FROM loans), count(*) FROM loans GROUP BY 1""",
    ),
    (
        15,
        "an average in a window",
        "kind.window",
        """SELECT count(*) FROM (SELECT firm_id, amount > avg(amount) OVER () AS x FROM loans) WHERE x""",
    ),
    (
        17,
        "a released bound",
        "bound.unbounded",
        """SELECT sum(least(amount, (SELECT avg(amount) FROM loans))) FROM loans""",
    ),
    (
        17,
        "a released factor",
        "bound.unbounded",
        """SELECT sum(overdue_days * (SELECT avg(rate) FROM loans)) FROM loans""",
    ),
    (
        17,
        "an average of other firms' rows",
        "kind.untied_subquery",
        """SELECT count(*) FROM loans l WHERE amount > (SELECT avg(amount) FROM loans l2 WHERE l2.district = l.district)""",
    ),
    (
        17,
        "a released factor, clamped",
        "sound",
        """SELECT sum(greatest(0, least(10, amount - (SELECT avg(amount) FROM loans)))) FROM loans""",
    ),
    (
        23,
        "a negative remainder",
        "sound",
        """SELECT (overdue_days - 7) % 10, count(*) FROM loans GROUP BY 1""",
    ),
    (23, "a NULL group", "sound", """SELECT district, count(*) FROM loans WHERE firm_id = 3 GROUP BY 1"""),
    (24, "squares of money", "sound", """SELECT sum(amount * amount) FROM loans"""),
    (
        24,
        "squares of one firm's money",
        "sound",
        """SELECT stddev(CASE WHEN firm_id = 42 THEN amount ELSE 0 END) FROM loans""",
    ),
    (
        24,
        "the logarithm of nothing",
        "sound",
        """SELECT sum(ln(amount - amount)), sum(sqrt(amount - 5000000)), count(1 / (year - year)) FROM loans""",
    ),
    (
        24,
        "a cast that fails for one firm",
        "sound",
        """SELECT sum(CAST(CASE WHEN firm_id = 42 THEN 'x' ELSE '1' END AS INTEGER)) FROM loans""",
    ),
    (
        24,
        "an overflow for one firm",
        "bound.unbounded",
        """SELECT sum(CASE WHEN firm_id = 42 THEN 9223372036854775807 + year ELSE 0 END) FROM loans""",
    ),
    (
        24,
        "the least integer",
        "sound",
        """SELECT count(CAST(-9223372036854775808 AS BIGINT) - year) FROM loans""",
    ),
    (24, "abs of the least integer", "sound", """SELECT count(abs(-9223372036854775808)) FROM loans"""),
    (
        24,
        "an error on demand",
        "sql.function_closed",
        """SELECT count(*) FROM loans WHERE CASE WHEN firm_id = 42 THEN error('x') ELSE TRUE END""",
    ),
    (
        27,
        "five self-joins",
        "sound",
        """SELECT count(*) FROM loans a JOIN loans b USING (firm_id) JOIN loans c USING (firm_id) JOIN loans d USING (firm_id) WHERE a.firm_id = 42""",
    ),
    (34, "the engine's EXPLAIN", "sql.statement", """EXPLAIN SELECT count(*) FROM loans"""),
    (
        34,
        "row counts of the catalogue",
        "sql.table_function",
        """SELECT estimated_size FROM duckdb_tables()""",
    ),
    (34, "statistics", "sql.function_near", """SELECT stats(amount) FROM loans"""),
    (34, "SUMMARIZE", "sql.statement", """SUMMARIZE loans"""),
]


@pytest.mark.parametrize(
    ("expected", "sql"), [c[2:] for c in CASES], ids=[f"{c[0]}-{c[1].replace(' ', '-')}" for c in CASES]
)
def test_counterexample(small: Neighbours, expected: str, sql: str) -> None:
    if expected != SOUND:
        with pytest.raises(Refused) as refused:
            small.planned(sql)
        assert refused.value.code == expected
        return
    planned = small.planned(sql)
    moved = small.moves(planned)
    assert not moved, "\n".join(map(str, moved))


def test_18_one_measure_under_two_spellings_is_paid_once(small: Neighbours) -> None:
    sql = "SELECT count(*), sum(1) * 0 + count(*), COUNT(loan_id), avg(amount), sum(amount) FROM loans"
    (block,) = small.planned(sql).blocks
    kinds = [m.kind.value for m in block.measures]
    assert len(set(block.measures)) == len(kinds)
    assert kinds.count("count") == 2  # all rows, and rows whose amount is known


def test_16_what_is_named_twice_is_measured_once(small: Neighbours) -> None:
    twice = [
        "WITH t AS (SELECT count(*) AS n FROM loans) SELECT a.n, b.n FROM t a, t b",
        "WITH t AS (SELECT district, count(*) AS n FROM loans GROUP BY 1) SELECT n, (SELECT sum(n) FROM t) FROM t",
        "SELECT (SELECT count(*) FROM loans) + (SELECT count(*) FROM loans)",
    ]
    for sql in twice:
        assert len(small.planned(sql).blocks) == 1, sql
    shared = "SELECT district, count(*) / (SELECT count(*) FROM loans) FROM loans GROUP BY district"
    assert len(small.planned(shared).blocks) == 2


def test_16_what_nothing_reads_is_not_measured(small: Neighbours) -> None:
    """Steps are numbered anew without it, and all that names them finds them."""
    unused = "u AS (SELECT year, count(*) FROM loans GROUP BY year HAVING count(*) > (SELECT avg(rate) FROM loans))"
    read = "t AS (SELECT district, count(*) AS n FROM loans GROUP BY district)"
    left = "FROM t LEFT JOIN firms f ON f.district = t.district"
    rest = [
        f"WITH {{}}{read} SELECT t.district, sum(employees), (SELECT sum(n) FROM t) {left} GROUP BY t.district",
        f"WITH {{}}{read} SELECT n FROM t",
        f"WITH {{}}{read} SELECT 1",
        f"WITH {{}}{read} SELECT count(*) FROM loans WHERE amount > (SELECT 100 * max(n) FROM t)",
    ]
    for sql in rest:
        alone, beside = small.planned(sql.format("")), small.planned(sql.format(unused + ", "))
        assert [s.index for s in beside.steps] == [s.index for s in alone.steps], sql
        assert list(map(_measures, beside.blocks)) == list(map(_measures, alone.blocks)), sql
        assert _rows(small, beside) == _rows(small, alone), sql
    assert not small.planned(rest[2].format(unused + ", ")).blocks


def _measures(block: Block) -> list[tuple[MeasureKind, Sensitivity]]:
    return [(m.kind, m.sensitivity) for m in block.measures]


def _rows(small: Neighbours, planned: Plan) -> list[list[object]]:
    """The finished table, columns first."""
    finished = small.exact(planned).finished
    assert finished is not None
    return [c.to_pylist() for c in finished.columns]


@pytest.mark.parametrize("function", ["GROUPING", "GROUPING_ID"])
@pytest.mark.parametrize("table", ["loans", "districts"])
def test_grouping_without_sets_is_zero(small: Neighbours, function: str, table: str) -> None:
    """It was planned as a column that no step gave: charged, then a fault."""
    sql = f"SELECT {function}(district) AS g, district, count(*) FROM {table} GROUP BY district"
    zeros, *_ = _rows(small, small.planned(sql))
    assert set(zeros) == {0}


def test_18_one_measure_with_two_filters_is_two(small: Neighbours) -> None:
    sql = "SELECT (SELECT count(*) FROM loans WHERE year = 2020) - (SELECT count(*) FROM loans WHERE year = 2021)"
    assert len(small.planned(sql).blocks) == 2


def test_19_a_threshold_counts_units(small: Neighbours) -> None:
    """Not rows: (1, K, K) where a unit has K rows would hide too little."""
    (block,) = small.planned("SELECT loan_id // 10, count(*) FROM loans GROUP BY 1").blocks
    assert isinstance(block, Block) and block.discovery is not None
    assert block.discovery.linf == 1 and block.discovery.l1 == block.discovery.l0 == block.rows_per_unit


def test_6_rows_of_a_unit_are_counted_through_every_fan_out(small: Neighbours) -> None:
    cap = 4
    bounds = {
        "SELECT count(*) FROM loans": cap,
        "SELECT count(*) FROM (SELECT firm_id FROM loans UNION ALL SELECT firm_id FROM loans)": 2 * cap,
        "SELECT count(*) FROM loans a JOIN loans b USING (firm_id)": cap * cap,
        "SELECT count(*) FROM loans CROSS JOIN range(10)": 10 * cap,
        "SELECT count(*) FROM loans JOIN districts USING (district)": cap,
        "SELECT count(*) FROM loans a JOIN loans b USING (firm_id, loan_id)": cap,
    }
    for sql, rows in bounds.items():
        (block,) = small.planned(sql).blocks
        assert block.measures[0].sensitivity.l1 == rows, sql
