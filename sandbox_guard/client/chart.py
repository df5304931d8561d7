"""Charts that do not mislead: a dot for each number, a band for its 95 % interval, SVG without a network."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from html import escape
from typing import Any, Final, Self

import altair as alt
import pandas as pd
import vl_convert

from sandbox_guard.client.answer import Answer, Column
from sandbox_guard.client.display import View
from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.words import say

FONT: Final = "Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei, sans-serif"
"""The first that is there; without a Chinese font, SVG would show boxes."""

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, told apart by people who see red and green alike; shapes differ as well."""

SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
_ABOVE: Final[dict[str, Any]] = {
    "titleAngle": 0,
    "titleAlign": "right",
    "titleAnchor": "end",
    "titleX": -6,
    "titleY": -10,
    "titleBaseline": "alphabetic",
}
"""An upright axis has its title above it: Chinese is not set on its side."""

_SIDE_BY_SIDE: Final = "display:flex;flex-wrap:wrap;gap:.5em 2em;align-items:flex-start"

RELIABILITY: Final = ("high", "usable", "caution")

if os.environ.get("SANDBOX_GUARD_FONTS"):
    vl_convert.register_font_directory(os.environ["SANDBOX_GUARD_FONTS"])


@dataclass(frozen=True)
class Chart:
    """An Altair chart that a notebook shows as SVG, its figures beside. `altair` is there to be refined further."""

    altair: alt.LayerChart
    figures: View

    @classmethod
    def of(
        cls,
        answer: Answer,
        *,
        figures: View = View(),
        x: str | None,
        y: str | None,
        colour: str | None,
        zero: bool | None,
    ) -> Self:
        """`x` is a key, `y` a number with noise, `colour` a second key. See `Result.chart`."""
        measure = _choose(answer, y, [c for c in answer.columns if c.noisy], "y")
        keys = [c for c in answer.columns if not c.noisy]
        across = _choose(answer, x, keys, "x")
        rest = [c for c in keys if c is not across]
        series = _choose(answer, colour, rest, "colour") if colour or rest else None
        frame = _long(measure, across, series)
        return cls(_layers(frame, measure, across, series, _zero(frame) if zero is None else zero), figures)

    def svg(self) -> str:
        """Text, with fonts by name."""
        return str(vl_convert.vegalite_to_svg(self.altair.to_json(), vl_version=_vega_lite()))

    def png(self, scale: float = 2) -> bytes:
        return bytes(vl_convert.vegalite_to_png(self.altair.to_json(), vl_version=_vega_lite(), scale=scale))

    def save(self, path: str) -> None:
        """`….svg` or `….png`."""
        if path.endswith(".png"):
            with open(path, "wb") as image:
                image.write(self.png())
        else:
            with open(path, "w", encoding="utf-8") as text:
                text.write(self.svg())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        svg = self.svg()
        # As an image of its own, since parts of two SVGs in one page may share a name.
        drawn = base64.b64encode(svg.encode()).decode()
        image = f'<img alt="{escape(say("band"))}" src="data:image/svg+xml;base64,{drawn}">'
        html = f'<div style="{_SIDE_BY_SIDE}">{image}{self.figures.html()}</div>'
        return {"text/html": html, "image/svg+xml": svg, "text/plain": self.figures.text()}


def _vega_lite() -> str:
    return ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])


def _choose(answer: Answer, name: str | None, offered: list[Column], role: str) -> Column:
    if name is None and offered:
        return offered[0]
    for column in offered:
        if column.name == name:
            return column
    names = ", ".join(column.name for column in offered) or say("empty")
    raise InterfaceError(say("no_such_column", name=f"{role}={name!r}", offered=names))


def _long(measure: Column, across: Column, series: Column | None) -> pd.DataFrame:
    """Under fixed names, so that no column name can be read as a Vega expression."""
    reliability = measure.reliability or [None] * len(measure.values)
    frame = pd.DataFrame(
        {
            "key": ["—" if value is None else value for value in across.values],
            "value": measure.series(),
            "low": measure.bound(measure.low or ()),
            "high": measure.bound(measure.high or ()),
            "reliability": [say(word) if word else say("usable") for word in reliability],
        }
    )
    if series is not None:
        frame["series"] = ["—" if value is None else str(value) for value in series.values]
    return frame


def _zero(frame: pd.DataFrame) -> bool:
    """Zero belongs in the picture unless it would squeeze all differences into less than a fifth of it."""
    low, high = float(frame["low"].min()), float(frame["high"].max())
    if not low > 0:
        return True
    return high - low >= high / 5


def _layers(
    frame: pd.DataFrame, measure: Column, across: Column, series: Column | None, zero: bool
) -> alt.LayerChart:
    key = alt.X if _upright(frame, across) else alt.Y
    number = alt.Y if key is alt.X else alt.X
    order = None if across.type == "date" else list(dict.fromkeys(frame["key"]))
    kind: Any = "temporal" if across.type == "date" else "nominal"
    axis_of_keys = alt.Axis(labelAngle=0, labelOverlap=True, **(_ABOVE if key is alt.Y else {}))
    # Upright, the heading of the chart says it already.
    name_of_number = None if number is alt.Y else measure.name
    at = key("key", type=kind, sort=order, title=across.name, axis=axis_of_keys)
    scale = alt.Scale(zero=zero, nice=True)
    words = [say(word) for word in RELIABILITY]
    if series is None:
        colour: Any = alt.value(COLOURS[0])
        shape: Any = alt.Shape(
            "reliability",
            type="nominal",
            title=say("reliability").rstrip(":： "),
            scale=alt.Scale(domain=words, range=list(SHAPES[:3])),
        )
        offset: dict[str, Any] = {}
    else:
        names = list(dict.fromkeys(frame["series"]))
        domain = [names, [COLOURS[i % len(COLOURS)] for i in range(len(names))]]
        colour = alt.Color(
            "series", type="nominal", title=series.name, scale=alt.Scale(domain=domain[0], range=domain[1])
        )
        shape = alt.Shape(
            "series",
            type="nominal",
            title=series.name,
            scale=alt.Scale(domain=names, range=[SHAPES[i % len(SHAPES)] for i in range(len(names))]),
        )
        beside = alt.XOffset if key is alt.X else alt.YOffset
        offset = (
            {}
            if across.type == "date"
            else {beside.__name__[0].lower() + "Offset": beside("series", type="nominal", sort=names)}
        )
    base = alt.Chart(frame)
    ends = {"x": "x2", "y": "y2"}
    along, axis = ("y", "x") if number is alt.Y else ("x", "y")
    band = base.mark_rule(strokeWidth=7, opacity=0.3, strokeCap="round").encode(
        **{
            axis: at,
            along: number("low", type="quantitative", scale=scale, title=name_of_number),
        },
        **{ends[along]: "high"},
        color=colour,
        **offset,
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        **{
            axis: at,
            along: number("value", type="quantitative", scale=scale, title=name_of_number),
        },
        color=colour,
        shape=shape,
        **offset,
    )
    size = {"width": 560} if key is alt.X else {"width": 480}
    whole: alt.LayerChart = (
        alt.layer(band, dots)
        .properties(title=alt.Title(measure.name, subtitle=say("band"), anchor="start"), **size)
        .configure(font=FONT)
        .configure_axis(labelFontSize=12, titleFontSize=12, labelLimit=220)
        .configure_legend(labelFontSize=12, titleFontSize=12)
    )
    return whole


def _upright(frame: pd.DataFrame, across: Column) -> bool:
    """Time and short, few keys run left to right; names are read more easily down the side."""
    if across.type in ("date", "integer"):
        return True
    names = {str(name) for name in frame["key"]}
    return all(name[:1].isdigit() for name in names) or (
        len(names) <= 8 and all(len(name) <= 4 for name in names)
    )
