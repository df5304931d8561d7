"""What is suspended ends the sandboxes it concerns: the hub asks the real ledger, over HTTP."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from hub.spawner import Refusal, Sandboxed
from sandbox_guard.ledger.service import HUB, create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Subject, Terms
from sandbox_guard.policy.model import Policies
from sandbox_guard.policy.terms import compile_terms
from tests.ledgers import ACT, open_ledger
from tests.ports import free_port
from tests.product import _running


class Machine:
    """Where a backend would start and stop processes."""

    orm_spawner: Any = None
    """What the hub's database has of it: nothing, of one that was never started."""

    def __init__(self) -> None:
        self.stopped = 0

    async def poll_and_notify(self) -> int | None:
        return 0 if self.stopped else None

    async def stop(self) -> None:
        self.stopped += 1

    def get_state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: dict[str, Any]) -> None: ...


class Lins(Sandboxed, Machine):
    """lin's sandbox of credit-inclusion."""

    backend = "process"
    stop = Machine.stop
    user, name = SimpleNamespace(name="lin"), "credit-inclusion"
    log, _log_name = logging.getLogger("test"), "lin:credit-inclusion"

    async def start_halves(self, sandbox: Any) -> str:
        raise NotImplementedError

    def begin(self) -> None:
        asyncio.run(self._register(self._admitted()))

    def polled(self) -> int | None:
        return asyncio.run(self.poll_and_notify())


@pytest.fixture
def ledger(home: Path, policies: Policies, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerStore]:
    from hub.deployment import deployment

    port = free_port()
    monkeypatch.setenv("SANDBOX_GUARD_LEDGER_PORT", str(port))
    deployment.cache_clear()
    (home / "keys").mkdir()
    (home / "keys" / "hub.token").write_text("hub")
    (home / "checkpoints").mkdir()
    store = open_ledger(f"sqlite:///{home}/ledger.sqlite", home)
    store.apply(Terms.model_validate(compile_terms(policies)), ACT)
    with _running(create_app(store, {HUB: "hub"}, home / "checkpoints"), port=port):
        yield store


Kind = Literal["member", "project", "dataset"]


@pytest.mark.parametrize(
    ("kind", "name", "ends"),
    [
        ("member", "lin", True),
        ("project", "credit-inclusion", True),
        ("dataset", "tax", True),
        ("member", "chen", False),
        ("project", "green-credit", False),
        ("dataset", "hospital-visits", False),
    ],
)
def test_a_running_sandbox_ends_when_it_is_concerned(
    ledger: LedgerStore, kind: Kind, name: str, ends: bool
) -> None:
    running = Lins()
    running.begin()
    assert running.polled() is None
    ledger.suspend(Subject(kind=kind, name=name), ACT)
    assert running.polled() == (0 if ends else None)
    assert running.stopped == ends


def test_it_is_known_after_the_hub_was_restarted(ledger: LedgerStore) -> None:
    running, after = Lins(), Lins()
    running.begin()
    after.load_state(running.get_state())
    assert after.polled() is None
    ledger.suspend(Subject(kind="member", name="lin"), ACT)
    assert after.polled() == 0


def test_a_suspended_member_is_told_why_no_sandbox_starts(ledger: LedgerStore) -> None:
    ledger.suspend(Subject(kind="member", name="lin"), ACT)
    with pytest.raises(Refusal, match="暂停|suspended"):
        Lins().begin()
    ledger.resume(Subject(kind="member", name="lin"), ACT)
    ledger.suspend(Subject(kind="dataset", name="tax"), ACT)
    running = Lins()
    running.begin()  # for its other datasets; those suspended before are refused question by question
    assert running.polled() is None


def test_a_ledger_that_is_away_ends_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_GUARD_LEDGER_PORT", str(free_port()))
    (home / "keys").mkdir()
    (home / "keys" / "hub.token").write_text("hub")
    running = Lins()
    running.load_state({"sandbox_id": "ab", "registered": 0})
    assert running.polled() is None


@pytest.mark.parametrize(
    ("started", "active", "ends"),
    [(71.9, 0, ""), (72.1, 0, "72 hours"), (20, 8.1, "8 hours no page"), (20, 7.9, "")],
)
def test_a_running_sandbox_ends_at_its_maximum_or_when_nobody_is_there(
    ledger: LedgerStore, started: float, active: float, ends: str
) -> None:
    from hub.deployment import deployment

    lins = Lins()
    lins.begin()
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    lins.orm_spawner = SimpleNamespace(
        started=now - dt.timedelta(hours=started), last_activity=now - dt.timedelta(hours=active), state={}
    )
    assert lins.polled() == (0 if ends else None)
    why = deployment().endings.get(("lin", "credit-inclusion"))
    assert (ends in why.en) if why is not None else ends == ""


def test_who_keeps_a_sandbox_has_it_as_long_again_also_after_the_hub_was_restarted(
    ledger: LedgerStore,
) -> None:
    lins = Lins()
    lins.begin()
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    lins.orm_spawner = SimpleNamespace(started=now - dt.timedelta(hours=72.1), last_activity=now, state={})
    lins.keep()
    again = Lins()
    again.load_state(lins.orm_spawner.state)
    again.orm_spawner = lins.orm_spawner
    assert lins.polled() is None
    assert again.polled() is None
    life = again.life()
    assert life is not None and life.ends > dt.datetime.now(dt.UTC) + dt.timedelta(hours=71.9)
