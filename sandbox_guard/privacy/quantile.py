"""Quantiles by noisy selection among public bins, with an interval bought at the same price.

The exact part is a histogram: how many rows of a group fall into each of a public, ordered list of bins
that cover every value. A bin's score is how far the wanted rank lies outside the ranks that the bin
holds. A bin without rows holds a rank between those of its neighbours' rows, in proportion to where it lies
between them, as SQL's quantile_cont has it: so some bin scores at most half a rank, and in a gap the right
one is preferred.

One row moves a score by at most max(fraction, 1 - fraction) ranks. It moves the wanted rank, fraction (n - 1),
by the fraction, and every bin's rank by 0 to 1, for ranks between rows are linear and stay in order: a new row
in a gap lifts what lies before it towards its own rank and what lies behind it by one less what it gains on
the row after. Beyond the first and the last bin stand a public row each. Ranks are counted in units of
1/(denominator · PARTS), rounded down, to stay integers.

The interval is two further choices, of ranks a little lower and higher: by as much as a choice errs at
most. Its ends are the outer edges of the bins chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox_guard.privacy.account import Amount, total
from sandbox_guard.privacy.mechanism import Integers, NoisyMin, Unaffordable

MOST_BINS = 2**17
MOST_DENOMINATOR = 10_000
PARTS = 64
"""Into so many parts the rank between two rows is divided."""

_MOST_RANK = 2**57
"""Scores, three of them at most, stay below `MOST_SCORE`."""


@dataclass(frozen=True)
class Bins:
    """By group, indexes of bins: the quantile lies in `at`, and at 95 % between the lower edge of `low`
    and the upper edge of `high`."""

    low: Integers
    at: Integers
    high: Integers


@dataclass(frozen=True)
class Quantile:
    """Releases the `fraction` quantile of every group. `choice` is made three times."""

    fraction: Fraction
    bins: int
    choice: NoisyMin

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1 or self.fraction.denominator > MOST_DENOMINATOR:
            raise ValueError(f"not a fraction between 0 and 1 in steps of 1/{MOST_DENOMINATOR}")
        if not 1 <= self.bins <= MOST_BINS:
            raise ValueError(f"{self.bins} bins are not 1 to {MOST_BINS}")
        if self.choice.weight != _weight(self.fraction):
            raise ValueError("the choice's weight is not that of this fraction")
        if self._shift >= _MOST_RANK:
            raise Unaffordable(f"an error of {self._shift} ranks does not fit 64 bits")

    @classmethod
    def within(cls, fraction: Fraction, bins: int, l2_squared: int, rho: int) -> Quantile:
        """The least noise that costs at most `rho` units. `l2_squared`: how many rows one unit has in each
        group, squared and added (K² for K rows that may all fall into one)."""
        if rho < 3:
            raise Unaffordable(f"{rho} units do not pay for three choices")
        return cls(fraction, bins, NoisyMin.within(l2_squared, _weight(fraction), rho // 3))

    @property
    def cost(self) -> Amount:
        return total([self.choice.cost] * 3)

    @cached_property
    def _shift(self) -> int:
        """How far a choice errs at most with probability 0.975."""
        return self._error(0.975)

    def _error(self, level: float) -> int:
        """The best bin may be half a rank off itself, where no bin lies between two rows."""
        return self.choice.excess(self.bins, level) + self.fraction.denominator * PARTS // 2

    def rank_half_width(self, level: float = 0.95) -> Fraction:
        """With at least this probability the bin `at` holds a rank so near to the wanted one."""
        return Fraction(self._error(level), self.fraction.denominator * PARTS)

    @property
    def name(self) -> str:
        return "quantile"

    def release(self, histogram: Integers) -> Bins:
        """(groups, bins): exact numbers of rows, at least 0."""
        return Bins(
            *(self.choice.release(self.scores(histogram, shift)) for shift in (-self._shift, 0, self._shift))
        )

    def scores(self, histogram: Integers, shift: int = 0) -> NDArray[np.uint64]:
        """How far each bin is from holding the wanted rank, which `shift` moves.

        A rank below all rows belongs to the first bin, one above all to the last. Cells are clamped so
        that nothing overflows on any data; a row still moves a cell by at most one.
        """
        if histogram.dtype != np.int64 or histogram.ndim != 2 or histogram.shape[1] != self.bins:
            raise TypeError(f"a histogram is a table of 64-bit integers, {self.bins} bins a group")
        p, q = self.fraction.numerator, self.fraction.denominator
        cells = np.clip(histogram, 0, _MOST_RANK // (q * PARTS * self.bins))
        up_to = np.cumsum(cells, axis=1)
        first, last = _ranks(cells, up_to)
        wanted = p * PARTS * (up_to[:, -1:] - 1) + shift
        too_high = q * first - wanted
        too_low = wanted - q * last
        too_high[:, 0] = 0
        too_low[:, -1] = 0
        outside: Integers = np.maximum(0, np.maximum(too_high, too_low))
        return outside.astype(np.uint64)

    def as_dict(self) -> dict[str, Any]:
        return {
            "mechanism": "quantile",
            "fraction": str(self.fraction),
            "bins": self.bins,
            "choice": self.choice.as_dict(),
        }


def _ranks(cells: Integers, up_to: Integers) -> tuple[Integers, Integers]:
    """The first and the last rank that each bin holds, times PARTS, from 0 for the first row."""
    bins = cells.shape[1]
    at = np.broadcast_to(np.arange(bins, dtype=np.int64), cells.shape)
    held = cells > 0
    before = np.maximum.accumulate(np.where(held, at, -1), axis=1)
    after = np.minimum.accumulate(np.where(held, at, bins)[:, ::-1], axis=1)[:, ::-1]
    # Where a bin holds rows, `before` and `after` are itself.
    between = PARTS * (at - before) // np.maximum(after - before, 1)
    first = np.where(held, PARTS * (up_to - cells), PARTS * (up_to - 1) + between)
    last = np.where(held, PARTS * (up_to - 1), first)
    return first, last


def _weight(fraction: Fraction) -> int:
    return PARTS * max(fraction.numerator, fraction.denominator - fraction.numerator)
