"""The append-only log: signing, appending inside a transaction, checkpoints and proofs.

Encoding and tree are those of `verify`, which depends on nothing here.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from sqlalchemy import Connection, Engine, Row, func, select

from sandbox_guard.ledger import schema
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.verify import (
    EMPTY_ROOT,
    Checkpoint,
    PublicKey,
    canonical,
    node_hash,
)

ORIGIN = "sandbox-guard.local/ledger"
"""Name of the log in its checkpoints and of the key that signs them."""

Clock = Callable[[], dt.datetime]


@dataclass(frozen=True)
class Signer:
    """The ledger's Ed25519 key, which no other process holds."""

    private: Ed25519PrivateKey
    origin: str = ORIGIN

    @classmethod
    def at(cls, path: Path) -> Signer:
        """The key in this file; made, readable by its owner only, where there is none."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            raw = Ed25519PrivateKey.generate().private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            write_atomically(path, raw, replace=False)
        key = load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise TypeError(f"{path.name} holds no Ed25519 key")
        return cls(key)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.origin, self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, size: int, root: bytes) -> bytes:
        return self.private.sign(Checkpoint(self.origin, size, root).text().encode())

    def note(self, size: int, root: bytes, signature: bytes) -> str:
        return Checkpoint(self.origin, size, root).note(self.public, signature)


def write_atomically(path: Path, content: bytes, *, replace: bool = True) -> None:
    """All or nothing of it, 0600, on disk when this returns. Without `replace`, an existing file stays."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if replace:
        os.replace(name, path)
        return
    try:
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)


def stamp(at: dt.datetime) -> str:
    """UTC to the second: an entry's time is when a question starts or its answer leaves, and no more."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


# --------------------------------------------------------------------- checkpoints, proofs, export


def checkpoint(connection: Connection, signer: Signer, size: int | None = None) -> str:
    """The signed checkpoint of the newest state, or of the log when it had `size` entries."""
    if size is None:
        size = connection.scalar(select(func.max(schema.Entry.position) + 1)) or 0
    if size == 0:
        return signer.note(0, EMPTY_ROOT, signer.sign(0, EMPTY_ROOT))
    row = connection.execute(
        select(schema.Entry.root, schema.Entry.signature).where(schema.Entry.position == size - 1)
    ).one()
    return signer.note(size, row.root, row.signature)


def inclusion_proof(connection: Connection, position: int, size: int) -> list[bytes]:
    """PATH(position, D[size]) of RFC 6962 section 2.1.1."""

    def path(start: int, count: int) -> list[bytes]:
        if count == 1:
            return []
        half = _largest_power_below(count)
        if position < start + half:
            return [*path(start, half), _subtree(connection, start + half, count - half)]
        return [*path(start + half, count - half), _subtree(connection, start, half)]

    return path(0, size)


def consistency_proof(connection: Connection, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962 section 2.1.2."""

    def subproof(rest: int, start: int, count: int, known: bool) -> list[bytes]:
        if rest == count:
            return [] if known else [_subtree(connection, start, count)]
        half = _largest_power_below(count)
        if rest <= half:
            return [*subproof(rest, start, half, known), _subtree(connection, start + half, count - half)]
        return [*subproof(rest - half, start + half, count - half, False), _subtree(connection, start, half)]

    return subproof(old, 0, new, True) if 0 < old < new else []


def _largest_power_below(count: int) -> int:
    return 1 << (count - 1).bit_length() - 1


def _subtree(connection: Connection, start: int, count: int) -> bytes:
    """Hash of the entries start … start + count, where start is a multiple of a power of two ≥ count."""
    if count & (count - 1):
        half = _largest_power_below(count)
        return node_hash(_subtree(connection, start, half), _subtree(connection, start + half, count - half))
    level = count.bit_length() - 1
    if level == 0:
        found = connection.scalar(select(schema.Entry.leaf_hash).where(schema.Entry.position == start))
    else:
        found = connection.scalar(
            select(schema.Node.hash).where(schema.Node.level == level, schema.Node.place == start >> level)
        )
    if found is None:
        raise LookupError(f"no node over entries {start} to {start + count - 1}")
    return bytes(found)


CHECKPOINT_EVERY = 256


def export(engine: Engine, signer: Signer) -> Iterator[str]:
    """The log as `verify` reads it, one line at a time: leaves, checkpoints (one in 256, and each of the last
    256), then the balances."""
    with reading(engine) as connection:
        end = connection.scalar(select(func.max(schema.Entry.position) + 1)) or 0
        rows = connection.execution_options(yield_per=1000).execute(
            select(
                schema.Entry.position, schema.Entry.leaf, schema.Entry.root, schema.Entry.signature
            ).order_by(schema.Entry.position)
        )
        for row in rows:
            yield f"{row.leaf}\n"
            size = row.position + 1
            if size % CHECKPOINT_EVERY == 0 or size > end - CHECKPOINT_EVERY:
                yield _line({"checkpoint": signer.note(size, row.root, row.signature)})
        budgets = connection.execute(select(schema.Budget.__table__).order_by(schema.Budget.account))
        yield _line({"balances": [_stated(budget) for budget in budgets]})


def _line(value: object) -> str:
    return canonical(value).decode("ascii") + "\n"


def _stated(budget: Row[Any]) -> dict[str, object]:
    amounts = ("cap_rho", "cap_delta", "spent_rho", "spent_delta", "renewed_rho", "renewed_delta")
    return {"account": budget.account, **{name: getattr(budget, name) for name in amounts}}
