"""DB-API 2.0 (PEP 249) over the vault: read-only, one question an `execute`.

Every `execute` may be charged, as `guard.sql` is. `commit` does nothing, and `rollback` gives nothing
back: a budget that was spent stays spent.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from sandbox_guard.client import errors
from sandbox_guard.client.answer import Answer
from sandbox_guard.client.errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
)
from sandbox_guard.client.result import Result
from sandbox_guard.client.service import Service, service_at
from sandbox_guard.client.session import Session
from sandbox_guard.client.sharpen import Margin
from sandbox_guard.client.words import say

__all__ = [
    "BINARY",
    "DATETIME",
    "NUMBER",
    "ROWID",
    "STRING",
    "Binary",
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]

apilevel: Final = "2.0"
threadsafety: Final = 2
"""Threads may share the module and connections."""
paramstyle: Final = "named"


class _Kind(frozenset[str]):
    """A type object of PEP 249: equal to every type code that it covers."""

    def __eq__(self, other: object) -> bool:
        return other in self if isinstance(other, str) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = frozenset.__hash__


STRING: Final = _Kind({"string"})
BINARY: Final = _Kind()
NUMBER: Final = _Kind({"integer", "real", "boolean"})
DATETIME: Final = _Kind({"date"})
ROWID: Final = _Kind()

Date = dt.date
Time = dt.time
Timestamp = dt.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> dt.date:
    return dt.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> dt.time:
    return dt.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> dt.datetime:
    return dt.datetime(*time.localtime(ticks)[:6])


Description = tuple[str, str, None, None, None, None, bool | None]
Row = tuple[Any, ...]


def connect(
    url: str | None = None,
    token: str = "",
    *,
    intervals: bool = False,
    margin: Margin | None = None,
    share: float | None = None,
    epsilon: float | None = None,
) -> Connection:
    """Connect to the vault of this notebook, or to the one at `url`.

    `intervals=True` adds columns x_low and x_high behind every number that carries noise. `margin`,
    `share` or `epsilon` hold for each question asked through this connection.
    """
    price = {"margin": margin, "share": share, "epsilon": epsilon}
    return Connection(
        Session(service_at(url, token) if url else Service.from_environment()),
        intervals=intervals,
        price={name: value for name, value in price.items() if value is not None},
    )


class Connection:
    """PEP 249 connection. As a context manager it closes itself."""

    Warning = errors.Warning
    Error = errors.Error
    InterfaceError = errors.InterfaceError
    DatabaseError = errors.DatabaseError
    DataError = errors.DataError
    OperationalError = errors.OperationalError
    IntegrityError = errors.IntegrityError
    InternalError = errors.InternalError
    ProgrammingError = errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    def __init__(self, session: Session, *, intervals: bool, price: Mapping[str, Any]) -> None:
        self._session = session
        self._intervals = intervals
        self._price = dict(price)
        self._closed = False

    @property
    def session(self) -> Session:
        """The same vault with estimates, budget and catalogue."""
        self._check()
        return self._session

    def cursor(self) -> Cursor:
        self._check()
        return Cursor(self)

    def commit(self) -> None:
        """Nothing to do: nothing can be written."""
        self._check()

    def rollback(self) -> None:
        """Nothing to undo; what was spent stays spent."""
        self._check()

    def close(self) -> None:
        """Closes cursors too. Closing twice is harmless."""
        self._closed = True

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self) -> None:
        if self._closed:
            raise InterfaceError(say("connection_closed"))

    def _ask(self, sql: str, params: Mapping[str, Any]) -> Result:
        self._check()
        return self._session.sql(sql, params=params, **self._price)


class Cursor:
    """PEP 249 cursor over one answer, which is held whole: answers are small."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.result: Result | None = None
        """The answer with cost, intervals and receipt, beyond what PEP 249 can say."""
        self._description: list[Description] | None = None
        self._rows: list[Row] | None = None
        self._next = 0
        self._closed = False

    @property
    def description(self) -> list[Description] | None:
        """(name, type code, None, None, None, None, nullable) a column; None before a result."""
        return self._description

    @property
    def rowcount(self) -> int:
        return -1 if self._rows is None else len(self._rows)

    @property
    def rownumber(self) -> int | None:
        return None if self._rows is None else self._next

    @property
    def lastrowid(self) -> None:
        return None

    def execute(self, operation: str, parameters: Mapping[str, Any] | None = None) -> Self:
        """Ask. `parameters` is a mapping, for `:name` in the SQL."""
        self._check()
        self.result, self._description, self._rows, self._next = None, None, None, 0
        if parameters is not None and not isinstance(parameters, Mapping):
            if len(parameters):
                raise ProgrammingError(say("parameters_named"))
            parameters = None
        result = self.connection._ask(operation, parameters or {})
        if result.answer is None:
            raise InternalError("a vault's answer has a receipt")
        columns = _columns(result.answer, self.connection._intervals)
        self._description = [(name, type_, None, None, None, None, None) for name, type_, _ in columns]
        self._rows = list(zip(*(values for _, _, values in columns), strict=True)) if columns else []
        self.result = result
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Mapping[str, Any]]) -> None:
        """Every operation gives rows, for which PEP 249 leaves this undefined."""
        self._check()
        raise NotSupportedError(say("read_only"))

    def fetchone(self) -> Row | None:
        rows = self._fetch(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[Row]:
        return self._fetch(self.arraysize if size is None else size)

    def fetchall(self) -> list[Row]:
        return self._fetch(self.rowcount)

    def close(self) -> None:
        self._closed = True
        self._rows = None

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Does nothing, as PEP 249 allows."""
        self._check()

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows."""
        self._check()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    next = __next__

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, n: int) -> list[Row]:
        self._check()
        if self._rows is None:
            raise ProgrammingError(say("no_result"))
        rows = self._rows[self._next : self._next + max(0, n)]
        self._next += len(rows)
        return rows

    def _check(self) -> None:
        if self._closed:
            raise InterfaceError(say("cursor_closed"))
        self.connection._check()


def _columns(answer: Answer, intervals: bool) -> list[tuple[str, str, list[Any]]]:
    """(name, type code, Python values) of each column, with its interval behind it where asked."""
    columns: list[tuple[str, str, list[Any]]] = []
    for column in answer.columns:
        values = list(column.values)
        if column.type == "date":
            values = [None if value is None else dt.date.fromisoformat(value) for value in values]
        columns.append((column.name, column.type, values))
        if intervals and column.low is not None and column.high is not None:
            columns.append((f"{column.name}_low", "real", list(column.low)))
            columns.append((f"{column.name}_high", "real", list(column.high)))
    return columns
