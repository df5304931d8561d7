"""Killed at any step, the ledger has lost nothing that it acknowledged, and a retry finishes what it began."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hub.supervisor import Service, Supervisor
from sandbox_guard import guard
from sandbox_guard.engines.engine import InProcess
from sandbox_guard.errors import Fault
from sandbox_guard.guard import Guard
from sandbox_guard.ledger import access, accounts
from sandbox_guard.ledger.remote import RemoteLedger
from sandbox_guard.ledger.service import create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.tables import compare_tables
from sandbox_guard.ledger.transaction import Transaction, Writer
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import Asker, Terms
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.pricing import Asked, Pricing
from tests import small
from tests.corpus.make_small import build
from tests.costs import CORES, Untimed
from tests.ledgers import ACT, ALICE, BOB, open_ledger, question, request, terms
from tests.local import LocalFinisher
from tests.ports import free_port
from tests.postgres import Cluster, cluster
from tests.product import _running
from tests.seam import loaded

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
CASES = [
    pytest.param(step, time_round, id=f"{name} {step}")
    for time_round, name in ((CHARGING, "charging"), (PUBLISHING, "publishing"))
    for step in STEPS
    if time_round == CHARGING or step not in NEVER_PUBLISHING
]


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


def _at(step: tuple[Any, str, bool], time_round: int, happens: Callable[[], None]) -> Callable[[], None]:
    """Let something happen when the step is reached for the n-th time; returns what undoes that."""
    owner, name, after = step
    original: Callable[..., Any] = getattr(owner, name)
    as_it_was = owner.__dict__[name]
    reached = 0

    def reaching(*arguments: Any, **named: Any) -> Any:
        nonlocal reached
        reached += 1
        due = reached == time_round
        if due and not after:
            happens()
        result = original(*arguments, **named)
        if due and after:
            happens()
        return result

    setattr(owner, name, reaching)
    return lambda: setattr(owner, name, as_it_was)


def _die_at(step: tuple[Any, str, bool], time_round: int, told: Any) -> None:
    """Make this process kill itself, the hard way."""

    def die() -> None:
        told.send(("reached", "the step"))
        os.kill(os.getpid(), signal.SIGKILL)

    _at(step, time_round, die)


def _work(url: str, folder: Path, step: str, time_round: int, told: Any) -> None:
    ledger = open_ledger(url, folder)
    _die_at(STEPS[step], time_round, told)
    charge = ledger.charge(ALICE, request(question("rate"), rho=10, request_id="the-request"))
    told.send(("charged", charge.charge_id))
    release = ledger.publish(ALICE, charge.charge_id, '{"draw":1}')
    told.send(("released", release.body))


def _clean() -> Any:
    """Processes that have none of this one's threads, whose locks a plain fork could take along."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _heard(pipe: Any) -> dict[str, str]:
    heard = {}
    while pipe.poll():
        try:
            what, value = pipe.recv()
        except EOFError:
            break
        heard[what] = value
    return heard


@pytest.mark.parametrize(("step", "time_round"), CASES)
def test_killed_at_a_step(url: str, tmp_path: Path, step: str, time_round: int) -> None:
    before = open_ledger(url, tmp_path)
    before.apply(terms(), ACT)
    before.close()
    clean = _clean()
    pipe, told = clean.Pipe(duplex=False)
    worker = clean.Process(target=_work, args=(url, tmp_path, step, time_round, told))
    worker.start()
    worker.join()
    told.close()
    heard = _heard(pipe)
    assert worker.exitcode == -signal.SIGKILL
    assert "reached" in heard, "the step was under way"

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
    clean = _clean()
    acknowledged: dict[str, str] = {}
    for number in range(rounds):
        pipe, told = clean.Pipe(duplex=False)
        worker = clean.Process(target=_keep_charging, args=(url, folder, told, number))
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
    worker.kill()


def test_killed_while_four_write(url: str, tmp_path: Path) -> None:
    _rounds(url, tmp_path, _kill, 3)


@pytest.mark.long
def test_killed_two_hundred_times(url: str, tmp_path: Path) -> None:
    _rounds(url, tmp_path, _kill, 100)


def _crash(server: Cluster, rounds: int, folder: Path) -> None:
    def kill(worker: Any) -> None:
        server.crash()
        worker.kill()
        server.start()

    _rounds(server.database(), folder, kill, rounds)


def test_the_database_killed_while_four_write(tmp_path: Path) -> None:
    with cluster() as server:
        _crash(server, 2, tmp_path)


@pytest.mark.long
def test_the_database_killed_forty_times(tmp_path: Path) -> None:
    with cluster() as server:
        _crash(server, 40, tmp_path)


@pytest.mark.parametrize(
    ("step", "time_round"),
    [*CASES[:10], *(pytest.param(*c.values, id=c.id, marks=pytest.mark.long) for c in CASES[10:])],
)
def test_the_database_killed_at_a_step(postgres: Cluster, tmp_path: Path, step: str, time_round: int) -> None:
    """The ledger lives on, tells a fault unless it had committed, and the same request finishes it."""
    url = postgres.database()
    ledger = open_ledger(url, tmp_path)
    ledger.apply(terms(), ACT)
    asked, killed = request(question("rate"), rho=10, request_id="the-request"), []

    def kill() -> None:
        postgres.crash()
        killed.append(step)

    undo = _at(STEPS[step], time_round, kill)
    heard: list[str] = []
    try:
        with suppress(Fault):
            charge = ledger.charge(ALICE, asked)
            heard.append(charge.charge_id)
            heard.append(ledger.publish(ALICE, charge.charge_id, '{"draw":1}').body)
    finally:
        undo()
        postgres.start()
    assert killed, "the step was under way"
    assert len(heard) == time_round - 1 + (step == "committed, before anyone heard")

    _sound(ledger)
    again = ledger.charge(ALICE, asked)
    assert again.charge_id == (heard[0] if heard else again.charge_id)
    body = ledger.publish(ALICE, again.charge_id, '{"draw":2}').body
    assert body == (heard[1] if len(heard) > 1 else body)
    assert ledger.balances(ALICE)[0].spent.rho == 10
    _sound(ledger)
    ledger.close()


# --------------------------------------------------------------------------- the vault, the service

VAULT_STEPS: dict[str, tuple[Any, str, bool]] = {
    "planned and priced": (Guard, "price", True),
    "before the charge": (RemoteLedger, "charge", False),
    "charged, nothing read": (RemoteLedger, "charge", True),
    "before the data is read": (guard, "measure", False),
    "read, with noise added": (guard, "measure", True),
    "finished with its intervals": (guard, "finished", True),
    "before publishing": (RemoteLedger, "publish", False),
    "published, not yet shown": (RemoteLedger, "publish", True),
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A loaded dataset, as vaults mount it."""
    home = tmp_path_factory.mktemp("town")
    with duckdb.connect() as made:
        build(made, csv_dir=str(home / "csv"))
    tables = {t: home / "csv" / f"{t}.csv" for t in ("loans", "firms", "districts")}
    return loaded(small.policies(), tables, home)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[LedgerStore, str, str]]:
    """A ledger, the address of its service, a sandbox's token."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path)
    ledger.apply(Terms.model_validate(compile_terms(small.policies())), ACT)
    token = ledger.open_sandbox(_member(), "hub").token
    (tmp_path / "checkpoints").mkdir()
    port = free_port()
    with _running(create_app(ledger, {}, tmp_path / "checkpoints"), port=port):
        yield ledger, f"http://127.0.0.1:{port}", token


def _member() -> Asker:
    project = next(iter(small.policies().projects.values()))
    return Asker(member=next(iter(project.members)), project=project.name)


def _vault(
    versions: dict[str, Path], address: str, token: str, mark: Path, step: str | None, told: Any
) -> None:
    """A vault that is asked one question: a process of its own, before the ledger's service."""
    if step is not None:
        _die_at(VAULT_STEPS[step], 1, told)
    ledger = RemoteLedger(address, token, mark=mark)
    this = Guard(
        Pricing.of(small.policies(), _member().project),
        _member(),
        ledger,
        InProcess(versions),
        LocalFinisher(),
        CORES,
        Untimed(),
    )
    asked = Asked("SELECT count(*) AS n, avg(rate) AS rate FROM loans", "the-request-of-one", epsilon=0.1)
    told.send(("answer", this.answer(asked)))


def _asked(*arguments: Any) -> tuple[int | None, dict[str, Any]]:
    clean = _clean()
    pipe, told = clean.Pipe(duplex=False)
    vault = clean.Process(target=_vault, args=(*arguments, told))
    vault.start()
    told.close()
    heard = {}
    with suppress(EOFError):
        while True:
            what, value = pipe.recv()
            heard[what] = value
    vault.join()
    return vault.exitcode, heard


@pytest.mark.parametrize("step", VAULT_STEPS)
def test_a_vault_killed_at_a_step(
    town: dict[str, Path], served: tuple[LedgerStore, str, str], tmp_path: Path, step: str
) -> None:
    ledger, address, token = served
    exitcode, heard = _asked(town, address, token, tmp_path / "mark", step)
    assert exitcode == -signal.SIGKILL and "reached" in heard, "the step was under way"
    before = {k: [e for e in _entries(ledger) if e["kind"] == k] for k in ("charge", "release")}
    assert len(before["charge"]) == (step not in ("planned and priced", "before the charge"))
    assert len(before["release"]) == (step == "published, not yet shown")
    _sound(ledger)

    exitcode, heard = _asked(town, address, token, tmp_path / "mark", None)
    assert exitcode == 0
    after = {k: [e for e in _entries(ledger) if e["kind"] == k] for k in ("charge", "release")}
    assert (len(after["charge"]), len(after["release"])) == (1, 1), "a retry finishes under its charge"
    assert after["charge"][: len(before["charge"])] == before["charge"]
    assert after["release"][: len(before["release"])] == before["release"]
    assert heard["answer"]["receipt"]["digest"] == after["release"][0]["facts"]["body_digest"]
    _sound(ledger)


def _entries(ledger: LedgerStore) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.export() if '"position":' in line]


def test_the_service_killed_comes_back_by_itself_and_nobody_notices(tmp_path: Path) -> None:
    """Under the product's own supervisor; those who were writing only waited."""
    (tmp_path / "ledger").mkdir()
    (tmp_path / "keys").mkdir()
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger/ledger.sqlite", tmp_path)
    (tmp_path / "keys" / "ledger.pem").rename(tmp_path / "keys" / "ledger-signing.pem")
    million = 10**6
    ledger.apply(terms(population=million, dataset=million, project=million, member=million), ACT)
    token = ledger.open_sandbox(ALICE, "hub").token
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "SANDBOX_GUARD_HOME": str(tmp_path), "SANDBOX_GUARD_LEDGER_PORT": str(port)}
    command = [sys.executable, "-m", "sandbox_guard.ledger.service"]
    service = Service("ledger", command, environment, f"{address}/health")

    async def watched() -> int:
        supervisor = Supervisor(Path.cwd(), tmp_path, lambda *_: None)
        await supervisor.start(service)
        remote, charged = RemoteLedger(address, token, mark=tmp_path / "mark"), 0
        killed = asyncio.get_running_loop().time() + 0.5
        until = killed + 0.5
        try:
            while asyncio.get_running_loop().time() < until:
                charge = await asyncio.to_thread(remote.charge, ALICE, request(rho=1))
                await asyncio.to_thread(remote.publish, ALICE, charge.charge_id, "{}")
                charged += 1
                if killed and asyncio.get_running_loop().time() > killed:
                    killed = 0.0
                    supervisor._running["ledger"][1].kill()
        finally:
            await supervisor.stop()
            remote.close()
        assert not killed, "it was killed while it was charging"
        return charged

    charged = asyncio.run(watched())
    kinds = Counter(entry["kind"] for entry in _entries(ledger))
    assert kinds["charge"] == kinds["release"] == charged
    _sound(ledger)
    ledger.close()


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
