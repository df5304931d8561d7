"""What an auditor takes away says what the log says, and harms nobody who opens it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow.parquet as pq

from sandbox_guard.ledger.evidence import write_bundle, write_csv, write_parquet
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import verify_evidence
from sandbox_guard.ledger.wire import EntryFilter
from tests.ledgers import ALICE, CAROL, question, request

FORMULA = '=HYPERLINK("http://x")'


def test_a_csv_holds_no_formula(ledger: LedgerStore) -> None:
    for sql in (FORMULA, " +1", "@SUM(A1)", "-1", "SELECT '=1'"):
        ledger.charge(ALICE, request(sql=sql))
    file = io.StringIO()
    write_csv(ledger.entries(EntryFilter()).entries, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["sql"] for row in rows[:5]] == ["SELECT '=1'", "'-1", "'@SUM(A1)", "' +1", f"'{FORMULA}"]
    assert not any(cell and cell.lstrip()[0] in "=+-@" for row in rows for cell in row.values())
    assert [row["position"] for row in rows] == ["5", "4", "3", "2", "1", "0"]


def test_parquet_has_the_texts_as_they_are(ledger: LedgerStore, tmp_path: Path) -> None:
    ledger.charge(ALICE, request(sql=FORMULA, rho=7, delta=2))
    write_parquet(ledger.entries(EntryFilter()).entries, tmp_path / "log.parquet")
    row = pq.read_table(tmp_path / "log.parquet").to_pylist()[0]
    assert (row["sql"], row["rho"], row["delta"], row["datasets"]) == (FORMULA, 7, 2, "loan")


def test_evidence_of_one_project_is_checked_with_the_verifier_alone(
    ledger: LedgerStore, tmp_path: Path
) -> None:
    charge = ledger.charge(ALICE, request())
    ledger.charge(CAROL, request(question(1, "tax"), sql="SELECT 'another project'"))
    ledger.publish(ALICE, charge.charge_id, '{"rows":[1]}')
    bundle = tmp_path / "credit.zip"
    assert write_bundle(ledger, "credit", bundle) == 3
    assert verify_evidence(bundle, ledger.public_key).good
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path / "out")
    assert "another project" not in (tmp_path / "out" / "entries.jsonl").read_text()
    run = [sys.executable, "-I", "verify.py", str(bundle), "public-key.txt"]
    result = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path / "out", check=False)
    assert result.stdout.startswith("YES"), result.stderr

    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b"alice", b"malice"))
    verdict = verify_evidence(changed, ledger.public_key)
    assert (verdict.reason, verdict.position) == ("altered", 0)
