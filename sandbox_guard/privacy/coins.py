"""Which of many counts a discrete Gaussian noise would lift above a threshold, without drawing the noise.

Only the yes or no leaves, so a coin that falls with that very probability does the same in a twentieth of the
randomness. A coin is tossed digit by digit: each binary digit of the probability is handed to OpenDP's randomized
response, which turns it over with probability 1/2, and the first one turned over is the answer. So the answer is yes
with probability sum of digit_j 2^-j, which is the probability itself, of which nothing is rounded away: digits that
floating point leaves in doubt are worked out exactly.
"""

from __future__ import annotations

import math
from decimal import MIN_EMIN, Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sandbox_guard.privacy import measurements
from sandbox_guard.privacy.cores import over_cores

Integers = NDArray[np.int64]

MOST_COIN_SCALE = 2.0**16
"""The weights below stay within 64 bits, and their table within milliseconds."""

DIGITS = 48
"""So many are looked for in floating point. A coin needs two on average, and more than these once in 2^48."""

_WEIGHT = 2.0**40
"""Of a noise of 0, as an integer."""

_REACH = 8
"""Scales, beyond which all weights together are below 1."""

_DOUBT = 2.0**-36
"""By which a probability may be off: each of 8 scale weights by at most 1, of 2.5 scale 2^40 in all."""


_PIECE = 8_000
"""Coins, some 10 ms of work."""


def tossed(scale: float, margins: Integers) -> NDArray[np.bool_]:
    """For each margin whether a discrete Gaussian of this scale, drawn for it alone, comes out above."""
    return over_cores(lambda piece: _tossed(scale, piece), margins, _PIECE)


def _tossed(scale: float, margins: Integers) -> NDArray[np.bool_]:
    low, high = _digits(scale, margins)
    fell = np.zeros(len(margins), dtype=np.bool_)
    left = np.arange(len(margins))
    place = 1
    while len(left):
        digits = _at(place, scale, margins[left], low[left], high[left])
        turned = measurements.turned_over(digits) != digits
        fell[left[turned]] = digits[turned]
        left = left[~turned]
        place += 1
    return fell


def _at(place: int, scale: float, margins: Integers, low: Integers, high: Integers) -> NDArray[np.bool_]:
    """The digit at this place after the point, for each margin."""
    if place > DIGITS:
        return np.array([exactly(scale, m, place) & 1 for m in margins.tolist()], dtype=np.bool_)
    low, high = low >> (DIGITS - place), high >> (DIGITS - place)
    digits = (low & 1).astype(np.bool_)
    for doubtful in np.flatnonzero(low != high).tolist():
        digits[doubtful] = exactly(scale, int(margins[doubtful]), place) & 1
    return digits


def chances(scale: float, margins: Integers) -> NDArray[np.float64]:
    """P(Z > margin), off by less than 2^-36."""
    upper = _upper(scale)
    beyond = upper[np.minimum(np.where(margins < 0, -margins - 1, margins), len(upper) - 1)]
    tail = beyond / (2.0 * upper[0] + _WEIGHT)
    found: NDArray[np.float64] = np.where(margins < 0, 1 - tail, tail)
    return found


def _digits(scale: float, margins: Integers) -> tuple[Integers, Integers]:
    """2^DIGITS times the probability, rounded down, from the least to the greatest that it may be."""
    probability = chances(scale, margins)
    most = 2.0**DIGITS
    low, high = ((probability + off) * most for off in (-_DOUBT, _DOUBT))
    return np.clip(low, 0, most - 1).astype(np.int64), np.clip(high, 0, most - 1).astype(np.int64)


@lru_cache(1)
def _upper(scale: float) -> Integers:
    """The weights above k, for k = 0, 1, …, in integers so that their sums are exact."""
    k = np.arange(math.ceil(_REACH * scale) + 2, dtype=np.float64)
    weights = np.rint(_WEIGHT * np.exp(-((k / scale) ** 2) / 2)).astype(np.int64)
    sums: Integers = np.append(np.cumsum(weights[:0:-1])[::-1], 0)
    return sums


@lru_cache(256)
def exactly(scale: float, margin: int, digits: int) -> int:
    """2^digits times P(Z > margin), rounded down.

    With ever more decimals, until the least and the greatest that it may be are rounded down alike. So they are in the
    end: the probability lies between 0 and 1, and is no binary fraction.
    """
    parts = 1 << digits
    decimals = 20 + math.ceil(digits * math.log10(2))
    while True:
        with localcontext(prec=decimals + _GUARD) as exact:
            exact.Emin = MIN_EMIN
            beyond = _tail(scale, margin if margin >= 0 else -margin - 1, decimals)
            probability = beyond if margin >= 0 else 1 - beyond
            off = Decimal(10) ** -decimals
            found = {min(max(int((probability + d) * parts), 0), parts - 1) for d in (-off, off)}
        if len(found) == 1:
            return found.pop()
        decimals *= 2


_GUARD = 20
"""Decimals more than are wanted: the k-th weight is a product of 2 k factors, so k² times as far off as one."""


def _tail(scale: float, margin: int, decimals: int) -> Decimal:
    """P(Z > margin) for a margin from 0, by adding up weights until they are below what is wanted."""
    factor = (-1 / (2 * Decimal(scale) ** 2)).exp()
    square = factor * factor
    least = Decimal(10) ** -(decimals + _GUARD // 2)
    weight, inner, outer, k = Decimal(1), Decimal(0), Decimal(0), 0
    while weight > least:
        k += 1
        weight *= factor
        factor *= square
        if k > margin:
            outer += weight
        else:
            inner += weight
    return outer / (1 + 2 * (inner + outer))
