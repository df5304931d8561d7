"""Parts of the product in one process, for tests that ask thousands of small questions."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from sandbox_guard.engines.duckdb import Limits, locked_down, table_over


class LocalFinisher:
    """The finish engine with the product's settings, without its process."""

    def run(self, tables: Mapping[str, pa.Table], sql: str, timeout: float = 30.0) -> pa.Table:
        connection = locked_down({}, Limits())
        try:
            return table_over(connection, tables, sql)
        finally:
            connection.close()
