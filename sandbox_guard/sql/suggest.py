"""What to write instead, made from what was written: offered only where the guard accepts it."""

from __future__ import annotations

from sandbox_guard.errors import Place

RANGE = "0, 1000000"
"""Stands in for a range that only the analyst can know."""


def clamped(sql: str, place: Place) -> str | None:
    """The query with the first argument of the call at `place` in CLAMP."""
    lines = sql.splitlines(keepends=True)
    if place.line > len(lines):
        return None
    opened = sql.find("(", sum(map(len, lines[: place.line - 1])) + place.column - 1)
    if opened < 0:
        return None
    start = opened + 1
    if sql[start:].lstrip()[:9].lower() == "distinct ":
        start = sql.lower().index("distinct ", start) + 9
    end = _end_of_argument(sql, start)
    if end is None or not sql[start:end].strip():
        return None
    return f"{sql[:start]}CLAMP({sql[start:end].strip()}, {RANGE}){sql[end:]}"


def _end_of_argument(sql: str, start: int) -> int | None:
    """Where a comma or the bracket that closes the call stands."""
    depth, quote = 0, ""
    for at in range(start, len(sql)):
        character = sql[at]
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        if depth < 0 or (character == "," and depth == 0 and not quote):
            return at
    return None
