"""A project's month for auditors: what it asked, spent and got, with a picture of the spending."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response

from hub.portal import words
from hub.portal.budgets import gauges
from hub.portal.ledger import MonthReport
from hub.portal.site import TheSite, TheVisitor, page
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Office

router = APIRouter()


@dataclass(frozen=True)
class Bar:
    """One day's spending in the picture, in the units of its view box."""

    x: float
    y: float
    height: float
    label: str


WIDTH, HEIGHT = 620, 140


@router.get("/audit/report")
def report(
    request: Request, site: TheSite, visitor: TheVisitor, project: str = "", month: str = ""
) -> Response:
    """One project and month; the first project and this month where the address names none."""
    visitor.require(Office.AUDITOR)
    projects = visitor.policies.projects
    chosen = project or next(iter(projects), "")
    now = f"{dt.date.today():%Y-%m}"
    errors: dict[str, Text] = {}
    if chosen not in projects:
        errors["project"] = Text("没有这个项目", "There is no such project")
    span = _month(month or now)
    if span is None:
        errors["month"] = Text("月份须形如 2026-01", "A month must look like 2026-01")
    found = None if errors or span is None else site.ledger.report(chosen, *span)
    context = {
        "asked": {"project": chosen, "month": month or now},
        "errors": errors,
        "report": found,
        "bars": _bars(found) if found else [],
        "highest": words.rho(max((d.rho for d in found.days), default=0)) if found else "",
        "width": WIDTH,
        "height": HEIGHT,
        "gauges": [g for g in gauges(visitor, site.ledger.accounts()) if g.account.project == chosen],
        "projects": projects,
        "datasets": visitor.policies.datasets,
        "people": visitor.policies.people,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "report.html", context, status=422 if errors else 200)


def _month(text: str) -> tuple[dt.datetime, dt.datetime] | None:
    """From its first moment to the next one's, in this machine's zone."""
    try:
        first = dt.datetime.strptime(text, "%Y-%m")
        following = (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
        return first.astimezone(), following.astimezone()
    except (ValueError, OverflowError):
        return None


def _bars(report: MonthReport) -> list[Bar]:
    most = max((day.rho for day in report.days), default=0)
    step = WIDTH / max(1, len(report.days))
    return [
        Bar(
            x=n * step,
            y=HEIGHT * (1 - day.rho / most),
            height=HEIGHT * day.rho / most,
            label=f"{day.name}: {words.rho(day.rho)}",
        )
        for n, day in enumerate(report.days)
        if most and day.rho
    ]
