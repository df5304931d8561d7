"""What every test stands on: the same examples in each short run, no deadline for one, no proxy to this machine, a
history of its own for each worker's shells, and three tries for what measures the clock on the wall."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import wraps

import pytest
from hypothesis import HealthCheck, settings

TRIES = 3
"""Of a test that is marked `wall_clock`: a machine that hesitates is late once, a product that is late is so each time."""


def pytest_configure(config: pytest.Config) -> None:
    """`make test` tries the same examples each time, so that its verdict is about the change and not about the draw.
    `make test-long`, and whoever runs a part, draws new ones."""
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    settings.register_profile("new ones", patient)
    settings.register_profile("the same", settings(patient, derandomize=True, database=None))
    seeded = config.getoption("--hypothesis-seed") is not None
    short = "not long" in config.getoption("markexpr")
    settings.load_profile("the same" if short and not seeded else "new ones")
    # Services under test listen on this machine: a proxy of the environment would answer for them.
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))
    # Shells of two workers would lock each other out of one history.
    folder = tempfile.TemporaryDirectory(prefix="sandbox-guard-ipython-")
    config.add_cleanup(folder.cleanup)
    os.environ["IPYTHONDIR"] = folder.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("wall_clock"):
            item.obj = _tried_again(item.obj)


def _tried_again(test: Callable[..., None]) -> Callable[..., None]:
    @wraps(test)
    def tried(**fixtures: object) -> None:
        for number in range(1, TRIES):
            try:
                return test(**fixtures)
            except AssertionError as late:
                print(f"try {number}: {late}")
        return test(**fixtures)

    return tried
