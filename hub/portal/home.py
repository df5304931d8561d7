"""The first page: what this person may do here, their projects, what is left of their budgets."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hub import access
from hub.portal.budgets import Gauge, gauges
from hub.portal.rights import role_words
from hub.portal.site import TheSite, TheVisitor, page
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Dataset, Project, Role

router = APIRouter()


@dataclass(frozen=True)
class Card:
    """One project."""

    project: Project
    role: Text
    notebook: str | None
    """Where its notebook opens; None for an enterprise."""
    why_no_analyses: Text | None
    datasets: tuple[Dataset, ...]
    gauges: tuple[Gauge, ...]


@router.get("/")
def home(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """What this person may do."""
    standings = site.ledger.standings()
    shown = gauges(visitor, site.ledger.accounts())
    today = dt.date.today()
    cards = [
        Card(
            project=project,
            role=role_words(role := project.members[visitor.name]),
            notebook=f"/hub/spawn/{visitor.name}/{access.server_name(project.name)}"
            if role is Role.RESEARCHER
            else None,
            why_no_analyses=visitor.why_no_analyses(project, standings, today),
            datasets=tuple(visitor.policies.datasets[name] for name in project.datasets),
            gauges=tuple(
                g
                for g in shown
                if g.account.project == project.name and g.account.member in (None, visitor.name)
            ),
        )
        for project in visitor.projects
    ]
    return page(
        request,
        visitor,
        "home.html",
        {"cards": cards, "invented": any(d.invented for c in cards for d in c.datasets)},
    )
