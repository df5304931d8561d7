"""What a vault is promised: one charge per request, one release per charge, the same question free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from sandbox_guard.errors import Refused
from sandbox_guard.ledger import schema
from sandbox_guard.ledger.database import writing
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import (
    Amount,
    EntryFilter,
    EntryKind,
    Question,
    RefusalReport,
    Spend,
    Subject,
)
from tests.ledgers import ACT, ALICE, BOB, CAROL, FIRM, Hands, question, request, terms


def spent(ledger: LedgerStore) -> dict[str, int]:
    return {
        b.account.level: b.spent.rho
        for b in ledger.balances(ALICE)
        if b.account.level != "dataset" or b.account.dataset == "loan"
    }


def refused(code: str) -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda error: error.code == code)


def kinds(ledger: LedgerStore) -> list[str]:
    return [entry.kind.value for entry in reversed(ledger.entries(EntryFilter()).entries)]


def test_a_charge_is_taken_at_every_level(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(rho=10))
    assert spent(ledger) == {"member": 10, "project": 10, "dataset": 10, "population": 10}
    ledger.charge(BOB, request(rho=5))
    assert spent(ledger) == {"member": 10, "project": 15, "dataset": 15, "population": 15}


def test_the_population_pays_once_however_many_datasets_are_read(ledger: LedgerStore) -> None:
    spend = Spend(
        population="firms",
        cost=Amount(rho=10, delta=0),
        datasets={"loan": Amount(rho=10, delta=0), "tax": Amount(rho=4, delta=0)},
    )
    ledger.charge(ALICE, request(question("both", "loan", "tax")).model_copy(update={"spends": (spend,)}))
    paid = {(b.account.level, b.account.dataset): b.spent.rho for b in ledger.balances(ALICE)}
    assert paid["population", None] == 10
    assert paid["dataset", "loan"] == 10
    assert paid["dataset", "tax"] == 4


@pytest.mark.parametrize(
    ("level", "caps"),
    [
        ("member", {"member": 9}),
        ("project", {"project": 9}),
        ("dataset", {"dataset": 9}),
        ("population", {"population": 9}),
    ],
)
def test_each_level_refuses_and_then_nobody_has_paid(
    ledger: LedgerStore, level: str, caps: dict[str, Any]
) -> None:
    ledger.apply(terms(**caps), ACT)
    with refused(f"budget.{level}"):
        ledger.charge(ALICE, request(rho=10))
    assert set(spent(ledger).values()) == {0}
    assert kinds(ledger) == ["policy", "policy"]


def test_delta_has_caps_of_its_own(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(delta=1000))
    with refused("budget.delta"):
        ledger.charge(ALICE, request(delta=1))


def test_a_budget_can_be_spent_to_the_last_unit(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(rho=249))
    ledger.charge(ALICE, request(rho=1))
    with refused("budget.member"):
        ledger.charge(ALICE, request(rho=1))


def test_a_refusal_says_cost_and_rest_in_percent(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(rho=200))
    with pytest.raises(Refused, match=r"costs 20\.40 % of your budget, and 20\.00 % is left"):
        ledger.charge(ALICE, request(rho=51))


def test_a_cost_that_rounds_to_nothing_is_no_request(ledger: LedgerStore) -> None:
    with pytest.raises(ValueError, match="at least one micro-unit"):
        ledger.charge(ALICE, request(rho=0))


def test_a_dataset_cannot_be_left_out_of_the_bill(ledger: LedgerStore) -> None:
    whole = request(rho=10)
    spend = Spend(population="firms", cost=Amount(rho=10, delta=0), datasets={"loan": Amount(rho=9, delta=0)})
    with pytest.raises(ValueError, match="do not cover"):
        ledger.charge(ALICE, whole.model_copy(update={"spends": (spend,)}))


def test_the_same_request_id_buys_once(ledger: LedgerStore) -> None:
    asked = request(rho=10)
    assert ledger.charge(ALICE, asked) == ledger.charge(ALICE, asked)
    assert spent(ledger)["member"] == 10
    assert kinds(ledger) == ["policy", "charge"]


def test_a_request_id_is_its_members_own(ledger: LedgerStore) -> None:
    first = ledger.charge(ALICE, request(question(1), request_id="double-click"))
    second = ledger.charge(BOB, request(question(2), request_id="double-click"))
    assert first.charge_id != second.charge_id


def test_a_request_id_cannot_carry_another_question(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(question(1), request_id="double-click"))
    with refused("budget.request_reused"):
        ledger.charge(ALICE, request(question(2), request_id="double-click"))


def test_a_released_question_is_free_for_the_whole_project(ledger: LedgerStore) -> None:
    asked = question("rate")
    charge = ledger.charge(ALICE, request(asked))
    release = ledger.publish(ALICE, charge.charge_id, '{"rows":[1]}')
    found = ledger.find(BOB, asked)
    assert found is not None
    assert (found.body, found.release_id) == (release.body, release.release_id)
    again = ledger.charge(BOB, request(asked))
    assert again.release == found
    assert spent(ledger)["project"] == 10
    assert kinds(ledger) == ["policy", "charge", "release", "reuse", "reuse"]


def test_a_new_data_version_is_another_question(ledger: LedgerStore) -> None:
    charge = ledger.charge(ALICE, request(question("rate")))
    ledger.publish(ALICE, charge.charge_id, "{}")
    assert ledger.find(ALICE, question("rate", version="2-1234")) is None


def test_another_project_pays_for_itself(ledger: LedgerStore) -> None:
    asked = question("mean tax", "tax")
    charge = ledger.charge(ALICE, request(asked))
    ledger.publish(ALICE, charge.charge_id, "{}")
    assert ledger.find(CAROL, asked) is None
    assert ledger.charge(CAROL, request(asked)).release is None


def test_members_do_not_see_each_others_query_texts(ledger: LedgerStore) -> None:
    asked = question("rate")
    charge = ledger.charge(ALICE, request(asked, sql="SELECT 'mine'"))
    assert ledger.publish(ALICE, charge.charge_id, "{}").sql == "SELECT 'mine'"
    assert [release.sql for release in ledger.history(BOB)] == [""]
    assert [release.sql for release in ledger.history(ALICE)] == ["SELECT 'mine'"]


def test_a_charge_has_one_release(ledger: LedgerStore) -> None:
    charge = ledger.charge(ALICE, request())
    first = ledger.publish(ALICE, charge.charge_id, '{"draw":1}')
    assert ledger.publish(ALICE, charge.charge_id, '{"draw":2}') == first
    assert kinds(ledger) == ["policy", "charge", "release"]


def test_one_release_per_charge_is_the_databases_rule_too(ledger: LedgerStore) -> None:
    charge = ledger.charge(ALICE, request())
    ledger.publish(ALICE, charge.charge_id, "{}")
    forged = {
        "release_id": "x",
        "charge_id": charge.charge_id,
        "position": 2,
        "project": "credit",
        "question": "",
        "body": "",
    }
    with pytest.raises(IntegrityError), writing(ledger.engine) as connection:
        connection.execute(insert(schema.Release), forged)


def test_what_crashed_is_finished_under_its_charge_by_the_same_plan(ledger: LedgerStore) -> None:
    asked = question("rate")
    charge = ledger.charge(ALICE, request(asked))
    ledger.fault(ALICE, charge.charge_id)
    again = ledger.charge(BOB, request(asked))
    assert (again.charge_id, again.release) == (charge.charge_id, None)
    assert ledger.publish(BOB, again.charge_id, "{}").charge_id == charge.charge_id
    assert spent(ledger)["project"] == 10


def test_another_plan_of_the_same_question_is_another_charge(ledger: LedgerStore) -> None:
    asked = question("rate")
    first = ledger.charge(ALICE, request(asked, plan="1" * 64))
    second = ledger.charge(ALICE, request(asked, plan="2" * 64))
    assert first.charge_id != second.charge_id


def test_everything_survives_a_restart(ledger: LedgerStore, reopen: Callable[[], LedgerStore]) -> None:
    asked = request(question("rate"))
    charge = ledger.charge(ALICE, asked)
    release = ledger.publish(ALICE, charge.charge_id, "{}")
    ledger.close()
    later = reopen()
    assert later.charge(ALICE, asked).release == release
    assert spent(later)["member"] == 10
    assert verify(later.export(), later.public_key).good


def test_a_charge_of_another_project_is_out_of_reach(ledger: LedgerStore) -> None:
    charge = ledger.charge(ALICE, request())
    with refused("access.not_yours"):
        ledger.publish(CAROL, charge.charge_id, "{}")
    with refused("access.not_yours"):
        ledger.fault(CAROL, charge.charge_id)


# -------------------------------------------------------------------------------- authorisation


def test_who_may_ask_is_decided_before_earlier_answers_are_looked_up(
    ledger: LedgerStore, clock: Hands
) -> None:
    asked = question("rate")
    charge = ledger.charge(ALICE, request(asked))
    ledger.publish(ALICE, charge.charge_id, "{}")

    def locked(code: str) -> None:
        with refused(code):
            ledger.find(ALICE, asked)
        with refused(code):
            ledger.charge(ALICE, request(asked))

    for kind, name in (("member", "alice"), ("project", "credit"), ("dataset", "loan")):
        subject = Subject.model_validate({"kind": kind, "name": name})
        ledger.suspend(subject, ACT)
        locked(f"access.{kind}_suspended")
        ledger.resume(subject, ACT)
        assert ledger.find(ALICE, asked) is not None
    clock.move(days=3650)
    locked("access.expired")
    clock.move(days=-3650)
    assert ledger.find(ALICE, asked) is not None  # nothing was written at the later time
    ledger.close_project("credit", ACT)
    locked("access.project_closed")
    with refused("access.project_closed"):
        ledger.history(ALICE)


def test_a_suspended_member_can_still_be_logged(ledger: LedgerStore) -> None:
    ledger.suspend(Subject(kind="member", name="alice"), ACT)
    report = RefusalReport(
        request_id="request-1", sql="SELECT 1", code="access.member_suspended", policy_digest="a" * 64
    )
    ledger.refuse(ALICE, report)
    entry = ledger.entries(EntryFilter(code="access.member_suspended")).entries[0]
    assert (entry.actor, entry.facts["organisation"]) == ("alice", "University of Lin'an")


def test_a_stranger_and_an_ungranted_dataset_are_refused(ledger: LedgerStore) -> None:
    with refused("access.not_member"):
        ledger.find(CAROL.model_copy(update={"project": "credit"}), question(1))
    with refused("access.no_project"):
        ledger.find(CAROL.model_copy(update={"project": "none"}), question(1))
    with refused("access.dataset_not_granted"):
        ledger.find(CAROL, question(1, "loan"))


def test_an_enterprise_runs_approved_analyses_only(ledger: LedgerStore) -> None:
    free = question("rate")
    approved = free.model_copy(update={"analysis": "default-rate", "analysis_digest": "d" * 64})
    edited = free.model_copy(update={"analysis": "default-rate", "analysis_digest": "e" * 64})
    with refused("access.analyses_only"):
        ledger.charge(FIRM, request(free))
    with refused("access.analysis_not_approved"):
        ledger.charge(FIRM, request(edited))
    charge = ledger.charge(FIRM, request(approved))
    ledger.publish(FIRM, charge.charge_id, "{}")
    other = ledger.charge(ALICE, request(question("free")))
    ledger.publish(ALICE, other.charge_id, "{}")
    assert [release.charge_id for release in ledger.history(FIRM)] == [charge.charge_id]
    assert len(ledger.history(ALICE)) == 2


def test_a_project_without_free_queries_holds_researchers_to_its_analyses(ledger: LedgerStore) -> None:
    ledger.apply(terms(free_queries=False), ACT)
    with refused("access.analyses_only"):
        ledger.find(ALICE, question("rate"))


def test_a_vault_with_another_policy_is_refused(ledger: LedgerStore) -> None:
    with refused("access.policy_not_applied"):
        ledger.charge(ALICE, request(policy_digest="f" * 64))


def test_a_clock_set_back_neither_reorders_nor_revives(ledger: LedgerStore, clock: Hands) -> None:
    ledger.apply(terms(expires=clock.at.date()), ACT)
    ledger.charge(ALICE, request())
    clock.move(days=1)
    ledger.record_load("loan", "2-ab", ACT)
    clock.move(days=-5)
    with refused("access.expired"):
        ledger.charge(ALICE, request())
    ledger.record_load("loan", "3-ab", ACT)
    times = [entry.at for entry in ledger.entries(EntryFilter()).entries]
    assert times == sorted(times, reverse=True)


# ----------------------------------------------------------------------------- stewards' decisions


def test_a_renewal_frees_the_budget_and_is_remembered(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(rho=250))
    with refused("budget.member"):
        ledger.charge(ALICE, request(rho=1))
    ledger.renew("member/alice/credit/firms", ACT)
    ledger.charge(ALICE, request(rho=50))
    mine = ledger.guarantees(ALICE)[0]
    assert (mine.spent.rho, mine.renewed.rho) == (50, 250)
    assert mine.epsilon == pytest.approx(300e-9)
    assert verify(ledger.export(), ledger.public_key).good


def test_a_new_policy_refills_nothing(ledger: LedgerStore) -> None:
    ledger.charge(ALICE, request(rho=250))
    ledger.apply(terms(policy_digest="c" * 64), ACT)
    with refused("budget.member"):
        ledger.charge(ALICE, request(rho=1, policy_digest="c" * 64))


def test_a_budget_that_policy_no_longer_gives_is_gone(ledger: LedgerStore) -> None:
    whole = terms()
    fewer = whole.model_copy(update={"accounts": tuple(a for a in whole.accounts if a.member != "alice")})
    ledger.apply(fewer, ACT)
    with refused("budget.member"):
        ledger.charge(ALICE, request(rho=1))


def test_every_decision_has_actor_reason_and_time(ledger: LedgerStore) -> None:
    ledger.suspend(Subject(kind="dataset", name="loan"), ACT)
    ledger.resume(Subject(kind="dataset", name="loan"), ACT)
    ledger.renew("population/firms", ACT)
    ledger.close_project("credit", ACT)
    ledger.record_load("loan", "2-ab", ACT)
    for entry in ledger.entries(EntryFilter(actor="stefanie")).entries:
        assert entry.facts["reason"] == "as agreed"


def test_a_load_is_recorded_once(ledger: LedgerStore) -> None:
    assert ledger.record_load("loan", "2-ab", ACT) == ledger.record_load("loan", "2-ab", ACT)


# ------------------------------------------------------------------------------ sandboxes, search


def test_a_sandboxes_token_speaks_for_its_member_until_it_ends(ledger: LedgerStore) -> None:
    sandbox = ledger.open_sandbox(ALICE, "hub")
    assert ledger.admitted(sandbox.token, None) == ALICE
    ledger.end_sandbox(sandbox.sandbox_id, "hub")
    with refused("access.sandbox_ended"):
        ledger.admitted(sandbox.token, None)
    with refused("access.not_member"):
        ledger.open_sandbox(CAROL.model_copy(update={"project": "credit"}), "hub")


def test_no_token_is_stored(ledger: LedgerStore) -> None:
    sandbox = ledger.open_sandbox(ALICE, "hub")
    assert sandbox.token not in "".join(ledger.export())
    with ledger.engine.connect() as connection:
        rows = connection.execute(schema.Sandbox.__table__.select()).all()
    assert sandbox.token not in str(rows)


def test_entries_are_found_by_person_project_dataset_time_cost_and_text(
    ledger: LedgerStore, clock: Hands
) -> None:
    ledger.charge(ALICE, request(question(1, "loan"), rho=7, sql="SELECT '城%'"))
    clock.move(hours=1)
    ledger.charge(CAROL, request(question(2, "tax"), rho=9, sql="SELECT '城x'"))

    def found(**wanted: object) -> list[int]:
        return [e.position for e in ledger.entries(EntryFilter.model_validate(wanted)).entries]

    assert found(kind=EntryKind.CHARGE) == [2, 1]
    assert found(actor="alice") == [1]
    assert found(project="tax-study") == [2]
    assert found(dataset="loan") == [1]
    assert found(since=clock.at) == [2]
    assert found(min_rho=8) == [2]
    assert found(text="城%") == [1]
    page = ledger.entries(EntryFilter(limit=2))
    assert ([e.position for e in page.entries], page.next_before) == ([2, 1], 1)
    rest = ledger.entries(EntryFilter(limit=2, before=1))
    assert ([e.position for e in rest.entries], rest.next_before) == ([0], None)


def test_a_question_of_public_tables_alone_costs_nothing_but_is_logged(ledger: LedgerStore) -> None:
    free = request(Question(digest="1" * 64, versions={"loan": "1-00ff"})).model_copy(update={"spends": ()})
    charge = ledger.charge(ALICE, free)
    ledger.publish(ALICE, charge.charge_id, "{}")
    assert spent(ledger)["member"] == 0
