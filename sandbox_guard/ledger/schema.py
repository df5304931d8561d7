"""The ledger's tables. One model for SQLite and PostgreSQL.

`entries` is the truth. Every other table can be worked out from it (but for the bodies of releases, of which
it holds the digest, and tokens, of which it holds nothing) and stands here so that a charge need not read
the log: `budgets`, `charges`, `lanes`, `reservations`, `leaks`, `releases`, `standings`, `projects`, `sandboxes`,
`loads`. Times are text in UTC, `2026-11-23T21:54:28Z`, so that both databases store and order them alike; those of
lanes and reservations are milliseconds since 1970.
"""

from __future__ import annotations

from typing import ClassVar, cast

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map: ClassVar = {int: BigInteger, str: Text, bytes: LargeBinary}


def table(model: type[Base]) -> Table:
    """The plain table, for statements that are built once and run often."""
    return cast(Table, model.__table__)


Key = String(300)
"""A name, or several joined; PostgreSQL could not index unlimited text."""


class Head(Base):
    """One row: where the log ends. Its lock puts all writers in one order."""

    __tablename__ = "head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    size: Mapped[int]
    at: Mapped[str]
    """Of the last entry: a clock set back moves nothing before it."""
    leaf_hash: Mapped[str]
    peaks: Mapped[bytes]
    """Roots of the perfect subtrees, largest first, 32 bytes each."""
    policy_digest: Mapped[str | None]
    restored: Mapped[str | None]
    """Set by a restore until the gap is accounted for: no charge is taken meanwhile."""


class Entry(Base):
    """One leaf of the log. The columns beside `leaf` repeat parts of it for search; `audit verify` compares."""

    __tablename__ = "entries"

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    leaf: Mapped[str]
    leaf_hash: Mapped[bytes]
    root: Mapped[bytes]
    """Of the tree that ends with this entry, and its signature as a checkpoint."""
    signature: Mapped[bytes]
    at: Mapped[str] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(Key, index=True)
    project: Mapped[str | None] = mapped_column(Key, index=True)
    code: Mapped[str | None] = mapped_column(Key)
    """Of a refusal."""
    rho: Mapped[int]
    """Cost over all populations, of a charge."""


class EntryDataset(Base):
    """Which datasets an entry is about."""

    __tablename__ = "entry_datasets"

    dataset: Mapped[str] = mapped_column(Key, primary_key=True)
    position: Mapped[int] = mapped_column(ForeignKey(Entry.position), primary_key=True)


class Node(Base):
    """An inner node of the tree, so that proofs need not hash the whole log."""

    __tablename__ = "nodes"

    level: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[bytes]


class Budget(Base):
    """One account. A charge is a conditional UPDATE of each one concerned."""

    __tablename__ = "budgets"

    account: Mapped[str] = mapped_column(Key, primary_key=True)
    level: Mapped[str] = mapped_column(String(16))
    population: Mapped[str]
    dataset: Mapped[str | None]
    project: Mapped[str | None] = mapped_column(Key, index=True)
    member: Mapped[str | None]
    cap_rho: Mapped[int]
    cap_delta: Mapped[int]
    spent_rho: Mapped[int]
    spent_delta: Mapped[int]
    renewed_rho: Mapped[int]
    renewed_delta: Mapped[int]


class Project(Base):
    """What policy said of a project when it was last applied (`wire.ProjectTerms` as JSON)."""

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(Key, primary_key=True)
    terms: Mapped[str]


class Standing(Base):
    """A member, project, dataset or shape of plans that is suspended, or a project that is closed."""

    __tablename__ = "standings"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(Key, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    position: Mapped[int]


class Charge(Base):
    """What was paid. `request_id` is the member's; `question` identifies what was asked of which versions."""

    __tablename__ = "charges"
    __table_args__ = (
        UniqueConstraint("project", "member", "request_id", name="one_charge_per_request"),
        Index("charges_by_question", "project", "question"),
    )

    charge_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    project: Mapped[str] = mapped_column(Key)
    member: Mapped[str] = mapped_column(Key)
    request_id: Mapped[str] = mapped_column(String(64))
    question: Mapped[str] = mapped_column(String(64))
    plan_digest: Mapped[str] = mapped_column(String(64))
    lost: Mapped[bool]
    """A restore cannot tell whether its release was shown, so it buys none any more."""


class Lane(Base):
    """The vault cores of one host, which do one question after the other."""

    __tablename__ = "lanes"

    name: Mapped[str] = mapped_column(Key, primary_key=True)
    at: Mapped[int]
    """The lane's time at its last reservation."""
    ahead: Mapped[int]
    """By so much that was ahead of this machine's clock, which had been set back."""
    free_at: Mapped[int]


class Reservation(Base):
    """From when to when a lane belongs to a charge. One that is tried again gets another."""

    __tablename__ = "reservations"
    __table_args__ = (Index("reservations_by_charge", "charge_id", "member"),)

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Of the entry that records it."""
    charge_id: Mapped[str] = mapped_column(ForeignKey(Charge.charge_id))
    member: Mapped[str] = mapped_column(Key)
    lane: Mapped[str] = mapped_column(Key)
    starts_at: Mapped[int]
    milliseconds: Mapped[int]
    shape: Mapped[str] = mapped_column(String(64))
    counted: Mapped[bool]


class Leak(Base):
    """What an answer told by when it left: `bits` counts against the allowances of member and project."""

    __tablename__ = "leaks"
    __table_args__ = (Index("leaks_of_project", "project", "at"), Index("leaks_of_shape", "shape", "at"))

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Of the release or fault."""
    member: Mapped[str] = mapped_column(Key)
    project: Mapped[str] = mapped_column(Key)
    shape: Mapped[str] = mapped_column(String(64))
    at: Mapped[str] = mapped_column(String(32))
    bits: Mapped[int]
    strike: Mapped[bool]
    """It overran, and no steward has resumed the shape since."""


class Release(Base):
    """What came out. The constraint on `charge_id` is the promise of one publication per charge."""

    __tablename__ = "releases"
    __table_args__ = (
        UniqueConstraint("charge_id", name="one_release_per_charge"),
        Index("releases_by_question", "project", "question"),
    )

    release_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    charge_id: Mapped[str] = mapped_column(ForeignKey(Charge.charge_id))
    position: Mapped[int]
    project: Mapped[str] = mapped_column(Key)
    question: Mapped[str] = mapped_column(String(64))
    body: Mapped[str]


class Sandbox(Base):
    """A vault's right to speak for one member and project, until it ends."""

    __tablename__ = "sandboxes"

    sandbox_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    member: Mapped[str]
    project: Mapped[str]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    ended: Mapped[bool]


class Load(Base):
    """The data versions there have been."""

    __tablename__ = "loads"

    dataset: Mapped[str] = mapped_column(Key, primary_key=True)
    version: Mapped[str] = mapped_column(Key, primary_key=True)
    position: Mapped[int]
