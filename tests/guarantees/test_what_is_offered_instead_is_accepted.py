"""A refusal teaches: at most eight lines, with line and column, and what it offers instead is accepted. Held
over everything that the corpora have refused, attacks too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from sandbox_guard.client import errors, words
from sandbox_guard.errors import Refused
from sandbox_guard.pricing import Asked
from tests.attacks import CORPUS
from tests.guarantees.test_own_corpora_hold import REFUSED
from tests.seam import Bench

SQL = sorted(
    {
        *(sql for _, _, sql in REFUSED),
        *(
            json.loads(line)["sql"]
            for name in ("attacks", "legit")
            for line in (CORPUS / f"{name}.jsonl").read_text("utf-8").splitlines()
        ),
    }
)

TAUGHT = {
    "bound.unbounded", "kind.aggregate", "kind.limit", "kind.rows_leave", "kind.untied", "kind.untied_outer",
    "name.column", "name.identifier", "name.table", "sql.brackets", "sql.comma", "sql.function_near", "sql.identifier",
    "sql.not_grouped", "sql.now", "sql.several", "sql.statement", "sql.unsupported", "sql.unterminated",
}  # fmt: skip
"""Refusals for which a correction exists somewhere in the corpora."""


@pytest.fixture
def both() -> Iterator[tuple[str, ...]]:
    spoken = words.language()
    yield words.LANGUAGES
    words.language(spoken)


def test_over_the_corpora(bench: Bench, both: tuple[str, ...]) -> None:
    refused, offered = Counter[str](), Counter[str]()
    for sql in SQL:
        try:
            bench.guard.price(Asked(sql, "a", rho=0.01))
            continue
        except Refused as found:
            refusal = found
        refused[refusal.code] += 1
        assert refusal.place is not None or refusal.code == "sql.empty" or not refusal.code.startswith("sql.")
        for language in both:
            words.language(language)
            lines = errors.Refused.of(refusal.as_dict(), sql).lines()
            assert len(lines) <= errors.LINES and refusal.code in lines[0], sql
        if refusal.instead is not None:
            offered[refusal.code] += 1
            bench.guard.pricing.plan(Asked(refusal.instead, "b"))
    assert set(offered) >= TAUGHT
    assert refused["bound.unbounded"] == offered["bound.unbounded"], (
        "a missing range can always be written out"
    )
    assert offered.total() >= 80
