"""How anything the client hands out looks: one view, rendered as HTML for notebooks and as text for terminals."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

import pandas as pd

MARKS: Final = {"high": "●", "usable": "◐", "caution": "○"}
"""Reliability by shape as well as by word, never by colour alone."""

_NOTE = "color:var(--jp-ui-font-color1,#444);margin:.15em 0"
_BANNER = "border-left:4px solid #8a5a00;padding:.3em .8em;margin:.3em 0"


@dataclass(frozen=True)
class View:
    """Banner, lines, a table of strings, more lines, and details to unfold."""

    banner: str | None = None
    above: Sequence[str] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    right: frozenset[int] = frozenset()
    """Columns of numbers, set flush right."""
    unbroken: frozenset[int] = frozenset()
    """Columns whose cells stay on one line."""
    below: Sequence[str] = ()
    details: Sequence[tuple[str, str]] = ()
    summary: str = field(default="")

    def html(self) -> str:
        parts = ["<div>"]
        if self.banner:
            parts.append(f'<p style="{_BANNER}">⚠ {escape(self.banner)}</p>')
        parts += [f'<p style="{_NOTE}">{escape(line)}</p>' for line in self.above]
        if self.heads:
            parts.append(self._table())
        parts += [f'<p style="{_NOTE}">{escape(line)}</p>' for line in self.below]
        if self.details:
            items = "".join(
                f"<tr><th scope='row' style='text-align:left;white-space:nowrap'>{escape(name)}</th>"
                f"<td style='text-align:left'><code>{escape(value)}</code></td></tr>"
                for name, value in self.details
            )
            parts.append(
                f"<details><summary>{escape(self.summary)}</summary><table>{items}</table></details>"
            )
        return "\n".join([*parts, "</div>"])

    def _table(self) -> str:
        def align(i: int) -> str:
            return "text-align:right" if i in self.right else "text-align:left"

        def wrap(i: int) -> str:
            return "white-space:nowrap" if i in self.unbroken else "white-space:pre-wrap"

        heads = "".join(
            f'<th scope="col" style="{align(i)}">{escape(head)}</th>' for i, head in enumerate(self.heads)
        )
        rows = "\n".join(
            "<tr>"
            + "".join(f'<td style="{align(i)};{wrap(i)}">{escape(cell)}</td>' for i, cell in enumerate(row))
            + "</tr>"
            for row in self.rows
        )
        return f'<table class="dataframe"><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>'

    def text(self) -> str:
        lines = [f"[!] {self.banner}"] if self.banner else []
        lines += self.above
        if self.heads and not self.rows:
            lines.append("  ".join(self.heads))
        elif self.heads:
            # By position, since two columns may share a name.
            frame = pd.DataFrame([list(row) for row in self.rows], columns=range(len(self.heads)))
            with pd.option_context(
                "display.unicode.east_asian_width", True, "display.width", None, "display.max_colwidth", 80
            ):
                lines.append(frame.to_string(index=False, header=list(self.heads)))
        lines += self.below
        lines += [f"{name}: {value}" for name, value in self.details]
        return "\n".join(lines)


class Viewed:
    """Something that shows itself."""

    def view(self) -> View:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return self.view().html()

    def __repr__(self) -> str:
        return self.view().text()


def percent(value: float) -> str:
    """3 significant digits; what is above 0 never reads as 0."""
    if 0 < value < 0.01:
        return "< 0.01 %"
    return f"{value:.3g} %" if value < 99.95 else f"{value:.0f} %"


def minute(moment: str) -> str:
    """An ISO time as the clock on the wall here shows it, to the minute."""
    return f"{dt.datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"


def second(moment: str) -> str:
    """The same to the second, with the zone, for a receipt."""
    return f"{dt.datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S (UTC%z)}"


def number(value: object, decimals: int | None = None) -> str:
    """With thousands separators; — where there is none."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "—"
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int) and not decimals:
        return f"{value:,}"
    if isinstance(value, (int, float)):
        if decimals is None and abs(value) < 1e6:
            return f"{value:,.6g}"
        return f"{value:,.{decimals or 0}f}"
    return str(value)


def figure(value: float | None, low: float | None, high: float | None, *, whole: bool = False) -> str:
    """`x ± e`, with the margin at two significant digits and the value as fine as its margin.

    `whole`: the column counts something, so no decimals. Margins are rounded up, never down.
    """
    if value is None or math.isnan(value):
        return number(None)
    if low is None or high is None:
        return f"{number(value)} ± ?"
    below, above = value - low, high - value
    widest = max(below, above)
    if not math.isfinite(widest) or widest <= 0:
        return number(value)
    decimals = 0 if whole else _decimals(widest)
    if abs(above - below) <= 0.1 * widest:
        return f"{number(float(value), decimals)} ± {_up(widest, decimals)}"
    return (
        f"{number(float(value), decimals)} ({number(float(low), decimals)} … {number(float(high), decimals)})"
    )


def bare_margin(margin: float) -> str:
    """`± e` at two significant digits."""
    return f"± {_up(margin, _decimals(margin))}" if margin > 0 else "± 0"


def _decimals(margin: float) -> int:
    return min(10, max(0, 1 - math.floor(math.log10(margin))))


def _up(margin: float, decimals: int) -> str:
    # A hair less, so that 7.8 held as 7.800000000000001 stays 7.8.
    return number(math.ceil(margin * 10**decimals * (1 - 1e-12)) / 10**decimals, decimals)
