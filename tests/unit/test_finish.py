"""A finish that only picks and sorts is done without the engine, and gives what the engine gives."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sandbox_guard.engines.finish import Finisher
from sandbox_guard.release import Released, ReleasedBlock, as_it_stands
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.parse import parse
from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.planner import plan
from sandbox_guard.sql.printer import Tables, print_relation
from sandbox_guard.sql.relation import Type
from tests.small import policies

KEYS: dict[Type, tuple[list[Any], pa.DataType]] = {
    Type.STRING: (["é", "b", None, "a", "B", "", "中", "Ab"], pa.string()),
    Type.INTEGER: ([2020, -1, None, 7, 0, 2015, 10**12, 3], pa.int64()),
    Type.BOOLEAN: ([True, None, False], pa.bool_()),
    Type.DATE: ([dt.date(2020, 1, 2), None, dt.date(1999, 1, 1)], pa.date32()),
}


@pytest.fixture(scope="module")
def finisher() -> Iterator[Finisher]:
    made = Finisher()
    yield made
    made.close()


def planned(sql: str) -> Plan:
    catalogue = Catalogue.of(policies(), next(iter(policies().projects.values())))
    return plan(parse(sql, {}), catalogue, today=dt.date(2026, 1, 1))


def released(query: Plan, rows: int = 60) -> Released:
    """As if this had come out: distinct keys in no order, any numbers."""
    (block,) = query.blocks
    random = np.random.default_rng(3)
    kinds = [KEYS[k.expr.domain.type] for k in block.keys]
    drawn = {tuple(values[random.integers(len(values))] for values, _ in kinds) for _ in range(rows)}
    rows_ = sorted(drawn, key=repr)
    keys = pa.table({f"c{i}": pa.array([row[i] for row in rows_], kinds[i][1]) for i in range(len(kinds))})
    size = len(rows_) if kinds else 1
    measures = tuple(random.integers(-(10**15), 10**15, size) for _ in block.measures)
    return Released(query, {block.index: ReleasedBlock(block, keys, measures, ())})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM loans",
        "SELECT sum(overdue_days), count(*) FROM loans",
        "SELECT district, count(*) FROM loans GROUP BY district",
        "SELECT count(*) AS n, year, district, sum(overdue_days) FROM loans GROUP BY district, year",
        "SELECT district, defaulted, count(*) AS n FROM loans GROUP BY ALL ORDER BY n",
        "WITH t AS (SELECT year AS y, count(*) AS n FROM loans GROUP BY y) SELECT n, y FROM t ORDER BY y",
    ],
)
def test_what_stands_as_it_was_released(finisher: Finisher, sql: str) -> None:
    query = planned(sql)
    made = released(query)
    found = as_it_stands(made)
    assert found is not None
    asked = finisher.run(made.tables(), print_relation(query.final, Tables()))
    names = [f"c{o.column.id}" for o in query.outputs]
    assert found.select(names).to_pydict() == asked.select(names).to_pydict()
    assert found.select(names).schema.types == asked.select(names).schema.types


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) + 1 FROM loans",
        "SELECT avg(overdue_days) FROM loans",
        "SELECT district, count(*) FROM loans GROUP BY 1 ORDER BY 2 DESC",
        "SELECT district, count(*) FROM loans GROUP BY 1 ORDER BY 1 LIMIT 3",
        "SELECT district, count(*) FROM loans GROUP BY 1 ORDER BY 1 NULLS FIRST",
        "SELECT district, count(*) FROM loans GROUP BY 1 HAVING count(*) > 5",
    ],
)
def test_what_must_be_computed(sql: str) -> None:
    assert as_it_stands(released(planned(sql))) is None
