"""The report of a month is the sum of its entries, by the local day."""

from __future__ import annotations

import datetime as dt

import pytest

from sandbox_guard.ledger.report import month
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import RefusalReport, Subject
from tests.ledgers import ACT, ALICE, BOB, CAROL, POLICY, Hands, question, request

CHINA = dt.timezone(dt.timedelta(hours=8))


def test_a_month_is_summed_by_local_day_member_and_dataset(ledger: LedgerStore, clock: Hands) -> None:
    charge = ledger.charge(ALICE, request(question("a", "loan", "tax"), rho=10, delta=2))
    ledger.publish(ALICE, charge.charge_id, "{}")
    ledger.charge(BOB, request(question("a", "loan", "tax")))  # again, free
    clock.move(hours=8)  # 2026-03-02 01:00 in China, still the first in UTC
    ledger.charge(BOB, request(question("b"), rho=7))
    ledger.refuse(BOB, RefusalReport(request_id="refused1", sql="x", code="sql.syntax", policy_digest=POLICY))
    ledger.charge(CAROL, request(question("c", "tax"), rho=90))  # of another project
    ledger.suspend(Subject(kind="project", name="tax-study"), ACT)
    ledger.suspend(Subject(kind="member", name="alice"), ACT)
    clock.move(days=40)
    ledger.charge(BOB, request(question("later"), rho=50))

    found = ledger.report("credit", *month("2026-03", CHINA))
    assert (found.total.questions, found.total.free, found.total.refused) == (2, 1, 1)
    assert (found.total.rho, found.total.delta, found.releases, found.faults) == (17, 2, 1, 0)
    assert len(found.days) == 31
    assert [(d.name, d.rho) for d in found.days if d.rho] == [("2026-03-01", 10), ("2026-03-02", 7)]
    assert {m.name: m.rho for m in found.members} == {"alice": 10, "bob": 7}
    assert {d.name: d.rho for d in found.datasets} == {"loan": 17, "tax": 10}
    assert found.refusals == {"sql.syntax": 1}
    assert [d.about for d in found.decisions] == ["a" * 16, "member alice"]
    spent = {b.account.level: b.spent.rho for b in ledger.balances(BOB)}
    assert spent["project"] == found.total.rho + 50, "reports and balances reconcile"


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "March"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time data|unconverted"):
        month(text)


def test_the_last_month_of_a_year_ends_with_it() -> None:
    since, until = month("2026-12", CHINA)
    assert (until - since).days == 31 and until.year == 2027
