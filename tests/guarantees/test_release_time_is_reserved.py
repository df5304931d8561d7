"""When an answer leaves is fixed by earlier reservations and its own T before the first block reads: no two questions
have the same cores at one time, and what an overrun tells is counted."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox_guard.errors import Refused
from sandbox_guard.ledger import allowance
from sandbox_guard.ledger.allowance import MEMBER, PROJECT, SHAPE
from sandbox_guard.ledger.database import reading
from sandbox_guard.ledger.lanes import PAUSE
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.tables import compare_tables
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import ChargeRequest, Claim, Reserved, Subject
from tests.ledgers import ACT, ALICE, BOB, CAROL, Hands, open_ledger, question, request, terms
from tests.postgres import cluster

LANE = "vaults of this host"
SECOND = dt.timedelta(seconds=1)


@pytest.fixture(scope="module")
def databases(request: pytest.FixtureRequest) -> Iterator[Callable[[str, Path], str]]:
    servers: list[tuple[Any, Any]] = []

    def url(kind: str, folder: Path) -> str:
        if kind == "sqlite":
            return f"sqlite:///{folder}/ledger.sqlite"
        if not servers:
            context = cluster()
            servers.append((context, context.__enter__()))
        return str(servers[0][1].database())

    yield url
    for context, _ in servers:
        context.__exit__(None, None, None)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, databases: Callable[[str, Path], str], tmp_path: Path) -> str:
    return databases(request.param, tmp_path)


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def ledger(url: str, tmp_path: Path, clock: Hands) -> Iterator[LedgerStore]:
    store = opened(url, tmp_path, clock)
    store.apply(terms(population=10**9, dataset=10**9, project=10**9, member=10**9), ACT)
    yield store
    verdict = verify(store.export(), store.public_key)
    assert verdict.good, verdict
    with reading(store.engine) as connection:
        assert compare_tables(connection).good
    store.close()


def opened(url: str, folder: Path, clock: Hands | None = None) -> LedgerStore:
    return open_ledger(url, folder, clock)


def claim(
    milliseconds: int = 1000, *, lane: str = LANE, shape: str = "5" * 64, counted: bool = True
) -> Claim:
    return Claim(lane=lane, milliseconds=milliseconds, shape=shape, counted=counted)


def asked(claimed: Claim, request_id: str | None = None) -> ChargeRequest:
    return request(request_id=request_id).model_copy(update={"claim": claimed})


def reserved(ledger: LedgerStore, claimed: Claim, who: object = ALICE) -> Reserved:
    found = ledger.charge(who, asked(claimed)).reserved  # type: ignore[arg-type]
    assert found is not None
    return found


def overlapping(ledger: LedgerStore) -> list[tuple[str, str]]:
    """Pairs of reservations of one lane that overlap, from the log alone."""
    times: dict[str, list[tuple[str, str]]] = {}
    for line in ledger.export():
        facts = json.loads(line).get("facts", {})
        if "starts_at" in facts:
            times.setdefault(facts["claim"]["lane"], []).append((facts["starts_at"], facts["releases_at"]))
    return [
        (a[1], b[0])
        for lane in times.values()
        for a, b in zip(sorted(lane), sorted(lane)[1:], strict=False)
        if b[0] < a[1]
    ]


# ------------------------------------------------------------------------------------- reservations


def test_questions_follow_each_other_on_one_lane_and_not_on_two(ledger: LedgerStore) -> None:
    first, second = reserved(ledger, claim(3000)), reserved(ledger, claim(500), BOB)
    assert first.wait == 0 and first.releases_at - first.starts_at == 3 * SECOND
    assert second.wait == 3000 + PAUSE
    assert second.starts_at == first.releases_at + dt.timedelta(milliseconds=PAUSE)
    assert reserved(ledger, claim(500, lane="another host")).wait == 0


def test_what_is_public_takes_no_time_of_the_cores(ledger: LedgerStore) -> None:
    assert ledger.charge(ALICE, request()).reserved is None


def test_a_lane_that_was_idle_starts_at_once(ledger: LedgerStore, clock: Hands) -> None:
    reserved(ledger, claim(3000))
    clock.move(seconds=60)
    assert reserved(ledger, claim(3000)).wait == 0


def test_a_clock_set_back_neither_overlaps_nor_makes_anyone_wait_it_out(
    ledger: LedgerStore, clock: Hands
) -> None:
    reserved(ledger, claim(3000))
    clock.move(hours=-5)
    waits = []
    for _ in range(5):
        waits.append(reserved(ledger, claim(1000)).wait)
        clock.move(seconds=10)
    # At most what was reserved when it was set back; ten seconds later nothing is left of it.
    assert waits[0] <= 3000 + PAUSE and waits[1:] == [0, 0, 0, 0]
    clock.move(hours=5)
    assert reserved(ledger, claim(1000)).wait == 0
    assert not overlapping(ledger)


def test_a_retry_gets_time_of_its_own_and_pays_once(ledger: LedgerStore) -> None:
    """A vault died between charge and publication."""
    question = asked(claim(1000))
    first = ledger.charge(ALICE, question)
    again = ledger.charge(ALICE, question)
    assert first.charge_id == again.charge_id and first.reserved and again.reserved
    assert again.reserved.starts_at >= first.reserved.releases_at
    release = ledger.publish(ALICE, again.charge_id, "{}")
    assert release.released_at == again.reserved.releases_at
    done = ledger.charge(ALICE, question)
    assert done.release == release and done.reserved is None


@pytest.mark.parametrize("overruns", [0, 1, 2])
def test_a_release_carries_the_time_that_was_reserved(
    ledger: LedgerStore, clock: Hands, overruns: int
) -> None:
    charge = ledger.charge(ALICE, asked(claim(3000)))
    assert charge.reserved is not None
    clock.move(seconds=3.5)
    release = ledger.publish(ALICE, charge.charge_id, "{}", overruns)
    assert release.released_at == charge.reserved.starts_at + 3 * SECOND * 2**overruns
    assert release.overruns == overruns
    assert ledger.history(ALICE)[0].released_at == release.released_at


def test_concurrent_writers_never_reserve_the_same_time(url: str, tmp_path: Path) -> None:
    first = opened(url, tmp_path)
    first.apply(terms(population=10**9, dataset=10**9, project=10**9, member=10**9), ACT)
    stores = [first, opened(url, tmp_path), opened(url, tmp_path)]
    start = threading.Barrier(6)

    def write(writer: int) -> None:
        start.wait()
        for n in range(5):
            reserved(stores[writer % 3], claim(100 * (1 + n), lane=f"host {n % 2}"), (ALICE, BOB)[writer % 2])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert not overlapping(first)
    assert verify(first.export(), first.public_key).good
    for store in stores:
        store.close()


_DIES = """
import os, sys
from pathlib import Path
from tests.guarantees.test_release_time_is_reserved import asked, claim, opened
from tests.ledgers import ALICE
ledger = opened(sys.argv[1], Path(sys.argv[2]))
ledger.charge(ALICE, asked(claim(60_000), "request-of-a-vault-that-dies"))
os._exit(9)
"""


def test_a_vault_that_dies_leaves_a_charge_that_its_next_start_finishes(url: str, tmp_path: Path) -> None:
    ledger = opened(url, tmp_path)
    ledger.apply(terms(), ACT)
    died = subprocess.run([sys.executable, "-c", _DIES, url, str(tmp_path)], check=False)
    assert died.returncode == 9
    (entry,) = [json.loads(line) for line in ledger.export() if '"kind":"charge"' in line]
    again = ledger.charge(
        ALICE,
        ChargeRequest.model_validate(
            {name: entry["facts"][name] for name in ChargeRequest.model_fields if name in entry["facts"]}
        ),
    )
    assert again.charge_id == entry["facts"]["charge_id"]
    assert again.reserved is not None and again.reserved.wait >= 60_000
    assert ledger.publish(ALICE, again.charge_id, "{}").released_at == again.reserved.releases_at
    assert not overlapping(ledger)
    ledger.close()


# ---------------------------------------------------------------------------------- what it may tell


def leave(ledger: LedgerStore, who: object, overruns: int, *, fault: bool = False, **claimed: object) -> None:
    charge = ledger.charge(who, asked(claim(10, **claimed)))  # type: ignore[arg-type]
    if fault:
        ledger.fault(who, charge.charge_id, overruns)  # type: ignore[arg-type]
    else:
        ledger.publish(who, charge.charge_id, "{}", overruns)  # type: ignore[arg-type]


def shapes() -> Iterator[str]:
    yield from (f"{n:064x}" for n in range(10**6))


def test_a_member_has_few_overruns_and_faults(ledger: LedgerStore, clock: Hands) -> None:
    each = shapes()
    for _ in range(MEMBER // 4):
        leave(ledger, ALICE, 2, shape=next(each))
        leave(ledger, ALICE, 1, shape=next(each), fault=True)
    with pytest.raises(Refused, match=r"budget\.time_member"):
        leave(ledger, ALICE, 0)
    leave(ledger, BOB, 0)
    clock.move(days=31)
    leave(ledger, ALICE, 0)


def test_a_project_has_an_allowance_of_its_own(ledger: LedgerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROJECT == 100
    monkeypatch.setattr(allowance, "PROJECT", 30)  # a hundred overruns take two members too many
    each = shapes()
    for n in range(15):
        leave(ledger, (ALICE, BOB)[n % 2], 2, shape=next(each))
    with pytest.raises(Refused, match=r"budget\.time_project"):
        leave(ledger, BOB, 0)
    ledger.charge(CAROL, request(question("another project's", "tax")).model_copy(update={"claim": claim()}))


def test_what_leaves_in_time_is_not_counted_nor_on_cores_that_are_not_reserved(ledger: LedgerStore) -> None:
    for _ in range(MEMBER + 2):
        leave(ledger, ALICE, 0)
    for _ in range(MEMBER):
        leave(ledger, ALICE, 2, counted=False)
    leave(ledger, ALICE, 0)


def test_a_shape_that_overran_waits_for_a_steward(ledger: LedgerStore, clock: Hands) -> None:
    for n in range(SHAPE):
        leave(ledger, (ALICE, BOB)[n % 2], 1)
    with pytest.raises(Refused, match=r"ask\.shape_suspended"):
        leave(ledger, BOB, 0)
    leave(ledger, BOB, 0, shape="6" * 64)
    subject = Subject(kind="shape", name="5" * 64)
    assert [s.subject for s in ledger.standings()] == [subject]
    ledger.resume(subject, ACT)
    for _ in range(SHAPE - 1):
        leave(ledger, BOB, 1)
    clock.move(days=2)
    leave(ledger, BOB, 1)
    leave(ledger, BOB, 0)
