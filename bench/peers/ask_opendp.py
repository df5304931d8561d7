"""OpenDP's Polars API: noise on counts and whole cents of rows that are bounded per firm beforehand."""

from __future__ import annotations

from functools import partial
from typing import Any

import opendp.prelude as dp
import polars as pl
from job import ONE, Job, job, tell

dp.enable_features("contrib")
W5, W6 = ["district"], ["district", "industry", "year"]


ASKED: dict[str, tuple[list[str], bool, bool]] = {
    "W1": ([], True, False),
    "W3": ([], False, True),
    "W5": (W5, True, True),
    "W6": (W6, True, True),
}
"""By what, whether counted, whether summed."""


def ask(wanted: Job, workload: str, budget: str) -> list[tuple[Any, ...]]:
    by, counted, summed = ASKED[workload]
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
    tell(wanted, partial(ask, wanted))
