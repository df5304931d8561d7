"""Parts of the product in one process, for tests that ask thousands of small questions."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pyarrow as pa

from sandbox_guard.engines.duckdb import Limits, locked_down, table_over


class LocalFinisher:
    """The finish engine with the product's settings, without its process."""

    def __init__(self) -> None:
        self._connection = locked_down({}, Limits())
        self._lock = threading.Lock()

    def run(self, tables: Mapping[str, pa.Table], sql: str, timeout: float = 30.0) -> pa.Table:
        with self._lock:
            return table_over(self._connection, tables, sql)

    def close(self) -> None:
        self._connection.close()
