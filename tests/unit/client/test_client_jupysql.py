"""JupySQL on `guard://`: cells of another product's magic ask our vault, with parameters as values."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from sandbox_guard import client
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent WHERE is_srdi = :flag GROUP BY 1 ORDER BY 1"


@pytest.fixture
def shell(url: str, monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    monkeypatch.setenv("PLOOMBER_STATS_ENABLED", "false")
    shell = InteractiveShell()  # type: ignore[no-untyped-call]
    assert shell.extension_manager is not None
    shell.extension_manager.load_extension("sql")
    shell.user_ns["engine"] = client.engine()
    run(shell, "%sql engine")
    run(shell, '%config SqlMagic.named_parameters="enabled"')
    return shell


def run(shell: InteractiveShell, cell: str) -> Any:
    with capture_output() as shown, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        outcome = shell.run_cell(cell)  # type: ignore[no-untyped-call]
    outcome.shown = shown.stdout + shown.stderr
    return outcome


def test_a_cell_with_parameters_is_one_question(shell: InteractiveShell, vault: Vault) -> None:
    shell.user_ns["flag"] = True
    outcome = run(shell, f"%%sql\n{SQL}")
    assert outcome.success, outcome.shown
    frame = outcome.result.DataFrame()
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (4, 2)
    assert len(vault.charges) == 1, "no probing queries of its own"
    assert vault.asked[-1]["parameters"] == {"flag": True}
    assert vault.asked[-1]["sql"].strip() == SQL


def test_a_parameter_never_becomes_text(shell: InteractiveShell, vault: Vault) -> None:
    shell.user_ns["d"] = "x' OR '1'='1"
    outcome = run(shell, "%%sql\nSELECT COUNT(*) AS n FROM ent WHERE reg_district = :d")
    assert outcome.success, outcome.shown
    assert vault.asked[-1]["parameters"] == {"d": "x' OR '1'='1"}


def test_a_refusal_teaches_there_too(shell: InteractiveShell, vault: Vault) -> None:
    outcome = run(shell, "%%sql\nSELECT distric, 1")
    assert not outcome.success
    assert "name.column" in outcome.shown
    assert vault.charges == {}
