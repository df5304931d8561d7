"""What can be said about released numbers from their noise alone. Costs nothing: nothing is asked.

A release x with the interval [low, high] is read as "the truth is x plus noise of that width", which is what
the mechanism's noise and a flat prior give. Where the two halves of an interval differ (a ratio), each
half keeps its own width. Cells are drawn independently, as their noise was; comparisons stay within one
column, because numbers of one row may share a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from sandbox_guard.client.answer import Answer, Column
from sandbox_guard.client.display import Band, Figure, View, Viewed, figure
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.words import say

SURE: Final = 0.95
"""Below it, a comparison says that it cannot tell."""

SIMULATIONS: Final = 200_000

GAUSSIAN_95: Final = 1.959963984540054
LAPLACE_95: Final = float(np.log(20))

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, repr=False)
class Comparison(Viewed):
    """`verdict` is 'higher', 'lower' or 'cannot tell'; `probability` that `a` is above `b`."""

    a: str
    b: str
    column: str
    probability: float
    figures: tuple[Figure, Figure]
    bands: tuple[Band, Band] | None

    @property
    def verdict(self) -> str:
        if self.probability >= SURE:
            return "higher"
        return "lower" if self.probability <= 1 - SURE else "cannot tell"

    def __str__(self) -> str:
        key = {"higher": "a_higher", "lower": "b_higher", "cannot tell": "cannot_tell"}[self.verdict]
        surer = max(self.probability, 1 - self.probability)
        # Rounded down, and never "100 of 100": noise has no bound.
        return say(key, a=self.a, b=self.b, n=min(99, int(surer * 100 + 1e-9)))

    def view(self) -> View:
        return View(
            lead=str(self),
            heads=["", self.column, *([say("band_short")] if self.bands else [])],
            rows=[
                [name, shown, *band]
                for name, shown, band in zip(
                    (self.a, self.b),
                    self.figures,
                    [(band,) for band in self.bands] if self.bands else [(), ()],
                    strict=True,
                )
            ],
            unbroken=frozenset({0, 2}),
            below=[say("noise_only")],
        )


def compare(answer: Answer, a: Any, b: Any, column: str | None = None) -> Comparison:
    """See `Result.compare`."""
    measured = _measured(answer, column)
    row_a, row_b = _row(answer, a), _row(answer, b)
    random = np.random.default_rng(0)  # the same two numbers always give the same verdict
    drawn_a = _draw(measured, random, SIMULATIONS, [row_a])[:, 0]
    drawn_b = _draw(measured, random, SIMULATIONS, [row_b])[:, 0]
    return Comparison(
        _label(answer, row_a),
        _label(answer, row_b),
        measured.name,
        float(np.mean(drawn_a > drawn_b)) if row_a != row_b else 0.5,
        (_figure(measured, row_a), _figure(measured, row_b)),
        _bands(measured, row_a, row_b),
    )


def draws(answer: Answer, n: int, seed: int | None) -> pd.DataFrame:
    """See `Result.draws`."""
    random = np.random.default_rng(seed)
    frame = answer.frame()
    long = frame.iloc[np.tile(np.arange(answer.rows), n)].reset_index(drop=True)
    for i, column in enumerate(answer.columns):
        if column.noisy:
            drawn = _draw(column, random, n, range(answer.rows)).reshape(-1)
            if column.type == "integer":
                whole = pd.Series(np.round(drawn)).astype("Int64")
                series: pd.Series[Any] = whole if whole.isna().any() else whole.astype("int64")
            else:
                series = pd.Series(drawn)
            long.isetitem(i, series.array)
    long.insert(0, "draw", np.repeat(np.arange(n), answer.rows))
    return long


def _draw(column: Column, random: np.random.Generator, n: int, rows: Any) -> Floats:
    """n × rows plausible values; nan where there is none."""
    rows = list(rows)
    value, low, high = (
        np.array([np.nan if cells[row] is None else float(cells[row]) for row in rows])
        for cells in (column.values, column.low or (), column.high or ())
    )
    shape = (n, len(rows))
    # In units of the half-width: 95 of 100 lie within ±1.
    if column.noise == "laplace":
        unit = random.laplace(size=shape) / LAPLACE_95
    else:
        unit = random.standard_normal(shape) / GAUSSIAN_95
    drawn: Floats = value + np.where(unit > 0, unit * (high - value), unit * (value - low))
    return drawn


def _measured(answer: Answer, name: str | None) -> Column:
    measured = [column for column in answer.columns if column.noisy]
    chosen = [column for column in measured if name is None or column.name == name]
    if len(chosen) == 1:
        return chosen[0]
    offered = ", ".join(column.name for column in measured)
    raise InterfaceError(
        say("no_such_column", name=f"column={name!r}", offered=offered) if offered else say("nothing_noisy")
    )


def _row(answer: Answer, wanted: Any) -> int:
    """The one row that `wanted` names."""
    keys = [column for column in answer.columns if not column.noisy]
    if isinstance(wanted, Mapping):
        conditions = dict(wanted)
    elif isinstance(wanted, tuple) and len(wanted) == len(keys):
        conditions = {key.name: value for key, value in zip(keys, wanted, strict=True)}
    elif len(keys) == 1 and wanted in list(keys[0].values):
        conditions = {keys[0].name: wanted}
    elif isinstance(wanted, (int, np.integer)) and -answer.rows <= wanted < answer.rows:
        return int(wanted) % answer.rows
    else:
        conditions = {keys[0].name: wanted} if keys else {}
    columns = {column.name: column for column in answer.columns}
    if not conditions or not set(conditions) <= set(columns):
        raise InterfaceError(say("no_such_row", row=repr(wanted)))
    found = [
        row
        for row in range(answer.rows)
        if all(columns[name].values[row] == value for name, value in conditions.items())
    ]
    if len(found) != 1:
        raise InterfaceError(say("not_one_row", row=repr(wanted), n=len(found)))
    return found[0]


def _label(answer: Answer, row: int) -> str:
    keys = [str(column.values[row]) for column in answer.columns if not column.noisy]
    return " · ".join(keys) or f"#{row}"


def _figure(column: Column, row: int) -> Figure:
    low, high = (column.low or ())[row], (column.high or ())[row]
    return figure(column.values[row], low, high, whole=column.type == "integer")


def _bands(column: Column, a: int, b: int) -> tuple[Band, Band] | None:
    """Both numbers on one axis, which spans their intervals; None where a number or margin is missing."""
    ends = [(cells or ())[row] for cells in (column.low, column.values, column.high) for row in (a, b)]
    if any(end is None or not math.isfinite(end) for end in ends):
        return None
    (low_a, low_b, value_a, value_b, high_a, high_b) = ends
    start, end = min(low_a, low_b), max(high_a, high_b)
    return Band(low_a, value_a, high_a, start, end), Band(low_b, value_b, high_b, start, end)
