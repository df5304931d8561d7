"""Exact numbers as floats, never below: what OpenDP takes as a float is rounded against the asker."""

from __future__ import annotations

import math
from fractions import Fraction


def up(value: Fraction | int) -> float:
    """The least float that is not below."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def up_root(value: Fraction | int) -> float:
    """A float that is not below the square root, and within a few units in its last place."""
    root = math.sqrt(up(value))
    while Fraction(root) ** 2 < value:
        root = math.nextafter(root, math.inf)
    return root
