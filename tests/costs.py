"""Rates of work as some machine once had them: what is refused as too dear is the same wherever tests run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sandbox_guard.engines.cost import EngineCosts
from sandbox_guard.ledger.wire import Reserved
from sandbox_guard.release_time import Costs, VaultCores
from sandbox_guard.window import Unlimited, Window, Windows

COSTS = Costs(
    engine=EngineCosts(
        values_read=1e-9,
        expressions=4e-9,
        comparisons=1e-9,
        arithmetic=1e-9,
        rows_binned=3e-8,
        rows_grouped=9e-9,
        rows_hashed=9e-8,
        rows_joined=4e-8,
        pairs_joined=4e-8,
        rows_sorted=2e-7,
        rows_fetched=2e-7,
        statements=4e-3,
        parts=1e-4,
    ),
    memory=1 << 30,
    number_noised=2e-5,
    key_tested=2e-5,
    bin_scored=1e-7,
    choice=5e-4,
    tried=4e-6,
    finish=8e-3,
    finish_part=2e-4,
    simulated=5e-7,
)

CORES = VaultCores("tests", False, COSTS)


class Untimed(Windows):
    """Answers leave when they are ready. The product has no such switch: a test puts this in its place."""

    @contextmanager
    def open(self, reserved: Reserved | None) -> Iterator[Window | Unlimited]:
        yield Unlimited(self.timeout)
