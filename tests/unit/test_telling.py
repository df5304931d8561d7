"""What tells trials apart in the tests: it finds a leak in one number among many, and none where there is none."""

from __future__ import annotations

import numpy as np

from tests.telling import auc, told

TRIALS, FEATURES = 200, 300


def test_a_tie_is_half() -> None:
    assert auc([1, 2], [1, 0]) == 0.875


def test_noise_is_not_told_apart() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(20, 2, TRIALS, FEATURES))
    found = [told(one, other, seed=1) for one, other in kinds]
    assert abs(np.mean(found) - 0.5) < 0.02 and max(found) < 0.6


def test_one_number_among_many_tells() -> None:
    one, other = np.random.default_rng(1).normal(size=(2, TRIALS, FEATURES))
    one[:, 7] += 4
    assert told(one, other, seed=1) > 0.95


def test_a_number_that_never_moves_says_nothing() -> None:
    assert told(np.zeros((10, 3)), np.zeros((10, 3)), seed=1) == 0.5
