"""OpenDP's Polars API: noise on counts and whole cents of rows that are bounded per firm beforehand."""

from __future__ import annotations

from functools import partial
from typing import Any

import opendp.prelude as dp
import polars as pl
from job import ONE, SESSION, Job, job, tell

dp.enable_features("contrib")
W5, W6 = ["district"], ["district", "industry", "year"]


def ask(wanted: Job, budget: str, by: list[str], counted: bool, summed: bool) -> list[tuple[Any, ...]]:
    loss = dp.loss_of(epsilon=wanted.epsilon) if budget == ONE else dp.loss_of(rho=wanted.rho)
    margins = [dp.polars.Margin(by=[], max_length=2_000_000)]
    if by:
        margins.append(dp.polars.Margin(by=by, invariant="keys", max_length=2_000_000))
    context = dp.Context.compositor(
        data=pl.scan_parquet(wanted.loans).select(*W6, "cents"),
        privacy_unit=dp.unit_of(contributions=wanted.rows_per_unit),
        privacy_loss=loss,
        split_evenly_over=1 if budget == ONE else wanted.session,
        margins=margins,
    )
    most = round(100 * wanted.most)
    counts = [dp.len().alias("n")] if counted else []
    sums = [pl.col("cents").fill_null(0).dp.sum((0, most)).alias("s")] if summed else []
    query = context.query()
    query = query.group_by(by).agg(*counts, *sums) if by else query.select(*counts, *sums)
    found = query.release().collect()
    numbers = [pl.col("n")] if counted else []
    numbers += [pl.col("s") / 100] if summed else []
    numbers += [(pl.col("s") / 100 / pl.col("n")).alias("mean")] if by == W5 else []
    rows: list[tuple[Any, ...]] = found.select(*by, *numbers).rows()
    return rows


if __name__ == "__main__":
    wanted = job()
    for budget in (ONE, SESSION):
        tell("W1", budget, partial(ask, wanted, budget, [], True, False))
        tell("W3", budget, partial(ask, wanted, budget, [], False, True))
        tell("W5", budget, partial(ask, wanted, budget, W5, True, True))
        tell("W6", budget, partial(ask, wanted, budget, W6, True, True))
