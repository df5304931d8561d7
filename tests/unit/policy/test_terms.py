"""The ledger's terms and the manifest's facts, from the shipped policies."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox_guard.ledger.wire import Terms
from sandbox_guard.policy import compile_terms, enforced, read_policies
from sandbox_guard.policy.model import Column, Dataset

ROOT = Path(__file__).parents[3]
POLICIES = read_policies(ROOT / "policies")


def test_the_ledger_reads_the_terms() -> None:
    terms = Terms.model_validate(compile_terms(POLICIES))
    caps = {(a.level, a.population, a.dataset or a.project, a.member): a.cap for a in terms.accounts}
    assert len(caps) == len(terms.accounts)
    assert caps["population", "firms", None, None].rho == 4 * 10**9
    assert caps["dataset", "firms", "tax", None].rho == 2 * 10**9
    assert caps["project", "firms", "credit-inclusion", None].rho == 10**9
    assert caps["member", "firms", "credit-inclusion", "chen"].rho == 250_000_000
    assert caps["member", "firms", "credit-inclusion", "chen"].delta == 10**9
    green = next(p for p in terms.projects if p.project == "green-credit")
    assert not green.free_queries
    assert green.members == {"bank1": "enterprise", "lin": "researcher"}
    assert green.analyses["green-exposure"] == POLICIES.analyses["green-exposure"].digest


def test_facts_survive_json() -> None:
    for dataset in POLICIES.datasets.values():
        assert json.loads(json.dumps(enforced(dataset))) == enforced(dataset)


def loan(**changes: object) -> Dataset:
    dataset = POLICIES.datasets["bank-loans"]
    table = dataset.tables["loan"]
    columns = {k: v for k, v in changes.items() if k in table.columns}
    rest = {k: v for k, v in changes.items() if k not in table.columns}
    table = table.model_copy(update={**rest, "columns": {**table.columns, **columns}})
    return dataset.model_copy(update={"tables": {"loan": table}})


def balance(**changes: object) -> Column:
    return POLICIES.datasets["bank-loans"].tables["loan"].columns["balance"].model_copy(update=changes)


@pytest.mark.parametrize(
    "changed",
    [
        loan(max_rows=1),
        loan(max_rows_per_unit=10),
        loan(unique=()),
        loan(unique_in_unit=(("bank_id",),)),
        loan(balance=balance(bounds=(Decimal(0), Decimal(5)))),
        loan(balance=balance(step=Decimal("0.1"))),
        loan(balance=balance(nullable=True)),
        loan(balance=balance(max_distinct=5)),
        loan(balance=balance(unit_constant=True)),
        loan(balance=balance(key=True)),
        POLICIES.datasets["bank-loans"].model_copy(update={"population": "persons"}),
    ],
)
def test_what_load_enforces_is_a_fact(changed: Dataset) -> None:
    assert enforced(changed) != enforced(loan())


@pytest.mark.parametrize(
    "changed",
    [
        loan(balance=balance(step=Decimal("0.010"))),
        loan(balance=balance(measure="EUR", source="Balance", null_values=("-",))),
        loan(title=POLICIES.datasets["tax"].title),
    ],
)
def test_what_load_does_not_enforce_needs_no_reload(changed: Dataset) -> None:
    assert enforced(changed) == enforced(loan())
