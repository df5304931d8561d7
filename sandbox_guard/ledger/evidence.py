"""What an auditor takes away: entries as a table, and a project's entries with their proofs."""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import or_, select

from sandbox_guard.ledger import log, schema, verify
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.releases import digest_of
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Entry

COLUMNS = (
    "position", "at", "kind", "actor", "project", "member", "organisation", "purpose", "code", "datasets",
    "rho", "delta", "sql", "reason", "facts",
)  # fmt: skip
"""Of both tables; rho and delta are in micro-units."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would run."""


def row_of(entry: Entry) -> dict[str, Any]:
    facts: dict[str, Any] = entry.facts
    spends = facts.get("spends") or []
    return {
        **{name: facts.get(name) for name in ("member", "organisation", "purpose", "code", "sql", "reason")},
        "position": entry.position,
        "at": entry.at.isoformat(),
        "kind": entry.kind.value,
        "actor": entry.actor,
        "project": entry.project,
        "datasets": " ".join(sorted(facts.get("question", {}).get("versions", {}))) or facts.get("dataset"),
        "rho": sum(spend["cost"]["rho"] for spend in spends),
        "delta": sum(spend["cost"]["delta"] for spend in spends),
        "facts": json.dumps(facts, ensure_ascii=False, sort_keys=True),
    }


def write_csv(entries: Iterable[Entry], file: IO[str]) -> None:
    """Safe to open in a spreadsheet: a text that would be a formula gets an apostrophe before it."""
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    for entry in entries:
        writer.writerow({name: _harmless(value) for name, value in row_of(entry).items()})


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA) else value


def write_parquet(entries: Iterable[Entry], path: Path) -> None:
    """Texts as they are: nothing runs them."""
    numbers = {"position", "rho", "delta"}
    fields = [pa.field(name, pa.int64() if name in numbers else pa.string()) for name in COLUMNS]
    pq.write_table(pa.Table.from_pylist([row_of(entry) for entry in entries], pa.schema(fields)), path)


def write_bundle(store: LedgerStore, project: str, target: Path) -> int:
    """All of one project in a zip that `verify.py` checks alone: its entries and the policies and data versions
    that concern them, each with its proof, the releases' bodies, a checkpoint, the public key and the verifier.
    Returns the number of entries."""
    with reading(store.engine) as connection:
        size = connection.scalar(select(schema.Head.size)) or 0
        leaves: Sequence[str] = connection.scalars(
            select(schema.Entry.leaf)
            .where(or_(schema.Entry.project == project, schema.Entry.kind.in_(("policy", "load", "restore"))))
            .order_by(schema.Entry.position)
        ).all()
        bodies = connection.execute(
            select(schema.Release.release_id, schema.Release.body).where(schema.Release.project == project)
        ).all()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open("entries.jsonl", "w") as file:
                for leaf in leaves:
                    proof = log.inclusion_proof(connection, json.loads(leaf)["position"], size)
                    line = {"leaf": leaf, "proof": [step.hex() for step in proof]}
                    file.write(json.dumps(line).encode() + b"\n")
            archive.writestr("checkpoint.note", log.checkpoint(connection, store.signer, size))
            archive.writestr("public-key.txt", f"{store.public_key}\n")
            archive.writestr("verify.py", Path(verify.__file__).read_bytes())
            for body in bodies:
                archive.writestr(f"releases/{body.release_id}-{digest_of(body.body)}.json", body.body)
    return len(leaves)
