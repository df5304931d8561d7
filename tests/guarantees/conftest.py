"""One small database and what is left of it without each unit, loaded once for all tests of a worker."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import attacks, databases, firms, oracle
from tests.oracle import Neighbours, Spy
from tests.seam import Bench, opened


@pytest.fixture(scope="session")
def small() -> Iterator[Neighbours]:
    found = oracle.neighbours(firms.policies(), firms.extreme())
    yield found
    found.close()


@pytest.fixture(scope="session")
def alone() -> Iterator[Neighbours]:
    """One firm with all that is its own, and nobody: whoever is left out, nothing is left."""
    tables = firms.extreme()
    for other in {r["firm_id"] for r in tables["firms"]} - {42}:
        tables = databases.without(tables, other)
    found = oracle.neighbours(firms.policies(), tables)
    yield found
    found.close()


@pytest.fixture(scope="session")
def large() -> Iterator[Neighbours]:
    """Tables of several row groups, read by several threads, and what is left of them without one firm."""
    tables = databases.many(60_000)
    found = oracle.neighbours(databases.policies(rows=200_000), tables, units=[42], threads=4)
    yield found
    found.close()


@pytest.fixture(scope="session")
def corpus() -> Iterator[Neighbours]:
    """The corpus's own 1,500 firms, and what is left of them without the planted ones."""
    found = oracle.neighbours(attacks.POLICIES, attacks.data(), units=attacks.PLANTED)
    yield found
    found.close()


@pytest.fixture(scope="session")
def bench(corpus: Neighbours) -> Iterator[Bench]:
    """A guard with a fresh ledger over the corpus's data."""
    with (
        tempfile.TemporaryDirectory() as folder,
        opened(corpus.policies, Spy(corpus.engine), Path(folder)) as ready,
    ):
        yield ready
