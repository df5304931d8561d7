"""A long vector's noise, drawn by all cores: OpenDP's samplers run without Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T", bound=np.generic)


def over_cores(
    work: Callable[[NDArray[np.int64]], NDArray[_T]], values: NDArray[np.int64], piece: int
) -> NDArray[_T]:
    """What `work` makes of each value by itself, in pieces of at least so many values, a core after the other."""
    cores = len(os.sched_getaffinity(0))
    # Two for each core, so that a slower one holds the others up for less; more would pay for many measurements.
    pieces = min(len(values) // piece, 2 * cores)
    if min(cores, pieces) < 2:
        return work(values)
    with ThreadPoolExecutor(cores) as threads:
        done: list[NDArray[Any]] = list(threads.map(work, np.array_split(values, pieces)))
    return np.concatenate(done)
