"""The sum of charges is never above any cap, no charge lacks its entry, no charge has two releases."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from sandbox_guard.errors import Refused
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import Asker, Charge, ChargeRequest, Question, Subject
from tests.ledgers import ACT, ALICE, BOB, CAROL, Hands, open_ledger, question, request, terms
from tests.postgres import Cluster, cluster

CAPS: dict[str, Any] = {"population": 400, "dataset": 200, "project": 100, "member": 60}
DELTA = 40


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Makes the URL of a new database each time it is called."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").database
    open_ledger(f"sqlite:///{tmp_path}/empty.sqlite", tmp_path).close()  # its tables are made once

    def database() -> str:
        folder = tempfile.mkdtemp(dir=tmp_path)
        shutil.copy(tmp_path / "empty.sqlite", f"{folder}/ledger.sqlite")
        return f"sqlite:///{folder}/ledger.sqlite"

    return database


def leaves(ledger: LedgerStore) -> list[dict[str, Any]]:
    return [entry for entry in map(json.loads, ledger.export()) if "position" in entry]


def paid_by_account(entries: list[dict[str, Any]]) -> Counter[str]:
    paid: Counter[str] = Counter()
    for entry in entries:
        for taken in entry["facts"].get("accounts", []) if entry["kind"] == "charge" else []:
            paid[taken["account"]] += taken["rho"]
    return paid


def attempt(ledger: LedgerStore, asker: Asker, asked: ChargeRequest) -> Charge | Refused:
    try:
        return ledger.charge(asker, asked)
    except Refused as refused:
        return refused


class Model(RuleBasedStateMachine):
    """A ledger beside a dozen lines of Python that say what it must do."""

    new_url: Any
    charges = Bundle("charges")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = Hands()
        self.url = self.new_url()
        self.ledger = open_ledger(self.url, self.folder, self.clock)
        self.spent: Counter[str] = Counter()
        self.spent_delta: Counter[str] = Counter()
        self.paid: dict[tuple[str, str], str] = {}
        self.released: dict[str, str] = {}
        self.suspended: set[tuple[str, str]] = set()

    @initialize()
    def policy(self) -> None:
        self.ledger.apply(terms(**CAPS, delta=DELTA), ACT)

    def teardown(self) -> None:
        """Every state that the log went through is in it, signed: one look at the end sees them all."""
        verdict = verify(self.ledger.export(), self.ledger.public_key)
        self.ledger.close()
        assert verdict.good, verdict

    def accounts(self, asker: Asker, asked: Question) -> dict[str, int]:
        return {
            "population/firms": CAPS["population"],
            f"project/{asker.project}/firms": CAPS["project"],
            f"member/{asker.member}/{asker.project}/firms": CAPS["member"],
            **{f"dataset/{name}/firms": CAPS["dataset"] for name in asked.versions},
        }

    def expected_refusal(self, asker: Asker, asked: Question, rho: int, delta: int) -> str | None:
        if any(s in self.suspended for s in (("member", asker.member), ("project", asker.project))):
            return "access"
        if any(("dataset", name) in self.suspended for name in asked.versions):
            return "access"
        for account, cap in self.accounts(asker, asked).items():
            if self.spent[account] + rho > cap or self.spent_delta[account] + delta > DELTA:
                return "budget"
        return None

    @rule(
        target=charges,
        asker=st.sampled_from([ALICE, BOB, CAROL]),
        both=st.booleans(),
        number=st.integers(0, 10**6),
        rho=st.integers(1, 70),
        delta=st.integers(0, 20),
    )
    def charge(self, asker: Asker, both: bool, number: int, rho: int, delta: int) -> Any:
        datasets = ["tax"] if asker is CAROL else ["loan", "tax"] if both else ["loan"]
        asked = request(question(number, *datasets), rho=rho, delta=delta)
        if any(key[0] == asker.project and key[1] == asked.question.digest for key in self.paid):
            return multiple()
        due = self.expected_refusal(asker, asked.question, rho, delta)
        charge = attempt(self.ledger, asker, asked)
        if isinstance(charge, Refused):
            assert charge.code.split(".")[0] == due, (charge.code, due)
            return multiple()
        assert due is None
        self.paid[asker.project, asked.question.digest] = charge.charge_id
        for account in self.accounts(asker, asked.question):
            self.spent[account] += rho
            self.spent_delta[account] += delta
        return asker, asked, charge.charge_id

    @rule(paid=charges, other_tab=st.booleans())
    def retry(self, paid: tuple[Asker, ChargeRequest, str], other_tab: bool) -> None:
        """The same request, or the same question in another tab: never a second charge."""
        asker, asked, charge_id = paid
        if other_tab:
            asked = request(asked.question, rho=asked.spends[0].cost.rho, delta=asked.spends[0].cost.delta)
        charge = attempt(self.ledger, asker, asked)
        if isinstance(charge, Refused):
            assert charge.code.startswith("access.")
            assert self.suspended
            return
        assert charge.charge_id == charge_id
        assert (charge.release.body if charge.release else None) == self.released.get(charge_id)

    @rule(paid=charges, draw=st.integers())
    def publish(self, paid: tuple[Asker, ChargeRequest, str], draw: int) -> None:
        asker, _, charge_id = paid
        body = json.dumps({"draw": draw})
        assert self.ledger.publish(asker, charge_id, body).body == self.released.setdefault(charge_id, body)

    @rule(
        subject=st.sampled_from(
            [("member", "alice"), ("project", "tax-study"), ("dataset", "loan"), ("dataset", "tax")]
        )
    )
    def suspend_or_resume(self, subject: tuple[str, str]) -> None:
        message = Subject.model_validate({"kind": subject[0], "name": subject[1]})
        if subject in self.suspended:
            self.ledger.resume(message, ACT)
        else:
            self.ledger.suspend(message, ACT)
        self.suspended ^= {subject}

    @rule(asker=st.sampled_from([ALICE, BOB, CAROL]))
    def renew(self, asker: Asker) -> None:
        account = f"member/{asker.member}/{asker.project}/firms"
        self.ledger.renew(account, ACT)
        self.spent[account] = self.spent_delta[account] = 0

    @rule(hours=st.integers(-100, 100))
    def clock_jumps(self, hours: int) -> None:
        self.clock.move(hours=hours)

    @rule()
    def restart(self) -> None:
        self.ledger.close()
        self.ledger = open_ledger(self.url, self.folder, self.clock)

    @invariant()
    def the_balances_are_the_models(self) -> None:
        balances = {b.account.model_dump_json(exclude={"cap"}): b for b in self.ledger.all_guarantees()}
        assert all(b.spent.rho <= b.account.cap.rho for b in balances.values())
        assert sum(b.spent.rho for b in balances.values()) == sum(self.spent.values())
        assert sum(b.spent.delta for b in balances.values()) == sum(self.spent_delta.values())


@pytest.mark.parametrize("examples", [15, pytest.param(150, marks=pytest.mark.long)])
def test_the_ledger_does_what_the_model_does(databases: Any, examples: int) -> None:
    machine = type("Machine", (Model,), {"new_url": staticmethod(databases)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


WRITERS = 16
EACH = 12


def test_sixteen_threads_cannot_overspend(databases: Any, tmp_path: Path) -> None:
    ledger = open_ledger(databases(), tmp_path)
    ledger.apply(terms(population=400, dataset=300, project=200, member=150), ACT)
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> int:
        start.wait()
        asker = (ALICE, BOB)[writer % 2]
        return sum(_try(ledger, asker, request(question(writer * 1000 + i), rho=3)) for i in range(EACH))

    with ThreadPoolExecutor(WRITERS) as pool:
        granted = sum(pool.map(write, range(WRITERS)))
    _check(ledger, granted, at_most=200 // 3)
    ledger.close()


def _try(ledger: LedgerStore, asker: Asker, asked: ChargeRequest) -> int:
    charge = attempt(ledger, asker, asked)
    if isinstance(charge, Refused):
        assert charge.code.startswith("budget.")
        return 0
    ledger.publish(asker, charge.charge_id, "{}")
    return 1


def _check(ledger: LedgerStore, granted: int, *, at_most: int) -> None:
    entries = leaves(ledger)
    assert granted == at_most == sum(entry["kind"] == "charge" for entry in entries)
    assert [entry["position"] for entry in entries] == list(range(len(entries)))
    releases = Counter(e["facts"]["charge_id"] for e in entries if e["kind"] == "release")
    assert set(releases.values()) == {1}
    assert len(releases) == granted
    assert paid_by_account(entries)["project/credit/firms"] == 3 * granted <= 200
    assert verify(ledger.export(), ledger.public_key).good


def _process(url: str, folder: Path, number: int, start: Any, granted: Any) -> None:
    """Four of the sixteen writers."""
    ledger = open_ledger(url, folder)

    def write(writer: int) -> int:
        asker = (ALICE, BOB)[writer % 2]
        return sum(
            _try(
                ledger, asker, request(question(writer * 1000 + i), rho=3, request_id=f"w{writer:04}i{i:04}")
            )
            for i in range(EACH)
        )

    start.wait()
    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(write, range(4 * number, 4 * number + 4)))
    with granted.get_lock():
        granted.value += done


def test_sixteen_writers_in_four_processes_cannot_overspend(databases: Any, tmp_path: Path) -> None:
    url = databases()
    ledger = open_ledger(url, tmp_path)
    ledger.apply(terms(population=400, dataset=300, project=200, member=150), ACT)
    spawn = multiprocessing.get_context("spawn")
    start, granted = spawn.Barrier(4), spawn.Value("i", 0)
    workers = [spawn.Process(target=_process, args=(url, tmp_path, n, start, granted)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    _check(ledger, granted.value, at_most=200 // 3)
    ledger.close()


def test_one_question_in_sixteen_tabs_is_charged_and_released_once(databases: Any, tmp_path: Path) -> None:
    ledger = open_ledger(databases(), tmp_path)
    ledger.apply(terms(), ACT)
    asked, start = question("rate"), threading.Barrier(WRITERS)

    def ask(tab: int) -> str:
        start.wait()
        charge = ledger.charge((ALICE, BOB)[tab % 2], request(asked, request_id=f"tab-{tab:05}"))
        if charge.release is not None:
            return charge.release.body
        return ledger.publish((ALICE, BOB)[tab % 2], charge.charge_id, json.dumps({"draw": tab})).body

    with ThreadPoolExecutor(WRITERS) as pool:
        bodies = set(pool.map(ask, range(WRITERS)))
    assert len(bodies) == 1
    kinds = Counter(entry["kind"] for entry in leaves(ledger))
    assert (kinds["charge"], kinds["release"]) == (1, 1)
    ledger.close()
