"""A read-only SQLAlchemy dialect: `create_engine("guard://")`, reflecting from the catalogue.

guard://                          the vault of this notebook
guard:///?intervals=1             with columns x_low and x_high
guard:///?margin=50               each question at ± 50 (or share=, epsilon=)
guard:///?url=unix:/run/vault.sock&token=…
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from sqlalchemy import create_engine, types
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.url import URL
from sqlalchemy.exc import NoSuchTableError

from sandbox_guard.client import dbapi
from sandbox_guard.client.dictionary import Catalogue, Table

TYPES: dict[str, type[types.TypeEngine[Any]]] = {
    "boolean": types.Boolean,
    "integer": types.BigInteger,
    "number": types.Float,
    "real": types.Float,
    "date": types.Date,
    "string": types.String,
}


def engine(**options: object) -> Engine:
    """An engine on the vault of this notebook, for `pandas.read_sql` and what else wants one.

    `options` are those of the address above: intervals, margin, share, epsilon, url, token.
    """
    # Where the package runs from a checkout, nobody has read its entry points.
    registry.register("guard", __name__, GuardDialect.__name__)
    query = {name: str(int(v) if isinstance(v, bool) else v) for name, v in options.items()}
    return create_engine(URL.create("guard", query=query))


class GuardDialect(DefaultDialect):
    """What pandas, JupySQL and BI tools need of a database, and no way to write."""

    name = "guard"
    driver = "guard"
    default_paramstyle = "named"
    supports_statement_cache = True
    supports_alter = False
    supports_native_boolean = True
    supports_sane_rowcount = True
    postfetch_lastrowid = False
    returns_native_bytes = True

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return dbapi

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        query = {name: str(value) for name, value in url.query.items()}
        options: dict[str, Any] = {name: query[name] for name in ("url", "token") if name in query}
        options |= {name: float(query[name]) for name in ("margin", "share", "epsilon") if name in query}
        options["intervals"] = query.get("intervals", "0").lower() in ("1", "true", "yes")
        return [], options

    def initialize(self, connection: Connection) -> None:
        """No probing queries: a question can cost something."""
        self.default_schema_name = None

    def do_ping(self, dbapi_connection: Any) -> bool:
        dbapi_connection.session.budget()
        return True

    # ------------------------------------------------------------------------- reflection

    def get_schema_names(self, connection: Connection, **_: Any) -> list[str]:
        return []

    def get_table_names(self, connection: Connection, schema: str | None = None, **_: Any) -> list[str]:
        return [table.name for table in _catalogue(connection)]

    def get_view_names(self, connection: Connection, schema: str | None = None, **_: Any) -> list[str]:
        return []

    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **_: Any) -> bool:
        return any(table.name.lower() == table_name.lower() for table in _catalogue(connection))

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[Any]:
        return [
            {
                "name": column.name,
                "type": TYPES[column.type](),
                "nullable": column.nullable,
                "default": None,
                "comment": column.title or None,
            }
            for column in _table(connection, table_name).columns
        ]

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> Any:
        return {"constrained_columns": [], "name": None}

    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[Any]:
        return []

    def get_indexes(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[Any]:
        return []

    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> list[Any]:
        return []

    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **_: Any
    ) -> Any:
        return {"text": _table(connection, table_name).title or None}


def _catalogue(connection: Connection) -> Catalogue:
    guard = connection.connection.dbapi_connection
    if not isinstance(guard, dbapi.Connection):
        raise TypeError("not a connection of this dialect")
    return guard.session.catalogue()


def _table(connection: Connection, name: str) -> Table:
    try:
        return _catalogue(connection)[name]
    except KeyError:
        raise NoSuchTableError(name) from None
