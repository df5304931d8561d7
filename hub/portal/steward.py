"""The stewards' page: what is suspended, which versions of the data are in force, whose agreement ends when."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hub.portal import words
from hub.portal.budgets import Gauge, gauges
from hub.portal.ledger import Standing
from hub.portal.site import Site, TheSite, TheVisitor, page
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Dataset, Office, Project

router = APIRouter()


@dataclass(frozen=True)
class Loaded:
    dataset: Dataset
    version: str | None
    at: str
    by: str
    gauge: Gauge | None


@dataclass(frozen=True)
class Suspended:
    standing: Standing
    kind: Text
    reason: str
    by: str
    at: str


@dataclass(frozen=True)
class Agreed:
    project: Project
    days_left: int


@router.get("/steward")
def steward(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    visitor.require(Office.STEWARD)
    shown = gauges(visitor, site.ledger.accounts())
    today = dt.date.today()
    context = {
        "suspended": [_suspended(site, each) for each in site.ledger.standings()],
        "loaded": [_loaded(site, dataset, shown) for dataset in visitor.policies.datasets.values()],
        "agreed": [
            Agreed(project, (project.agreement.expires - today).days)
            for project in visitor.policies.projects.values()
        ],
        "low": [g for g in shown if g.percent_left < 20],
        "ledger_url": site.ledger.url,
        "people": visitor.policies.people,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "steward.html", context)


def _suspended(site: Site, standing: Standing) -> Suspended:
    entry = site.ledger.entry(standing.position)
    return Suspended(
        standing,
        words.SUBJECT.get(standing.kind, Text(standing.kind, standing.kind)),
        str(entry.facts.get("reason", "")) if entry else "",
        entry.actor if entry else "",
        words.when(entry.at) if entry else "",
    )


def _loaded(site: Site, dataset: Dataset, shown: tuple[Gauge, ...]) -> Loaded:
    """Its newest version by the log."""
    gauge = next(
        (g for g in shown if g.account.level == "dataset" and g.account.dataset == dataset.name), None
    )
    found = site.ledger.entries(kind="load", dataset=dataset.name, limit=1).entries
    if not found:
        return Loaded(dataset, None, "", "", gauge)
    entry = found[0]
    return Loaded(dataset, str(entry.facts.get("version", "")), words.when(entry.at), entry.actor, gauge)
