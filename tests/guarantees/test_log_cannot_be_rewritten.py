"""Nothing in the audit log can be removed, altered or reordered without the verifier naming it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sandbox_guard.ledger import verify as verifier
from sandbox_guard.ledger.checkpoints import write_checkpoint
from sandbox_guard.ledger.commands import audit_app
from sandbox_guard.ledger.verify import verify
from tests.ledgers import open_ledger
from tests.vectors.log.make import HERE, history, leaves

CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text())
KEY = (HERE / "public-key.txt").read_text()
GOOD = (HERE / "good.jsonl").read_text().splitlines(keepends=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["file"])
def test_the_first_bad_entry_is_named(case: dict[str, Any]) -> None:
    lines = (HERE / case["file"]).read_text().splitlines(keepends=True)
    verdict = verify(lines, KEY, [(HERE / name).read_text() for name in case["checkpoints"]])
    assert (verdict.reason, verdict.position, verdict.until) == (
        case["reason"],
        case["position"],
        case["until"],
    )
    assert verdict.good is (case["reason"] == "good")
    assert verdict.sentence("en").startswith("YES" if verdict.good else "NO")
    if verdict.position is not None:
        assert str(verdict.position) in verdict.sentence("zh")


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 9), st.integers(0, 10**6), st.integers(1, 255))
def test_any_one_changed_byte_of_an_entry_names_it(position: int, at: int, flip: int) -> None:
    entries = [line.rstrip("\n").encode() for line in leaves(GOOD)]
    rest = [line.encode() for line in GOOD if line not in leaves(GOOD)]
    leaf = bytearray(entries[position])
    leaf[at % len(leaf)] ^= flip
    verdict = verify([*entries[:position], bytes(leaf), *entries[position + 1 :], *rest], KEY)
    assert not verdict.good
    # A byte that makes it claim another place reads as an entry that is missing there.
    assert verdict.position == position, verdict


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_one_changed_byte_of_a_checkpoint_is_noticed(data: st.DataObject) -> None:
    note = bytearray((HERE / "older.note").read_bytes())
    at = data.draw(st.integers(0, len(note) - 2))
    note[at] ^= data.draw(st.integers(1, 255))
    try:
        text = note.decode()
    except UnicodeDecodeError:
        return
    assert verify(GOOD, KEY, [text]).reason == "unsigned"


@pytest.mark.parametrize("flip", [2, 3, 5])
def test_bits_that_a_decoder_drops_are_noticed_too(flip: int) -> None:
    """Of the last character of a signature: found by trying every byte."""
    note = bytearray((HERE / "older.note").read_bytes())
    assert note.endswith(b"=\n")
    note[-3] ^= flip
    assert verify(GOOD, KEY, [note.decode()]).reason == "unsigned"


def test_another_key_does_not_vouch(tmp_path: Path) -> None:
    stranger = open_ledger(f"sqlite:///{tmp_path}/l.sqlite", tmp_path)
    assert verify(GOOD, stranger.public_key).reason == "unsigned"
    assert verify(GOOD, "not a key").reason == "unsigned"


def test_the_verifier_stands_alone(tmp_path: Path) -> None:
    """One file, the standard library and one signature library, run where nothing of ours is."""
    alone = tmp_path / "verify.py"
    alone.write_bytes(Path(verifier.__file__).read_bytes())
    run = [sys.executable, "-I", str(alone), str(HERE / "good.jsonl"), str(HERE / "public-key.txt")]
    result = subprocess.run(
        [*run, str(HERE / "older.note")], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert (result.returncode, result.stdout[:4]) == (0, "YES."), result.stderr
    run[3] = str(HERE / "deleted.jsonl")
    result = subprocess.run(run, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stdout[:12]) == (1, "NO. Entry 5:"), result.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger where the command line looks for it."""
    monkeypatch.setenv("SANDBOX_GUARD_HOME", str(tmp_path))
    monkeypatch.setenv(
        "SANDBOX_GUARD_LEDGER_TO_EPSILON", "tests.guarantees.test_log_cannot_be_rewritten:no_epsilon"
    )
    (tmp_path / "ledger").mkdir()
    (tmp_path / "keys").mkdir()
    store = open_ledger(f"sqlite:///{tmp_path}/ledger/ledger.sqlite", tmp_path)
    (tmp_path / "keys" / "ledger.pem").rename(tmp_path / "keys" / "ledger-signing.pem")
    history(store, "SELECT avg(dpd90) FROM loan")
    write_checkpoint(store, tmp_path / "ledger" / "checkpoints")
    store.close()
    return tmp_path


def no_epsilon(rho: int, delta: int, at_delta: float) -> tuple[float, float]:
    return 0.0, at_delta


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        ("SELECT 1", "YES."),
        (
            "UPDATE entries SET leaf = replace(leaf, '\"rho\":10', '\"rho\":11') WHERE position = 2",
            "NO. Entry 2:",
        ),
        ("UPDATE entries SET leaf = replace(leaf, 'bob', 'eve') WHERE position = 9", "NO. Entry 9:"),
        ("DELETE FROM entries WHERE position = 5", "NO. Entry 5:"),
        ("DELETE FROM entries WHERE position >= 7", "NO. Entry 7"),
        ("UPDATE entries SET actor = 'eve' WHERE position = 3", "NO. Entry 3:"),
        ("UPDATE releases SET body = '{\"rows\":[13]}' WHERE position = 3", "NO. Entry 3:"),
        ("UPDATE charges SET member = 'eve' WHERE position = 6", "NO. Entry 6:"),
        ("UPDATE loads SET version = '2-00ff'", "NO. Entry 1:"),
        ("UPDATE budgets SET spent_rho = 0 WHERE account = 'population/firms'", "NO. A balance"),
    ],
)
def test_a_ledger_that_was_tampered_with_is_told_where(home: Path, tamper: str, found: str) -> None:
    import sqlite3

    with sqlite3.connect(home / "ledger" / "ledger.sqlite") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(tamper)
    result = CliRunner().invoke(audit_app, ["verify"])
    assert found in result.output, (result.output, result.exception)
    assert result.exit_code == (0 if found == "YES." else 1)


def test_an_auditor_needs_only_export_key_and_checkpoint(home: Path) -> None:
    run = CliRunner()
    assert run.invoke(audit_app, ["export", "-o", str(home / "log.jsonl")]).exit_code == 0
    assert run.invoke(audit_app, ["checkpoint", "-o", str(home / "mine.note")]).exit_code == 0
    arguments = ["verify", str(home / "log.jsonl"), "--checkpoint", str(home / "mine.note")]
    assert "YES" in run.invoke(audit_app, arguments).output
    lines = (home / "log.jsonl").read_text().splitlines(keepends=True)
    (home / "log.jsonl").write_text("".join(lines[:-3]))
    assert "NO" in run.invoke(audit_app, arguments).output
    listed = run.invoke(audit_app, ["entries", "--person", "alice", "--kind", "charge"])
    assert "SELECT" in listed.output
