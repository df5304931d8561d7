"""The local sample: invented rows under the same schema, in DuckDB, exact and free."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sandbox_guard.client import parameters
from sandbox_guard.client.errors import NoSamples
from sandbox_guard.client.extras import extra

if TYPE_CHECKING:
    import duckdb


def ask(sql: str, values: Mapping[str, Any]) -> pd.DataFrame:
    """Run the analyst's SQL as it stands. Errors are DuckDB's own, since the sample is public."""
    wanted = {name: values[name] for name in parameters.names(sql) if name in values}
    answer = connection().execute(parameters.for_duckdb(sql), wanted).df()
    return pd.DataFrame(answer)


def rows(table: str, n: int) -> pd.DataFrame:
    """The first rows of one table."""
    quoted = '"' + table.replace('"', '""') + '"'
    return connection().execute(f"SELECT * FROM {quoted} LIMIT {int(n)}").df()


def connection() -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in which every sample table stands under its own name."""
    return _opened(os.environ.get("SANDBOX_GUARD_SAMPLES", ""))


@cache
def _opened(folder: str) -> duckdb.DuckDBPyConnection:
    files = sorted(Path(folder).glob("*.duckdb")) if folder else []
    if not files:
        raise NoSamples()
    with extra("sample"):
        import duckdb
    samples = duckdb.connect()
    for i, file in enumerate(files):
        # Under a name of ours: a file's own could collide with a table's.
        path = str(file).replace("'", "''")
        samples.execute(f"ATTACH '{path}' AS sample_{i} (READ_ONLY)")
        tables = samples.execute(
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY table_name",
            [f"sample_{i}"],
        ).fetchall()
        for (name,) in tables:
            quoted = '"' + name.replace('"', '""') + '"'
            samples.execute(f"CREATE VIEW IF NOT EXISTS {quoted} AS FROM sample_{i}.main.{quoted}")
    return samples
