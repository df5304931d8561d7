"""PEP 249, section by section. (The public suite, dbapi20.py, needs DDL; this is written from the text.)"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest

from sandbox_guard.client import dbapi, errors
from tests.unit.client.seam import DISTRICTS, Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"


@pytest.fixture
def connection(url: str) -> Iterator[dbapi.Connection]:
    with dbapi.connect() as connection:
        yield connection


@pytest.fixture
def cursor(connection: dbapi.Connection) -> dbapi.Cursor:
    return connection.cursor()


# ------------------------------------------------------------------- module interface


def test_globals() -> None:
    assert dbapi.apilevel == "2.0"
    assert dbapi.threadsafety == 2
    assert dbapi.paramstyle == "named"
    assert callable(dbapi.connect)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Warning", Exception),
        ("Error", Exception),
        ("InterfaceError", errors.Error),
        ("DatabaseError", errors.Error),
        ("DataError", errors.DatabaseError),
        ("OperationalError", errors.DatabaseError),
        ("IntegrityError", errors.DatabaseError),
        ("InternalError", errors.DatabaseError),
        ("ProgrammingError", errors.DatabaseError),
        ("NotSupportedError", errors.DatabaseError),
    ],
)
def test_exception_tree(name: str, base: type[Exception]) -> None:
    cls = getattr(dbapi, name)
    assert issubclass(cls, base)
    assert getattr(dbapi.Connection, name) is cls, "optional extension: exceptions on connections"


def test_warning_is_no_error() -> None:
    assert not issubclass(dbapi.Warning, dbapi.Error)


# ------------------------------------------------------------------- connection objects


def test_commit_and_rollback_are_there_and_refund_nothing(
    connection: dbapi.Connection, cursor: dbapi.Cursor, vault: Vault
) -> None:
    cursor.execute(SQL)
    connection.commit()
    connection.rollback()
    assert len(vault.charges) == 1
    assert cursor.fetchone() is not None, "what was answered stays"


@pytest.mark.parametrize("call", ["cursor", "commit", "rollback"])
def test_a_closed_connection_refuses(connection: dbapi.Connection, call: str) -> None:
    connection.close()
    connection.close()
    with pytest.raises(dbapi.Error):
        getattr(connection, call)()


def test_closing_a_connection_closes_its_cursors(connection: dbapi.Connection, cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    connection.close()
    with pytest.raises(dbapi.Error):
        cursor.fetchone()


# ----------------------------------------------------------------------- cursor objects


def test_before_a_result(cursor: dbapi.Cursor) -> None:
    assert cursor.description is None
    assert cursor.rowcount == -1
    assert cursor.rownumber is None
    assert cursor.arraysize == 1
    for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
        with pytest.raises(dbapi.Error):
            fetch()


def test_description_right_after_execute(cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    assert cursor.description is not None
    assert [len(column) for column in cursor.description] == [7, 7]
    assert [column[0] for column in cursor.description] == ["reg_district", "n"]
    assert cursor.description[0][1] == dbapi.STRING
    assert cursor.description[1][1] == dbapi.NUMBER
    assert cursor.description[1][1] != dbapi.STRING
    assert cursor.rowcount == 4


def test_fetch(cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    first = cursor.fetchone()
    assert isinstance(first, tuple)
    assert first[0] in DISTRICTS
    assert type(first[1]) is int
    assert len(cursor.fetchmany()) == 1, "arraysize"
    assert len(cursor.fetchmany(size=2)) == 2
    assert cursor.rownumber == 4
    assert cursor.fetchone() is None
    assert cursor.fetchmany(5) == []
    assert cursor.fetchall() == []


def test_fetchall_and_iteration(cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    cursor.fetchone()
    assert len(cursor.fetchall()) == 3
    cursor.execute(SQL)
    assert len(list(cursor)) == 4


def test_arraysize_rules_fetchmany(cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    cursor.arraysize = 3
    assert len(cursor.fetchmany()) == 3


def test_a_refused_execute_leaves_no_result(cursor: dbapi.Cursor) -> None:
    cursor.execute(SQL)
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT distric, 1")
    assert cursor.description is None
    with pytest.raises(dbapi.Error):
        cursor.fetchone()


def test_circumstances_are_operational_errors(cursor: dbapi.Cursor) -> None:
    with pytest.raises(dbapi.OperationalError):
        cursor.execute("SELECT exhausted")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.execute(SQL),
        lambda c: c.executemany(SQL, []),
        lambda c: c.fetchone(),
        lambda c: c.fetchmany(),
        lambda c: c.fetchall(),
        lambda c: c.setinputsizes([]),
        lambda c: c.setoutputsize(1),
        next,
    ],
)
def test_a_closed_cursor_refuses(cursor: dbapi.Cursor, call: Any) -> None:
    cursor.execute(SQL)
    cursor.close()
    cursor.close()
    with pytest.raises(dbapi.Error):
        call(cursor)


def test_parameters_are_named(cursor: dbapi.Cursor, vault: Vault) -> None:
    sql = "SELECT reg_district, COUNT(*) AS n FROM ent WHERE reg_district = :d GROUP BY 1"
    cursor.execute(sql, {"d": "静安区"})
    assert [row[0] for row in cursor] == ["静安区"]
    assert vault.asked[-1]["parameters"] == {"d": "静安区"}
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute(sql, ("静安区",))  # type: ignore[arg-type]
    cursor.execute(SQL, ())  # type: ignore[arg-type] # SQLAlchemy passes an empty sequence for none


def test_executemany_is_for_writing(cursor: dbapi.Cursor) -> None:
    with pytest.raises(dbapi.NotSupportedError):
        cursor.executemany(SQL, [{}, {}])


def test_sizes_may_be_set_and_do_nothing(cursor: dbapi.Cursor) -> None:
    cursor.setinputsizes([None])
    cursor.setoutputsize(10, 0)
    assert cursor.lastrowid is None
    assert cursor.connection is not None


# ------------------------------------------------------------- type objects, constructors


def test_type_objects_and_constructors() -> None:
    kinds = [dbapi.STRING, dbapi.BINARY, dbapi.NUMBER, dbapi.DATETIME, dbapi.ROWID]
    assert dbapi.DATETIME == "date"
    assert dbapi.NUMBER == "real"
    assert sum(kind == "boolean" for kind in kinds) == 1
    assert dbapi.Date(2022, 6, 1) == dt.date(2022, 6, 1)
    assert dbapi.Time(1, 2, 3) == dt.time(1, 2, 3)
    assert dbapi.Timestamp(2022, 6, 1, 1, 2, 3) == dt.datetime(2022, 6, 1, 1, 2, 3)
    assert isinstance(dbapi.DateFromTicks(0), dt.date)
    assert isinstance(dbapi.TimeFromTicks(0), dt.time)
    assert isinstance(dbapi.TimestampFromTicks(0), dt.datetime)
    assert dbapi.Binary(b"x") == b"x"


def test_dates_arrive_as_dates(cursor: dbapi.Cursor) -> None:
    cursor.execute("SELECT est_date, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1 LIMIT 1")
    assert cursor.description is not None
    assert cursor.description[0][1] == dbapi.DATETIME
    row = cursor.fetchone()
    assert row is not None
    assert type(row[0]) is dt.date


# --------------------------------------------------------------------- threads, intervals


def test_threads_may_share_a_connection(connection: dbapi.Connection, vault: Vault) -> None:
    seen: list[int] = []

    def ask() -> None:
        cursor = connection.cursor()
        cursor.execute(SQL)
        seen.append(len(cursor.fetchall()))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [4] * 6
    assert len(vault.released) == 1


def test_intervals_on_request(url: str) -> None:
    with dbapi.connect(intervals=True, margin=50) as connection:
        cursor = connection.cursor().execute(SQL)
        assert cursor.description is not None
        assert [c[0] for c in cursor.description] == ["reg_district", "n", "n_low", "n_high"]
        row = cursor.fetchone()
        assert row is not None
        assert row[2] < row[1] < row[3]


def test_pandas_reads_from_the_bare_connection(connection: dbapi.Connection) -> None:
    with pytest.warns(UserWarning, match="SQLAlchemy"):
        frame = pd.read_sql(SQL, connection)  # type: ignore[call-overload]
    assert frame.shape == (4, 2)
