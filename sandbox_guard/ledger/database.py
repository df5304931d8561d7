"""Opens the ledger's database and its two kinds of transaction."""

from __future__ import annotations

import select
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry


def open_database(url: str) -> Engine:
    """A SQLite file (`sqlite:////path`) or PostgreSQL (`postgresql+psycopg://…`).

    Both commit durably: a charge that was acknowledged survives a power cut.
    """
    engine = create_engine(url, pool_size=20, max_overflow=20, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _durable_postgresql)
        event.listen(engine, "checkout", _refuse_dead)
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that no other writer can be inside of at the same time (SQLite), or that takes the
    lock of the log's head before anything else (PostgreSQL; see `log.Transaction`)."""
    with engine.connect().execution_options(sandbox_guard_writes=True) as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view of all tables, which neither waits for writers nor holds them up."""
    level: dict[str, Any] = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
    with engine.connect().execution_options(**level) as connection, connection.begin():
        yield connection


def _durable_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver would begin by itself, and too late
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA busy_timeout = 30000")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that starts by reading and then writes could find that another wrote in between.
    writes = connection.get_execution_options().get("sandbox_guard_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _durable_postgresql(connection: Any, _: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
    connection.commit()


def _refuse_dead(connection: Any, *_: object) -> None:
    """A server that went away has said so, or closed the line: an idle connection has nothing else to hear. The pool
    then opens a new one, and nobody meets the first Fault after a restart. Asking the server each time would take as
    long as a statement."""
    heard = select.poll()
    heard.register(connection.fileno(), select.POLLIN | select.POLLHUP)
    if connection.closed or heard.poll(0):
        raise DisconnectionError("the server went away")
