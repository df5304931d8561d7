"""The workloads: what an analyst asks, and the same in DuckDB's words over the stored file.

Stored numbers are counts of their step, so the raw SQL says 100000000 where the question says 1000000.
`clamped` clamps what the question's bounds clamp and is what targets speak of; `plain` does not. Columns come
in the same order: keys first.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    asked: str
    clamped: str
    plain: str
    keys: int = 0
    """So many leading columns of the result are keys."""
    target: float | None = None
    """Most times the work of `clamped` that ours may take at 1e7 rows (issue 14)."""


def _same(
    name: str, title: str, asked: str, raw: str, keys: int = 0, target: float | None = None
) -> Workload:
    """Where nothing is clamped that the loader has not clamped already."""
    return Workload(name, title, asked, raw, raw, keys, target)


_AMOUNT = "least(greatest(amount, 0), 500000000)"
_MILLION = "least(greatest(amount, 0), 100000000)"
_BUCKET = "CASE WHEN employees < 10 THEN 'micro' WHEN employees < 50 THEN 'small'"
_BUCKET += " WHEN employees < 250 THEN 'medium' ELSE 'large' END"

WORKLOADS = (
    _same("W1", "count", "SELECT count(*) FROM loans", "SELECT count(*) FROM loans", target=1.5),
    _same(
        "W2",
        "count distinct firms",
        "SELECT count(DISTINCT firm_id) FROM loans",
        "SELECT count(DISTINCT firm_id) FROM loans",
        target=0.1,
    ),
    Workload(
        "W3",
        "sum, clamped",
        "SELECT sum(clamp(amount, 0, 1000000)) FROM loans",
        f"SELECT sum({_MILLION}) / 100 FROM loans",
        "SELECT sum(amount) / 100 FROM loans",
        target=1.5,
    ),
    Workload(
        "W4",
        "average",
        "SELECT avg(amount) FROM loans",
        f"SELECT avg({_AMOUNT}) / 100 FROM loans",
        "SELECT avg(amount) / 100 FROM loans",
        target=1.5,
    ),
    Workload(
        "W5",
        "by district: count, sum, average",
        "SELECT district, count(*), sum(clamp(amount, 0, 1000000)), avg(clamp(amount, 0, 1000000))"
        " FROM loans GROUP BY district",
        f"SELECT district, count(*), sum({_MILLION}) / 100, avg({_MILLION}) / 100 FROM loans GROUP BY district",
        "SELECT district, count(*), sum(amount) / 100, avg(amount) / 100 FROM loans GROUP BY district",
        keys=1,
        target=1.5,
    ),
    Workload(
        "W6",
        "3,200 public keys: count, sum",
        "SELECT district, industry, year, count(*), sum(clamp(amount, 0, 1000000))"
        " FROM loans GROUP BY district, industry, year",
        f"SELECT district, industry, year, count(*), sum({_MILLION}) / 100"
        " FROM loans GROUP BY district, industry, year",
        "SELECT district, industry, year, count(*), sum(amount) / 100"
        " FROM loans GROUP BY district, industry, year",
        keys=3,
        target=2.0,
    ),
    _same(
        "W7",
        "20,000 discovered keys: count",
        "SELECT postcode, count(*) FROM loans GROUP BY postcode",
        "SELECT postcode, count(*) FROM loans GROUP BY postcode",
        keys=1,
        target=4.0,
    ),
    Workload(
        "W8",
        "quartiles",
        "SELECT quantile_disc(amount, 0.25), quantile_disc(amount, 0.5), quantile_disc(amount, 0.75) FROM loans",
        "SELECT "
        + ", ".join(f"quantile_disc({_AMOUNT}, {at}) / 100" for at in ("0.25", "0.5", "0.75"))
        + " FROM loans",
        "SELECT "
        + ", ".join(f"quantile_disc(amount, {at}) / 100" for at in ("0.25", "0.5", "0.75"))
        + " FROM loans",
        target=2.5,
    ),
    Workload(
        "W9",
        "firms joined, by size",
        f"SELECT {_BUCKET} AS size, avg(esg_score) FROM loans JOIN firms ON loans.firm_id = firms.firm_id"
        " GROUP BY size",
        f"SELECT {_BUCKET} AS size, avg(least(greatest(esg_score, 0), 1000)) / 10"
        " FROM loans JOIN firms ON loans.firm_id = firms.firm_id GROUP BY size",
        f"SELECT {_BUCKET} AS size, avg(esg_score) / 10"
        " FROM loans JOIN firms ON loans.firm_id = firms.firm_id GROUP BY size",
        keys=1,
        target=1.5,
    ),
    Workload(
        "W10",
        "filtered: standard deviation",
        "SELECT stddev(clamp(amount, 0, 1000000)) FROM loans WHERE overdue_days > 90",
        f"SELECT stddev({_MILLION}) / 100 FROM loans WHERE overdue_days > 90",
        "SELECT stddev(amount) / 100 FROM loans WHERE overdue_days > 90",
        target=2.0,
    ),
    Workload(
        "U",
        "per unit: average of firms' totals",
        "SELECT avg(clamp(total, 0, 2000000)) FROM"
        " (SELECT firm_id, sum(amount) AS total FROM loans GROUP BY firm_id) AS t",
        "SELECT avg(least(greatest(total, 0), 200000000)) / 100 FROM"
        " (SELECT firm_id, sum(amount) AS total FROM loans GROUP BY firm_id) AS t",
        "SELECT avg(total) / 100 FROM (SELECT firm_id, sum(amount) AS total FROM loans GROUP BY firm_id) AS t",
        target=12.0,
    ),
)
