"""When an answer leaves: a time fixed by policy, SQL and this machine's rates, whatever the data (DESIGN section 4).

costs = known(rates, limits)                  once, when a vault starts; measured by `sandbox-guard calibrate`
due = release_time(plan, quote, catalogue, costs)    seconds; Refused where worst-case time or memory is past the limit
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from sandbox_guard.engines import cost
from sandbox_guard.engines.cost import MARGIN, NOTHING, EngineCosts
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.finish import Finisher
from sandbox_guard.errors import Refused
from sandbox_guard.intervals import effort
from sandbox_guard.policy.model import RHO_UNITS
from sandbox_guard.privacy.account import Amount
from sandbox_guard.privacy.mechanism import Gaussian, ThresholdedGaussian
from sandbox_guard.privacy.price import Quote
from sandbox_guard.privacy.quantile import Quantile
from sandbox_guard.sql.catalogue import Catalogue
from sandbox_guard.sql.plan import Plan
from sandbox_guard.sql.worst_case import Work, worst_case

FLOOR = 0.05
"""Seconds: no answer leaves sooner."""

LONGEST = 60.0
"""Seconds: a plan whose worst case takes longer is refused."""

FIXED = 0.025
"""Seconds for what does not grow, and for a hiccup of cores on which nothing else runs."""

SHARED = 0.25
"""The same where the host's services run on them too: twelve notebooks that start on a machine of two cores hold up a
vault for so long, and three answers that are late in a day stop a plan's shape."""

SIMULATED = 2_000_000
"""Most values that intervals are simulated from (`intervals._stacked`)."""

RATES = 8
"""Number of what is measured: rates of an older meaning are measured anew."""

MANY = 2_000
"""Numbers of each kind that are noised to take the time of one."""

BINS = 20_000
CHOICES = 20
"""Quantiles chosen to take the time of a try: how many one needs is a matter of chance."""


@dataclass(frozen=True)
class VaultCores:
    """On which a vault's questions are answered, one after the other with those of the host's other vaults."""

    lane: str
    reserved: bool
    """For vaults alone: then an overrun counts."""
    costs: Costs
    fixed: float = FIXED


@dataclass(frozen=True)
class Costs:
    """Seconds for one of each."""

    engine: EngineCosts
    memory: int
    """Bytes that one worker's engine may hold."""
    number_noised: float
    key_tested: float
    bin_scored: float
    choice: float
    tried: float
    """One candidate drawn and rejected."""
    finish: float
    """One statement over small released tables, with their way to the finishing process and back."""
    finish_part: float
    """One more relation or operation of it: doubles are checked as they are made, which takes an engine longer to plan
    than what else is printed."""
    simulated: float
    """One number drawn anew, and what is made of it."""

    def seconds(self, plan: Plan, measuring: Work, finishing: Work) -> float:
        """Of all but what does not grow."""
        runs, draws = effort(plan)
        numbers = measuring.numbers_noised + measuring.choices // 3
        return (
            self.engine.seconds(measuring)
            + self.number_noised * measuring.numbers_noised
            + self.key_tested * measuring.keys_tested
            + self.bin_scored * measuring.bins
            + self.choice * measuring.choices
            + self.tried * measuring.tries
            + runs
            * (
                self.engine.seconds(finishing)
                + self.finish * finishing.finishes
                + self.finish_part * finishing.parts
            )
            + self.simulated * min(draws * numbers, max(SIMULATED, numbers))
        )


def known(rates: Path | None, limits: Limits) -> Costs:
    """What was measured for this machine, these versions and limits; measured now where nothing was."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if rates is not None:
            return _read(rates, limits)
    return calibrated(limits)


def keep(rates: Path, limits: Limits) -> bool:
    """Measure and write down, unless that was done; says whether it was done now."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        _read(rates, limits)
        return False
    write(rates, limits, calibrated(limits))
    return True


def write(rates: Path, limits: Limits, costs: Costs) -> None:
    rates.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = json.dumps({"measured": _measured(limits), "costs": asdict(costs)}, indent=2)
    fresh = rates.with_name(f".{rates.name}.{os.getpid()}")
    fresh.write_text(f"{text}\n", "utf-8")
    fresh.replace(rates)


def _read(rates: Path, limits: Limits) -> Costs:
    kept = json.loads(rates.read_text("utf-8"))
    if kept["measured"] != _measured(limits):
        raise ValueError("measured for something else")
    costs = kept["costs"]
    return Costs(**{**costs, "engine": EngineCosts(**costs["engine"])})


def _measured(limits: Limits) -> dict[str, object]:
    """What rates hold for."""
    processor = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "rates": RATES,
        "processor": processor,
        "limits": asdict(limits),
        **{package: version(package) for package in ("duckdb", "opendp", "numpy")},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def calibrated(limits: Limits) -> Costs:
    """Measure this machine on invented data. Takes a few seconds."""
    rho = RHO_UNITS // 100
    gaussian = Gaussian.within(2500, rho)
    threshold = ThresholdedGaussian.within(50, 1, 50, Amount(rho, 10**8))
    quantile, small = (Quantile.within(Fraction(1, 2), bins, 2500, rho) for bins in (BINS, 16))
    many = np.full(MANY, 1000, dtype=np.int64)
    keys = np.tile(many, 10)  # of few, the calls that toss their coins would be most
    # Without rows every bin is as good as any, and the first that is tried is taken; where all lie in one bin, one is.
    chosen = _least(lambda: small.release(np.zeros((1, 16), dtype=np.int64)))
    scored = _least(lambda: quantile.release(np.zeros((1, BINS), dtype=np.int64)))
    peak = np.zeros((CHOICES, BINS), dtype=np.int64)
    peak[:, BINS // 10] = 10**7
    tried = _least(lambda: quantile.release(peak)) - CHOICES * scored
    finish, finish_part, simulated = _finishing(gaussian, limits)
    return Costs(
        cost.calibrated(limits),
        limits.memory,
        _least(lambda: gaussian.release(many)) / MANY,
        _least(lambda: threshold.release(keys)) / len(keys),
        max(scored - chosen, NOTHING) / (3 * BINS),
        chosen / 3,
        max(tried, NOTHING) / (3 * CHOICES * 2 * math.isqrt(BINS)),
        finish,
        finish_part,
        simulated,
    )


QUOTIENTS = 20
_QUOTIENT = (
    "system.main.list_extract(system.main.list_transform([((CAST(c1 AS DOUBLE) / {n}.0e0) / (CASE WHEN CAST(c2 AS DOUBLE)"
    " <> 0 THEN CAST(c2 AS DOUBLE) END))], lambda v: CASE WHEN system.main.isfinite(v) THEN v END), 1) AS q{n}"
)
QUOTIENT_PARTS = 8
"""As `Work.parts` counts: an average has so many more than a sum."""


def _finishing(noise: Gaussian, limits: Limits) -> tuple[float, float, float]:
    """Seconds for a statement over a small table, for each further part of it, and for each number of a simulation."""
    finisher = Finisher(workers=1, limits=limits)
    rng = np.random.default_rng(0)
    short = "SELECT c0, CAST(c1 AS DOUBLE) / nullif(c2, 0) AS c1, c2, c3 FROM main.b0"
    quotients = ", ".join(_QUOTIENT.format(n=n) for n in range(1, 1 + QUOTIENTS))
    long = f"SELECT c0, c1, c2, c3, {quotients} FROM main.b0"

    def run(size: int, sql: str = short) -> None:
        drawn = np.full(size, 1000) + noise.simulate_noise(size, rng)
        columns = {f"c{i}": pa.array(np.arange(size)) for i in (0, 2, 3)} | {"c1": pa.array(drawn)}
        found = finisher.run({"b0": pa.table(columns)}, sql, 60.0)
        order = np.lexsort((found.column("c3").to_numpy(), found.column("c2").to_numpy()))
        np.sort(found.column("c1").to_numpy()[order])

    try:
        small, large = _least(lambda: run(16)), _least(lambda: run(100 * MANY))
        longer = _least(lambda: run(16, long))
    finally:
        finisher.close()
    part = max(longer - small, NOTHING) / (QUOTIENTS * QUOTIENT_PARTS)
    return small, part, max(large - small, NOTHING) / (100 * MANY)


def _least(run: Callable[[], object]) -> float:
    found = []
    for _ in range(5):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return MARGIN * min(found[1:])


def release_time(
    plan: Plan,
    bought: Quote,
    catalogue: Catalogue,
    costs: Costs,
    longest: float = LONGEST,
    fixed: float = FIXED,
) -> float:
    """Seconds from start to release, at least `FLOOR`.

    Refused: `ask.too_long` where the worst case takes longer than `longest`, `ask.too_large` where it holds more
    than a worker may. Both follow from policy, SQL and price alone.
    """
    thresholds = tuple((b.index, b.discovery.most_released) for b in bought.blocks if b.discovery is not None)
    measuring, finishing = worst_case(plan, catalogue, thresholds)
    memory = max(measuring.memory, finishing.memory)
    if memory > costs.memory:
        raise Refused("ask.too_large", worst=_rounded(memory / 2**20), most=costs.memory >> 20)
    seconds = costs.seconds(plan, measuring, finishing) + fixed
    if seconds > longest:
        raise Refused("ask.too_long", worst=_rounded(seconds), most=round(longest))
    return max(seconds, FLOOR)


def _rounded(number: float) -> str:
    """Up, to two digits: more would say no more."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / step) * step:,}"
