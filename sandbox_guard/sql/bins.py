"""Public bins over a range of integers, for quantiles: exact where the range is short, else as fine as one
part in 1,024 of the value.

A number n >= 0 is shifted right by e = max(0, floor(log2 n) - 10) and falls into bin 1024 e + (n >> e);
negative numbers mirror that. The numbering has no gaps, and where n is one less than a power of two an e
that is one too large gives the same bin, so a rounded logarithm does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = 2_048
"""So many values, or fewer, have a bin each."""

FINE = 10
"""Bits of a number that its bin keeps, besides the first."""


@dataclass(frozen=True)
class Bins:
    """Bins 0 … count - 1 over the integers lo … hi, in order."""

    lo: int
    hi: int

    @property
    def exact(self) -> bool:
        return self.hi - self.lo < EXACT

    @property
    def count(self) -> int:
        return self.index(self.hi) + 1

    def index(self, value: int) -> int:
        """Of a value within the range."""
        return value - self.lo if self.exact else _key(value) - _key(self.lo)

    def edges(self, index: int) -> tuple[int, int]:
        """The least and the greatest value of a bin."""
        if self.exact:
            return self.lo + index, self.lo + index
        first, last = _edges(index + _key(self.lo))
        return max(first, self.lo), min(last, self.hi)

    def sql(self, value: str) -> str:
        """The index of `value`, the text of a BIGINT within the range that is short enough to repeat."""
        if self.exact:
            return f"({value} - ({self.lo})::BIGINT)"
        key = _key_sql(value)
        if self.lo < 0:
            key = f"CASE WHEN {value} < 0 THEN -{_key_sql(f'(-{value})')} ELSE {key} END"
        return f"({key} - ({_key(self.lo)})::BIGINT)"


def _key(value: int) -> int:
    if value < 0:
        return -_key(-value)
    shift = max(0, value.bit_length() - 1 - FINE)
    return (shift << FINE) + (value >> shift)


def _key_sql(value: str) -> str:
    """`greatest` would say the same as these CASEs, in three times the time."""
    exponent = f"CAST(system.main.floor(system.main.log2(CAST({value} AS DOUBLE))) AS BIGINT)"
    shift = f"(CASE WHEN {value} < {2 << FINE} THEN 0 ELSE {exponent} - {FINE} END)"
    return f"(({shift} * {1 << FINE}) + ({value} >> {shift}))"


def _edges(key: int) -> tuple[int, int]:
    if key < 0:
        first, last = _edges(-key)
        return -last, -first
    shift = max(0, (key >> FINE) - 1)
    short = key - (shift << FINE)
    return short << shift, ((short + 1) << shift) - 1
