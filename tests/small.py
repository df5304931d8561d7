"""The small city of `tests/data/small`, before one member's guard, and the same data as loaded in plain DuckDB."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from sandbox_guard.engines.engine import InProcess
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from tests.corpus.make_small import build
from tests.seam import Bench, Measured, bench, loaded, opened

Rows = list[tuple[Any, ...]]


@cache
def policies() -> Policies:
    return read_policies(Path(__file__).parent / "data" / "small" / "policies")


@dataclass(frozen=True)
class City:
    bench: Bench
    exact: duckdb.DuckDBPyConnection

    def answer(self, sql: str, epsilon: float = 1e6) -> Rows:
        """The released rows; an error where the query is refused."""
        seen = self.bench.ask(sql, epsilon=epsilon)
        assert seen.answer is not None, (seen.code, seen.message)
        columns = seen.answer["rows"]
        return list(zip(*(columns[str(i)] for i in range(len(columns))), strict=True))

    def code(self, sql: str) -> str | None:
        """Of the refusal."""
        return self.bench.ask(sql, epsilon=1e6).code


@contextlib.contextmanager
def city() -> Iterator[City]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with duckdb.connect() as made:
            build(made, csv_dir=str(home / "csv"))
        data = {t: home / "csv" / f"{t}.csv" for t in ("loans", "firms", "districts")}
        versions = loaded(policies(), data, home)
        engine = InProcess(versions)
        with opened(policies(), engine, home) as ready, duckdb.connect() as exact:
            _plain(exact, versions["small"])
            yield City(ready, exact)
        engine.close()


def _plain(exact: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Views of the loaded tables with values as people write them."""
    exact.execute("CREATE MACRO clamp(x, lo, hi) AS CASE WHEN x < lo THEN lo WHEN x > hi THEN hi ELSE x END")
    exact.execute(f"ATTACH '{folder / 'data.duckdb'}' AS stored (READ_ONLY)")
    for name, table in policies().datasets["small"].tables.items():
        columns = ", ".join(
            f"{c} * {p.step} AS {c}"
            if p.type == "number"
            else f"{c}::VARCHAR AS {c}"
            if p.values and p.type == "string"
            else c
            for c, p in table.columns.items()
        )
        exact.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM stored.{name}")


def moved(
    sql: str, tables: Mapping[str, Sequence[Mapping[str, Any]]], firm: int
) -> list[tuple[Measured, int, int, int]]:
    """What each measure is declared to move by, and its l0, l1 and squared l2 when this firm leaves."""
    smaller = {t: [r for r in rows if r.get("firm_id") != firm] for t, rows in tables.items()}
    with_it, without = _measured(sql, tables), _measured(sql, smaller)
    found = []
    for mine, theirs in zip(with_it, without, strict=True):
        assert (mine.kind, mine.l1, mine.l2_squared) == (theirs.kind, theirs.l1, theirs.l2_squared)
        a, b = (
            dict(zip(mine.keys, mine.exact, strict=True)),
            dict(zip(theirs.keys, theirs.exact, strict=True)),
        )
        moves = [abs(a.get(k, 0) - b.get(k, 0)) for k in a.keys() | b.keys()]
        found.append((mine, sum(m > 0 for m in moves), sum(moves), sum(m * m for m in moves)))
    return found


OTHERS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "firms": [
        {"firm_id": 1, "name": "A", "district": "Alder", "employees": 9, "founded": None, "esg_score": None}
    ],
    "loans": [
        {"firm_id": 1, "loan_id": 1, "district": "Alder", "industry": "Energy", "year": 2020, "amount": 1,
         "rate": 1, "overdue_days": 1, "defaulted": False}
    ],
    "districts": [{"district": "Alder", "region": "North"}],
}  # fmt: skip
"""What stands in the tables that a test says nothing of."""


def _measured(sql: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Measured]:
    with bench(policies(), {**OTHERS, **tables}) as ready:
        seen = ready.ask(sql, epsilon=1e6)
        assert seen.answer is not None, (seen.code, seen.message)
        return seen.measured
