"""Tumult Analytics on Spark: pure for one query, zCDP for the session; rows are bounded per firm beforehand."""

from __future__ import annotations

import os
import sys
from typing import Any

from job import DISTRICTS, INDUSTRIES, ONE, YEARS, job, tell
from pyspark.sql import SparkSession
from tmlt.analytics import AddMaxRows, KeySet, PureDPBudget, QueryBuilder, RhoZCDPBudget, Session

# Spark's own workers would take the first Python that they find.
os.environ["PYSPARK_PYTHON"] = sys.executable
wanted = job()
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "3g")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
loans = spark.read.parquet(wanted.loans).select("district", "industry", "year", "amount")
BY = {
    "W1": None,
    "W3": None,
    "W5": KeySet.from_dict({"district": DISTRICTS}),
    "W6": KeySet.from_dict({"district": DISTRICTS, "industry": INDUSTRIES, "year": YEARS}),
}


def ask(workload: str, budget: str) -> list[list[Any]]:
    """Two measures share the price evenly; a query of this library has one."""
    measures = {"W1": ["n"], "W3": ["s"]}.get(workload, ["n", "s"])
    share = len(measures) * (1 if budget == ONE else wanted.session)
    pure = budget == ONE
    total = PureDPBudget(wanted.epsilon) if pure else RhoZCDPBudget(wanted.rho)
    each = PureDPBudget(wanted.epsilon / share) if pure else RhoZCDPBudget(wanted.rho / share)
    session = Session.from_dataframe(total, "loans", loans, protected_change=AddMaxRows(wanted.rows_per_unit))
    found: dict[tuple[Any, ...], list[Any]] = {}
    for measure in measures:
        query: Any = QueryBuilder("loans")
        keys = BY[workload]
        query = query if keys is None else query.groupby(keys)
        query = query.count() if measure == "n" else query.sum("amount", 0.0, wanted.most)
        for row in session.evaluate(query, each).collect():
            *key, value = row
            found.setdefault(tuple(key), []).append(value)
    rows = [[*key, *values] for key, values in found.items()]
    return [[*r, r[-1] / r[-2]] for r in rows] if workload == "W5" else rows


tell(wanted, ask)
sys.stdout.flush()
spark.stop()
