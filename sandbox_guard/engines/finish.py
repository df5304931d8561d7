"""`Finisher`: ordinary SQL over released tables only, in a process that has nothing else.

HAVING, ORDER BY, LIMIT, arithmetic, windows and joins of what has been through noise: post-processing, free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pyarrow as pa

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.pool import Pool


class Finisher:
    """A pool of locked-down in-memory DuckDBs. Each run sees the tables handed to it and no others."""

    def __init__(self, *, workers: int = 1, limits: Limits = Limits()) -> None:
        self._pool = Pool({"data": {}, "limits": asdict(limits)}, workers)

    def run(self, tables: Mapping[str, pa.Table], sql: str, timeout: float = 30.0) -> pa.Table:
        """The result of one query over `tables` (by name, in schema main). `Fault` where it fails."""
        return self._pool.ask(sql, tables, timeout)

    def close(self) -> None:
        self._pool.close()
