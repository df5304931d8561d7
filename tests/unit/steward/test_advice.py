"""Advice names facts that could be declared, and no number."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sandbox_guard.engines.versions import current
from sandbox_guard.policy.model import Table
from sandbox_guard.steward.advice import advise
from sandbox_guard.steward.load import load
from tests import loading

HEAD = "firm_id,loan_id,district,amount,day,bad\n"


def said(tmp_path: Path, rows: str, table: Table | None = None) -> list[str]:
    policies = loading.policies({"loans": table or loading.loans()})
    load(policies, "city", {"loans": loading.csv(tmp_path, "loans", HEAD + rows)}, tmp_path / "var")
    version = current(tmp_path / "var" / "restricted" / "city")
    assert version is not None
    return [text.en for text in advise(policies.datasets["city"], version.data)]


def test_what_holds_and_is_not_declared(tmp_path: Path) -> None:
    advice = said(tmp_path, "1,1,Alder,5,,\n1,2,Alder,6,,\n2,3,Birch,5,,\n")
    assert advice == [
        "loans: never empty, so nullable could go: district, amount.",
        "loans: seem not to vary within a unit, so unit_constant: true could be declared: district, day, bad.",
    ]


def test_one_row_a_unit(tmp_path: Path) -> None:
    assert said(tmp_path, "1,1,,,,\n2,2,,,,\n")[0].startswith("loans: no unit has more than one row")


def test_a_column_with_some_values_in_a_unit_varies(tmp_path: Path) -> None:
    assert not [a for a in said(tmp_path, "1,1,Alder,,,\n1,2,,,,\n") if "district" in a]


def test_nothing_is_said_of_what_is_declared_or_of_empty_tables(tmp_path: Path) -> None:
    facts: dict[str, Any] = loading.LOANS | {
        "district": {**loading.LOANS["district"], "nullable": False, "unit_constant": True},
        "amount": {**loading.LOANS["amount"], "nullable": False},
    }
    advice = said(tmp_path, "1,1,Alder,5,,\n1,2,Alder,6,,\n", loading.loans(facts))
    assert not [a for a in advice if "district" in a or "amount" in a]
    assert said(tmp_path, "") == []


def test_no_number_of_the_data_is_said(tmp_path: Path) -> None:
    advice = said(tmp_path, "".join(f"{n % 7},{n},Alder,{n},,\n" for n in range(30)))
    assert not re.search(r"\d", "".join(advice).replace("max_rows_per_unit: 1", ""))
