"""What an analyst would ordinarily ask is answered, and rightly.

At epsilon 1e6 there is next to no noise: each answer must lie within one in a thousand of what plain DuckDB
says of the data as loaded. What is refused, is refused with a hint (`NOT_ANSWERED`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox_guard.engines.engine import InProcess
from sandbox_guard.engines.versions import current
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Column, ColumnType
from tests.corpus.make_small import build
from tests.local import LocalFinisher
from tests.seam import Bench, loaded, opened

HERE = Path(__file__).parents[1]
POLICIES = HERE / "data/small/policies"
QUERIES = [json.loads(line) for line in (HERE / "corpus/legit.jsonl").read_text("utf-8").splitlines()]

DIFFERENT: dict[str, str] = {
    "LQ-116": "a year that only NULL amounts have counts as a sum of 0, not NULL: which it is, would tell",
    "LQ-158": "an industry that no row has counts 0, not NULL",
    "LQ-171": "the true correlation is within the noise of 0",
}
"""Answers that differ from SQL's on purpose: answered, and compared no further."""

QUANTILES = frozenset({"LQ-145", "LQ-149"})
"""The middle of a bin a thousandth wide; DuckDB interpolates between two rows."""


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bench, duckdb.DuckDBPyConnection]]:
    home = tmp_path_factory.mktemp("honest")
    csv = home / "csv"
    connection = duckdb.connect()
    build(connection, csv_dir=str(csv))
    connection.close()
    policies = read_policies(POLICIES)
    files = {t: csv / f"{t}.csv" for t in ("loans", "firms", "districts")}
    versions = loaded(policies, files, home)
    engine = InProcess(versions)
    with opened(policies, engine, home) as bench:
        yield bench, _as_loaded(home)
    engine.close()


def _as_loaded(home: Path) -> duckdb.DuckDBPyConnection:
    """The stored tables with natural values: what "exact" means."""
    policies = read_policies(POLICIES)
    connection = duckdb.connect()
    for dataset in policies.datasets.values():
        version = current(home / "restricted" / dataset.name)
        assert version is not None
        connection.execute(f"""ATTACH '{version.data}' AS "{dataset.name}" (READ_ONLY)""")
        for name, table in dataset.tables.items():
            columns = ", ".join(_natural(c.lower(), column) for c, column in table.columns.items())
            connection.execute(
                f'CREATE TABLE "{name}" AS SELECT {columns} FROM "{dataset.name}".main."{name}"'
            )
    return connection


def _natural(name: str, column: Column) -> str:
    if column.type is ColumnType.NUMBER:
        step = column.fixed_step
        return f'CAST("{name}" AS DOUBLE) * {step.numerator} / {step.denominator} AS "{name}"'
    if column.type is ColumnType.STRING:
        return f'CAST("{name}" AS VARCHAR) AS "{name}"'
    return f'"{name}"'


@pytest.mark.parametrize("query", QUERIES, ids=lambda q: q["id"])
def test_is_answered_rightly(city: tuple[Bench, duckdb.DuckDBPyConnection], query: dict[str, str]) -> None:
    bench, exact = city
    seen = bench.ask(query["sql"], epsilon=1e6)
    assert seen.answer is not None, (seen.code, seen.message)
    if query["id"] in DIFFERENT:
        return
    rows = exact.execute(query["sql"]).fetchall()
    _compare(_table(seen.answer), rows, 1e-2 if query["id"] in QUANTILES else 1e-3)


WIDTHS = 8
"""Half-widths of 95 % beyond which an answer is wrong: Laplace noise passes them once in 10^10 cells (its half-width
is ln 20 = 3 scales, and e^-24 is left), Gaussian noise never."""

Cell = tuple[Any, float]
"""A value and the half-width of its interval, 0 where it has none."""


def _table(answer: dict[str, Any]) -> list[tuple[Cell, ...]]:
    columns = []
    for i in range(len(answer["columns"])):
        values, highs = answer["rows"][str(i)], answer["high"].get(str(i))
        widths = [0.0] * len(values)
        if highs is not None:
            widths = [h - v if h is not None else 0.0 for h, v in zip(highs, values, strict=True)]
        columns.append([(_plain(v), w) for v, w in zip(values, widths, strict=True)])
    return list(zip(*columns, strict=True))


def _compare(found: list[tuple[Cell, ...]], exact: list[tuple[Any, ...]], within: float) -> None:
    """Every exact row is there, within a part of the largest number of its column: a group of one loan has
    as much noise as one of a thousand. What has a wider interval of its own is compared with that, so many
    times over. Rows that only the answer has are groups that policy lists and the data does not hold."""
    sizes = [_size(column) for column in zip(*exact, strict=True)]
    allowed = [within * s + 1e-6 for s in sizes]
    left = list(found)
    for row in exact:
        wanted = tuple(_plain(v) for v in row)
        near = [other for other in left if _near(other, wanted, allowed)]
        assert near, f"{wanted} is not among {left[:20]}"
        left.remove(near[0])
    for other in left:
        assert any(_same(cell, None, a) for cell, a in zip(other, allowed, strict=True)), f"extra row {other}"


def _size(column: tuple[Any, ...]) -> float:
    return max((abs(float(v)) for v in column if isinstance(_plain(v), float)), default=0.0)


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return float(value)


def _near(found: tuple[Cell, ...], wanted: tuple[Any, ...], allowed: list[float]) -> bool:
    return len(found) == len(wanted) and all(map(_same, found, wanted, allowed))


def _same(cell: Cell, wanted: Any, allowed: float) -> bool:
    value, width = cell
    if isinstance(value, float) and (wanted is None or isinstance(wanted, float)):
        # SQL's sum of nothing is NULL; a noisy one is near 0.
        return abs(value - (wanted or 0.0)) <= max(allowed, WIDTHS * width)
    return bool(value == wanted)


def test_the_same_finisher_serves_all() -> None:
    """The finish engine keeps nothing from one question to the next."""
    finisher = LocalFinisher()
    try:
        with pytest.raises(duckdb.Error):
            finisher.run({}, "SELECT * FROM b0")
    finally:
        finisher.close()
