"""How anything the client hands out looks: one view, rendered as HTML for notebooks and as text for terminals."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

import pandas as pd

from sandbox_guard.client.words import say

MARKS: Final = {"high": "●", "usable": "■", "caution": "▲"}
"""Reliability by shape as well as by word, as charts and portal draw it; never by colour alone."""

_COLOURS: Final = {"high": "#2e8b57", "usable": "#b07a00", "caution": "#d9453b"}
"""Each stands out from a white page and from a dark one."""

_NOTE = "color:var(--jp-ui-font-color1,#444);margin:.15em 0"
_QUIET = "color:var(--jp-ui-font-color1,#444);opacity:.85;margin:.15em 0;font-size:.92em"
_BANNER = "border-left:4px solid #b07a00;padding:.1em .7em;margin:.2em 0 .4em;font-size:.92em"
_LEFT, _NOW, _TRACK = "#0072b2", "#e69f00", "#8b9aa7"


@dataclass(frozen=True)
class Figure:
    """A number with its margin and a word for its reliability: set in three columns, so that digits line up."""

    value: str
    margin: str = ""
    word: str | None = None

    @property
    def mark(self) -> str:
        return f"{MARKS[self.word]} {say(self.word)}" if self.word else ""

    def text(self) -> str:
        return " ".join(part for part in (self.value, self.margin, self.mark and f" {self.mark}") if part)

    def html(self) -> str:
        number = "white-space:nowrap;font-variant-numeric:tabular-nums"
        mark = f'<span style="color:{_COLOURS[self.word]}">{MARKS[self.word]}</span>' if self.word else ""
        word = escape(say(self.word)) if self.word else ""
        return "\n".join(
            (
                f'<td style="text-align:right;padding-right:0;{number}">{escape(self.value)}</td>',
                f'<td style="text-align:left;padding-left:.35em;{number}">{escape(self.margin)}</td>',
                f'<td style="text-align:left;padding-left:0;white-space:nowrap">{mark} {word}</td>',
            )
        )


@dataclass(frozen=True)
class Bar:
    """A budget in percent: what is left of it, and what this question takes."""

    left: float
    now: float = 0
    label: str = ""

    def text(self) -> str:
        return f"{self.label} {percent(self.left)}".lstrip()

    def html(self) -> str:
        def part(share: float, colour: str) -> str:
            least = ";min-width:2px" if share else ""
            return (
                f'<span style="float:left;height:100%;width:{share:.2f}%{least};background:{colour}"></span>'
            )

        whole = (
            "display:inline-block;vertical-align:baseline;width:7em;height:.65em;border-radius:.35em;"
            f"overflow:hidden;border:1px solid {_TRACK}"
        )
        said = escape(say("bar_now" if self.now else "bar", left=percent(self.left), now=percent(self.now)))
        return (
            f'<span style="white-space:nowrap">{escape(self.label)} '
            f'<span role="img" title="{said}" aria-label="{said}" style="{whole}">'
            f"{part(self.left, _LEFT)}{part(self.now, _NOW)}</span> {percent(self.left)}</span>"
        )


@dataclass(frozen=True)
class Band:
    """A dot with its interval on an axis from `start` to `end`. A terminal shows none."""

    low: float
    value: float
    high: float
    start: float
    end: float

    def text(self) -> str:
        return ""

    def html(self) -> str:
        def at(x: float) -> float:
            return 100 * (x - self.start) / ((self.end - self.start) or 1)

        band = f"left:{at(self.low):.1f}%;width:{at(self.high) - at(self.low):.1f}%"
        over = "position:absolute;border-radius:.4em"
        return (
            '<span style="position:relative;display:inline-block;width:16em;height:1em;vertical-align:middle">'
            f'<span style="{over};{band};top:.25em;height:.5em;background:{_LEFT};opacity:.3"></span>'
            f'<span style="{over};left:calc({at(self.value):.1f}% - .35em);top:.15em;width:.7em;height:.7em;'
            f'background:{_LEFT}"></span></span>'
        )


Cell = str | Figure | Bar | Band


@dataclass(frozen=True)
class View:
    """Banner, lines, bars, a table, more lines, and details to unfold."""

    banner: str | None = None
    lead: str = ""
    """What all the rest is about, in one sentence."""
    above: Sequence[str] = ()
    bars: Sequence[Bar] = ()
    """What is left of budgets, under `bars_head`."""
    bars_head: str = ""
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
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
        if self.lead:
            parts.append(f'<p style="{_NOTE}"><strong>{escape(self.lead)}</strong></p>')
        parts += [f'<p style="{_NOTE}">{escape(line)}</p>' for line in self.above]
        if self.bars:
            bars = "&emsp;".join(bar.html() for bar in self.bars)
            parts.append(f'<p style="{_NOTE}">{escape(self.bars_head)}&ensp;{bars}</p>')
        if self.heads:
            parts.append(self._table())
        parts += [f'<p style="{_QUIET}">{escape(line)}</p>' for line in self.below]
        if self.details:
            items = "".join(
                f"<tr><th scope='row' style='text-align:left;white-space:nowrap'>{escape(name)}</th>"
                f"<td style='text-align:left'><code style='white-space:pre-wrap'>{escape(value)}</code></td></tr>"
                for name, value in self.details
            )
            parts.append(
                f'<details style="{_QUIET}"><summary>{escape(self.summary)}</summary><table>{items}</table></details>'
            )
        return "\n".join([*parts, "</div>"])

    def _table(self) -> str:
        figures = {i for row in self.rows for i, cell in enumerate(row) if isinstance(cell, Figure)}

        def head(i: int, text: str) -> str:
            # Over a figure's three columns, the heading begins where its digits do.
            place = "center" if i in figures else "right" if i in self.right else "left"
            span = ' colspan="3"' if i in figures else ""
            return f'<th scope="col"{span} style="text-align:{place};white-space:nowrap">{escape(text)}</th>'

        def cell(i: int, shown: Cell) -> str:
            if isinstance(shown, Figure):
                return shown.html()
            if i in figures:
                shown, span = str(shown), ' colspan="3"'
            else:
                span = ""
            wrap = "nowrap" if i in self.unbroken else "pre-wrap"
            place = "right" if i in self.right else "left"
            inner = escape(shown) if isinstance(shown, str) else shown.html()
            return f'<td{span} style="text-align:{place};white-space:{wrap}">{inner}</td>'

        heads = "".join(head(i, text) for i, text in enumerate(self.heads))
        rows = "\n".join(
            "<tr>" + "\n".join(cell(i, shown) for i, shown in enumerate(row)) + "</tr>" for row in self.rows
        )
        return f'<table class="dataframe"><thead><tr>{heads}</tr></thead><tbody>\n{rows}\n</tbody></table>'

    def text(self) -> str:
        lines = [f"[!] {self.banner}"] if self.banner else []
        lines += [self.lead] if self.lead else []
        lines += self.above
        if self.bars:
            left = say("comma").join(bar.text() for bar in self.bars)
            lines.append(say("remains", head=self.bars_head, left=left))
        if self.heads and not self.rows:
            lines.append("  ".join(self.heads))
        elif self.heads:
            lines.append(self._text_table())
        lines += self.below
        lines += [f"{name}: {value}" for name, value in self.details]
        return "\n".join(lines)

    def _text_table(self) -> str:
        columns = list(zip(*self.rows, strict=True))
        shown = [i for i, cells in enumerate(columns) if not isinstance(cells[0], Band)]
        # By position, since two columns may share a name.
        frame = pd.DataFrame({i: _lined_up(columns[i]) for i in shown})
        with pd.option_context(
            "display.unicode.east_asian_width", True, "display.width", None, "display.max_colwidth", 80
        ):
            return frame.to_string(index=False, header=[self.heads[i] for i in shown])


def _lined_up(cells: Sequence[Cell]) -> list[str]:
    """As text, with the digits of figures below each other."""
    figures = [cell for cell in cells if isinstance(cell, Figure)]
    if not figures:
        return [cell if isinstance(cell, str) else cell.text() for cell in cells]
    value, margin = (max(len(getattr(f, part)) for f in figures) for part in ("value", "margin"))
    return [
        f"{cell.value:>{value}} {cell.margin:<{margin}}  {cell.mark}".rstrip()
        if isinstance(cell, Figure)
        else cell
        if isinstance(cell, str)
        else cell.text()
        for cell in cells
    ]


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


def figure(value: float | None, low: float | None, high: float | None, *, whole: bool = False) -> Figure:
    """`x ± e`, with the margin at two significant digits and the value as fine as its margin.

    `whole`: the column counts something, so no decimals. Margins are rounded up, never down.
    """
    if value is None or math.isnan(value):
        return Figure(number(None))
    if low is None or high is None:
        return Figure(number(value), "± ?")
    below, above = value - low, high - value
    widest = max(below, above)
    if not math.isfinite(widest) or widest <= 0:
        return Figure(number(value))
    decimals = 0 if whole else _decimals(widest)
    shown = number(float(value), decimals)
    if abs(above - below) <= 0.1 * widest:
        return Figure(shown, f"± {_up(widest, decimals)}")
    return Figure(shown, f"({number(float(low), decimals)} … {number(float(high), decimals)})")


def bare_margin(margin: float) -> str:
    """`± e` at two significant digits."""
    return f"± {_up(margin, _decimals(margin))}" if margin > 0 else "± 0"


def _decimals(margin: float) -> int:
    return min(10, max(0, 1 - math.floor(math.log10(margin))))


def _up(margin: float, decimals: int) -> str:
    # A hair less, so that 7.8 held as 7.800000000000001 stays 7.8.
    return number(math.ceil(margin * 10**decimals * (1 - 1e-12)) / 10**decimals, decimals)
