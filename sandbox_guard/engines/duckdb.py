"""DuckDB, locked down: the only place in the path of a query that knows it.

Nothing here is called in the vault's own process: workers do (`engines.worker`), and what they raise stays there.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

# Of the copy that `table` makes.
warnings.filterwarnings("ignore", "Arrow output on a DB-API result", UserWarning)

RESERVED = frozenset({"memory", "temp", "system", "main"})
"""Catalogues that DuckDB has of its own: no dataset can be attached under these names."""


@dataclass(frozen=True)
class Limits:
    """Of one worker."""

    threads: int = 1
    address_space: int = 2 << 30
    """Bytes. 4 GiB does not stop `repeat` (DESIGN section 9)."""
    memory: int = 1 << 30
    """Bytes that DuckDB's buffers may take of it; the rest is for code, stacks and what escapes DuckDB's count."""


def _settings(limits: Limits) -> list[str]:
    """In order: nothing can be set after the last."""
    return [
        f"threads = {limits.threads}",
        f"memory_limit = '{limits.memory // 2**20}MiB'",
        # Neither disk, network, Python nor code from outside.
        "temp_directory = ''",
        "max_temp_directory_size = '0B'",
        "python_enable_replacements = false",
        "python_scan_all_frames = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "allow_persistent_secrets = false",
        # An error that depends on a row is a leak.
        "error_on_division_by_zero = false",
        # The first answers wrongly depending on column statistics (SOUNDNESS 14), the second is slow.
        "disabled_optimizers = 'window_self_join,top_n_window_elimination'",
        # Keys that number up to 2^16 in all have a slot each instead of a hash table, which takes half the time.
        "perfect_ht_threshold = 16",
        "enable_progress_bar = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ]


def locked_down(data: Mapping[str, Path], limits: Limits) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with these files attached read-only under these names, and every door closed."""
    connection = duckdb.connect(":memory:", config={"threads": limits.threads})
    for alias, path in data.items():
        if alias in RESERVED:
            raise ValueError(f"a dataset cannot be called '{alias}'")
        quoted = str(path).replace("'", "''")
        connection.execute(f"""ATTACH '{quoted}' AS "{alias}" (READ_ONLY)""")
    for setting in _settings(limits):
        connection.execute(f"SET {setting}")
    return connection


def invent(path: Path, rows: int) -> None:
    """A file with one table `made` of so many invented rows, to take the time of: `n` unique and `u` in groups of
    three, both dense and in no order, `m` in groups of 32, `g` one of sixteen, `a` anything; and `few` of its rows."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE made AS SELECT (i * 7919 % $1)::BIGINT AS n, (i * 7919 % ($1 // 3))::BIGINT AS u,"
            " (i * 7919 % ($1 // 32))::BIGINT AS m, i % 16 AS g, (hash(i + 1) % 500000000)::BIGINT AS a"
            " FROM range($1) t(i)",
            [rows],
        )
        connection.execute("CREATE TABLE few AS FROM made LIMIT 16")


def table(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The result of one SELECT. Whatever else the text may be is none of ours, and does not run."""
    (statement,) = connection.extract_statements(sql)
    if statement.type != duckdb.StatementType.SELECT:
        raise ValueError("not a SELECT")
    # A relation, which copies nothing, plans its statement twice: 6 ms more for the expressions of a standard deviation.
    return connection.execute(statement).to_arrow_table()


def table_over(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], sql: str) -> pa.Table:
    """The result of one query over these tables, of which nothing stays behind."""
    connection.begin()
    try:
        for name, arrow in tables.items():
            connection.register(f"{name} arriving", arrow)
            connection.execute(f'CREATE TABLE main."{name}" AS FROM "{name} arriving"')
        return table(connection, sql)
    finally:
        connection.rollback()
        for name in tables:
            connection.unregister(f"{name} arriving")
