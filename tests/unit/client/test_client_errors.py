"""A refusal is read by a person: at most eight lines, in their language, with the place and the way out."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_guard.client import errors, words
from sandbox_guard.client.errors import Denied, Fault, Refused

SQL = "SELECT\n  distric, COUNT(*) FROM ent"


def refusal(**changed: Any) -> Refused:
    body = {
        "code": "name.column",
        "message": {"zh": "没有列“distric”。", "en": "There is no column 'distric'."},
        "hint": {"zh": "是否指 reg_district？", "en": "Did you mean reg_district?"},
        "line": 2,
        "column": 3,
        "instead": "SELECT reg_district, COUNT(*)\nFROM ent\nGROUP BY reg_district",
    }
    return Refused.of({**body, **changed}, SQL)


def test_a_refusal_holds_code_reason_place_and_correction() -> None:
    lines = refusal().lines()
    assert len(lines) <= 8
    assert "name.column" in lines[0]
    assert "未计费" in lines[0]
    assert lines[1] == "没有列“distric”。"
    place, caret = lines[2], lines[3]
    assert place.startswith("第 2 行第 3 列：")
    assert caret.endswith("^")
    assert place[len(caret) - 1 :].startswith("distric"), "the caret stands below the word"
    assert lines[4] == "可改写为："
    assert [line.strip() for line in lines[5:]] == [
        "SELECT reg_district, COUNT(*)",
        "FROM ent",
        "GROUP BY reg_district",
    ]
    short = refusal(instead="SELECT reg_district, COUNT(*) FROM ent GROUP BY reg_district").lines()
    assert short[4].startswith("建议"), "and the hint, where there is room"
    assert len(short) == 7


def test_it_speaks_english_when_asked() -> None:
    words.language("en")
    text = str(refusal())
    assert "There is no column" in text
    assert "line 2, column 3" in text
    assert "没有" not in text


def test_a_long_correction_still_fits_in_eight_lines_and_is_whole() -> None:
    sql = "SELECT\n" + ",\n".join(f"  c{i}" for i in range(20)) + "\nFROM ent"
    lines = refusal(instead=sql).lines()
    assert len(lines) <= 8
    assert all(f"c{i}" in lines[-1] for i in range(20))
    assert "FROM ent" in lines[-1]


@pytest.mark.parametrize("line", [0, 99])
def test_a_place_outside_the_text_does_not_break_the_display(line: int) -> None:
    assert len(refusal(line=line).lines()) <= 8


def test_without_place_hint_or_correction_it_is_two_lines() -> None:
    assert len(refusal(line=None, column=None, hint=None, instead=None).lines()) == 2


def test_who_has_to_act_decides_the_class() -> None:
    assert type(refusal(code="sql.parse")) is Refused
    assert isinstance(refusal(code="sql.parse"), errors.ProgrammingError)
    for code in ("budget.member", "access.expired", "data.reload_needed"):
        assert isinstance(refusal(code=code), Denied)
        assert isinstance(refusal(code=code), errors.OperationalError)


def test_html_escapes_what_the_analyst_wrote() -> None:
    hostile = Refused.of({"code": "sql.parse", "message": {"zh": "<script>", "en": "x"}}, SQL)
    assert "<script>" not in hostile._repr_html_()


def test_kinds_of_failure_look_different() -> None:
    fault = Fault({"message": {"zh": "已计费", "en": "charged"}})
    firsts = {e.lines()[0] for e in (refusal(), fault, errors.Unreachable(), errors.Cancelled())}
    assert len(firsts) == 4
