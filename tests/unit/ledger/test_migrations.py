"""The migrations lead to the model's tables, on both databases."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sandbox_guard.ledger import migrations
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.schema import Base
from sandbox_guard.ledger.store import LedgerStore


def test_the_migrations_lead_to_the_model(ledger: LedgerStore) -> None:
    with reading(ledger.engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_the_newest_revision_is_the_one_that_is_looked_for() -> None:
    assert ScriptDirectory(migrations.__path__[0]).get_current_head() == migrations.NEWEST
