"""What Alembic runs; `migrate` hands it the connection, with a transaction begun."""

from __future__ import annotations

from alembic import context

from sandbox_guard.ledger.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
