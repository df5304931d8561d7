"""Privacy budgets as gauges, in the words people use: percent left, typical questions left, (epsilon, delta)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hub.portal import words
from hub.portal.ledger import RHO_UNITS, Account
from hub.portal.rights import Visitor
from hub.portal.site import TheSite, TheVisitor, page
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Policies, Population

router = APIRouter()

_LEVELS = ("member", "project", "dataset", "population")


@dataclass(frozen=True)
class Gauge:
    """One budget as it is shown."""

    account: Account
    title: Text
    percent_left: float
    typical_left: int

    @property
    def level(self) -> Text:
        return words.LEVEL[self.account.level]

    @property
    def state(self) -> str:
        return "low" if self.percent_left < 10 else "half" if self.percent_left < 50 else "full"


def gauges(visitor: Visitor, accounts: Iterable[Account]) -> tuple[Gauge, ...]:
    """Those this person may see, nearest first: member, project, dataset, population."""
    seen = [a for a in accounts if visitor.sees(a)]
    seen.sort(key=lambda a: (_LEVELS.index(a.level), a.project or "", a.dataset or "", a.member or ""))
    return tuple(
        Gauge(
            account=account,
            title=_title(visitor, account),
            percent_left=account.percent_left,
            typical_left=account.typical_left(_typical(visitor.policies, account)),
        )
        for account in seen
    )


def _typical(policies: Policies, account: Account) -> int:
    """The price of a typical question in units of account: the project's default, else the dearest of all."""
    if account.project in policies.projects:
        return int(policies.projects[account.project].default_rho * RHO_UNITS)
    return max((int(p.default_rho * RHO_UNITS) for p in policies.projects.values()), default=RHO_UNITS)


def _title(visitor: Visitor, account: Account) -> Text:
    policies = visitor.policies

    def project() -> Text:
        found = policies.projects.get(account.project or "")
        return (
            Text(found.title.zh, found.title.en)
            if found
            else Text(str(account.project), str(account.project))
        )

    match account.level:
        case "member":
            found = policies.people.get(account.member or "")
            who = f"{found.title} ({account.member})" if found else str(account.member)
            mine = account.member == visitor.name
            return Text(
                f"{'我' if mine else who} · {project().zh}", f"{'My own' if mine else who} · {project().en}"
            )
        case "project":
            return project()
        case "dataset":
            dataset = policies.datasets.get(account.dataset or "")
            name = str(account.dataset)
            return Text(dataset.title.zh, dataset.title.en) if dataset else Text(name, name)
        case _:
            population = policies.populations.get(account.population)
            name = account.population
            return Text(population.title.zh, population.title.en) if population else Text(name, name)


def _invented(visitor: Visitor, shown: Iterable[Gauge]) -> bool:
    datasets = visitor.policies.datasets
    marks = [datasets[g.account.dataset].invented for g in shown if g.account.dataset in datasets]
    return bool(marks) and all(marks)


@dataclass(frozen=True)
class Group:
    """The budgets that protect one population."""

    population: Population
    gauges: tuple[Gauge, ...]


@router.get("/budgets")
def budgets(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """Every budget this person may see."""
    shown = gauges(visitor, site.ledger.accounts())
    groups = [
        Group(population, found)
        for population in visitor.policies.populations.values()
        if (found := tuple(g for g in shown if g.account.population == population.name))
    ]
    return page(request, visitor, "budgets.html", {"groups": groups, "invented": _invented(visitor, shown)})
