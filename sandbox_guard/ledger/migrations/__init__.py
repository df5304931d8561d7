"""Brings a ledger's database to the tables of this version. Alembic's scripts lie beside, in the package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect

from sandbox_guard.ledger.database import reading, writing

NEWEST = "0002"
LOCK = 0x5347_4C45
"""Of PostgreSQL's advisory locks: two services that start at once migrate one after the other."""


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision; all of it or nothing. Raises alembic's CommandError for a database that
    a newer version of this software has upgraded."""
    with reading(engine) as connection:
        if _revision(connection) == NEWEST:
            return
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        if _revision(connection) == NEWEST:
            return
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return MigrationContext.configure(connection).get_current_revision()
