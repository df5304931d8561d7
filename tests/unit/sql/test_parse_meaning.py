"""Our reading against DuckDB's: text it accepts gives the same values as our tree, printed with every bracket."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.sql import syntax
from sandbox_guard.sql.parse import parse
from tests.unit.sql.reprint import reprint

ROWS = """(VALUES (1, 2, 3, true, false, 'x', DATE '2020-01-31'), (-4, 7, 0, false, false, 'ab', DATE '2019-03-01'),
    (5, -2, 2, true, NULL, '1', NULL), (NULL, 3, -1, NULL, true, NULL, DATE '2024-02-29'),
    (0, 0, 9, true, true, '%', DATE '2000-12-31')) AS t(a, b, c, p, q, s, d)"""

operand = st.sampled_from(
    ["a", "b", "c", "p", "q", "s", "d", "1", "2", "1.5", "1e1", "1e5-3", "true", "null", "'x'", "abs(a)", "(a + b)",
     "(p)", "DATE '2020-01-01'", "-a", "- 2", "+c", "CASE WHEN p THEN a ELSE b END", "a::int", "-b::int", "p::int",
     "INTERVAL 1 DAY", "INTERVAL '2' MONTH", "[a]", "(a, b)"]
)  # fmt: skip
infix = st.sampled_from(
    ["+", "-", "*", "/", "//", "%", "^", "**", "||", "=", "==", "<>", "<", "<=", ">", "and", "or", "and not", "like",
     "not like", "ilike", "is distinct from", "is not distinct from", "between 1 and", "not between b and"]
)  # fmt: skip
postfix = st.sampled_from(
    ["", "", "", "is null", "is not null", "is true", "is not true", "is false", "::int", "::varchar", "::boolean",
     "in (1, 2)", "not in (1, b)", "between 1 and 2", "like 'x'", "not like 'x' escape '!'"]
)  # fmt: skip
prefix = st.sampled_from(["", "", "", "", "not", "-"])
part = st.builds(lambda *words: " ".join(filter(None, words)), prefix, operand, postfix)
soup = st.builds(
    lambda first, rest: " ".join([first, *(word for pair in rest for word in pair)]),
    part,
    st.lists(st.tuples(infix, part), max_size=3),
)


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def values(connection: duckdb.DuckDBPyConnection, expression: str) -> str | None:
    try:
        return repr(connection.execute(f"SELECT {expression} FROM {ROWS}").fetchall())
    except duckdb.Error:
        return None


@settings(max_examples=1_500, deadline=None)
@given(soup)
def test_what_both_read_means_the_same(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    try:
        query = parse(f"SELECT {text} FROM t")
    except Refused:
        return
    assert isinstance(query, syntax.Select)
    (projection,) = query.projections
    assert projection.alias is None
    theirs = values(connection, text)
    assert theirs is None or theirs == values(connection, reprint(projection.expr))


@pytest.mark.parametrize(
    "text",
    [
        "a - b - c", "a / b * c", "a // b % c", "2 ^ b", "-a - -b", "not p and q or p", "a + b * c || s", "1e5-3",
        "a between b and c + 1 and p", "not a in (1, 2) or q", "s like 'x' || '%'", "-b::int", "a::varchar || s",
        "case a when 1 then b end + 1", "d + interval '2' month - interval 1 day", "a + b is null and not q",
    ],
)  # fmt: skip
def test_common_expressions_are_read_and_mean_the_same(
    connection: duckdb.DuckDBPyConnection, text: str
) -> None:
    query = parse(f"SELECT {text} FROM t")
    assert isinstance(query, syntax.Select)
    theirs = values(connection, text)
    assert theirs == values(connection, reprint(query.projections[0].expr))
    if text not in ("2 ^ b", "a / b * c", "a // b % c"):
        assert theirs is not None
