"""A plan is made once for one wording under one policy, and anew for any other."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import Policies
from sandbox_guard.pricing import Asked, Pricing
from tests.small import policies

SQL = "SELECT count(*) FROM loans WHERE rate > :low"


@pytest.fixture(scope="module")
def pricing() -> Pricing:
    return priced_by(policies())


def priced_by(read: Policies) -> Pricing:
    return Pricing.of(read, next(iter(read.projects)))


def test_the_same_again_is_the_same_plan(pricing: Pricing) -> None:
    first = pricing.plan(Asked(SQL, "a", {"low": 1}, epsilon=1.0))
    assert pricing.plan(Asked(SQL, "b", {"low": 1}, epsilon=2.0)) is first


@pytest.mark.parametrize(
    "other",
    [
        {"parameters": {"low": 1.0}},
        {"parameters": {"low": 2}},
        {"rows_per_unit": 1},
        {"today": dt.date(2020, 1, 1)},
        {"sql": SQL + " AND defaulted"},
        {"sql": SQL.encode()},
    ],
)
def test_anything_else_is_planned_anew(pricing: Pricing, other: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"sql": SQL, "parameters": {"low": 1}}
    first = pricing.plan(Asked(**plain, request_id="a"))
    assert pricing.plan(Asked(**(plain | other), request_id="b")) is not first


def test_true_is_not_1(pricing: Pricing) -> None:
    pricing.plan(Asked("SELECT count(*) FROM loans WHERE overdue_days > :low", "a", {"low": 1}))
    with pytest.raises(Refused):
        pricing.plan(Asked("SELECT count(*) FROM loans WHERE overdue_days > :low", "b", {"low": True}))


def test_other_policies_plan_anew(pricing: Pricing) -> None:
    asked = Asked("SELECT count(*) FROM loans", "a")
    assert priced_by(policies()).plan(asked) is not pricing.plan(asked)
