"""Tab in a `%%guard` cell: granted tables, columns, functions, options and allowed values, from the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from sandbox_guard.client.dictionary import Catalogue, Table
from sandbox_guard.client.errors import Error
from sandbox_guard.client.options import OPTIONS

# fmt: off
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP", "BY", "HAVING", "ORDER", "LIMIT", "JOIN", "LEFT", "ON", "USING",
    "AS", "WITH", "AND", "OR", "NOT", "IN", "IS", "NULL", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END",
    "DISTINCT", "UNION", "ALL", "EXISTS", "ASC", "DESC",
)
# fmt: on

_MAGIC = re.compile(r"\s*%%?guard\b")
_WORD = re.compile(r"[\w.]*$")
_VALUE = re.compile(r"(?P<column>\w+)\s*(?:=|<>|!=|IN\s*\((?:[^()]*,)?)\s*'(?P<typed>[^']*)$", re.IGNORECASE)
_ALIAS = re.compile(r"\b(?:FROM|JOIN|,)\s+(?P<table>\w+)(?:\s+(?:AS\s+)?(?P<alias>\w+))?", re.IGNORECASE)


@context_matcher()  # type: ignore[untyped-decorator]
def complete_guard_cell(context: CompletionContext) -> SimpleMatcherResult:
    """An IPython matcher. Outside `%%guard` it offers nothing."""
    if not _MAGIC.match(context.full_text) and not _MAGIC.match(context.line_with_cursor):
        return {"completions": []}
    lines = context.full_text.split("\n")
    before = "\n".join([*lines[: context.cursor_line], context.text_until_cursor])
    try:
        typed, offers = complete(before, context.full_text, _catalogue())
    except Error:
        return {"completions": []}  # no vault, no suggestions
    return {
        "completions": [SimpleCompletion(text, type=kind) for text, kind in offers],
        "matched_fragment": typed,
        "suppress": True,
    }


def complete(before: str, whole: str, catalogue: Catalogue) -> tuple[str, list[tuple[str, str]]]:
    """What was typed of the last word, and what may stand there, with its kind."""
    line = before.rsplit("\n", 1)[-1]
    if "\n" not in before and (option := re.search(r"(?:^|\s)(--[\w-]*)$", line)):
        return option[1], _starting(option[1], ((o, "option") for o in OPTIONS._option_string_actions))
    near = _near(whole, catalogue)
    if value := _VALUE.search(before):
        allowed = [
            str(v)
            for table in [*near.values(), *catalogue]
            for column in table.columns
            if column.name.lower() == value["column"].lower()
            for v in column.values or ()
        ]
        return value["typed"], _starting(value["typed"], ((v, "value") for v in allowed))
    word = _WORD.search(before)
    typed = word[0] if word else ""
    owner, dot, _ = typed.rpartition(".")
    if dot:
        owned = near.get(owner.lower())
        columns = owned.columns if owned else ()
        return typed, _starting(typed, ((f"{owner}.{c.name}", "column") for c in columns if c.usable))
    tables = near.values() or catalogue
    offers = [
        *((table.name, "table") for table in catalogue),
        *((column.name, "column") for table in tables for column in table.columns if column.usable),
        *((name, "function") for name in catalogue.functions),
        *((name, "keyword") for name in KEYWORDS),
    ]
    if re.search(r"\b(?:FROM|JOIN)\s+\w*$", before, re.IGNORECASE):
        offers = [offer for offer in offers if offer[1] == "table"]
    return typed, _starting(typed, offers)


def _near(sql: str, catalogue: Catalogue) -> dict[str, Table]:
    """Tables named in this cell, by name and alias."""
    known = {table.name.lower(): table for table in catalogue}
    near: dict[str, Table] = {}
    for match in _ALIAS.finditer(sql):
        table = known.get(match["table"].lower())
        if table:
            near[match["table"].lower()] = table
            if match["alias"] and match["alias"].upper() not in KEYWORDS:
                near[match["alias"].lower()] = table
    return near


def _starting(typed: str, offers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    wanted = typed.lower()
    return list(dict.fromkeys(offer for offer in offers if offer[0].lower().startswith(wanted)))


@lru_cache(maxsize=1)
def _catalogue() -> Catalogue:
    """Asked once a kernel: Tab must not wait. Errors are not kept."""
    from sandbox_guard import client

    return client.here.catalogue()
