"""Writes to the ledger: state and the entries that record it are committed together or not at all.

A durable commit waits for the disk, a hundred times longer than what it commits takes to work out. So writers
of one process that arrive meanwhile share the next commit: each works in a savepoint of its own, in turn, and
nobody is told of success before the commit that holds it is durable.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from sandbox_guard.errors import Fault
from sandbox_guard.ledger import schema
from sandbox_guard.ledger.database import writing
from sandbox_guard.ledger.log import Clock, Signer, stamp
from sandbox_guard.ledger.verify import Tree, canonical, leaf_hash
from sandbox_guard.ledger.wire import EntryKind

MOST = 64
"""Writers that share a commit."""


@dataclass(frozen=True)
class _Rows:
    """What one entry adds to the tables."""

    entry: dict[str, Any]
    nodes: list[dict[str, Any]]
    datasets: list[dict[str, Any]]


@dataclass
class Transaction:
    """A write to the ledger: state and the entries that record it are committed together or not at all.

    `now` is the clock's time, but never before the last entry's: a clock set back neither reorders the log
    nor revives an agreement that has expired.
    """

    connection: Connection
    signer: Signer
    now: str
    tree: Tree
    last: str
    policy_digest: str | None
    restored: str | None
    began: tuple[int, str | None]
    """`tree.size` and `restored` when this transaction began."""
    hashes: dict[int, str] = field(default_factory=dict)
    """Of the entries appended, by position."""
    _unwritten: list[_Rows] = field(default_factory=list)

    @classmethod
    def begin(cls, connection: Connection, signer: Signer, clock: Clock) -> Transaction:
        """Takes the lock of the log's head, held until the commit: the order of the entries is the order of
        the transactions."""
        head = connection.execute(_LOCK_HEAD).one()
        peaks = [head.peaks[i : i + 32] for i in range(0, len(head.peaks), 32)]
        now = max(stamp(clock()), head.at)
        return cls(
            connection,
            signer,
            now,
            Tree(head.size, peaks),
            head.leaf_hash,
            head.policy_digest,
            head.restored,
            began=(head.size, head.restored),
        )

    def move_head(self) -> None:
        """Write down where the log ends now, if that changed. The last statement before a commit."""
        if (self.tree.size, self.restored) == self.began:
            return
        head = {
            "size": self.tree.size,
            "at": self.now,
            "leaf_hash": self.last,
            "peaks": b"".join(self.tree.peaks),
            "policy_digest": self.policy_digest,
            "restored": self.restored,
        }
        self.settled.execute(_MOVE_HEAD, head)

    @contextmanager
    def part(self) -> Iterator[None]:
        """What happens inside is undone, alone, if it raises."""
        tree, before = (self.tree.size, list(self.tree.peaks)), (self.last, self.policy_digest, self.restored)
        unwritten = list(self._unwritten)
        try:
            with self.connection.begin_nested():
                yield
        except BaseException:
            self.tree.size, self.tree.peaks = tree
            self.last, self.policy_digest, self.restored = before
            self._unwritten = unwritten
            raise

    def append(self, kind: EntryKind, actor: str, project: str | None, facts: Mapping[str, object]) -> int:
        """Add an entry; returns its position."""
        position = self.tree.size
        entry: dict[str, Any] = {
            "position": position,
            "prev": self.last,
            "at": self.now,
            "kind": kind.value,
            "actor": actor,
            "project": project,
            "facts": facts,
        }
        leaf = canonical(entry)
        digest = leaf_hash(leaf)
        completed = self.tree.append(digest)
        root = self.tree.root()
        self.last = self.hashes[position] = digest.hex()
        self._unwritten.append(
            _Rows(
                {
                    "leaf": leaf.decode("ascii"),
                    "leaf_hash": digest,
                    "root": root,
                    "signature": self.signer.sign(self.tree.size, root),
                    **search_columns(entry),
                },
                [{"level": level, "place": place, "hash": node} for level, place, node in completed],
                [{"dataset": dataset, "position": position} for dataset in datasets_of(entry)],
            )
        )
        return position

    @property
    def settled(self) -> Connection:
        """The connection, with all entries so far in the tables: for what reads entries. They are written
        together, since each statement costs as much as all else that an entry takes."""
        rows, self._unwritten = self._unwritten, []
        for statement, values in (
            (_INSERT_ENTRY, [row.entry for row in rows]),
            (_INSERT_NODE, [node for row in rows for node in row.nodes]),
            (_INSERT_DATASET, [dataset for row in rows for dataset in row.datasets]),
        ):
            if values:
                self.connection.execute(statement, values)
        return self.connection


_INSERT_ENTRY = insert(schema.table(schema.Entry))
_INSERT_NODE = insert(schema.table(schema.Node))
_INSERT_DATASET = insert(schema.table(schema.EntryDataset))
_LOCK_HEAD = select(schema.table(schema.Head)).with_for_update()
_MOVE_HEAD = update(schema.table(schema.Head)).values(
    {name: bindparam(name) for name in ("size", "at", "leaf_hash", "peaks", "policy_digest", "restored")}
)


def search_columns(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The columns by which an entry is found, worked out from its leaf."""
    facts = entry["facts"]
    return {
        "position": entry["position"],
        "at": entry["at"],
        "kind": entry["kind"],
        "actor": entry["actor"],
        "project": entry["project"],
        "code": facts.get("code"),
        "rho": sum(spend["cost"]["rho"] for spend in facts.get("spends", ())),
    }


def datasets_of(entry: Mapping[str, Any]) -> list[str]:
    facts = entry["facts"]
    named = set(facts.get("question", {}).get("versions", {}))
    if entry["kind"] == EntryKind.LOAD:
        named.add(facts["dataset"])
    if facts.get("subject", {}).get("kind") == "dataset":
        named.add(facts["subject"]["name"])
    return sorted(named)


@dataclass
class _Batch:
    """One transaction of the database and those who wait for it."""

    tx: Transaction
    resources: ExitStack
    members: int = 0
    broken: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)


class Writer:
    """The one way to write to this ledger from this process."""

    def __init__(self, engine: Engine, signer: Signer, clock: Clock) -> None:
        self._engine, self._signer, self._clock = engine, signer, clock
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._waiting = 0
        self.committed: dict[int, str] = {}
        """Leaf hashes of the last entries that this process committed, by position."""
        self._batch: _Batch | None = None

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Leaving it without an exception means: durably committed. Raises Fault where the database fails."""
        with self._queued():
            batch = self._joined()
            try:
                with batch.tx.part():
                    yield batch.tx
            except SQLAlchemyError as error:
                batch.broken = error
            finally:
                self._end_if_last(batch)
        batch.ended.wait()
        if batch.broken is not None:
            raise Fault from batch.broken

    @contextmanager
    def exclusive(self) -> Iterator[Connection]:
        """All of the database, for what is no entry: a restore."""
        with self._turn:
            if self._batch is not None:
                self._end(self._batch)
            with writing(self._engine) as connection:
                connection.execute(_LOCK_HEAD).one()
                self.committed = {}
                yield connection

    @contextmanager
    def _queued(self) -> Iterator[None]:
        """One writer at a time; the others are counted."""
        with self._count:
            self._waiting += 1
        with self._turn:
            with self._count:
                self._waiting -= 1
            yield

    def _joined(self) -> _Batch:
        if self._batch is None:
            try:
                with ExitStack() as resources:
                    connection = resources.enter_context(writing(self._engine))
                    tx = Transaction.begin(connection, self._signer, self._clock)
                    self._batch = _Batch(tx, resources.pop_all())
            except SQLAlchemyError as error:
                raise Fault from error
        self._batch.members += 1
        return self._batch

    def _end_if_last(self, batch: _Batch) -> None:
        """Commit, unless the next writer is there already and will do so."""
        if not self._waiting or batch.members >= MOST or batch.broken is not None:
            self._end(batch)

    def _end(self, batch: _Batch) -> None:
        self._batch = None
        try:
            if batch.broken is None:
                batch.tx.move_head()
                batch.resources.close()
                self._remember(batch.tx.hashes)
            else:
                batch.resources.__exit__(type(batch.broken), batch.broken, batch.broken.__traceback__)
        except SQLAlchemyError as error:
            batch.broken = error
        finally:
            batch.ended.set()

    def _remember(self, hashes: Mapping[int, str]) -> None:
        kept = {**self.committed, **hashes}
        self.committed = dict(list(kept.items())[-4 * MOST :])
