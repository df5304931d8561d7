"""Each example of the documentation is refused with its code, and what is offered instead is accepted."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import pytest

from docs.make_refusals import Example, examples, situations
from sandbox_guard.errors import Refused, refusals
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.planner import plan

ROOT = Path(__file__).parents[3]


@cache
def policies() -> Policies:
    return read_policies(ROOT / "policies")


def asked(sql: str, example: Example, rows_per_unit: int | None = None) -> None:
    catalogue = Catalogue.of(policies(), policies().projects[example.project])
    plan(parse(sql, {}), catalogue, today=dt.date(2026, 1, 1), rows_per_unit=rows_per_unit)


@pytest.mark.parametrize(
    ("code", "example"), examples().items(), ids=lambda each: each if isinstance(each, str) else ""
)
def test_an_example_is_refused_as_it_says_and_its_fix_is_accepted(code: str, example: Example) -> None:
    with pytest.raises(Refused) as refused:
        asked(example.sql, example, example.rows_per_unit)
    assert refused.value.code == code
    asked(example.fix, example)


def test_every_refusal_has_an_example_and_its_fix() -> None:
    """In SQL where SQL alone meets it, else in words."""
    told = situations()
    assert not set(examples()) & set(told)
    assert {*examples(), *told} == set(refusals())
    lacking = [code for code, each in told.items() if each.fix is None and refusals()[code].hint is None]
    assert lacking == []
