"""What a peer's script is asked, and how it answers. Standard library only: each runs in its peer's own environment."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

ONE, SESSION = "one query", "one of 100"
WORKLOADS = ("W1", "W3", "W5", "W6")
"""What each peer can say: counts and sums, at once and by public keys."""
DISTRICTS = [f"district {n:02d}" for n in range(1, 17)]
INDUSTRIES = list("ABCDEFGHIJKLMNOPQRST")
YEARS = list(range(2015, 2025))
CUBE = list(product(DISTRICTS, INDUSTRIES, YEARS))


@dataclass(frozen=True)
class Job:
    """`loans`: firm_id, district, industry, year, amount, cents (amount as a whole number); at most `most_rows` in all,
    and at most `rows_per_unit` of a firm. (`epsilon`, `delta`) are for one query, and again for a whole session of `session`
    queries, whose accounting is the peer's own; `rho` is the zCDP that OpenDP's profile gives for them."""

    loans: str
    most_rows: int
    epsilon: float
    delta: float
    rho: float
    session: int
    rows_per_unit: int
    most: float
    """Amounts are clamped to [0, most]."""
    draws: int
    """So often each question is asked, if time allows."""


def job() -> Job:
    return Job(**json.loads(sys.argv[1]))


def tell(job: Job, ask: Callable[[str, str], Iterable[Iterable[Any]]]) -> None:
    """Ask all questions once before any is asked again, for who takes too long is stopped. `ask` takes a workload and
    a budget, and returns rows with the keys first, in the workload's order of columns."""
    for _ in range(job.draws):
        for budget, workload in product((ONE, SESSION), WORKLOADS):
            _tell(workload, budget, ask)


def _tell(workload: str, budget: str, ask: Callable[[str, str], Iterable[Iterable[Any]]]) -> None:
    """A peer's error is its answer."""
    start = time.perf_counter()
    said: dict[str, Any] = {"workload": workload, "budget": budget}
    try:
        rows = [list(row) for row in ask(workload, budget)]
        said |= {"seconds": time.perf_counter() - start, "rows": rows}
    except Exception as failed:  # noqa: BLE001 - whatever a peer raises is what it answered
        said |= {"why": f"{type(failed).__name__}: {str(failed).strip() or 'nothing said'}"[:200]}
    print("\n@" + json.dumps(said, default=str), flush=True)
