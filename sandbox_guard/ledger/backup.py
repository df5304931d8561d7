"""Backup and restore, and how a restored ledger comes back into use (DESIGN section 5).

A backup is older than the ledger it was made of. Charges taken since would be forgotten though their answers
were seen, so a restored ledger takes no charge until the gap is accounted for: by the exported entries up to
the highest position that any vault was acknowledged, or by counting every budget as spent.

A backup is one zip of the tables as JSON lines, the same for SQLite and PostgreSQL. It holds no keys: those of
`var/keys/` are kept elsewhere.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, LargeBinary, delete, insert, select, update

from sandbox_guard.ledger import accounts, allowance, lanes, schema
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.log import write_atomically
from sandbox_guard.ledger.migrations import NEWEST
from sandbox_guard.ledger.releases import question_key
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.transaction import Transaction
from sandbox_guard.ledger.verify import leaf_hash, verify
from sandbox_guard.ledger.wire import AccountCap, Act, Amount, Asker, Claim, EntryKind, Question, Reserved

FORMAT = "sandbox-guard-ledger-1"


class NotRestored(Exception):
    """Why a restore or reopening did not happen. Nothing was changed."""


def backup(store: LedgerStore, target: Path) -> int:
    """Write the whole ledger to one file, whether it is in use or not; returns the number of entries."""
    partial = target.with_name(f".{target.name}.partial")
    with reading(store.engine) as connection, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        partial.chmod(0o600)
        for table in schema.Base.metadata.sorted_tables:
            with archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as file:
                for row in connection.execution_options(yield_per=1000).execute(select(table)).mappings():
                    file.write(json.dumps({k: _plain(v) for k, v in row.items()}).encode() + b"\n")
        size = connection.scalar(select(schema.Head.size)) or 0
        archive.writestr("backup.json", json.dumps({"format": FORMAT, "revision": NEWEST, "entries": size}))
    partial.replace(target)
    return size


def restore(store: LedgerStore, source: Path, keep: Path) -> int:
    """Replace all that the ledger holds by a backup, and close it for charges. Returns the number of entries.

    What it held before is exported to `keep` first: it may be all that `reopen` needs. Raises NotRestored for a
    file that is no backup, or is not this key's log.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            described = json.loads(archive.read("backup.json"))
            if described["format"] != FORMAT:
                raise NotRestored("this is not a backup of a ledger")
            if described.get("revision") != NEWEST:
                raise NotRestored(
                    f"the backup holds tables of revision {described.get('revision', 'unknown')}, this version has"
                    f" {NEWEST}: restore it with the version that made it, and start this one on that ledger"
                )
            tables = {t: _rows(archive, t.name) for t in schema.Base.metadata.sorted_tables}
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise NotRestored("this is not a backup of a ledger") from error
    if store.size:
        write_atomically(keep, "".join(store.export()).encode())
    with store.writer.exclusive() as connection:
        for table in reversed(schema.Base.metadata.sorted_tables):
            connection.execute(delete(table))
        for table, rows in tables.items():
            for start in range(0, len(rows), 1000):
                connection.execute(insert(table), [_typed(table, row) for row in rows[start : start + 1000]])
        connection.execute(update(schema.Head).values(restored="from a backup"))
        size = connection.scalar(select(schema.Head.size)) or 0
        _check_key(connection, store, size)
    return size


def reopen(store: LedgerStore, act: Act, *, highest_mark: int, export: Iterable[str] | None = None) -> int:
    """Take charges again; returns the position of the entry that says how.

    `highest_mark` is the highest position that any vault was acknowledged (`highest_mark_in`); `export` holds
    entries up to there at least. Without it, unless the ledger itself reaches that far, every budget counts
    as spent and no unfinished charge can be finished. Raises NotRestored for an export that does not verify,
    does not continue this log, or ends too early.
    """
    lines = list(export or ())
    if lines:
        verdict = verify(lines, store.public_key)
        if not verdict.good:
            raise NotRestored(verdict.sentence())
    entries = [line.rstrip("\n") for line in lines if '"position":' in line and not line.startswith('{"b')]
    with store.writer.transaction() as tx:
        size = tx.tree.size
        if tx.restored is None:
            raise NotRestored("the ledger is open")
        if entries:
            _check_continues(tx, entries)
            now = tx.now
            for leaf in entries[size:]:
                _replay(tx, leaf)
            tx.now = max(now, tx.now)
        known = tx.tree.size
        if entries and known <= highest_mark:
            raise NotRestored(f"the export ends before entry {highest_mark}, which a vault was acknowledged")
        forfeited = [] if known > highest_mark and (entries or highest_mark >= 0) else _forfeit(tx)
        tx.restored = None
        facts = {
            "reason": act.reason,
            "from": size,
            "to": max(known, highest_mark + 1),
            "forfeited": forfeited,
        }
        return tx.append(EntryKind.RESTORE, act.actor, None, facts)


def highest_mark_in(folder: Path) -> int:
    """Of all marks that vaults keep in this folder; -1 where there are none."""
    marks = (json.loads(path.read_text("utf-8"))["position"] for path in folder.glob("*.mark"))
    return max(marks, default=-1)


# ------------------------------------------------------------------------------------ rows, files


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _rows(archive: zipfile.ZipFile, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(f"{table}.jsonl").splitlines()]


def _typed(table: Any, row: dict[str, Any]) -> dict[str, Any]:
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    return {name: base64.b64decode(value) if name in binary else value for name, value in row.items()}


def _check_key(connection: Connection, store: LedgerStore, size: int) -> None:
    """A log that another key signed cannot be continued by this one."""
    if size == 0:
        return
    last = connection.execute(
        select(schema.Entry.root, schema.Entry.signature).where(schema.Entry.position == size - 1)
    ).one()
    if store.signer.sign(size, last.root) != last.signature:
        raise NotRestored("the backup's log is not signed by this ledger's key")


# --------------------------------------------------------------------------------------- the gap


def _check_continues(tx: Transaction, entries: list[str]) -> None:
    size = tx.tree.size
    ours = tx.connection.scalar(select(schema.Entry.leaf).where(schema.Entry.position == size - 1))
    if len(entries) < size or (size and entries[size - 1] != ours):
        raise NotRestored("the export is not a continuation of this log")


def _replay(tx: Transaction, leaf: str) -> None:
    """Do again what an entry records."""
    entry = json.loads(leaf)
    facts, project, connection = entry["facts"], entry["project"], tx.settled
    match entry["kind"]:
        case "policy":
            accounts.set_caps(connection, [_cap(cap) for cap in facts["accounts"]])
            connection.execute(delete(schema.Project))
            for terms in facts["projects"]:
                row = {"name": terms["project"], "terms": json.dumps(terms)}
                connection.execute(insert(schema.Project), row)
            tx.policy_digest = facts["policy_digest"]
        case "charge":
            for taken in facts["accounts"]:
                _spend(connection, taken["account"], taken["rho"], taken["delta"])
            connection.execute(insert(schema.Charge), _charge_row(entry, facts))
            _reserve(connection, entry)
        case "reserve":
            _reserve(connection, entry)
        case "fault":
            _leak(connection, entry)
        case "release":
            _leak(connection, entry)
            # Its body is not in the log, and it may have been shown: it is not drawn again.
            connection.execute(
                update(schema.Charge).where(schema.Charge.charge_id == facts["charge_id"]).values(lost=True)
            )
        case "renew":
            accounts.renew(connection, facts["account"])
        case "restore":
            for taken in facts["forfeited"]:
                _spend(connection, taken["account"], taken["rho"], taken["delta"])
        case "suspend" | "resume" | "close":
            _stand(connection, entry)
        case "load":
            row = {"dataset": facts["dataset"], "version": facts["version"], "position": entry["position"]}
            connection.execute(insert(schema.Load), row)
        case "sandbox" if facts["state"] == "ended":
            connection.execute(
                update(schema.Sandbox)
                .where(schema.Sandbox.sandbox_id == facts["sandbox_id"])
                .values(ended=True)
            )
    tx.now = entry["at"]
    tx.append(EntryKind(entry["kind"]), entry["actor"], project, facts)
    if tx.last != leaf_hash(leaf.encode()).hex():
        raise NotRestored(f"entry {entry['position']} is not one that this ledger writes")


def _charge_row(entry: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "charge_id": facts["charge_id"],
        "position": entry["position"],
        "project": entry["project"],
        "member": facts["member"],
        "request_id": facts["request_id"],
        "question": question_key(Question.model_validate(facts["question"])),
        "plan_digest": facts["plan_digest"],
        "lost": False,
    }


def _reserve(connection: Connection, entry: dict[str, Any]) -> None:
    facts = entry["facts"]
    if facts.get("claim") is None:
        return
    starts, releases = (dt.datetime.fromisoformat(facts[name]) for name in ("starts_at", "releases_at"))
    claim = Claim.model_validate(facts["claim"])
    reserved = Reserved(
        lane=claim.lane,
        starts_at=starts,
        releases_at=releases,
        wait=0,
        milliseconds=claim.milliseconds,
    )
    lanes.kept(connection, reserved, claim, facts["charge_id"], facts["member"], entry["position"])


def _leak(connection: Connection, entry: dict[str, Any]) -> None:
    facts = entry["facts"]
    reservation = lanes.reserved_for(connection, facts["charge_id"], facts["member"])
    if reservation is not None and facts.get("told"):
        asker = Asker(member=facts["member"], project=entry["project"])
        allowance.keep(
            connection, asker, reservation, facts["overruns"], facts["told"], entry["position"], entry["at"]
        )


def _cap(cap: dict[str, Any]) -> AccountCap:
    level, *names = cap["account"].split("/")
    fields = {
        "population": (),
        "dataset": ("dataset",),
        "project": ("project",),
        "member": ("member", "project"),
    }
    *named, population = names
    return AccountCap.model_validate(
        {
            "level": level,
            "population": population,
            **dict(zip(fields[level], named, strict=True)),
            "cap": Amount(rho=cap["rho"], delta=cap["delta"]),
        }
    )


def _spend(connection: Connection, account: str, rho: int, delta: int) -> None:
    connection.execute(
        update(schema.Budget)
        .where(schema.Budget.account == account)
        .values(spent_rho=schema.Budget.spent_rho + rho, spent_delta=schema.Budget.spent_delta + delta)
    )


def _stand(connection: Connection, entry: dict[str, Any]) -> None:
    subject = entry["facts"]["subject"]
    standing = schema.Standing
    connection.execute(
        delete(standing).where(standing.kind == subject["kind"], standing.name == subject["name"])
    )
    if subject["kind"] == "shape" and entry["kind"] == "resume":
        allowance.forgive(connection, subject["name"])
    if entry["kind"] != "resume":
        state = "closed" if entry["kind"] == "close" else "suspended"
        connection.execute(insert(standing), {**subject, "state": state, "position": entry["position"]})


def _forfeit(tx: Transaction) -> list[dict[str, object]]:
    """Count every budget as spent, let no unfinished charge publish, and end all sandboxes."""
    budget = schema.Budget
    taken: list[dict[str, object]] = []
    for row in tx.connection.execute(select(budget.__table__).order_by(budget.account)):
        rho, delta = max(row.cap_rho - row.spent_rho, 0), max(row.cap_delta - row.spent_delta, 0)
        if rho or delta:
            _spend(tx.connection, row.account, rho, delta)
            taken.append({"account": row.account, "rho": rho, "delta": delta})
    released = select(schema.Release.charge_id)
    tx.connection.execute(
        update(schema.Charge).where(schema.Charge.charge_id.not_in(released)).values(lost=True)
    )
    tx.connection.execute(update(schema.Sandbox).values(ended=True))
    return taken
