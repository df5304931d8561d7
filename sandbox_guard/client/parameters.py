"""`:name` in SQL: found without mistaking text, comments, casts or slices for it.

Values travel beside the SQL, never inside it, so a value cannot become SQL whatever it holds.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sandbox_guard.client.errors import InterfaceError
from sandbox_guard.client.words import say

_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'                     # text
    | "(?:[^"]|"")*"                     # a quoted name
    | --[^\n]*                           # a comment
    | /\*.*?\*/                          # a comment
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$    # dollar-quoted text
    | ::                                 # a cast
    | (?<![\w\])]):(?P<name>[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)


def names(sql: str) -> list[str]:
    """Parameters in the order in which they first appear."""
    found = (match["name"] for match in _TOKEN.finditer(sql))
    return list(dict.fromkeys(name for name in found if name))


def for_duckdb(sql: str) -> str:
    """The same SQL with DuckDB's own `$name`."""
    return _TOKEN.sub(lambda match: f"${match['name']}" if match["name"] else match[0], sql)


def values(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters as JSON: numbers, text, booleans, null; dates as ISO text."""
    return {str(name): _plain(name, value) for name, value in (given or {}).items()}


def _plain(name: str, value: Any) -> Any:
    if hasattr(value, "item") and not isinstance(value, dt.date):  # a NumPy scalar
        value = value.item()
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if math.isnan(value):
                return None
            if value in (float("inf"), float("-inf")):
                raise InterfaceError(say("bad_parameter", name=repr(name), type="infinity"))
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case dt.datetime():
            return value.date().isoformat() if value.time() == dt.time() else value.isoformat(" ")
        case dt.date():
            return value.isoformat()
    raise InterfaceError(say("bad_parameter", name=repr(name), type=type(value).__name__))
