"""Every logged query, planned again from the log alone, has the bounds and the price that were logged."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from sandbox_guard import logged
from sandbox_guard.ledger.verify import leaves
from sandbox_guard.ledger.wire import Terms
from sandbox_guard.policy.archive import files_of, policies_in
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.privacy.price import Ask, Epsilon, Margin, Rho, Share
from sandbox_guard.replan import replan
from tests import small
from tests.ledgers import ACT

FILES = files_of(Path(__file__).parents[1] / "data" / "small" / "policies")

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SELECT count(*) FROM loans", {"epsilon": 1.0}),
    ("SELECT count(*) FROM loans WHERE year = :y", {"rho": 0.01, "params": {"y": 2020}}),
    ("SELECT count(*) FROM firms", {"margin": 50}),
    ("SELECT count(*), avg(rate) FROM loans", {"share": 0.001}),
    ("SELECT year, sum(rate) FROM loans GROUP BY year", {"epsilon": 2.0, "rows_per_unit": 2}),
    ("SELECT count(*) FROM loans WHERE year = 2021", {"epsilon": 1.0, "pure": True}),
    ("SELECT * FROM loans", {}),
    ("SELECT random() FROM loans", {}),
    ("SELECT count(*) FROM loans WHERE year = :y", {"params": {"y": ["no value"]}}),
    ("SELECT count(*) FROM loans", {"rho": -1}),
]


@pytest.fixture(scope="module")
def log() -> Iterator[list[str]]:
    """A log of what was asked and what was refused, with the policies in it."""
    with small.city() as city:
        bench = city.bench
        terms = {**compile_terms(bench.policies), "files": FILES}
        for account in terms["accounts"]:
            account["cap"] = {"rho": 10**12, "delta": 10**12}
        bench.ledger.apply(Terms.model_validate(terms), ACT)
        statuses = {bench.ask(sql, **more).status for sql, more in QUESTIONS}
        assert statuses == {"answered", "refused"}
        yield [leaf.decode() for leaf in leaves(line.encode() for line in bench.ledger.export())]


def test_all_of_it_plans_to_the_same(log: list[str]) -> None:
    found = replan(log)
    assert found.difference is None, found.difference
    assert (found.charges, found.refusals) == (6, 3)
    assert not found.without and not found.other_versions
    assert [s[:4] for s in found.sentences("en")] == ["YES."]


def entry(log: list[str], kind: str, nth: int) -> dict[str, Any]:
    found: dict[str, Any] = [e for e in map(json.loads, log) if e["kind"] == kind][nth]
    return found


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("spends.0.cost.rho", "price"),
        ("sql", "price"),
        ("ask", "price"),
        ("plan_digest", "plan"),
        ("rows_per_unit", "question"),
        ("question.digest", "question"),
        ("policy_digest", "not in force"),
    ],
)
def test_the_first_entry_that_differs_is_named(log: list[str], what: str, says: str) -> None:
    changed = entry(log, "charge", 2)
    place: Any = changed["facts"]
    *way, last = what.split(".")
    for step in way:
        place = place[int(step) if step.isdecimal() else step]
    place[last] = {
        "spends.0.cost.rho": 1,
        "sql": "SELECT count(*) FROM loans",
        "ask": "rho 7",
        "rows_per_unit": 1,
    }.get(what, "0" * 64)
    position = changed["position"]
    lines = [*log[:position], json.dumps(changed), *log[position + 1 :]]
    found = replan(lines)
    assert found.difference is not None and found.difference.position == position
    assert says in found.difference.what.en
    for language, no in (("en", "NO."), ("zh", "否")):
        assert next(found.sentences(language)).startswith(f"{no}")


def test_a_refusal_that_the_text_does_not_give_is_named(log: list[str]) -> None:
    for code in ("sql.syntax", "kind.rows_leave"):
        changed = entry(log, "refusal", 1)
        changed["facts"] |= {"code": code, "sql": "SELECT count(*) FROM loans"}
        position = changed["position"]
        found = replan([*log[:position], json.dumps(changed), *log[position + 1 :]])
        assert found.difference is not None and found.difference.position == position


def test_policies_that_were_edited_in_the_log_do_not_count(log: list[str]) -> None:
    changed = [json.loads(leaf) for leaf in log]
    for each in changed:
        if each["kind"] == "policy" and each["facts"]["files"]:
            files = each["facts"]["files"]
            files["datasets/small.yaml"] = files["datasets/small.yaml"].replace("max_rows: ", "max_rows: 1")
    found = replan(map(json.dumps, changed))
    assert found.difference is not None and "policy files" in found.difference.what.en


def test_what_another_version_planned_is_said_and_its_price_compared(log: list[str]) -> None:
    changed = entry(log, "charge", 0)
    changed["facts"] |= {"guard_version": "0.0.7", "plan_digest": "0" * 64}
    position = changed["position"]
    found = replan([*log[:position], json.dumps(changed), *log[position + 1 :]])
    assert found.difference is None and len(found.other_versions) == 1
    assert any("0.0.7" in sentence for sentence in found.sentences("en"))


@pytest.mark.parametrize(
    "ask",
    [
        Rho(5),
        Epsilon(0.1),
        Epsilon(1e-7, pure=True),
        Share(Fraction(1, 3), 10**9),
        Margin({(0, 1): Fraction(1, 3), (2, 0): Fraction(50)}),
    ],
    ids=repr,
)
def test_an_ask_is_read_as_it_was_written(ask: Ask) -> None:
    assert repr(logged.read_ask_text(logged.ask_text(ask))) == repr(ask)


def test_parameters_are_read_as_they_were_bound() -> None:
    values: dict[str, Any] = {
        "a": "5", "b": 5, "c": 0.1, "d": True, "e": None, "f": Decimal("1.50"), "g": dt.date(2026, 3, 1),
        "h": dt.datetime(2026, 3, 1, 9, 30), "i": "城市\n'; --", "j": False,
    }  # fmt: skip
    back = logged.read_parameters(logged.parameter_texts(values), logged.parameter_types(values))
    assert [(type(v), v) for v in back.values()] == [(type(v), v) for v in values.values()]


def test_the_files_say_the_policies() -> None:
    assert policies_in(FILES).digest == small.policies().digest
    with pytest.raises(ValueError, match="no path"):
        policies_in({**FILES, "../elsewhere.yaml": ""})
