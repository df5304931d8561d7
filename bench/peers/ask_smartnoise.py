"""SmartNoise SQL over a Pandas frame; its odometer says what each of a session's queries may cost."""

from __future__ import annotations

from typing import Any

import pandas as pd
from job import ONE, job, tell
from snsql import Privacy, from_df
from snsql.sql.odometer import Odometer

THOUSAND = 1000
wanted = job()
frame = pd.read_parquet(wanted.loans, columns=["firm_id", "district", "industry", "year", "amount"])
# It takes `year` for the function of that name, and refuses noise beyond ten millions: in thousands there is room.
frame = frame.rename(columns={"year": "granted"}).assign(amount=frame["amount"] / THOUSAND)
META = {
    "": {
        "b": {
            "loans": {
                "max_ids": wanted.rows_per_unit,
                "clamp_counts": False,
                "censor_dims": False,
                "rows": len(frame),
                "firm_id": {"type": "int", "private_id": True},
                "district": {"type": "string"},
                "industry": {"type": "string"},
                "granted": {"type": "int"},
                "amount": {"type": "float", "lower": 0.0, "upper": wanted.most / THOUSAND},
            }
        }
    }
}
# An average counts for itself unless amounts are counted beside it: three measures then, at a price of three.
GROUPED = "SELECT {0}, COUNT(amount) AS n, SUM(amount) AS s{1} FROM b.loans GROUP BY {0}"
ASKED = {
    "W1": ("SELECT COUNT(*) AS n FROM b.loans", 1),
    "W3": ("SELECT SUM(amount) AS s FROM b.loans", 1),
    "W5": (GROUPED.format("district", ", AVG(amount) AS m"), 2),
    "W6": (GROUPED.format("district, industry, granted", ""), 2),
}
"""And how many measures they are, each of which costs an epsilon."""


def each(measures: int) -> float:
    """The largest epsilon of a measure of which the odometer lets so many be spent within (1, delta)."""
    low, high = wanted.epsilon / measures, wanted.epsilon
    for _ in range(40):
        middle = (low + high) / 2
        odometer = Odometer(Privacy(epsilon=middle, delta=wanted.delta / (2 * measures)))
        odometer.spend(measures)
        spent, delta = odometer.spent
        low, high = (middle, high) if spent <= wanted.epsilon and delta <= wanted.delta else (low, middle)
    return low


def ask(workload: str, budget: str) -> list[list[Any]]:
    sql, measures = ASKED[workload]
    measures *= 1 if budget == ONE else wanted.session
    privacy = Privacy(epsilon=each(measures), delta=wanted.delta / (2 * measures))
    reader = from_df(frame, privacy=privacy, metadata=META)
    heads, *rows = reader.execute(sql)
    return [
        [THOUSAND * said if head in ("s", "m") else said for head, said in zip(heads, row, strict=True)]
        for row in rows
    ]


tell(wanted, ask)
