"""Whatever is sent, the answer is a tree or `Refused`, and it comes soon."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_guard.errors import Refused
from sandbox_guard.sql import words
from sandbox_guard.sql.parse import canonical, parse, shape

CORPUS = Path(__file__).parents[2] / "corpus"
LEGIT = [json.loads(line) for line in (CORPUS / "legit.jsonl").read_text("utf-8").splitlines()]
ATTACKS = [json.loads(line) for line in (CORPUS / "attacks.jsonl").read_text("utf-8").splitlines()]

token = st.one_of(
    st.sampled_from(sorted(words.VOCABULARY)),
    st.sampled_from(
        ["a", "t", "sum", "count", '"q"', "'s'", "1", "2.5", "1e3", ":p", "区县", "f", "unnest", "for", "map"]
    ),
    st.sampled_from(
        [
            "(",
            ")",
            "[",
            "]",
            ",",
            ".",
            "*",
            "+",
            "-",
            "=",
            "<",
            "||",
            "::",
            ":",
            ";",
            "%",
            "!",
            "{",
            "$$",
            "--",
        ]
    ),
)
soup = st.lists(token, max_size=30).map(lambda tokens: " ".join(["select", *tokens]))


def read(sql: str | bytes) -> None:
    try:
        query = parse(sql)
    except Refused as refused:
        refused.as_dict()
        return
    json.loads(canonical(query))
    json.loads(shape(query))
    assert query == parse(sql)
    hash(query)
    repr(query)


@settings(max_examples=2_000, deadline=None)
@given(soup)
def test_token_soup(sql: str) -> None:
    read(sql)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60)))
def test_any_text(sql: str | bytes) -> None:
    read(sql)


SEEDS = [case["sql"] for case in LEGIT] + [case["sql"] for case in ATTACKS if case["sql"]]
PIECES = sorted({piece for sql in SEEDS for piece in re.findall(r"\w+|'[^']*'|\"[^\"]*\"|\S", sql)})


@settings(max_examples=2_000, deadline=None)
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_queries(sql: str, data: st.DataObject) -> None:
    tokens = re.findall(r"\w+|'[^']*'|\"[^\"]*\"|\s+|\S", sql)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(tokens)))
        tokens[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.sampled_from(PIECES), max_size=2)
        )
    read(" ".join(tokens))


@pytest.mark.parametrize("case", LEGIT, ids=lambda case: case["id"])
def test_legitimate_queries_are_read(case: dict[str, str]) -> None:
    canonical(parse(case["sql"]))


def text_of(case: dict[str, object]) -> str | bytes:
    if case.get("sql_b64"):
        return base64.b64decode(str(case["sql_b64"]))
    if case.get("gen"):
        return "".join(text * times for text, times in case["gen"])  # type: ignore[attr-defined]
    return str(case["sql"])


TEXT_ATTACKS = {"parser_differential", "generator_injection", "statement_kind", "malformed_limits"}
FOR_LATER = {
    "GI-032": "a quoted alias is only a label; the projection is a raw release",
    "PD-040": "a row release",
    "PD-074": "the table of functions refuses list_aggregate",
    "PD-078": "the table of functions refuses unnest as a key",
    "PD-082": "binding refuses two columns of one name",
}


@pytest.mark.parametrize("case", ATTACKS, ids=lambda case: case["id"])
def test_attacks(case: dict[str, object]) -> None:
    started = time.process_time()
    read(text_of(case))
    assert time.process_time() - started < 5
    if case["category"] in TEXT_ATTACKS and case["expect"] == "reject" and case["id"] not in FOR_LATER:
        with pytest.raises(Refused):
            parse(text_of(case))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + ", ".join("(" * 90 + "1" + ")" * 90 for _ in range(80)),
        "SELECT " + "f(" * 99 + "1" + ")" * 99,
        "SELECT a" + "[1]" * 399,
        "SELECT 1" + " + (1" * 99 + ")" * 99,
        "SELECT * FROM " + "(" * 99 + "t" + ")" * 99,
        "SELECT * FROM " + "(SELECT * FROM " * 99 + "t" + ")" * 99,
        "SELECT * FROM t" + " JOIN t USING (a)" * 1_500,
        "SELECT * FROM t" + ", t" * 7_000,
        "SELECT * FROM t" + " JOIN t" * 3_000,
        "SELECT " + "CASE WHEN a THEN " * 99 + "1" + " END" * 99,
        "SELECT " + "a." * 7_000 + "a",
        "SELECT a FROM t GROUP BY " + "CUBE (a, b), " * 500 + "c",
        "SELECT a FROM t GROUP BY " + "GROUPING SETS (" * 90 + "(a)" + ")" * 90,
        "WITH " + ", ".join(f"c{n} AS (SELECT 1)" for n in range(1_500)) + " SELECT 1",
        "SELECT x IN (" * 50 + "1" + ")" * 50,
        "SELECT " + "EXISTS (SELECT " * 50 + "1" + ")" * 50,
        "SELECT sum(a) OVER (ORDER BY " * 50 + "1" + ")" * 50,
        "SELECT " + "x:" * 3_000 + "1",
        "SELECT " + "- - " * 40 + "1",
        "SELECT * FROM t WHERE " + "a BETWEEN 1 AND " * 2_000 + "1",
        "SELECT " + ",".join(["1"] * 7_000),
        "SELECT '" + "a" * 60_000 + "'",
        "SELECT /*" + "/" * 60_000 + "*/ 1",
        "SELECT " + "$a$" * 20_000,
        "SELECT " + "'" * 60_001,
        "SELECT " + "1." * 7_000,
    ],
    ids=range(26),
)
def test_heavy_texts_take_seconds_at_most(sql: str) -> None:
    started = time.process_time()
    read(sql)
    assert time.process_time() - started < 10
