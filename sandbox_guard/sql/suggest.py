"""What to write instead, made from what was written: offered only where the guard accepts it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from sandbox_guard.errors import Place, Refused

RANGE = "0, 1000000"
"""Stands in for a range that only the analyst can know."""


_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_AFTER_GROUPS = re.compile(r"\b(?:HAVING|QUALIFY|WINDOW|ORDER\s+BY|LIMIT|OFFSET)\b", re.IGNORECASE)
_GROUPS = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)


def corrected(sql: str, refused: Refused) -> str | None:
    """One mistake fewer, for those that have one remedy."""
    match refused.code, refused.facts:
        case "bound.unbounded", _ if refused.place is not None:
            return clamped(sql, refused.place)
        case "name.column_near", {"name": str(name), "near": str(near)}:
            return renamed(sql, name.rpartition(".")[2], near)
        case "sql.function_near", {"function": str(name), "near": str(near)} if near.isidentifier():
            return renamed(sql, name, near)
        case "name.column", {"name": str(name), "text": True}:
            return quoted(sql, name)
        case "name.table", {"name": str(name), "there": str(there)}:
            near_ = difflib.get_close_matches(name.lower(), there.split(", "), 1)
            return renamed(sql, name, near_[0]) if near_ else None
        case "sql.unsupported", {"what": str(what)} if what.endswith("(*)"):
            close = difflib.get_close_matches(what[:-3], ["count"])
            return renamed(sql, what[:-3], "count") if close else None
        case "sql.not_grouped", {"name": str(name)}:
            return grouped(sql, name)
    return None


def renamed(sql: str, name: str, near: str) -> str:
    """The query with another word for `name`, in texts and comments aside."""
    word = re.compile(rf"(?<![\w$]){re.escape(name)}(?![\w$])", re.IGNORECASE)
    return "".join(part if held else word.sub(near, part) for part, held in _parts(sql))


def quoted(sql: str, text: str) -> str:
    """The query with a name that is a value written as one."""
    word = re.compile(rf"(?<![\w$.]){re.escape(text)}(?![\w$.(])")
    parts = (
        (part if part != f'"{text}"' else text, held and part != f'"{text}"') for part, held in _parts(sql)
    )
    return "".join(part if held else word.sub(f"'{text}'", part) for part, held in parts)


def grouped(sql: str, name: str) -> str:
    """The query with a further column in its GROUP BY, or with one."""
    plain = "".join("x" * len(part) if held else part for part, held in _parts(sql))
    found = [m for m in _GROUPS.finditer(plain) if _depth(plain, m.start()) == 0]
    if found:
        return f"{sql[: found[0].end()]} {name},{sql[found[0].end() :]}"
    later = (m.start() for m in _AFTER_GROUPS.finditer(plain) if _depth(plain, m.start()) == 0)
    at = next(later, len(plain.rstrip().rstrip(";")))
    rest = sql[at:].strip("; \n")
    return f"{sql[:at].rstrip()}\nGROUP BY {name}" + (f"\n{rest}" if rest else "")


def _parts(sql: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it is a string, a quoted name or a comment."""
    at = 0
    for match in _TEXT.finditer(sql):
        yield sql[at : match.start()], False
        yield match[0], True
        at = match.end()
    yield sql[at:], False


def _depth(plain: str, at: int) -> int:
    return plain.count("(", 0, at) - plain.count(")", 0, at)


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
