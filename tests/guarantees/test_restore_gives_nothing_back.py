"""A restored ledger does not give back what was spent, nor draw a second answer for one charge."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.ledger.backup import NotRestored, backup, reopen, restore
from sandbox_guard.ledger.remote import KeptMark
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.tables import compare_tables
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import EntryFilter, EntryKind, Mark
from tests.ledgers import ACT, ALICE, BOB, open_ledger, question, request, terms
from tests.postgres import Cluster, cluster


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LedgerStore]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres").database()
    else:
        url = f"sqlite:///{tmp_path}/ledger.sqlite"
    store = open_ledger(url, tmp_path)
    store.apply(terms(), ACT)
    yield store
    store.close()


def refused(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda error: error.code == code)


def spent(ledger: LedgerStore) -> dict[str, int]:
    return {b.account.level: b.spent.rho for b in ledger.balances(ALICE)}


@pytest.fixture
def set_back(ledger: LedgerStore, tmp_path: Path) -> Callable[[], int]:
    """Alice asks, a backup is made, she asks twice more, the backup is restored. Returns the highest position
    she was acknowledged; `before.jsonl` is the log as it was."""

    def go() -> int:
        ledger.charge(ALICE, request(question("first"), rho=10))
        backup(ledger, tmp_path / "backup.zip")
        charge = ledger.charge(ALICE, request(question("second"), rho=20))
        release = ledger.publish(ALICE, charge.charge_id, '{"draw":1}')
        unfinished = ledger.charge(ALICE, request(question("first"), rho=10))  # finishes what crashed
        release = ledger.publish(ALICE, unfinished.charge_id, '{"draw":1}')
        assert spent(ledger)["member"] == 30
        restore(ledger, tmp_path / "backup.zip", tmp_path / "before.jsonl")
        assert spent(ledger)["member"] == 10
        return release.position

    return go


def test_a_restored_ledger_takes_no_charge(ledger: LedgerStore, set_back: Callable[[], int]) -> None:
    set_back()
    with refused("budget.ledger_restored"):
        ledger.charge(BOB, request())


def test_the_exported_entries_bring_every_charge_back(
    ledger: LedgerStore, set_back: Callable[[], int], tmp_path: Path
) -> None:
    mark = set_back()
    lines = (tmp_path / "before.jsonl").read_text().splitlines(keepends=True)
    reopen(ledger, ACT, highest_mark=mark, export=lines)
    assert spent(ledger)["member"] == 30
    for name in ("first", "second"):  # both were shown: asking again is a new charge, never a second draw
        again = ledger.charge(ALICE, request(question(name), rho=10))
        assert again.release is None
    assert spent(ledger)["member"] == 50
    assert verify(ledger.export(), ledger.public_key).good
    with ledger.engine.connect() as connection:
        assert compare_tables(connection).good


def test_a_release_that_was_lost_cannot_be_drawn_again(
    ledger: LedgerStore, set_back: Callable[[], int], tmp_path: Path
) -> None:
    mark = set_back()
    lines = (tmp_path / "before.jsonl").read_text().splitlines(keepends=True)
    reopen(ledger, ACT, highest_mark=mark, export=lines)
    charges = [json.loads(line) for line in lines if '"kind":"charge"' in line]
    for entry in charges:
        with refused("budget.release_lost"):
            ledger.publish(ALICE, entry["facts"]["charge_id"], '{"draw":2}')


def test_without_them_every_budget_counts_as_spent(ledger: LedgerStore, set_back: Callable[[], int]) -> None:
    mark = set_back()
    reopen(ledger, ACT, highest_mark=mark)
    assert all(b.spent == b.account.cap for b in ledger.all_guarantees())
    with refused("budget.member"):
        ledger.charge(ALICE, request(rho=1))
    entry = ledger.entries(EntryFilter(kind=EntryKind.RESTORE)).entries[0]
    assert (entry.facts["from"], entry.facts["to"]) == (2, mark + 1)
    assert verify(ledger.export(), ledger.public_key).good


def test_nor_can_an_unfinished_charge_be_finished_then(
    ledger: LedgerStore, set_back: Callable[[], int]
) -> None:
    """It may have been finished, and shown, in the gap."""
    mark = set_back()
    charge_id = ledger.entries(EntryFilter(kind=EntryKind.CHARGE)).entries[0].facts["charge_id"]
    reopen(ledger, ACT, highest_mark=mark)
    with refused("budget.release_lost"):
        ledger.publish(ALICE, str(charge_id), '{"draw":2}')


def test_an_export_that_ends_too_early_is_not_enough(
    ledger: LedgerStore, set_back: Callable[[], int], tmp_path: Path
) -> None:
    mark = set_back()
    lines = (tmp_path / "before.jsonl").read_text().splitlines(keepends=True)
    with pytest.raises(NotRestored, match=f"before entry {mark + 1}"):
        reopen(ledger, ACT, highest_mark=mark + 1, export=lines)
    with pytest.raises(NotRestored, match="NO"):
        reopen(ledger, ACT, highest_mark=mark, export=[line.replace('"rho":20', '"rho":2') for line in lines])
    with refused("budget.ledger_restored"):
        ledger.charge(BOB, request())
    assert spent(ledger)["member"] == 10


def test_a_backup_of_another_ledger_is_not_taken(ledger: LedgerStore, tmp_path: Path) -> None:
    other = open_ledger(f"sqlite:///{tmp_path}/other.sqlite", tmp_path / "other")
    other.apply(terms(), ACT)
    backup(other, tmp_path / "other.zip")
    with pytest.raises(NotRestored, match="not signed"):
        restore(ledger, tmp_path / "other.zip", tmp_path / "keep.jsonl")
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(NotRestored, match="not a backup"):
        restore(ledger, tmp_path / "no.zip", tmp_path / "keep.jsonl")
    assert ledger.charge(ALICE, request()).position == 1


def test_a_backup_of_other_tables_is_not_taken_and_says_what_to_do(
    ledger: LedgerStore, tmp_path: Path
) -> None:
    backup(ledger, tmp_path / "new.zip")
    with (
        zipfile.ZipFile(tmp_path / "new.zip") as new,
        zipfile.ZipFile(tmp_path / "old.zip", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "backup.json":
                content = json.dumps({**json.loads(content), "revision": "0001"}).encode()
            old.writestr(name, content)
    with pytest.raises(NotRestored, match="restore it with the version that made it"):
        restore(ledger, tmp_path / "old.zip", tmp_path / "keep.jsonl")
    assert ledger.charge(ALICE, request()).position == 1


def test_a_ledger_set_back_behind_everyones_back_is_found_out_by_a_vault(tmp_path: Path) -> None:
    """Someone copies an old database file over the new one; no restore was announced."""
    file = tmp_path / "ledger.sqlite"
    ledger = open_ledger(f"sqlite:///{file}", tmp_path)
    ledger.apply(terms(), ACT)
    ledger.close()
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(file, tmp_path / "old.sqlite")
    ledger = open_ledger(f"sqlite:///{file}", tmp_path)
    kept = KeptMark(tmp_path / "alice.mark")
    kept.acknowledge(str(ledger.mark_of(ledger.charge(ALICE, request()).position)))
    ledger.close()
    for left in tmp_path.glob("ledger.sqlite*"):
        left.unlink()
    shutil.copy(tmp_path / "old.sqlite", file)

    ledger = open_ledger(f"sqlite:///{file}", tmp_path)
    ledger.charge(BOB, request())  # nobody knows yet; the position is taken by another entry
    mark = KeptMark(tmp_path / "alice.mark").headers()["Ledger-Mark"]
    token = ledger.open_sandbox(ALICE, "hub").token
    with refused("budget.ledger_behind"):
        ledger.admitted(token, Mark.parse(mark))
    with refused("budget.ledger_restored"):
        ledger.charge(BOB, request())
    ledger.close()
