"""Budgets: which accounts a query pays from, and taking it from all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Case,
    Connection,
    Row,
    String,
    bindparam,
    case,
    cast,
    insert,
    select,
    update,
)
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql.dml import ReturningUpdate

from sandbox_guard.errors import Refused
from sandbox_guard.ledger.schema import Budget, table
from sandbox_guard.ledger.verify import account_key, accounts_charged
from sandbox_guard.ledger.wire import AccountCap, Amount, Asker, Balance, Guarantee, Spend

ToEpsilon = Callable[[int, int], tuple[float, float]]
"""(rho, delta) in micro-units to the (epsilon, delta) they amount to; `privacy` has it, the composition
root hands it in."""

LEVELS = ("population", "dataset", "project", "member")


def account_of(cap: AccountCap) -> str:
    """The account's key. Raises ValueError where the names do not fit the level."""
    needed = {
        "population": (),
        "dataset": (cap.dataset,),
        "project": (cap.project,),
        "member": (cap.member, cap.project),
    }[cap.level]
    if None in needed:
        raise ValueError(f"a {cap.level} account lacks a name")
    return account_key(cap.level, *(name for name in needed if name), cap.population)


_BUDGETS = select(table(Budget)).where(Budget.account.in_(bindparam("accounts", expanding=True)))


@cache
def _take(accounts: int) -> ReturningUpdate[tuple[str]]:
    """One statement for all accounts of a charge: each round trip to the database holds up every other writer."""
    budget = table(Budget)

    names = [bindparam(f"account{n}", type_=String) for n in range(accounts)]

    def due(of: str) -> Case[int]:
        return case(*((budget.c.account == name, bindparam(f"{of}{n}")) for n, name in enumerate(names)))

    rho, delta = cast(due("rho"), BigInteger), cast(due("delta"), BigInteger)
    return (
        update(budget)
        .where(
            budget.c.account.in_(names),
            budget.c.spent_rho + rho <= budget.c.cap_rho,
            budget.c.spent_delta + delta <= budget.c.cap_delta,
        )
        .values(spent_rho=budget.c.spent_rho + rho, spent_delta=budget.c.spent_delta + delta)
        .returning(budget.c.account)
    )


def take(connection: Connection, asker: Asker, spends: Sequence[Spend]) -> list[dict[str, object]]:
    """Take the cost from every account concerned; returns what each paid, as the entry records it.

    Raises Refused, naming the nearest level that does not cover it; the caller's part of the transaction is then
    undone, so that none has paid. What decides is the condition of the UPDATE, the look afterwards only finds words.
    """
    due = dict(
        sorted(accounts_charged(asker.member, asker.project, [s.model_dump() for s in spends]).items())
    )
    if not due:
        return []
    amounts = {
        f"{name}{n}": value
        for n, (account, (rho, delta)) in enumerate(due.items())
        for name, value in (("account", account), ("rho", rho), ("delta", delta))
    }
    short = due.keys() - set(connection.scalars(_take(len(due)), amounts))
    if short:
        budgets = {b.account: b for b in connection.execute(_BUDGETS, {"accounts": sorted(short)})}
        for account in sorted(short, key=lambda account: -LEVELS.index(account.split("/")[0])):
            _check_covered(budgets.get(account), account, *due[account])
        raise InvalidRequestError("a budget changed under the lock of the log's head")
    return [{"account": key, "rho": rho, "delta": delta} for key, (rho, delta) in due.items()]


def _check_covered(budget: Row[Any] | None, account: str, rho: int, delta: int) -> None:
    if budget is None:
        raise Refused("budget.no_account", account=account)
    if budget.spent_rho + rho > budget.cap_rho:
        cost, left = _percent(rho, budget.spent_rho, budget.cap_rho)
        name = account.split("/")[1]
        raise Refused(f"budget.{budget.level}", name=name, cost=cost, left=left)
    if budget.spent_delta + delta > budget.cap_delta:
        cost, left = _percent(delta, budget.spent_delta, budget.cap_delta)
        raise Refused("budget.delta", account=account, cost=cost, left=left)


def _percent(cost: int, spent: int, cap: int) -> tuple[Decimal, Decimal]:
    """Cost and rest in % of the cap, to 0.01, the cost rounded up and the rest down."""
    if cap == 0:
        return Decimal(100), Decimal(0)
    hundredth = Decimal("0.01")
    return (
        (Decimal(100 * cost) / cap).quantize(hundredth, ROUND_CEILING),
        (Decimal(100 * max(cap - spent, 0)) / cap).quantize(hundredth, ROUND_FLOOR),
    )


def set_caps(connection: Connection, caps: Sequence[AccountCap]) -> None:
    """What policy allows from now on. What was spent stays; an account that policy no longer names gets
    nothing more."""
    connection.execute(update(Budget).values(cap_rho=0, cap_delta=0))
    for cap in caps:
        account = account_of(cap)
        amounts = {"cap_rho": cap.cap.rho, "cap_delta": cap.cap.delta}
        known = connection.execute(update(Budget).where(Budget.account == account).values(**amounts))
        if known.rowcount == 0:
            nothing = {"spent_rho": 0, "spent_delta": 0, "renewed_rho": 0, "renewed_delta": 0}
            names = cap.model_dump(include={"level", "population", "dataset", "project", "member"})
            connection.execute(insert(Budget), {"account": account, **names, **amounts, **nothing})


def renew(connection: Connection, account: str) -> Amount:
    """A new term: nothing is spent of it yet, and what was spent is remembered. Returns what that was."""
    budget = connection.execute(select(Budget.__table__).where(Budget.account == account)).one_or_none()
    if budget is None:
        raise Refused("budget.no_account", account=account)
    connection.execute(
        update(Budget)
        .where(Budget.account == account)
        .values(
            spent_rho=0,
            spent_delta=0,
            renewed_rho=Budget.renewed_rho + Budget.spent_rho,
            renewed_delta=Budget.renewed_delta + Budget.spent_delta,
        )
    )
    return Amount(rho=budget.spent_rho, delta=budget.spent_delta)


def balance_of(budget: Row[Any]) -> Balance:
    return Balance(
        account=AccountCap(
            level=budget.level,
            population=budget.population,
            dataset=budget.dataset,
            project=budget.project,
            member=budget.member,
            cap=Amount(rho=budget.cap_rho, delta=budget.cap_delta),
        ),
        spent=Amount(rho=budget.spent_rho, delta=budget.spent_delta),
        renewed=Amount(rho=budget.renewed_rho, delta=budget.renewed_delta),
    )


def guarantee_of(balance: Balance, to_epsilon: ToEpsilon) -> Guarantee:
    """Earlier terms count: a renewal does not make what came out forgotten."""
    epsilon, delta = to_epsilon(
        balance.spent.rho + balance.renewed.rho, balance.spent.delta + balance.renewed.delta
    )
    return Guarantee(
        account=balance.account,
        spent=balance.spent,
        renewed=balance.renewed,
        epsilon=epsilon,
        epsilon_delta=delta,
    )
