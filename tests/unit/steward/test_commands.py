"""What a steward types, and what they are shown."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import uvicorn
from typer.testing import CliRunner

from sandbox_guard.engines.versions import current
from sandbox_guard.ledger.service import Caller, create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import EntryFilter, EntryKind
from sandbox_guard.policy.files import read_policies
from sandbox_guard.steward.commands import add_commands
from tests import loading
from tests.ledgers import open_ledger

SBA_POLICIES = Path(__file__).parents[2] / "data" / "sba" / "policies"
SBA = Path(
    os.environ.get("SANDBOX_GUARD_SBA", Path(__file__).parents[4] / "shared" / "data" / "sba_loans.csv")
)

app = typer.Typer()
add_commands(app)


def run(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(w) for w in words], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SANDBOX_GUARD_LEDGER_URL", "http://127.0.0.1:9")  # nobody listens
    shutil.copytree(SBA_POLICIES, tmp_path / "policies")
    return tmp_path


def load(files: Path, *words: str | Path) -> tuple[int, str]:
    return run("load", *words, "--policies", files / "policies", "--home", files / "var")


def test_a_real_file_with_all_its_traps(files: Path) -> None:
    if not SBA.exists():
        if "sba" in os.environ.get("SANDBOX_GUARD_REQUIRE", ""):
            pytest.fail(f"{SBA} is required")
        pytest.skip(f"{SBA} is not here")
    code, shown = load(files, "sba", SBA)
    assert code == 0, shown
    assert "22,427" in shown
    assert "21,588" in shown
    home = files / "var"
    assert (home / "samples" / "sba.duckdb").exists()
    query = """SELECT count(chgoffdate), min(chgoffdate) > DATE '1965-01-01', max(chgoffdate) < DATE '2015-01-01',
               count(*) - count(disbursementdate), count(*) - count(mis_status), max(__rank) FROM sba_loan"""
    ((charged_off, after_1965, before_2015, undisbursed, no_status, most),) = loading.stored(
        home, query, "sba"
    )
    # the cap of four loans a borrower drops 21 of 22,427 rows
    assert 22_427 - 17_511 - 21 <= charged_off <= 22_427 - 17_511
    assert after_1965
    assert before_2015
    assert undisbursed <= 34
    assert no_status <= 119
    assert most == 4


def test_a_refusal_names_everything_wrong_in_both_languages(files: Path) -> None:
    source = loading.csv(files, "sba_loan", "Name,LoanNr_ChkDgt\nA,1\n")
    code, shown = load(files, "sba", source)
    assert code == 1
    assert "sba_loan.csv, line 1, column City" in shown
    assert "第 1 行" in shown
    assert not (files / "var" / "restricted" / "sba").is_dir() or not list(
        (files / "var" / "restricted" / "sba").iterdir()
    )


def test_an_unknown_dataset_or_table_is_named_with_those_there_are(files: Path) -> None:
    code, shown = load(files, "sab", "x.csv")
    assert (code, "there are: sba" in shown) == (1, True)
    code, shown = load(files, "sba", "loans=x.csv")
    assert (code, "no table loans" in shown) == (1, True)


@pytest.fixture
def ledger(files: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerStore]:
    """The real one, over HTTP."""
    (files / "var" / "keys").mkdir(parents=True)
    (files / "var" / "keys" / "admin.token").write_text("the-token\n")
    store = open_ledger(f"sqlite:///{files / 'ledger.sqlite'}", files)
    app = create_app(store, {Caller.ADMIN: "the-token"}, files / "checkpoints")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    monkeypatch.setenv("SANDBOX_GUARD_LEDGER_URL", f"http://127.0.0.1:{port}")
    yield store
    server.should_exit = True
    thread.join()


def test_the_ledger_is_told_of_a_load_and_of_nothing_in_it(files: Path, ledger: LedgerStore) -> None:
    head = SBA_POLICIES / "datasets" / "sba.yaml"
    names = [n for n in loading.read_columns(head, "sba_loan")]
    row = ["1" if n == "LoanNr_ChkDgt" else "Lender" if n == "Name" else "" for n in names]
    source = loading.csv(files, "sba_loan", ",".join(names) + "\n" + ",".join(row) + "\n")
    code, shown = load(files, "sba", source)
    assert code == 0, shown
    assert "does not answer" not in shown
    (entry,) = ledger.entries(EntryFilter(kind=EntryKind.LOAD)).entries
    version = current(files / "var" / "restricted" / "sba")
    assert version is not None
    assert (entry.facts["dataset"], entry.facts["version"]) == ("sba", version.id)
    assert "Lender" not in entry.leaf
    assert load(files, "sba", source)[0] == 0
    assert len(ledger.entries(EntryFilter(kind=EntryKind.LOAD)).entries) == 2


def test_a_draft_on_standard_output_holds_nothing_read_off_the_data(files: Path) -> None:
    """`sandbox-guard draft loans.csv > policy.yaml` is what people type (SOUNDNESS 34)."""
    source = loading.csv(
        files, "loans", "Name,Amount\n" + "".join(f"Firm{i},{4_987_000 + i}\n" for i in range(9))
    )
    result = CliRunner().invoke(app, ["draft", str(source)])
    assert result.exit_code == 0, result.output
    assert "4987008" in result.stderr
    assert "4987" not in result.stdout
    assert "TODO" in result.stdout


def test_a_draft_of_no_file_is_a_sentence(files: Path) -> None:
    code, shown = run("draft", files / "none.csv")
    assert (code, "Cannot read" in shown) == (1, True)


def test_a_city_larger_than_the_policies_allow_says_what_to_do(tmp_path: Path) -> None:
    """Before it is made, which takes minutes for millions of firms; and doing so helps."""
    policies, wider = Path(__file__).parents[3] / "policies", tmp_path / "wider"
    asked = ("demo", "--firms", "60001", "--home", tmp_path / "var")
    code, shown = run(*asked, "--policies", policies)
    assert code == 1
    assert "60,000 firms at most" in shown
    assert "sandbox-guard demo --firms 60001 --scale policies-60001" in shown
    assert not (tmp_path / "var").exists()
    code, shown = run("demo", "--firms", "60001", "--policies", policies, "--scale", wider)
    assert code == 0
    assert f"make run FIRMS=60001 SANDBOX_GUARD_POLICIES={wider}" in shown
    assert read_policies(wider).datasets["enterprise-register"].tables["ent"].max_rows >= 60_001
