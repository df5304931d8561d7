"""A small city's terms and requests, for every test that needs a real ledger."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path

from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import (
    AccountCap,
    Act,
    Amount,
    Asker,
    ChargeRequest,
    ProjectTerms,
    Question,
    Spend,
    Terms,
)

POLICY = "a" * 64
ACT = Act(actor="stefanie", reason="as agreed")
ALICE = Asker(member="alice", project="credit")
BOB = Asker(member="bob", project="credit")
CAROL = Asker(member="carol", project="tax-study")
FIRM = Asker(member="firm", project="credit")
"""An enterprise: approved analyses only."""

_serial = itertools.count()


def shown(rho: int, delta: int) -> tuple[float, float]:
    """Stands where `privacy` is put in: the ledger's own tests need no accountant, only that one is asked."""
    return rho / 1e9, max(delta / 1e15, 1e-6)


class Hands:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = dt.datetime(2026, 3, 1, 9, 0, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.at

    def move(self, **by: float) -> None:
        self.at += dt.timedelta(**by)


def open_ledger(url: str, folder: Path, clock: Hands | None = None) -> LedgerStore:
    return LedgerStore(
        url, signing_key=folder / "keys" / "ledger.pem", to_epsilon=shown, clock=clock or Hands()
    )


def terms(
    *,
    population: int = 4000,
    dataset: int = 2000,
    project: int = 1000,
    member: int = 250,
    delta: int = 1000,
    policy_digest: str = POLICY,
    free_queries: bool = True,
    expires: dt.date = dt.date(2027, 12, 31),
) -> Terms:
    """Caps of rho in micro-units; two projects over two datasets of one population."""

    def cap(level: str, rho: int, **names: str) -> AccountCap:
        amount = Amount(rho=rho, delta=delta)
        return AccountCap.model_validate({"level": level, "population": "firms", **names, "cap": amount})

    members = {
        "credit": {"alice": "researcher", "bob": "researcher", "firm": "enterprise"},
        "tax-study": {"carol": "researcher"},
    }
    return Terms(
        policy_digest=policy_digest,
        accounts=(
            cap("population", population),
            cap("dataset", dataset, dataset="loan"),
            cap("dataset", dataset, dataset="tax"),
            *(cap("project", project, project=name) for name in members),
            *(cap("member", member, project=name, member=who) for name in members for who in members[name]),
        ),
        projects=tuple(
            ProjectTerms(
                project=name,
                organisation="University of Lin'an",
                purpose="研究 / research",
                members=members[name],
                datasets=("loan", "tax") if name == "credit" else ("tax",),
                agreement="agreement-1",
                expires=expires,
                free_queries=free_queries,
                analyses={"default-rate": "d" * 64},
            )
            for name in members
        ),
    )


def question(name: str | int, *datasets: str, version: str = "1-00ff") -> Question:
    digest = f"{name:064x}" if isinstance(name, int) else name.encode().hex().ljust(64, "0")[:64]
    return Question(digest=digest, versions={dataset: version for dataset in datasets or ("loan",)})


def request(
    asked: Question | None = None,
    *,
    rho: int = 10,
    delta: int = 0,
    request_id: str | None = None,
    plan: str = "b" * 64,
    policy_digest: str = POLICY,
    sql: str = "SELECT count(*) FROM loan -- 城市",
) -> ChargeRequest:
    number = next(_serial)
    asked = asked or question(number + 10**9)
    cost = Amount(rho=rho, delta=delta)
    return ChargeRequest(
        request_id=request_id or f"request-{number:06}",
        question=asked,
        spends=(Spend(population="firms", cost=cost, datasets={name: cost for name in asked.versions}),),
        sql=sql,
        plan_digest=plan,
        policy_digest=policy_digest,
        guard_version="0.1",
        opendp_version="0.16",
    )
