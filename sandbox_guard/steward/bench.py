"""The bench on which a version is made: an open data file with the population's dictionary and secret at hand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sandbox_guard.engines.versions import DATA
from sandbox_guard.policy.model import Population
from sandbox_guard.steward import units
from sandbox_guard.steward.layout import Home
from sandbox_guard.steward.sql import text

# Rows on their way lie in a file beside the version, compressed: as temporary tables a hundred million of them would
# be written out and read back at several times that size.
STAGED, OWNERS, RANKED = "scratch.main.staged", "scratch.main.owners", "scratch.main.ranked"


@dataclass(frozen=True)
class Means:
    """What a load may use. Ranking works on `bucket_rows` rows at a time, whatever the table's size."""

    memory: str = "1200MB"
    threads: int = os.cpu_count() or 1
    bucket_rows: int = 1_000_000


@dataclass(frozen=True)
class Bench:
    """An open data file in the making, with the population's dictionary and secret at hand."""

    connection: duckdb.DuckDBPyConnection
    population: Population | None
    dictionary: units.Dictionary | None
    secret: str
    means: Means

    def run(self, sql: str) -> None:
        self.connection.execute(sql)

    def row(self, sql: str) -> tuple[Any, ...]:
        """The one row of a query that counts something."""
        (found,) = self.rows(sql)
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def clear(self) -> None:
        """Drop what a table, stored or refused, left behind on the way."""
        self.run("DROP VIEW IF EXISTS kept")
        for table in (STAGED, OWNERS, RANKED):
            self.run(f"DROP TABLE IF EXISTS {table}")

    def buckets(self, rows: int) -> int:
        return max(1, -(-rows // self.means.bucket_rows))


@contextmanager
def workbench(shop: Path, state: Home, population: Population | None, means: Means) -> Iterator[Bench]:
    spill = shop / "spill"
    spill.mkdir(mode=0o700)
    connection = duckdb.connect(
        str(shop / DATA),
        config={"memory_limit": means.memory, "threads": means.threads, "temp_directory": str(spill)},
    )
    try:
        # window_self_join answers wrongly depending on column statistics (SOUNDNESS 14); the other one
        # makes ranking three times slower.
        connection.execute(
            "SET preserve_insertion_order = false;"
            "SET disabled_optimizers = 'window_self_join,top_n_window_elimination';"
            "SET enable_progress_bar = false;"
            "SET python_enable_replacements = false;"
            "SET autoinstall_known_extensions = false;"
            "SET autoload_known_extensions = false;"
        )
        # Without a log: what lies there is never opened again.
        connection.execute(
            f"ATTACH {text(str(spill / 'scratch.duckdb'))} AS scratch (RECOVERY_MODE no_wal_writes)"
        )
        if population is None:
            yield Bench(connection, None, None, "", means)
        else:
            dictionary = units.Dictionary(connection, state.dictionary(population.name), population)
            secret = units.rank_secret(state.keys, population.name).hex()
            yield Bench(connection, population, dictionary, secret, means)
            dictionary.close()
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    shutil.rmtree(spill)
