"""Our own corpora, beyond the samples that we were given: a reviewer adds a case by adding SQL.

`tests/corpus/accepted.sql`: one query a line under headings; each is answered, and rightly (as in
`test_honest_queries_are_answered`). `tests/corpus/refused.sql`: a line `-- category: code` before each query; it is
refused by that code, before data is read, uncharged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.pricing import Asked
from tests.attacks import CORPUS
from tests.guarantees.test_honest_queries_are_answered import _compare, _table
from tests.oracle import Spy
from tests.seam import Bench
from tests.small import City, city

ACCEPTED = [
    line
    for line in (CORPUS / "accepted.sql").read_text("utf-8").splitlines()
    if line and not line.startswith("--")
]
SHORT = 12
"""One in so many is asked in the short run."""


def _refused() -> list[tuple[str, str, str]]:
    """(category, code, SQL)"""
    lines = (CORPUS / "refused.sql").read_text("utf-8").splitlines()
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [(*heading.removeprefix("-- ").split(": "), sql) for heading, sql in pairs]  # type: ignore[misc]


REFUSED = _refused()
UNREADABLE = (
    "generator_injection",
    "literals_logs",
    "malformed_limits",
    "parser_differential",
    "statement_kind",
)
"""What is no query at all cannot be told what to write."""


@pytest.fixture(scope="module")
def small() -> Iterator[City]:
    with city() as ready:
        yield ready


def _is_right(small: City, sql: str) -> None:
    seen = small.bench.ask(sql, epsilon=1e6)
    assert seen.answer is not None, (seen.code, seen.message)
    _compare(_table(seen.answer), small.exact.execute(sql).fetchall(), 1e-3)


@pytest.mark.parametrize("sql", ACCEPTED[::SHORT])
def test_is_answered_rightly(small: City, sql: str) -> None:
    _is_right(small, sql)


@pytest.mark.long
@pytest.mark.parametrize("sql", [q for i, q in enumerate(ACCEPTED) if i % SHORT])
def test_is_answered_rightly_too(small: City, sql: str) -> None:
    _is_right(small, sql)


@pytest.mark.parametrize(("category", "code", "sql"), REFUSED)
def test_is_refused_before_data_is_read(bench: Bench, category: str, code: str, sql: str) -> None:
    spy = bench.guard.engine
    assert isinstance(spy, Spy)
    read = len(spy.asked)
    seen = bench.ask(sql, epsilon=1.0)
    assert (seen.status, seen.code) == ("refused", code)
    assert len(spy.asked) == read and not seen.charged
    assert seen.message is not None and "Error" not in seen.message["en"]


@pytest.mark.parametrize("sql", [sql for category, _, sql in REFUSED if category not in UNREADABLE])
def test_a_refusal_says_where_and_what_to_write(bench: Bench, sql: str) -> None:
    with pytest.raises(Refused) as refused:
        bench.guard.pricing.plan(Asked(sql, "1"))
    assert refused.value.place is not None and refused.value.hint is not None


def test_every_category_of_attack_is_tried() -> None:
    tried = Counter(category for category, _, _ in REFUSED)
    assert len(ACCEPTED) >= 200 and sum(tried.values()) >= 150
    assert not {
        "direct_release", "privacy_unit", "privacy_unit_spoof", "group_key_leak", "exact_aggregate", "sensitivity",
        "nondeterminism", "differencing_budget", "error_channel", "timing_channel", "file_network",
        "catalog_metadata", "statement_kind", "parser_differential", "generator_injection", "literals_logs",
        "malformed_limits",
    } - set(tried)  # fmt: skip
