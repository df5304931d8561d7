"""The attack corpus: refused before data is read, uncharged, by a code that no data decides; or shown sound.

`tests/corpus/sound.yaml` names the rule behind each `reject` that is answered; `tests/corpus/safe_refused.txt` lists
the `safe` ones that are refused, with their codes (regenerate with SANDBOX_GUARD_ACCEPT=1 and read the change).
"""

from __future__ import annotations

import os

import pytest
import yaml

from sandbox_guard.errors import Refused
from sandbox_guard.pricing import Asked
from sandbox_guard.sql.plan import Discovered
from tests import oracle
from tests.attacks import CORPUS, Case, attacks
from tests.oracle import Neighbours, Spy
from tests.seam import Bench

SOUND: dict[str, str] = yaml.safe_load((CORPUS / "sound.yaml").read_text("utf-8"))
TABLE = CORPUS / "safe_refused.txt"
CASES = attacks()
REJECT = [c for c in CASES if c.expect == "reject"]
SAFE = [c for c in CASES if c.expect == "safe"]
ANSWERED = 85
"""So many of the safe ones, or more, are answered."""


def _engine(bench: Bench) -> Spy:
    assert isinstance(bench.guard.engine, Spy)
    return bench.guard.engine


@pytest.mark.parametrize("case", [c for c in REJECT if c.id not in SOUND], ids=lambda c: c.id)
def test_refused(bench: Bench, case: Case) -> None:
    spy = _engine(bench)
    read = len(spy.asked)
    seen = bench.ask(case.sql, epsilon=100.0)
    assert seen.status == "refused" and seen.code
    assert len(spy.asked) == read, "data was read"
    assert not seen.charged
    (entry,) = seen.entries
    assert entry["kind"] == "refusal" and entry["facts"]["code"] == seen.code
    assert "Error:" not in str(seen.message)


@pytest.mark.parametrize("case", [c for c in CASES if c.id in SOUND], ids=lambda c: c.id)
def test_answered_though_hostile(corpus: Neighbours, case: Case) -> None:
    _is_sound(corpus, case)


def test_every_exception_is_a_rejected_attack() -> None:
    assert set(SOUND) <= {c.id for c in REJECT}


@pytest.mark.parametrize("case", SAFE, ids=lambda c: c.id)
def test_safe(corpus: Neighbours, bench: Bench, case: Case) -> None:
    """Refused, or: moves by no more than declared; keys, names and status equal on neighbours; paid once."""
    try:
        corpus.planned(case.sql)
    except Refused:
        return
    _is_sound(corpus, case)
    priced = bench.guard.estimate(_asked(case))
    seen = bench.ask(case.sql, epsilon=100.0)
    assert seen.status == "answered" and seen.answer is not None
    assert [c["name"] for c in seen.answer["columns"]] == [c["name"] for c in priced["columns"]]
    if seen.answer["free"]:
        assert not seen.charged  # no private row, or the same question as before
    else:
        (charge,) = seen.charged
        assert seen.answer["cost"]["rho"] == pytest.approx(priced["cost"]["rho"])
        spends = charge["facts"]["spends"]
        assert bool(spends) is not priced["free"]
        assert sum(s["cost"]["rho"] for s in spends) == round(priced["cost"]["rho"] * 10**9)


def _asked(case: Case) -> Asked:
    return Asked(case.sql, "estimate", epsilon=100.0)


def _is_sound(corpus: Neighbours, case: Case) -> None:
    planned = corpus.planned(case.sql)
    whole = corpus.exact(planned)
    for unit, engine in corpus.without.items():
        less = corpus.exact(planned, engine, held=whole)
        for a, b in zip(whole.measured, less.measured, strict=True):
            moved = oracle.differences(a, b)
            assert not oracle.exceeds(moved, a), str(oracle.Moved(unit, a, moved))
            discovered = any(isinstance(k.domain, Discovered) for k in planned.blocks[a.block].keys)
            assert discovered or a.kind == "histogram" or a.keys == b.keys


def test_safe_ones_that_are_refused_are_listed(corpus: Neighbours) -> None:
    lines = []
    for case in SAFE:
        try:
            corpus.planned(case.sql)
        except Refused as refused:
            lines.append(f"{case.id} {refused.code}\n")
    found = "".join(lines)
    answered = len(SAFE) - len(lines)
    print(f"of {len(SAFE)} safe ones {answered} are answered")
    assert answered >= ANSWERED
    if os.environ.get("SANDBOX_GUARD_ACCEPT"):
        TABLE.write_text(found, "utf-8")
    assert found == TABLE.read_text("utf-8")
