"""One small database and what is left of it without each unit, loaded once for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import firms, oracle
from tests.oracle import Neighbours


@pytest.fixture(scope="session")
def small() -> Iterator[Neighbours]:
    found = oracle.neighbours(firms.policies(), firms.extreme())
    yield found
    found.close()
