"""`Engine`: our printed SQL over restricted data. What goes wrong there is a `Fault`, and nothing more is known.

Whatever DuckDB says may depend on a row, so no text of it reaches a log, a message or a chained exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa

from sandbox_guard.engines.duckdb import Limits, locked_down, table
from sandbox_guard.engines.pool import Pool
from sandbox_guard.engines.versions import Version
from sandbox_guard.errors import Fault


class Engine:
    """Our SQL over one version of each granted dataset, in a pool of locked-down worker processes.

    An engine belongs to the versions it was opened with. When a newer version is loaded, open another
    engine and `close` this one: queries under way end on the old data first.
    """

    def __init__(self, datasets: Mapping[str, Path], *, workers: int = 2, limits: Limits = Limits()) -> None:
        """`datasets`: alias to version folder (`restricted/<dataset>/<serial>`)."""
        self._versions = {alias: Version.read(folder) for alias, folder in datasets.items()}
        data = {alias: str(version.data.resolve()) for alias, version in self._versions.items()}
        self._pool = Pool({"data": data, "limits": asdict(limits)}, workers)

    def versions(self) -> dict[str, str]:
        """Version id by dataset: all that is ever told about the data as such."""
        return {alias: version.id for alias, version in self._versions.items()}

    def rows(self, sql: str, timeout: float) -> pa.Table:
        """The result of one query. `Fault` on an error, at the memory limit and after `timeout` seconds."""
        return self._pool.ask(sql, {}, timeout)

    def close(self) -> None:
        """Take no further query; workers end with the query they are at."""
        self._pool.close()


class InProcess:
    """The same engine without processes: for tests that ask thousands of small questions.

    Nothing limits its memory, and a query that hangs, hangs.
    """

    def __init__(self, datasets: Mapping[str, Path], *, limits: Limits = Limits()) -> None:
        self._versions = {alias: Version.read(folder) for alias, folder in datasets.items()}
        self._connection = locked_down({a: v.data.resolve() for a, v in self._versions.items()}, limits)

    def versions(self) -> dict[str, str]:
        return {alias: version.id for alias, version in self._versions.items()}

    def rows(self, sql: str, timeout: float) -> pa.Table:
        # A Fault raised outside of any `except` has no exception of DuckDB's as its context.
        found = None
        with suppress(Exception):
            found = table(self._connection, sql)
        if found is None:
            raise Fault()
        return found

    def close(self) -> None:
        self._connection.close()
