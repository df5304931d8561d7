"""What one query may be at most is the project's to lower (`limits` of projects/<name>.yaml)."""

from __future__ import annotations

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.policy.model import QueryLimits
from sandbox_guard.pricing import Asked, Pricing
from tests import firms


def code(sql: str, limits: QueryLimits) -> str | None:
    read = firms.policies()
    (project,) = read.projects.values()
    lowered = project.model_copy(update={"limits": limits})
    try:
        pricing = Pricing.of(read.model_copy(update={"projects": {project.name: lowered}}), project.name)
        pricing.plan(Asked(sql, "1"))
    except Refused as refused:
        return refused.code
    return None


NESTED = f"SELECT {'(' * 50}count(*){')' * 50} FROM loans"
LONG = f"SELECT count(*) FROM loans WHERE year = 2020 --{'x' * 2000}"
WIDE = "SELECT district, industry, year, count(*) FROM loans GROUP BY ALL"
"""13 × 11 × 9 cells."""


@pytest.mark.parametrize(
    ("sql", "lower", "refused"),
    [
        (NESTED, QueryLimits(nesting=40), "sql.nesting"),
        (LONG, QueryLimits(text=1000), "sql.size"),
        (WIDE, QueryLimits(cells=1286), "ask.cells"),
        (WIDE, QueryLimits(cells=1287), None),
    ],
)
def test_a_project_can_lower_a_limit(sql: str, lower: QueryLimits, refused: str | None) -> None:
    assert code(sql, QueryLimits()) is None
    assert code(sql, lower) == refused


def test_none_can_be_raised_above_what_the_product_bears() -> None:
    for field, most in (("text", 65_536), ("nesting", 100), ("cells", 1_000_000)):
        assert getattr(QueryLimits(), field) == most
        with pytest.raises(ValueError, match="less than or equal"):
            QueryLimits.model_validate({field: most + 1})
