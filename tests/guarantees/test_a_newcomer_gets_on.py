"""From a blank notebook, without having read anything: whatever goes wrong ends in an accepted query or in a
clear next step. Each is a cell in a real shell, against the real vault and ledger.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from sandbox_guard import client
from sandbox_guard.client import service, words
from sandbox_guard.client.errors import Refused, Unreachable
from sandbox_guard.client.result import Result
from sandbox_guard.client.service import Service
from sandbox_guard.client.session import Session
from sandbox_guard.ledger.wire import Act, Terms
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.terms import compile_terms
from tests import city
from tests.product import POLICIES, TOKEN, Running, serving

Shell = InteractiveShell


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return city.make(tmp_path_factory.mktemp("city"), firms=500)


@pytest.fixture
def vault(home: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(home, member="lin", project="credit-inclusion", state=_empty(tmp_path)) as running:
        yield running


@pytest.fixture(params=["zh", "en"])
def shell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    words.language(request.param)
    monkeypatch.setattr(service, "PAUSES", (0.01, 0.01))
    shell = InteractiveShell()  # type: ignore[no-untyped-call]
    assert shell.extension_manager is not None
    shell.extension_manager.load_extension("sandbox_guard.client")
    yield shell
    assert shell.history_manager is not None
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    words.language("zh")


def _empty(folder: Path) -> Path:
    state = folder / "state"
    state.mkdir()
    return state


def cell(shell: Shell, vault: Running | str, sql: str) -> Any:
    """What a cell of SQL gives: a result, or the error that stopped it, as the person saw it."""
    client.here = Session(Service(vault if isinstance(vault, str) else vault.url, TOKEN))
    with capture_output() as seen:
        outcome = shell.run_cell(f"%%guard\n{sql}")  # type: ignore[no-untyped-call]
    shown = seen.stdout + seen.stderr
    assert "Traceback" not in shown
    if outcome.error_in_exec is None:
        return outcome.result
    assert len(shown.strip().splitlines()) <= 8
    return outcome.error_in_exec


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "here", client.here)


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT reg_distric, COUNT(*) AS n FROM ent GROUP BY reg_distric", "name.column_near"),
        ("SELECT SUM(revenue / (SELECT AVG(revenue) FROM tax)) AS n FROM tax", "bound.unbounded"),
        ("SELECT industry, COUNT(*) AS n FROM ent", "sql.not_grouped"),
    ],
)
def test_a_slip_ends_in_an_accepted_query(shell: Shell, vault: Running, sql: str, code: str) -> None:
    refused = cell(shell, vault, sql)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert refused.instead is not None
    assert isinstance(cell(shell, vault, refused.instead), Result)


def test_a_table_that_is_not_granted_names_who_can_grant_it(shell: Shell, vault: Running) -> None:
    refused = cell(shell, vault, "SELECT COUNT(*) FROM visit")
    assert isinstance(refused, Refused)
    assert refused.code == "access.table"
    assert ("数据管理员" if words.language() == "zh" else "steward") in refused.hint


def test_an_exhausted_budget_says_what_still_works(shell: Shell, vault: Running) -> None:
    client.here = Session(Service(vault.url, TOKEN))
    client.here.sql("SELECT COUNT(*) AS n FROM ent", share=1)
    refused = cell(shell, vault, "SELECT industry, COUNT(*) AS n FROM ent GROUP BY industry")
    assert isinstance(refused, Refused)
    assert refused.code.startswith("budget.")
    assert ("免费" if words.language() == "zh" else "free") in refused.hint
    assert len(client.here.history()) == 1, "and what was answered can be opened again"
    assert isinstance(cell(shell, vault, "SELECT COUNT(*) AS d FROM district"), Result), "public data too"


def test_an_expired_agreement_says_when_and_what_to_do(shell: Shell, vault: Running) -> None:
    terms = Terms.model_validate(compile_terms(read_policies(POLICIES)))
    past = tuple(p.model_copy(update={"expires": dt.date(2024, 12, 31)}) for p in terms.projects)
    ended = terms.model_copy(update={"projects": past})
    vault.ledger.apply(ended, Act(actor="wu", reason="the agreement has ended"))
    refused = cell(shell, vault, "SELECT COUNT(*) AS n FROM ent")
    assert isinstance(refused, Refused)
    assert refused.code == "access.expired"
    assert "2024-12-31" in refused.message
    assert ("数据管理员" if words.language() == "zh" else "steward") in refused.hint


def test_a_stopped_vault_says_how_to_start_it_again(shell: Shell, tmp_path: Path) -> None:
    lost = cell(shell, f"unix:{tmp_path}/nobody.sock", "SELECT COUNT(*) AS n FROM ent")
    assert isinstance(lost, Unreachable)
    assert "Hub" in str(lost)
