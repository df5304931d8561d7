"""PipelineDP on its local backend, Laplace; a session's total is split evenly, as its accountant does it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pipeline_dp
import pyarrow.parquet as pq
from job import CUBE, DISTRICTS, ONE, job, tell
from pipeline_dp import Metrics

wanted = job()
table = pq.read_table(wanted.loans)
rows = list(
    zip(*(table[c].to_pylist() for c in ("firm_id", "district", "industry", "year", "amount")), strict=True)
)
KEYS: dict[str, tuple[Callable[[Any], Hashable], list[Any], list[Any]]] = {
    "W1": (lambda r: 0, [0], [Metrics.COUNT]),
    "W3": (lambda r: 0, [0], [Metrics.SUM]),
    "W5": (lambda r: r[1], DISTRICTS, [Metrics.COUNT, Metrics.SUM, Metrics.MEAN]),
    "W6": (lambda r: (r[1], r[2], r[3]), CUBE, [Metrics.COUNT, Metrics.SUM]),
}


def ask(workload: str, budget: str) -> list[list[Any]]:
    key, keys, metrics = KEYS[workload]
    share = 1 if budget == ONE else wanted.session
    accountant = pipeline_dp.NaiveBudgetAccountant(wanted.epsilon / share, wanted.delta / share)
    engine = pipeline_dp.DPEngine(accountant, pipeline_dp.LocalBackend())
    # A firm's rows may all fall in one group or each in another: so many in all. Of count, sum and mean two are measured.
    parameters = pipeline_dp.AggregateParams(
        metrics=metrics,
        noise_kind=pipeline_dp.NoiseKind.LAPLACE,
        min_value=0,
        max_value=wanted.most,
        max_contributions=wanted.rows_per_unit,
    )
    extractors = pipeline_dp.DataExtractors(
        privacy_id_extractor=lambda r: r[0], partition_extractor=key, value_extractor=lambda r: r[4]
    )
    result = engine.aggregate(rows, parameters, extractors, public_partitions=keys)
    accountant.compute_budgets()
    found = []
    for group, numbers in result:
        shown = numbers._asdict()
        values = [shown[n] for n in ("count", "sum", "mean") if n in shown]
        found.append([*([] if len(keys) == 1 else [group] if workload == "W5" else group), *values])
    return found


tell(wanted, ask)
