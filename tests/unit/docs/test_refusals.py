"""Each example of the documentation is refused with its code, and what is offered instead is accepted."""

from __future__ import annotations

import datetime as dt
from functools import cache
from pathlib import Path

import pytest

from docs.make_refusals import Example, examples
from sandbox_guard.errors import Refused, refusals
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.planner import plan

ROOT = Path(__file__).parents[3]
LEAST = 60
"""Refusals with an example; those without are of limits, prices, budgets and rights, which no SQL alone meets."""


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


def test_there_are_examples_of_refusals_that_exist() -> None:
    assert set(examples()) <= set(refusals())
    assert len(examples()) >= LEAST
