"""When an answer leaves: a time fixed by policy, SQL and this machine's rates, whatever the data (DESIGN section 4).

costs = calibrated(limits)                    once, when a vault starts
due = release_time(plan, catalogue, costs)    seconds; Refused where worst-case time or memory is past the limit
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sandbox_guard.engines import cost
from sandbox_guard.engines.cost import MARGIN, EngineCosts
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.errors import Refused
from sandbox_guard.intervals import DRAWS
from sandbox_guard.policy.model import RHO_UNITS
from sandbox_guard.privacy.account import Amount
from sandbox_guard.privacy.mechanism import Gaussian, ThresholdedGaussian
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.worst_case import Work, worst_case

FLOOR = 0.05
"""Seconds: no answer leaves sooner."""

LONGEST = 60.0
"""Seconds: a plan whose worst case takes longer is refused."""

FIXED = 0.05
"""Seconds for what does not grow: two transactions of the ledger, with what each waits for the disk."""

SIMULATED = 2_000_000
"""Most values that intervals are simulated from (`intervals._stacked`)."""

MANY = 2_000
"""Numbers of each kind that are noised to take the time of one."""


@dataclass(frozen=True)
class Costs:
    engine: EngineCosts
    memory: int
    """Bytes that one worker's engine may hold."""
    number_noised: float
    key_tested: float
    bin_scored: float

    def seconds(self, work: Work) -> float:
        """Of all but what does not grow."""
        simulated = min(DRAWS * work.numbers_noised, SIMULATED * (1 + work.numbers_noised // SIMULATED))
        again = Work(values_read=simulated, expressions=4 * simulated, rows_fetched=simulated, statements=3)
        return (
            self.engine.seconds(work)
            + self.engine.seconds(again)
            + self.number_noised * work.numbers_noised
            + self.key_tested * work.keys_tested
            + self.bin_scored * work.bins
        )


def calibrated(limits: Limits) -> Costs:
    """Measure this machine on invented data. Takes a few seconds."""
    rho = RHO_UNITS // 100
    gaussian = Gaussian.within(2500, rho)
    threshold = ThresholdedGaussian.within(50, 1, 50, Amount(rho, 10**8))
    quantile = Quantile.within(Fraction(1, 2), MANY, 2500, rho)
    many = np.full(MANY, 1000, dtype=np.int64)
    return Costs(
        cost.calibrated(limits),
        limits.memory,
        _each(lambda: gaussian.release(many), MANY),
        _each(lambda: threshold.release(many), MANY),
        _each(lambda: quantile.release(many.reshape(1, -1)), 3 * MANY),
    )


def _each(run: Callable[[], object], times: int) -> float:
    found = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return MARGIN * statistics.median(found[1:]) / times


def release_time(plan: Plan, catalogue: Catalogue, costs: Costs, longest: float = LONGEST) -> float:
    """Seconds from start to release, at least `FLOOR`.

    Refused: `ask.too_long` where the worst case takes longer than `longest`, `ask.too_large` where it holds more
    than a worker may. Both follow from policy and SQL alone.
    """
    work = worst_case(plan, catalogue)
    if work.memory > costs.memory:
        raise Refused("ask.too_large")
    seconds = costs.seconds(work) + FIXED
    if seconds > longest:
        raise Refused("ask.too_long", most=round(longest))
    return max(seconds, FLOOR)
