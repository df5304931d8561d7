"""The SQL printed for whole blocks against the plain evaluator: generated queries over drawn databases and
firms of extreme values, as wide as what the sensitivity oracle asks (SOUNDNESS 14: the engine may err).

Quantiles are left out: their exact part is a histogram, which the oracle compares.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from sandbox_guard import release as releasing
from sandbox_guard.errors import Refused
from sandbox_guard.sql import scalars
from sandbox_guard.sql.plan import Block, MeasureKind, Plan
from sandbox_guard.sql.printer import Literals, print_block
from tests import databases, oracle
from tests.evaluator import Evaluator
from tests.oracle import Neighbours
from tests.queries import Writer

SEED = 20261125
TABLES = ("loans", "firms", "payments", "districts")
SECONDS = 60.0


@dataclass(frozen=True)
class Loaded:
    base: Neighbours
    stored: dict[tuple[str, str], list[dict[str, Any]]]

    def differing(self, plan: Plan) -> list[object]:
        """Cells on which engine and evaluator differ; the number of blocks compared comes last."""
        _, released = self.base._measured(plan, self.base.engine, None)
        given = releasing._inlined(released)
        found: list[object] = []
        compared = 0
        for step in plan.steps:
            if not isinstance(step, Block):
                continue
            measures = tuple(m for m in step.measures if m.kind is not MeasureKind.QUANTILE)
            block = replace(step, measures=measures)
            if not measures:
                continue
            compared += 1
            table = self.base.engine.rows(print_block(block, Literals(computations=given)), SECONDS)
            keys = len(block.keys)
            rows = zip(*(c.to_pylist() for c in table.columns), strict=True)
            got = {_key(r[:keys]): tuple(r[keys:]) for r in rows}
            meant = Evaluator(self.stored, computations=given).block(block)
            want = {
                _key(
                    tuple(scalars.physical(v, k.expr.scale) for v, k in zip(values, block.keys, strict=True))
                ): cells
                for values, cells in meant.items()
            }
            found += [(k, got.get(k), want.get(k)) for k in {*got, *want} if got.get(k) != want.get(k)]
        return [*found, compared]


def _key(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Doubles to nine digits: the engine's last one is not Python's."""
    return tuple((type(v) is bool, float(f"{v:.9g}") if isinstance(v, float) else v) for v in values)


@pytest.fixture(scope="module")
def bases() -> Iterator[list[Loaded]]:
    found = []
    for drawn in databases.drawn(3, SEED):
        tables = drawn.tables
        for unit in drawn.extremes.values():
            tables = databases.joined(tables, unit)
        base = oracle.neighbours(databases.policies(), tables, units=[])
        stored = {
            ("small", t): base.engine.rows(f'SELECT * FROM small.main."{t}"', SECONDS).to_pylist()
            for t in TABLES
        }
        found.append(Loaded(base, stored))
    yield found
    for loaded in found:
        loaded.base.close()


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("wanted", [80, pytest.param(3000, marks=pytest.mark.long)])
def test_engine_and_evaluator_agree(bases: list[Loaded], wanted: int) -> None:
    compared = at = 0
    while compared < wanted:
        at += 1
        sql = Writer(random.Random(f"{SEED} {at}")).query()
        loaded = bases[at % len(bases)]
        try:
            planned = loaded.base.planned(sql)
        except Refused:
            continue
        *differing, blocks = loaded.differing(planned)
        assert not differing, f"{sql}\n{differing[:3]}"
        compared += int(str(blocks))
