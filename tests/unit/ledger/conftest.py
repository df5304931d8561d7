"""Every test that takes `ledger` or `url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox_guard.ledger.store import LedgerStore
from tests.ledgers import ACT, Hands, open_ledger, terms
from tests.postgres import Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    server: Cluster = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def reopen(url: str, tmp_path: Path, clock: Hands) -> Iterator[Callable[[], LedgerStore]]:
    """Opens the same ledger again, as another process would."""
    opened: list[LedgerStore] = []

    def again() -> LedgerStore:
        opened.append(open_ledger(url, tmp_path, clock))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def ledger(reopen: Callable[[], LedgerStore]) -> LedgerStore:
    store = reopen()
    store.apply(terms(), ACT)
    return store
