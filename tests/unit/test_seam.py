"""A stranger's questions through `tests.seam`: their own policies and data, and nonsense too."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests import firms
from tests.seam import Desk

POLICIES = str(firms.POLICIES)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file such as `make_small.py` writes."""
    file = tmp_path_factory.mktemp("stranger") / "small.duckdb"
    with duckdb.connect(str(file)) as made:
        made.execute("CREATE TABLE districts AS SELECT 'Alder' AS district, 'North' AS region")
        made.execute("CREATE TABLE firms AS SELECT range AS firm_id, 'F' AS name, 'Alder' AS district, 9 AS employees,"
                     " DATE '2000-01-01' AS founded, 50.0 AS esg_score FROM range(40)")  # fmt: skip
        made.execute("CREATE TABLE loans AS SELECT range % 40 AS firm_id, range AS loan_id, 'Alder' AS district,"
                     " 'Energy' AS industry, 2020 AS year, 1000.00 AS amount, 5.0 AS rate, 0 AS overdue_days,"
                     " false AS defaulted FROM range(100)")  # fmt: skip
    return file


@pytest.fixture(scope="module")
def answers(data: Path) -> list[dict[str, Any]]:
    common = {"policies": POLICIES, "data": str(data), "epsilon": 1e6}
    count = "SELECT count(*) FROM loans"
    asked = [
        json.dumps(common | {"id": "a", "sql": count}),
        json.dumps(common | {"sql": count}),
        json.dumps(common | {"sql_b64": base64.b64encode(count.encode()).decode()}),
        json.dumps(common | {"sql": "", "gen": [["SELECT ", 1], ["(", 3], ["count(*)", 1], [")", 3], [" FROM loans", 1]]}),
        json.dumps(common | {"sql": "SELECT count(*) FROM loans WHERE year = :y", "params": {"y": 2021}}),
        json.dumps(common | {"sql": "SELECT count(*) AS \ud800 FROM loans"}),
        json.dumps(common | {"sql": "SELECT firm_id FROM loans"}),
        json.dumps(common | {"sql_b64": base64.b64encode(b"SELECT \xff").decode()}),
        json.dumps(common | {"id": 9, "sql": 5}),
        "no JSON",
        "[]",
        json.dumps({"sql": count}),
        json.dumps(common | {"policies": "/nowhere", "sql": count}),
        json.dumps(common | {"data": "/nowhere", "sql": count}),
        json.dumps(common | {"sql": count}),
    ]  # fmt: skip
    desk = Desk()
    lines = [desk.answer(line) for line in asked]
    desk.close()
    assert all(line.isascii() for line in lines)
    return [json.loads(line) for line in lines]


def test_each_is_answered_in_its_place(answers: list[dict[str, Any]]) -> None:
    found = [a["status"] for a in answers]
    assert found == ["answered"] * 5 + ["refused"] * 3 + ["unusable"] * 6 + ["answered"]
    assert answers[0]["id"] == "a" and answers[8]["id"] == 9


def test_the_answer_is_what_was_asked(answers: list[dict[str, Any]]) -> None:
    counts = [round(a["answer"]["rows"]["0"][0]) for a in answers if a["status"] == "answered"]
    assert counts == [100, 100, 100, 100, 0, 100]


def test_each_has_a_ledger_of_its_own(answers: list[dict[str, Any]]) -> None:
    """The same question twice is paid for twice."""
    assert [len(a["charged"]) for a in answers[:3]] == [1, 1, 1]


def test_what_is_no_question_says_why(answers: list[dict[str, Any]]) -> None:
    assert all(a["message"] for a in answers if a["status"] != "answered")
    assert answers[6]["refusal"]["hint"] and answers[6]["refusal"]["line"] == 1
