"""The corpora of `tests/corpus`, and the data that they are asked of."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sandbox_guard.policy.files import read_policies
from tests.corpus.make_small import build

CORPUS = Path(__file__).parent / "corpus"
POLICIES = read_policies(Path(__file__).parent / "data" / "small" / "policies")
PLANTED = (1, 42)
"""A firm at the edges of its ranges, and the victim."""


@dataclass(frozen=True)
class Case:
    id: str
    sql: str | bytes
    expect: str


def attacks() -> list[Case]:
    return [Case(c["id"], _text(c), c["expect"]) for c in _lines("attacks.jsonl")]


def honest() -> list[Case]:
    return [Case(c["id"], c["sql"], "answer") for c in _lines("legit.jsonl")]


def data() -> dict[str, list[dict[str, Any]]]:
    with duckdb.connect() as connection:
        build(connection)
        return {t: _rows(connection, t) for t in ("loans", "firms", "districts")}


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    found = connection.execute(f"FROM {table}")
    names = [d[0] for d in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / name).read_text("utf-8").splitlines() if line.strip()]


def _text(case: dict[str, Any]) -> str | bytes:
    if case.get("sql_b64"):
        return base64.b64decode(case["sql_b64"])
    if case.get("gen"):
        return "".join(text * times for text, times in case["gen"])
    return str(case["sql"])
