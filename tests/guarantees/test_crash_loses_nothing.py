"""Killed at any step, the ledger has lost nothing that it acknowledged, and a retry finishes what it began."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_guard.errors import Fault
from sandbox_guard.ledger import access, accounts
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.tables import compare_tables
from sandbox_guard.ledger.transaction import Transaction, Writer
from sandbox_guard.ledger.verify import verify
from tests.ledgers import ACT, ALICE, BOB, open_ledger, question, request, terms
from tests.postgres import Cluster, cluster

STEPS: dict[str, tuple[Any, str, bool]] = {
    # what is under way: the function, and whether to die after it rather than before
    "before the lock is taken": (Transaction, "begin", False),
    "with the lock taken": (Transaction, "begin", True),
    "authorised": (access, "authorise", True),
    "with the budgets taken": (accounts, "take", True),
    "before the entry": (Transaction, "append", False),
    "with the entry appended": (Transaction, "append", True),
    "before the head moves": (Transaction, "move_head", False),
    "with the head moved": (Transaction, "move_head", True),
    "before the commit": (Writer, "_end", False),
    "committed, before anyone heard": (Writer, "_end", True),
}
CHARGING, PUBLISHING = 1, 2
NEVER_PUBLISHING = ("authorised", "with the budgets taken")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: Cluster = request.getfixturevalue("postgres")
        return server.database()
    return f"sqlite:///{tmp_path}/ledger.sqlite"


def _die_at(step: str, time_round: int, told: Any) -> None:
    """Make this process kill itself, the hard way, when the step is reached for the n-th time."""
    owner, name, after = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)
    reached = 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal reached
        reached += 1
        last = reached == time_round
        result = original(*arguments, **named) if after or not last else None
        if last:
            told.send(("reached", step))
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def _work(url: str, folder: Path, step: str, time_round: int, told: Any) -> None:
    ledger = open_ledger(url, folder)
    _die_at(step, time_round, told)
    charge = ledger.charge(ALICE, request(question("rate"), rho=10, request_id="the-request"))
    told.send(("charged", charge.charge_id))
    release = ledger.publish(ALICE, charge.charge_id, '{"draw":1}')
    told.send(("released", release.body))


def _heard(pipe: Any) -> dict[str, str]:
    heard = {}
    while pipe.poll():
        try:
            what, value = pipe.recv()
        except EOFError:
            break
        heard[what] = value
    return heard


@pytest.mark.parametrize("time_round", [CHARGING, PUBLISHING], ids=["charging", "publishing"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(url: str, tmp_path: Path, step: str, time_round: int) -> None:
    if time_round == PUBLISHING and step in NEVER_PUBLISHING:
        pytest.skip("publishing does not pass there")
    before = open_ledger(url, tmp_path)
    before.apply(terms(), ACT)
    before.close()
    fork = multiprocessing.get_context("fork")
    pipe, told = fork.Pipe(duplex=False)
    worker = fork.Process(target=_work, args=(url, tmp_path, step, time_round, told))
    worker.start()
    worker.join()
    told.close()
    heard = _heard(pipe)
    assert worker.exitcode == -signal.SIGKILL
    assert heard["reached"] == step, "the step was under way"

    ledger = open_ledger(url, tmp_path)
    _sound(ledger)
    again = ledger.charge(ALICE, request(question("rate"), rho=10, request_id="the-request"))
    if "charged" in heard:
        assert again.charge_id == heard["charged"]
    body = ledger.publish(ALICE, again.charge_id, '{"draw":2}').body
    assert body == heard.get("released", body)
    assert ledger.balances(ALICE)[0].spent.rho == 10
    kinds = [json.loads(line)["kind"] for line in ledger.export() if '"position":' in line]
    assert kinds == ["policy", "charge", "release"]
    _sound(ledger)
    ledger.close()


def _sound(ledger: LedgerStore) -> None:
    verdict = verify(ledger.export(), ledger.public_key)
    assert verdict.good, verdict
    with ledger.engine.connect() as connection:
        assert compare_tables(connection).good


def _keep_charging(url: str, folder: Path, told: Any, writer: int) -> None:
    ledger = open_ledger(url, folder)
    one_at_a_time = threading.Lock()

    def charge(thread: int) -> None:
        for number in range(10**6):
            asked = request(
                question(number + 10**7 * thread + 10**9 * writer),
                rho=1,
                request_id=f"w{writer}t{thread}n{number:06}",
            )
            try:
                charge = ledger.charge(BOB, asked)
                release = ledger.publish(BOB, charge.charge_id, json.dumps({"draw": charge.charge_id}))
            except Fault:
                return  # the database is gone
            with one_at_a_time:
                told.send((asked.request_id, release.release_id))

    threads = [threading.Thread(target=charge, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _rounds(url: str, folder: Path, kill: Callable[[Any], None], rounds: int) -> None:
    """Kill while four threads write; all that was acknowledged is there, and nothing half."""
    million = 10**6
    ledger = open_ledger(url, folder)
    ledger.apply(terms(population=million, dataset=million, project=million, member=million), ACT)
    ledger.close()
    fork = multiprocessing.get_context("fork")
    acknowledged: dict[str, str] = {}
    for number in range(rounds):
        pipe, told = fork.Pipe(duplex=False)
        worker = fork.Process(target=_keep_charging, args=(url, folder, told, number))
        worker.start()
        told.close()
        assert pipe.poll(60), "writing was under way"
        time.sleep(random.uniform(0, 0.15))
        kill(worker)
        worker.join()
        acknowledged |= _heard(pipe)
        ledger = open_ledger(url, folder)
        _sound(ledger)
        entries = [json.loads(line) for line in ledger.export() if '"position":' in line]
        released = {
            e["facts"]["charge_id"]: e["facts"]["release_id"] for e in entries if e["kind"] == "release"
        }
        stored = {
            e["facts"]["request_id"]: released.get(e["facts"]["charge_id"])
            for e in entries
            if e["kind"] == "charge"
        }
        assert acknowledged.items() <= stored.items()
        assert ledger.balances(BOB)[0].spent.rho == len(stored)
        ledger.close()
    assert acknowledged


def _kill(worker: Any) -> None:
    os.kill(worker.pid, signal.SIGKILL)


def test_killed_while_four_write(url: str, tmp_path: Path) -> None:
    _rounds(url, tmp_path, _kill, 3)


@pytest.mark.long
def test_killed_two_hundred_times(url: str, tmp_path: Path) -> None:
    _rounds(url, tmp_path, _kill, 100)


def _crash(server: Cluster, rounds: int, folder: Path) -> None:
    def kill(worker: Any) -> None:
        server.crash()
        os.kill(worker.pid, signal.SIGKILL)
        server.start()

    _rounds(server.database(), folder, kill, rounds)


def test_the_database_killed_while_four_write(tmp_path: Path) -> None:
    with cluster() as server:
        _crash(server, 2, tmp_path)


@pytest.mark.long
def test_the_database_killed_forty_times(tmp_path: Path) -> None:
    with cluster() as server:
        _crash(server, 40, tmp_path)


def test_a_database_that_is_away_is_a_fault_and_then_comes_back(tmp_path: Path) -> None:
    with cluster() as server:
        ledger = open_ledger(server.database(), tmp_path)
        ledger.apply(terms(), ACT)
        asked = request(rho=10)
        server.crash()
        with pytest.raises(Fault):
            ledger.charge(ALICE, asked)
        server.start()
        ledger.charge(ALICE, asked)
        assert ledger.balances(ALICE)[0].spent.rho == 10
        _sound(ledger)
        ledger.close()
