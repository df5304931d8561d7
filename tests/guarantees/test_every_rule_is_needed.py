"""Promise: each rule of the planner, the printer and the loader is needed, and its case would show it missing.

With its one line changed the oracle finds a violation; with the line as it is, none. `docs/rules.md` and
`docs/rules.zh.md` say which case found which (`python -m tests.rules` writes their tables).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox_guard.errors import Refused
from tests import firms, oracle, rules
from tests.oracle import Neighbours
from tests.rules import RULES, Rule

DOCS = Path(__file__).parents[2] / "docs"


def test_there_are_at_least_twenty() -> None:
    assert len({r.name for r in RULES}) == len(RULES) >= 20


@pytest.mark.parametrize("rule", [r for r in RULES if r.on == ""], ids=str)
def test_of_plans(rule: Rule, small: Neighbours) -> None:
    assert small.violated(rule.sql) is None
    with rules.without(rule):
        found = small.violated(rule.sql)
    _told(rule, found)


@pytest.mark.parametrize("rule", [r for r in RULES if r.on == rules.LOAD], ids=str)
def test_of_loading(rule: Rule) -> None:
    held = oracle.neighbours(firms.policies(), rules.overfull(), rules.UNITS)
    with rules.without(rule):
        broken = oracle.neighbours(firms.policies(), rules.overfull(), rules.UNITS)
    assert held.violated(rule.sql) is None
    found = broken.violated(rule.sql)
    held.close()
    broken.close()
    _told(rule, found)


def _told(rule: Rule, found: str | None) -> None:
    assert found is not None, f"nothing shows that '{rule}' is missing"
    for page, language in (("rules.md", "en"), ("rules.zh.md", "zh")):
        assert rules.row(rule, found, language) in (DOCS / page).read_text("utf-8"), (
            f"docs/{page} does not say that {rule.place} was found by: {found}"
        )


def test_a_case_of_its_own_is_refused_where_it_cannot_be_answered(small: Neighbours) -> None:
    """Those cases that no answer could be sound for are refused as long as the rule stands."""
    refused = 0
    for rule in RULES:
        try:
            small.planned(rule.sql)
        except Refused:
            refused += 1
    assert refused >= 6
