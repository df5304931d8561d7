"""What the log must hold so that a query can be planned again: the ask and the parameters, as text and back.

An entry holds no fractions (two programs may print them differently), and `5` is not `'5'`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sandbox_guard.privacy.price import Ask, Epsilon, Margin, Rho, Share

# ---------------------------------------------------------------------------------------- the ask


def ask_text(ask: Ask) -> str:
    """`rho 5000000`, `epsilon 0.5 pure`, `share 1/10 of 250000000`, `margin 0.1=50 0.2=1/3`."""
    match ask:
        case Rho(units):
            return f"rho {units}"
        case Epsilon(epsilon, pure):
            return f"epsilon {epsilon!r}{' pure' if pure else ''}"
        case Share(share, remaining):
            return f"share {share} of {remaining}"
        case Margin(widths):
            parts = (f"{block}.{measure}={Fraction(w)}" for (block, measure), w in widths.items())
            return f"margin {' '.join(parts)}"


def read_ask_text(text: str) -> Ask:
    """Raises ValueError."""
    kind, *rest = text.split(" ")
    match kind, rest:
        case "rho", [units]:
            return Rho(int(units))
        case "epsilon", [epsilon]:
            return Epsilon(float(epsilon))
        case "epsilon", [epsilon, "pure"]:
            return Epsilon(float(epsilon), pure=True)
        case "share", [share, "of", remaining]:
            return Share(Fraction(share), int(remaining))
        case "margin", [_, *_]:
            return Margin(dict(map(_width, rest)))
    raise ValueError(f"no ask: {text[:80]!r}")


def _width(part: str) -> tuple[tuple[int, int], Fraction]:
    place, _, width = part.partition("=")
    block, _, measure = place.partition(".")
    return (int(block), int(measure)), Fraction(width)


# --------------------------------------------------------------------------------- the parameters

_READERS: Mapping[type, tuple[str, Callable[[str], Any]]] = {
    type(None): ("null", lambda _: None),
    bool: ("boolean", lambda text: text == "True"),
    int: ("integer", int),
    float: ("float", float),
    Decimal: ("decimal", Decimal),
    str: ("text", str),
    dt.date: ("date", dt.date.fromisoformat),
    dt.datetime: ("timestamp", dt.datetime.fromisoformat),
}
_BY_NAME = dict(_READERS.values())


def parameter_texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


def parameter_types(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Of those that a query can use; the others are refused."""
    return {n: _READERS[type(v)][0] for n, v in parameters.items() if type(v) in _READERS}


def read_parameters(texts: Mapping[str, str], types: Mapping[str, str]) -> dict[str, Any]:
    """What has no type was no value: it stands for itself, to be refused again."""
    return {name: _BY_NAME[types[name]](text) if name in types else [text] for name, text in texts.items()}
