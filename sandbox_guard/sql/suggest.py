"""What to write instead, made from what was written: offered only where the guard accepts it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from sandbox_guard.errors import Place, Refused
from sandbox_guard.sql.text import narrowed

RANGE = "0, 1000000"
"""Stands in for a range that only the analyst can know."""


_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)
_AFTER_GROUPS = re.compile(r"\b(?:HAVING|QUALIFY|WINDOW|ORDER\s+BY|LIMIT|OFFSET)\b", re.IGNORECASE)
_GROUPS = re.compile(r"\bGROUP\s+BY\b", re.IGNORECASE)
_SELECT = re.compile(r"\bSELECT\b", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_SEVERAL_PARTS = re.compile(r"\b(?:GROUP\s+BY|HAVING|UNION|EXCEPT|INTERSECT)\b", re.IGNORECASE)
_AFTER_ARGUMENTS = re.compile(r"\s+(?:AS|FROM|WHERE|GROUP|HAVING|ORDER|LIMIT)\b|\s*(?:;|$)", re.IGNORECASE)
_NOW = re.compile(r"(?:get_current_timestamp|current_timestamp|now)\b(?:\s*\(\s*\))?", re.IGNORECASE)
_EXPLAIN = re.compile(r"^\s*EXPLAIN(?:\s+ANALYZE)?\s+", re.IGNORECASE)
_SAMPLE = re.compile(
    r"\s+(?:TABLESAMPLE|USING\s+SAMPLE)\s+(?:[a-z]+\s*)?\(?\s*[\d.]+(?:\s*(?:%|PERCENT|ROWS))?(?:\s*\))?",
    re.IGNORECASE,
)
_METHOD = re.compile(r"(\w+)\.(\w+)\(\s*\)")
_CALL_ALONE = re.compile(r"\s*SELECT\s+(?:\w+)\s*\(\s*(\w+)\s*\)(?:\s+AS\s+\w+)?\s+(?=FROM\b)", re.IGNORECASE)
_ALIAS = (
    r"(?:\s+(?:AS\s+)?(?!(?:ON|USING|WHERE|GROUP|HAVING|ORDER|LIMIT|JOIN|INNER|LEFT|RIGHT|FULL|CROSS|SEMI|ANTI|OUTER"
    r"|NATURAL|ASOF|POSITIONAL|QUALIFY|WINDOW|UNION)\b)(?P<{0}>\w+))?"
)
_JOIN = re.compile(
    rf"(?:\bFROM\s+|\bJOIN\s+|,\s*)(?P<left>\w+){_ALIAS.format('left_as')}"
    r"(?P<how>\s*,\s*|\s+(?:(?:INNER|CROSS|SEMI|ANTI|(?:LEFT|RIGHT|FULL)(?:\s+OUTER)?)\s+)?JOIN\s+)"
    rf"(?P<right>\w+){_ALIAS.format('right_as')}(?P<on>\s+ON\s+|\s+USING\s*\(\s*)?",
    re.IGNORECASE,
)
_AFTER_JOIN = re.compile(
    r"\s*(?:\b(?:WHERE|GROUP|HAVING|ORDER|LIMIT|JOIN|INNER|LEFT|RIGHT|FULL|CROSS|SEMI|ANTI|QUALIFY|UNION)\b|[,;)]|$)",
    re.IGNORECASE,
)


Units = Mapping[str, tuple[str, ...]]
"""The columns that name the unit, by private table in small letters."""


def corrected(sql: str, refused: Refused, units: Units) -> str | None:
    """One mistake fewer, for those that have one remedy."""
    return _misspelt(sql, refused) or _mistyped(sql, refused) or _protected(sql, refused, units)


def _misspelt(sql: str, refused: Refused) -> str | None:
    """A word that is nearly another."""
    match refused.code, refused.facts:
        case "name.column_near", {"name": str(name), "near": str(near)}:
            return renamed(sql, name.rpartition(".")[2], near)
        case "sql.function_near", {"function": str(name), "near": str(near)} if near.isidentifier():
            return renamed(sql, name, near)
        case "sql.function_near", {"near": str(near)} if refused.place is not None:
            return recalled(sql, refused.place, near)
        case "name.column", {"name": str(name), "text": True}:
            return quoted(sql, name)
        case "name.table", {"name": str(name), "there": str(there)}:
            near_ = difflib.get_close_matches(name.lower(), there.split(", "), 1)
            return renamed(sql, name, near_[0]) if near_ else None
        case "sql.unsupported", {"what": str(what)} if what.endswith("(*)"):
            close = difflib.get_close_matches(what[:-3], ["count"])
            return renamed(sql, what[:-3], "count") if close else None
    return None


def _mistyped(sql: str, refused: Refused) -> str | None:
    """A character too many, too few or too wide; a word that the grammar has no place for."""
    if refused.code in ("sql.fullwidth", "sql.identifier"):
        return "".join(part if held else narrowed(part) for part, held in _parts(sql))
    at = _offset(sql, refused.place)
    if at is None:
        return None
    match refused.code, refused.facts:
        case "sql.comma", _:
            return sql[:at] + sql[at + 1 :]
        case "sql.brackets", {"bracket": ")" | "]"}:
            return sql[:at] + sql[at + 1 :]
        case "sql.brackets", {"bracket": "("}:
            later = _AFTER_ARGUMENTS.search(_plain(sql), at)
            end = later.start() if later else len(sql.rstrip())
            return f"{sql[:end]}){sql[end:]}"
        case "sql.unterminated", {"opening": str(opening)}:
            return sql + ("*/" if opening == "/*" else opening)
        case "sql.several", _:
            return sql[:at].rstrip("; \n") or sql[at:].strip("; \n")
        case "sql.now", _:
            return sql[:at] + _NOW.sub("current_date", sql[at:], count=1)
        case "sql.statement", {"what": "EXPLAIN"}:
            return _EXPLAIN.sub("", sql, count=1)
        case "sql.unsupported", {"what": "SAMPLE" | "TABLESAMPLE"}:
            return _SAMPLE.sub("", sql, count=1)
        case "sql.unsupported", {"what": "x.f(…)"}:
            return sql[:at] + _METHOD.sub(r"\2(\1)", sql[at:], count=1)
    return None


def _protected(sql: str, refused: Refused, units: Units) -> str | None:
    """What would be right of public data."""
    match refused.code, refused.facts:
        case "bound.unbounded", _ if refused.place is not None:
            return clamped(sql, refused.place)
        case "sql.not_grouped", {"name": str(name)}:
            return grouped(sql, name)
        case "kind.rows_leave", _:
            return counted(sql)
        case "kind.limit", _ if _depth(_plain(sql), _offset(sql, refused.place) or 0) == 0:
            return counted(sql)
        case "kind.untied" | "kind.untied_outer", _:
            return tied(sql, units)
        case "kind.aggregate", {"function": "mode" | "histogram" as function}:
            return listed(sql, function)
        case "name.identifier", {"column": str(name)}:
            return by_unit(sql, name, units)
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
    plain = _plain(sql)
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
    at = _offset(sql, place)
    opened = -1 if at is None else sql.find("(", at)
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


def recalled(sql: str, place: Place, template: str) -> str | None:
    """The call at `place` as another of its one argument: `count(DISTINCT x)` for `APPROX_COUNT_DISTINCT(uscc)`."""
    at = _offset(sql, place)
    opened = sql.find("(", at or 0)
    if at is None or opened < 0 or re.findall(r"\b[a-z]\b|'|\d", template) != ["x"]:
        return None
    end = _end_of_argument(sql, opened + 1)
    if end is None or sql[end] != ")":
        return None
    argument = sql[opened + 1 : end].strip()
    return sql[:at] + re.sub(r"\bx\b", lambda _: argument, template) + sql[end + 1 :]


def counted(sql: str) -> str | None:
    """How many rows there are, in place of the rows."""
    plain = _plain(sql)
    outer = [m for m in _FROM.finditer(plain) if _depth(plain, m.start()) == 0]
    if not outer or any(_depth(plain, m.start()) == 0 for m in _SEVERAL_PARTS.finditer(plain)):
        return None
    begin = [m.start() for m in _SELECT.finditer(plain) if _depth(plain, m.start()) == 0]
    start, source = (begin[0] if begin else outer[0].start()), outer[0].start()
    later = (m.start() for m in _AFTER_GROUPS.finditer(plain, source) if _depth(plain, m.start()) == 0)
    return f"{sql[:start]}SELECT COUNT(*) AS n {sql[source : next(later, len(sql))].rstrip('; ')}".rstrip()


def listed(sql: str, function: str) -> str | None:
    """Rows by value, the most frequent first, for what would have been one value or a list."""
    call = _CALL_ALONE.match(sql)
    rest = sql[call.end() :].rstrip("; \n") if call else ""
    if call is None or _SEVERAL_PARTS.search(rest) or _AFTER_GROUPS.search(rest):
        return None
    few = " LIMIT 5" if function == "mode" else ""
    return f"SELECT {call[1]}, COUNT(*) AS n {rest}\nGROUP BY {call[1]}\nORDER BY n DESC{few}"


def tied(sql: str, units: Units) -> str | None:
    """The first two protected tables side by side, tied on the unit that both are about."""
    plain = _plain(sql)
    for pair in _pairs(plain):
        unit = units.get(pair["left"].lower())
        if unit is None or unit != units.get(pair["right"].lower()):
            continue
        left, right = pair["left_as"] or pair["left"], pair["right_as"] or pair["right"]
        joined = sql[: pair.start("how")]
        how = " JOIN " if "," in pair["how"] or "CROSS" in pair["how"].upper() else pair["how"]
        second = sql[pair.start("right") : pair.start("on") if pair["on"] else pair.end()]
        rest = sql[pair.end() :]
        if not pair["on"]:
            return f"{joined}{how}{second} USING ({', '.join(unit)}){rest}"
        if "USING" in pair["on"].upper():
            return f"{joined}{how}{second}{pair['on']}{', '.join(unit)}, {rest}"
        ends = (
            m.start()
            for m in _AFTER_JOIN.finditer(plain, pair.end())
            if _depth(plain[pair.end() :], m.start() - pair.end()) == 0
        )
        end = next(ends, len(sql)) - pair.end()
        equal = " AND ".join(f"{left}.{u} = {right}.{u}" for u in unit)
        return f"{joined}{how}{second} ON {equal} AND ({rest[:end]}){rest[end:]}"
    return None


def _pairs(plain: str) -> Iterator[re.Match[str]]:
    """Neighbours in a FROM, each table once on the left and once on the right."""
    at = 0
    while (found := _JOIN.search(plain, at)) is not None:
        yield found
        at = found.start("how")


def by_unit(sql: str, name: str, units: Units) -> str | None:
    """Counting a direct identifier is counting units."""
    named = {u for table, u in units.items() if re.search(rf"\b{re.escape(table)}\b", sql, re.IGNORECASE)}
    if len(named) != 1 or len(unit := named.pop()) != 1:
        return None
    distinct = re.compile(rf"(\(\s*DISTINCT\s+(?:\w+\.)?){re.escape(name)}(?=\s*\))", re.IGNORECASE)
    return "".join(part if held else distinct.sub(rf"\g<1>{unit[0]}", part) for part, held in _parts(sql))


def _plain(sql: str) -> str:
    """As long as the query, with texts, quoted names and comments blotted out."""
    return "".join("x" * len(part) if held else part for part, held in _parts(sql))


def _offset(sql: str, place: Place | None) -> int | None:
    lines = sql.splitlines(keepends=True)
    if place is None or place.line > len(lines):
        return None
    return sum(map(len, lines[: place.line - 1])) + place.column - 1
