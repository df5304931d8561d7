"""The chart of a result as SVG to stand in a page: the client's chart, with the headings of the analysis."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hub.language import Language
from sandbox_guard.client import words
from sandbox_guard.client.answer import Answer, Column
from sandbox_guard.client.chart import Chart
from sandbox_guard.client.errors import Error
from sandbox_guard.policy.model import Chart as Wanted

_one_at_a_time = threading.Lock()


def svg(answer: Answer, wanted: Wanted | None, headings: Mapping[str, str], language: Language) -> str | None:
    """None where there is nothing to draw: no number with noise, no row, no such column."""
    if answer.rows == 0 or not any(column.noisy for column in answer.columns):
        return None
    named = dataclasses.replace(
        answer, columns=tuple(_drawable(c, headings.get(c.name, c.name)) for c in answer.columns)
    )

    def heading(name: str | None) -> str | None:
        return headings.get(name, name) if name else None

    try:
        with _spoken(language):
            chart = Chart.of(
                named,
                x=heading(wanted.x) if wanted else None,
                y=heading(wanted.y) if wanted else None,
                colour=heading(wanted.colour) if wanted else None,
                zero=None,
            )
            return chart.svg()
    except Error:
        return None


def _drawable(column: Column, heading: str) -> Column:
    """Under its heading, and without the numbers whose margin nobody knows: a bare dot would look exact."""
    if column.low is None or column.high is None:
        return dataclasses.replace(column, name=heading)
    values = [v if low is not None else None for v, low in zip(column.values, column.low, strict=True)]
    return dataclasses.replace(column, name=heading, values=values)


@contextmanager
def _spoken(language: Language) -> Iterator[None]:
    """The client has one language a process, as a notebook does; here each page has its own."""
    with _one_at_a_time:
        before = words.language()
        words.language(language)
        try:
            yield
        finally:
            words.language(before)
