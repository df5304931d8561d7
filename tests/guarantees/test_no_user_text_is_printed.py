"""No text of the analyst's reaches a grammar or an engine: only our keywords, symbols and numbers do.

The half about engines is added with the printer; here, that the one reader of SQL is blind to names and
literals, and that no node of its library leaves it.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandbox_guard
from sandbox_guard.errors import Refused
from sandbox_guard.sql import syntax, words
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.text import Limits, decode, scan

ROOT = Path(sandbox_guard.__file__).parent
CORPUS = Path(__file__).parents[1] / "corpus"
QUERIES = [
    json.loads(line)["sql"]
    for name in ("legit.jsonl", "attacks.jsonl")
    for line in (CORPUS / name).read_text("utf-8").splitlines()
]
PLACEHOLDER = re.compile(r"\"_w\d+\"|'s\d+'|\d+|[a-z_]+|[-+*/%^<>=|:.,()\[\];!]+")


@pytest.mark.parametrize("sql", [*QUERIES, "SELECT \"x'y\", '\"z', $$'$$, 0.5 AS 区县 FROM select_ -- '"])
def test_the_grammar_sees_no_name_and_no_literal(sql: str) -> None:
    try:
        lexemes = words.tidy(words.bind(scan(decode(sql, Limits()), Limits()), {}))
    except Refused:
        return
    for piece in words.render(lexemes)[0].split(" "):
        assert PLACEHOLDER.fullmatch(piece)
        assert not piece.isalpha() or piece in words.VOCABULARY


def test_sqlglot_stays_behind_one_door() -> None:
    inside = {"sql/grammar.py", "sql/parse.py"}
    for path in ROOT.rglob("*.py"):
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            )
        }
        assert "sqlglot" not in imported or str(path.relative_to(ROOT)) in inside, path


def nodes(value: object) -> Iterator[object]:
    yield value
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from nodes(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from nodes(item)


@pytest.mark.parametrize("sql", QUERIES)
def test_no_node_of_sqlglot_leaves_the_parser(sql: str) -> None:
    try:
        tree = parse(sql)
    except (Refused, UnicodeError):
        return
    for node in nodes(tree):
        assert type(node).__module__.split(".")[0] != "sqlglot"
        assert not dataclasses.is_dataclass(node) or type(node).__module__ in (
            syntax.__name__,
            "sandbox_guard.errors",
        )
