"""`%%guard` in a real IPython shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from sandbox_guard import client
from sandbox_guard.client import completion
from sandbox_guard.client.account import Budget, Estimate, FewerRows
from sandbox_guard.client.errors import InterfaceError, Refused
from sandbox_guard.client.result import Result
from sandbox_guard.client.session import Explanation, Session
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1\n"


@pytest.fixture
def shell(guard: Session) -> Iterator[InteractiveShell]:
    shell = InteractiveShell()  # type: ignore[no-untyped-call]
    assert shell.extension_manager is not None
    shell.extension_manager.load_extension("sandbox_guard.client")
    completion._catalogue.cache_clear()
    yield shell
    assert shell.history_manager is not None
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


def run(shell: InteractiveShell, cell: str) -> Any:
    with capture_output():
        outcome = shell.run_cell(cell)  # type: ignore[no-untyped-call]
    if outcome.error_in_exec:
        raise outcome.error_in_exec
    return outcome.result


def test_guard_is_there_without_an_import(shell: InteractiveShell) -> None:
    assert run(shell, "guard") is client
    assert isinstance(run(shell, f"guard.here.sql('''{SQL}''')"), Result)


def test_a_cell_of_sql(shell: InteractiveShell, vault: Vault) -> None:
    assert isinstance(run(shell, "%%guard --margin 50 --into firms\n" + SQL), Result)
    assert isinstance(run(shell, "firms"), Result)
    assert vault.asked[-1]["margin"] == 50


def test_options(shell: InteractiveShell, vault: Vault, samples_folder: Path) -> None:
    assert isinstance(run(shell, "%%guard --estimate\n" + SQL), Estimate)
    assert isinstance(run(shell, "%%guard --explain\n" + SQL), Explanation)
    assert isinstance(run(shell, "%%guard --fewer-rows --margin 50\n" + SQL), FewerRows)
    assert vault.charges == {}
    run(shell, "%%guard --share 0.1 --rows-per-unit 3\n" + SQL)
    assert (vault.asked[-1]["share"], vault.asked[-1]["rows_per_unit"]) == (0.1, 3)
    run(shell, "%%guard --epsilon=0.5 --pure\n" + SQL)
    assert (vault.asked[-1]["epsilon"], vault.asked[-1]["pure"]) == (0.5, True)
    run(shell, "%%guard --margin n=50,total=1000\n" + SQL)
    assert vault.asked[-1]["margin"] == {"n": 50, "total": 1000}
    before = len(vault.asked)
    assert run(shell, "%%guard --on sample\n" + SQL).answer is None
    assert len(vault.asked) == before


def test_one_line(shell: InteractiveShell, vault: Vault) -> None:
    assert isinstance(run(shell, "%guard " + SQL), Result)
    assert isinstance(run(shell, "r = %guard --margin 5 " + SQL + "r"), Result)
    assert isinstance(run(shell, "%guard"), Budget)


@pytest.mark.parametrize("line", ["--marginn 5", "--margin x", "SELECT 1", "--on moon", "--into 1x"])
def test_a_wrong_option_is_named(shell: InteractiveShell, vault: Vault, line: str) -> None:
    with pytest.raises(InterfaceError):
        run(shell, f"%%guard {line}\n{SQL}")
    assert vault.asked == [], "nothing is spent on a cell that is wrong"


def test_names_are_bound_as_values(shell: InteractiveShell, vault: Vault) -> None:
    run(shell, 'd = "\'; DROP TABLE ent; --"')
    run(shell, "%%guard\nSELECT COUNT(*) AS n FROM ent WHERE reg_district = :d")
    assert vault.asked[-1]["parameters"] == {"d": "'; DROP TABLE ent; --"}
    assert ":d" in vault.asked[-1]["sql"]


@pytest.mark.parametrize("magic", ["%%guard\n", "%guard "])
def test_dollars_and_braces_stay_text(shell: InteractiveShell, vault: Vault, magic: str) -> None:
    run(shell, "x = 1")
    sql = "SELECT '$x {x} {{x}} ${x}' AS t, COUNT(*) AS n FROM ent"
    run(shell, magic + sql)
    assert vault.asked[-1]["sql"].strip() == sql


def test_a_name_the_notebook_lacks_is_left_to_the_vault(shell: InteractiveShell, vault: Vault) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - the fake's; the real vault refuses by name
        run(shell, "%%guard\nSELECT :nowhere AS t")
    assert vault.asked[-1]["parameters"] == {}


def test_a_refusal_raises_and_shows_no_traceback(shell: InteractiveShell) -> None:
    with capture_output() as shown:
        outcome = shell.run_cell("%%guard\nSELECT 1,\n       distric, 2")  # type: ignore[no-untyped-call]
    assert isinstance(outcome.error_in_exec, Refused)
    text = shown.stdout + shown.stderr
    assert "name.column" in text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) <= 8


# -------------------------------------------------------------------------- completion


def offers(shell: InteractiveShell, cell: str) -> set[str]:
    """`|` is the cursor."""
    at = cell.index("|")
    with provisionalcompleter():
        return {c.text for c in shell.Completer.completions(cell.replace("|", ""), at)}


def test_tab_completes_tables_columns_functions_values_and_options(shell: InteractiveShell) -> None:
    assert offers(shell, "%%guard\nSELECT reg_|\nFROM ent") == {"reg_district", "reg_capital"}
    assert offers(shell, "%%guard\nSELECT 1 FROM |") == {"ent", "district"}
    assert "AVG" in offers(shell, "%%guard\nSELECT A|")
    assert offers(shell, "%%guard\nSELECT 1 FROM ent WHERE reg_district = '静|") == {"静安区"}
    assert offers(shell, "%%guard\nSELECT 1 FROM ent e WHERE e.ind|") == {"e.industry"}
    assert offers(shell, "%%guard\nSELECT 1 FROM ent WHERE industry IN ('A', '|") == {"A", "C", "I"}
    assert offers(shell, "%%guard --es|\n") == {"--estimate"}
    assert "reg_district" in offers(shell, "%guard SELECT reg_d|")


def test_what_may_not_be_queried_is_not_offered(shell: InteractiveShell) -> None:
    assert "legal_person" not in offers(shell, "%%guard\nSELECT legal| FROM ent")


def test_python_cells_are_left_alone(shell: InteractiveShell) -> None:
    assert "reg_district" not in offers(shell, "reg_|")


def test_without_a_vault_tab_is_silent(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "here", Session())
    monkeypatch.delenv("SANDBOX_GUARD_URL")
    assert "reg_district" not in offers(shell, "%%guard\nSELECT reg_|")
