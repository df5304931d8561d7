"""What may be typed into a form: the whole table, each mistake in words that name the field."""

from __future__ import annotations

import datetime as dt

import pytest

from hub.portal.parameters import fill
from sandbox_guard.analyses import checked
from sandbox_guard.policy.model import Bilingual, ColumnType, Parameter


def parameter(type_: ColumnType, **rules: object) -> Parameter:
    return Parameter.model_validate({"title": {"zh": "甲", "en": "First"}, "type": type_, **rules})


WHOLE = parameter(ColumnType.INTEGER, bounds=[1, 10], default=5)
NUMBER = parameter(ColumnType.NUMBER, bounds=[0, 1_000_000])
DATE = parameter(ColumnType.DATE, bounds=[dt.date(2021, 1, 1), dt.date(2022, 12, 31)])
CHOICE = parameter(ColumnType.STRING, values=["A", "B"])
YEAR = parameter(ColumnType.INTEGER, values=[2020, 2021])
FLAG = parameter(ColumnType.BOOLEAN)


@pytest.mark.parametrize(
    ("declared", "typed", "value"),
    [
        (WHOLE, "7", "7"),
        (WHOLE, " 7 ", "7"),
        (WHOLE, "７", "7"),
        (WHOLE, "7.0", "7"),
        (NUMBER, "1,000", "1000"),
        (NUMBER, "0.5", "0.5"),
        (NUMBER, "1e3", "1000"),
        (DATE, "2021-02-28", "2021-02-28"),
        (DATE, "2021/02/28", "2021-02-28"),
        (CHOICE, "A", "A"),
        (YEAR, "2021", "2021"),
        (FLAG, "true", "true"),
        (FLAG, "false", "false"),
    ],
)
def test_accepted(declared: Parameter, typed: str, value: str) -> None:
    filled = fill({"p": declared}, {"p": typed})
    assert not filled.errors and filled.values == {"p": value}
    assert checked({"p": declared}, filled.values), "the vault takes what the form took"


@pytest.mark.parametrize(
    ("declared", "typed", "says"),
    [
        (WHOLE, "", "Enter a value"),
        (WHOLE, "0", "between 1 and 10"),
        (WHOLE, "11", "between 1 and 10"),
        (WHOLE, "1.5", "whole number"),
        (WHOLE, "many", "whole number"),
        (NUMBER, "-0.01", "between 0 and 1,000,000"),
        (NUMBER, "nan", "must be a number"),
        (NUMBER, "inf", "must be a number"),
        (NUMBER, "9" * 50, "must be a number"),
        (NUMBER, "1; DROP TABLE tax", "must be a number"),
        (DATE, "2021-02-30", "must be a date"),
        (DATE, "2023-01-01", "between 2021-01-01 and 2022-12-31"),
        (CHOICE, "C", "one of the list"),
        (CHOICE, "A' OR '1'='1", "one of the list"),
        (CHOICE, "", "Choose"),
        (YEAR, "2019", "one of the list"),
        (YEAR, "x", "whole number"),
        (FLAG, "maybe", "one of the list"),
    ],
)
def test_refused(declared: Parameter, typed: str, says: str) -> None:
    filled = fill({"p": declared}, {"p": typed})
    (field,) = filled.errors
    assert field.error is not None and says in field.error.en and "甲" in field.error.zh
    assert field.value == typed.strip() or field.value == typed, "what was typed stays"
    assert filled.values == {}


def test_a_form_that_was_just_opened_has_defaults_and_no_errors() -> None:
    filled = fill({"p": WHOLE, "q": NUMBER}, {})
    assert [f.value for f in filled.fields] == ["5", ""] and not filled.errors
    assert filled.values == {"p": "5"}


def test_enumerations_are_selects_with_labels() -> None:
    labelled = CHOICE.model_copy(update={"labels": {"A": Bilingual(zh="一等", en="first rate")}})
    (field,) = fill({"p": labelled}, {}).fields
    assert field.kind == "select" and [o.title.zh for o in field.options] == ["一等", "B"]


def test_a_value_outside_the_list_is_offered_by_no_select() -> None:
    (field,) = fill({"p": CHOICE}, {"p": "<script>"}).fields
    assert [o.value for o in field.options] == ["A", "B"]
