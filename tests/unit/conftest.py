"""What several unit tests stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.small import City, city


@pytest.fixture(scope="module")
def small() -> Iterator[City]:
    """The small city, before one member's guard."""
    with city() as ready:
        yield ready
