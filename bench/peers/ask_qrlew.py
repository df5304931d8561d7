"""Qrlew: it rewrites the query into SQL with noise, which DuckDB runs. It has no accounting over queries."""

from __future__ import annotations

from typing import Any

import duckdb
import sqlalchemy as sa
from job import DISTRICTS, INDUSTRIES, ONE, YEARS, job, tell
from pyqrlew import Dialect
from pyqrlew.wrappers import Dataset

wanted = job()
database = duckdb.connect(config={"threads": 2})
database.execute(
    "CREATE TABLE loans AS SELECT firm_id, district, industry, year::VARCHAR AS year, amount"
    f" FROM '{wanted.loans}'"
)
# The schema and how many rows there may be, without which it lets no row through: nothing else is read from the data.
# It cuts a count at that number, so it is the cap that our policy states and not the answer itself.
described = sa.create_engine("sqlite://")
columns = "firm_id INTEGER, district VARCHAR, industry VARCHAR, year VARCHAR, amount FLOAT"
with described.begin() as connection:
    connection.execute(sa.text(f"CREATE TABLE loans ({columns})"))
    counted = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {wanted.most_rows})"
    connection.execute(sa.text(f"INSERT INTO loans (firm_id) {counted} SELECT 1 FROM n"))
dataset: Any = Dataset.from_database("bench", described)
dataset = dataset.loans.amount.with_range(0.0, 5_000_000.0)
for column, values in (("district", DISTRICTS), ("industry", INDUSTRIES), ("year", map(str, YEARS))):
    dataset = getattr(dataset.loans, column).with_possible_values(list(values))

MILLION = f"CASE WHEN amount > {wanted.most} THEN {wanted.most} ELSE amount END"
CLAMPED = f"(SELECT firm_id, district, industry, year, {MILLION} AS amount FROM loans) AS t"
ASKED = {
    "W1": "SELECT COUNT(amount) AS n FROM loans",
    "W3": f"SELECT SUM(amount) AS s FROM {CLAMPED}",
    "W5": f"SELECT district, COUNT(amount) AS n, SUM(amount) AS s, AVG(amount) AS m FROM {CLAMPED}"
    " GROUP BY district",
    "W6": f"SELECT district, industry, year, COUNT(amount) AS n, SUM(amount) AS s FROM {CLAMPED}"
    " GROUP BY district, industry, year",
}


def ask(workload: str, budget: str) -> list[list[Any]]:
    share = 1 if budget == ONE else wanted.session
    rewritten = dataset.relation(ASKED[workload], Dialect.PostgreSql).rewrite_with_differential_privacy(
        dataset,
        [("loans", [], "firm_id")],
        {"epsilon": wanted.epsilon / share, "delta": wanted.delta / share},
        max_multiplicity=float(wanted.rows_per_unit),
        max_multiplicity_share=1.0,
        max_privacy_unit_groups=wanted.rows_per_unit if workload == "W6" else 1,
    )
    rows = database.execute(rewritten.relation().to_query(Dialect.PostgreSql)).fetchall()
    return [[*row[:2], int(row[2]), *row[3:]] if workload == "W6" else list(row) for row in rows]


tell(wanted, ask)
