"""Does what the database holds beside the log agree with the log?

The verifier needs none of this: it reads leaves only. But pages search by columns and answer from stored
releases, so where the database itself is at hand, `audit verify` compares those too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from sandbox_guard.ledger import schema
from sandbox_guard.ledger.lanes import moment, stamp
from sandbox_guard.ledger.transaction import datasets_of, search_columns
from sandbox_guard.ledger.verify import Tree, Verdict, leaf_hash


def compare_tables(connection: Connection) -> Verdict:
    """Names the first entry of which some table tells something else. The leaves must have been verified."""
    entries = [
        json.loads(leaf)
        for leaf in connection.scalars(select(schema.Entry.leaf).order_by(schema.Entry.position))
    ]
    wrong = min(
        (
            position
            for check in (_search, _datasets, _tree, _charges, _reservations, _leaks, _releases, _loads)
            for position in check(connection, entries)
        ),
        default=None,
    )
    return Verdict("good" if wrong is None else "tables", len(entries), wrong)


def _search(connection: Connection, entries: list[Any]) -> Iterator[int]:
    for row in connection.execute(select(schema.Entry.__table__)):
        columns = search_columns(entries[row.position])
        if any(getattr(row, name) != value for name, value in columns.items()):
            yield row.position


def _datasets(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {(d, entry["position"]) for entry in entries for d in datasets_of(entry)}
    found = {(row.dataset, row.position) for row in connection.execute(select(schema.EntryDataset.__table__))}
    yield from (position for _, position in due ^ found)


def _tree(connection: Connection, entries: list[Any]) -> Iterator[int]:
    nodes = {(row.level, row.place): row.hash for row in connection.execute(select(schema.Node.__table__))}
    tree = Tree()
    rows = connection.execute(
        select(schema.Entry.position, schema.Entry.leaf, schema.Entry.leaf_hash, schema.Entry.root).order_by(
            schema.Entry.position
        )
    )
    for row in rows:
        digest = leaf_hash(row.leaf.encode())
        completed = tree.append(digest)
        stored = [nodes.get((level, place)) for level, place, _ in completed]
        if digest != row.leaf_hash or tree.root() != row.root or stored != [n for _, _, n in completed]:
            yield row.position


def _charges(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {e["position"]: e["facts"]["charge_id"] for e in entries if e["kind"] == "charge"}
    for row in connection.execute(select(schema.Charge.__table__)):
        facts = entries[row.position]["facts"] if due.pop(row.position, None) == row.charge_id else None
        if facts is None or (row.member, row.request_id, row.plan_digest) != (
            facts["member"],
            facts["request_id"],
            facts["plan_digest"],
        ):
            yield min(row.position, len(entries) - 1)
    yield from due


def _reservations(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {(e["position"], e["facts"]["charge_id"], e["facts"]["starts_at"]) for e in entries if _reserves(e)}
    rows = connection.execute(select(schema.Reservation.__table__))
    found = {(r.position, r.charge_id, stamp(moment(r.starts_at))) for r in rows}
    yield from (position for position, *_ in due ^ found)


def _reserves(entry: Any) -> bool:
    return entry["kind"] in ("charge", "reserve") and "starts_at" in entry["facts"]


def _leaks(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {(e["position"], e["facts"]["told"]) for e in entries if e["facts"].get("told")}
    found = {(r.position, r.bits) for r in connection.execute(select(schema.Leak.__table__))}
    yield from (position for position, _ in due ^ found)


def _releases(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {e["position"]: e["facts"] for e in entries if e["kind"] == "release"}
    for row in connection.execute(select(schema.Release.__table__)):
        facts = due.pop(row.position, {})
        if (row.release_id, row.charge_id) != (facts.get("release_id"), facts.get("charge_id")):
            yield min(row.position, len(entries) - 1)
        elif hashlib.sha256(row.body.encode()).hexdigest() != facts["body_digest"]:
            yield row.position
    # A restore with exported entries knows that there was a release, but no longer which.
    lost = set(connection.scalars(select(schema.Charge.charge_id).where(schema.Charge.lost)))
    yield from (position for position, facts in due.items() if facts["charge_id"] not in lost)


def _loads(connection: Connection, entries: list[Any]) -> Iterator[int]:
    due = {
        (e["facts"]["dataset"], e["facts"]["version"], e["position"]) for e in entries if e["kind"] == "load"
    }
    rows = connection.execute(select(schema.Load.__table__))
    yield from (position for _, _, position in due ^ {(r.dataset, r.version, r.position) for r in rows})
