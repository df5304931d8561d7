"""Twelve members who ask at once, each as fast as they can: everyone is answered in turn, and no answer is late.

That no answer at all is late is a promise for an idle machine, which the long run needs. The short one stands a busy
machine: were the turns of others counted as work, most answers would be late, not one in six.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sandbox_guard.engines.engine import Engine
from sandbox_guard.guard import Guard
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import Asker
from sandbox_guard.policy.model import Role
from sandbox_guard.pricing import Asked, Pricing
from sandbox_guard.release_time import VaultCores
from sandbox_guard.window import Windows
from tests.costs import COSTS
from tests.firms import CAP, many, policies
from tests.local import LocalFinisher
from tests.seam import loaded, opened

MEMBERS = tuple(f"member-{n:02}" for n in range(1, 13))

ROOMY = replace(COSTS, engine=replace(COSTS.engine, statements=0.4))
"""Of a machine on which other tests run meanwhile: T is about half a second."""


@dataclass(frozen=True)
class City:
    ledger: LedgerStore
    guards: tuple[Guard, ...]
    """Each with cores that are the same for all, and reserved."""


@contextmanager
def city() -> Iterator[City]:
    described = policies(CAP)
    name, project = next(iter(described.projects.items()))
    crowded = project.model_copy(update={"members": dict.fromkeys(MEMBERS, Role.RESEARCHER)})
    described = described.model_copy(update={"projects": {name: crowded}})
    cores = VaultCores("host", True, ROOMY)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        engine = Engine(loaded(described, many(60), home), workers=2)
        with opened(described, engine, home, cores=cores) as ready:
            guards = tuple(
                Guard(
                    Pricing.of(described, name),
                    Asker(member=member, project=name),
                    ready.ledger,
                    engine,
                    LocalFinisher(),
                    cores,
                    Windows(),
                )
                for member in MEMBERS
            )
            yield City(ready.ledger, guards)
        engine.close()


def asked_for(seconds: float, late: float) -> None:
    """`late`: the largest share of answers that may miss their release time."""
    with city() as found:
        start = threading.Barrier(len(MEMBERS))

        def ask(guard: Guard) -> list[int]:
            """How often each answer missed its release time."""
            start.wait()
            end = time.monotonic() + seconds
            overruns: list[int] = []
            while time.monotonic() < end or not overruns:
                sql = "SELECT district, count(*), sum(amount) FROM loans GROUP BY district"
                asked = Asked(sql, secrets.token_hex(8), epsilon=1 + secrets.randbelow(10**6) * 1e-9)
                overruns.append(guard.answer(asked)["receipt"]["overruns"])
            return overruns

        with ThreadPoolExecutor(len(MEMBERS)) as pool:
            told = list(pool.map(ask, found.guards))
        entries = [json.loads(line) for line in found.ledger.export()]
        left = [e["facts"] for e in entries if e.get("kind") in ("release", "fault")]
        # Everyone was answered, and in turn: nobody much oftener than another.
        answered = [len(each) for each in told]
        assert max(answered) - min(answered) <= 2, answered
        overruns = [n for each in told for n in each]
        assert sorted(f["told"] for f in left) == sorted(overruns)
        assert sum(n > 0 for n in overruns) <= late * len(overruns), overruns
        assert verify(found.ledger.export(), found.ledger.public_key).good


@pytest.mark.wall_clock
def test_twelve_members_at_once() -> None:
    asked_for(seconds=12, late=1 / 6)


@pytest.mark.long
def test_twelve_members_for_two_minutes() -> None:
    asked_for(seconds=120, late=0)
