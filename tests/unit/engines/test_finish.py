"""Post-processing sees the released tables handed to it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from sandbox_guard.engines.finish import Finisher
from sandbox_guard.errors import Fault

RELEASED = pa.table(
    {"k": pa.array(["a", "b", None]).dictionary_encode(), "n": [3, 1, 2], "share": [0.5, None, 0.25]}
)


@pytest.fixture(scope="module")
def finisher() -> Iterator[Finisher]:
    finisher = Finisher()
    yield finisher
    finisher.close()


def test_ordinary_sql_over_released_tables(finisher: Finisher) -> None:
    result = finisher.run(
        {"r1": RELEASED, "r2": RELEASED},
        "SELECT r1.k, n, sum(r2.n) OVER () AS s FROM r1 JOIN main.r2 USING (k, n) ORDER BY n DESC LIMIT 1",
    )
    assert [tuple(row.values()) for row in result.to_pylist()] == [("a", 3, 4)]


def test_nothing_stays_for_the_next(finisher: Finisher) -> None:
    finisher.run({"r1": RELEASED}, "SELECT 1 FROM r1")
    for name in ("r1", '"r1 arriving"'):
        with pytest.raises(Fault):
            finisher.run({}, f"SELECT 1 FROM {name}")
    assert finisher.run({"r1": RELEASED.slice(0, 1)}, "SELECT count(*) AS c FROM r1").to_pylist() == [
        {"c": 1}
    ]


@pytest.mark.parametrize(
    "sql", ["SELECT * FROM read_csv('/etc/passwd')", "SELECT error('x')", "COPY r1 TO '/tmp/x'", ""]
)
def test_what_fails_is_a_fault(finisher: Finisher, sql: str) -> None:
    with pytest.raises(Fault) as fault:
        finisher.run({"r1": RELEASED}, sql)
    assert fault.value.__context__ is None
    assert finisher.run({}, "SELECT 1 AS one").to_pylist() == [{"one": 1}]
