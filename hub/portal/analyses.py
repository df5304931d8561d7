"""Approved analyses: the list, the form with its price, the run that never pays twice, the result.

A run is a POST that redirects to the page of its release, so that a reload shows and never asks. The form
carries a request id: whatever sends it twice gets one charge and the same release.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from hub.portal import parameters, words
from hub.portal.chart import svg
from hub.portal.ledger import Entry
from hub.portal.parameters import Filled
from hub.portal.rights import Denied, Visitor
from hub.portal.sandboxes import Failed, Faulted, Place, Ready, Refused, Starting
from hub.portal.site import Site, TheSite, TheVisitor, page
from sandbox_guard.client.answer import Answer
from sandbox_guard.client.result import Result
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Analysis, Project

router = APIRouter()

_REQUEST_ID = re.compile(r"[0-9a-f]{32}")
_REFRESH_SECONDS = 1
_HISTORY = 10


# ---------------------------------------------------------------------------------------- the list


@dataclass(frozen=True)
class Run:
    """An earlier answer to an analysis, as the log has it."""

    analysis: Text
    parameters: Text
    who: str
    at: str
    href: str


@dataclass(frozen=True)
class Offered:
    project: Project
    why_not: Text | None
    analyses: tuple[Analysis, ...]
    runs: tuple[Run, ...]


@router.get("/analyses")
def analyses(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """What may be run, by project, and what was."""
    standings = site.ledger.standings()
    today = dt.date.today()
    offered = [
        Offered(
            project,
            visitor.why_no_analyses(project, standings, today),
            tuple(visitor.policies.analyses[name] for name in project.analyses),
            _runs(site, visitor, project),
        )
        for project in visitor.projects
    ]
    invented = any(_invented(visitor, each.project) for each in offered)
    return page(request, visitor, "analyses.html", {"offered": offered, "invented": invented})


def _runs(site: Site, visitor: Visitor, project: Project) -> tuple[Run, ...]:
    """The project's last released analyses: a release names its charge, and a charge its question."""
    charges = {
        e.charge_id: e for e in site.ledger.entries(kind="charge", project=project.name, limit=100).entries
    }
    releases = site.ledger.entries(kind="release", project=project.name, limit=100).entries
    found = []
    for release in releases:
        charge = charges.get(release.charge_id)
        name = _analysis_of(charge)
        if charge is None or name not in visitor.policies.analyses:
            continue
        analysis = visitor.policies.analyses[name]
        found.append(
            Run(
                Text(analysis.header.title.zh, analysis.header.title.en),
                _parameters_text(analysis, charge),
                charge.actor,
                words.when(release.at),
                _result_path(site, project.name, str(release.facts.get("release_id"))),
            )
        )
    return tuple(found[:_HISTORY])


def _analysis_of(charge: Entry | None) -> str:
    question = charge.facts.get("question") if charge else None
    return str(question.get("analysis") or "") if isinstance(question, dict) else ""


def _parameters_text(analysis: Analysis, charge: Entry | None) -> Text:
    given = charge.facts.get("parameters") if charge else None
    pairs = [
        (declared.title, parameters.shown(declared, str(given[name])))
        for name, declared in analysis.header.parameters.items()
        if isinstance(given, dict) and name in given
    ]
    return Text(
        "；".join(f"{title.zh}：{value.zh}" for title, value in pairs),
        "; ".join(f"{title.en}: {value.en}" for title, value in pairs),
    )


# ---------------------------------------------------------------------------------------- the form


@dataclass(frozen=True)
class Subject:
    """The analysis that a page is about, checked: this person may run it in this project now."""

    project: Project
    analysis: Analysis
    place: Place


def _subject(site: Site, visitor: Visitor, project: str, analysis: str) -> Subject:
    """Raises Denied with the rule that decided."""
    found = _project(site, visitor, project)
    if analysis not in found.analyses:
        raise Denied(
            Text(
                f"分析“{analysis}”未获准用于项目“{found.title.zh}”。由项目的 analyses 名单决定；请联系数据管理员。",
                f"The analysis '{analysis}' is not approved for the project “{found.title.en}”. The project's list "
                "of analyses decided this; ask the steward.",
            )
        )
    return Subject(found, visitor.policies.analyses[analysis], _place(visitor, found))


def _project(site: Site, visitor: Visitor, name: str) -> Project:
    project = visitor.project(name)
    why_not = visitor.why_no_analyses(project, site.ledger.standings(), dt.date.today())
    if why_not is not None:
        raise Denied(why_not)
    return project


def _place(visitor: Visitor, project: Project) -> Place:
    return Place(visitor.name, project.name, visitor.identity.token)


@router.get("/analyses/{project}/{analysis}")
def form(request: Request, site: TheSite, visitor: TheVisitor, project: str, analysis: str) -> Response:
    """The form with its price, filled with the query's values or the defaults."""
    subject = _subject(site, visitor, project, analysis)
    state = site.sandboxes.bring_up(subject.place)
    if not isinstance(state, Ready):
        return _waiting(request, visitor, state)
    filled = parameters.fill(subject.analysis.header.parameters, _typed(subject, request.query_params))
    return _form(request, site, visitor, subject, filled, secrets.token_hex(16))


async def _sent(request: Request) -> dict[str, str]:
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


@router.post("/analyses/{project}/{analysis}")
def submit(
    request: Request,
    site: TheSite,
    visitor: TheVisitor,
    project: str,
    analysis: str,
    sent: Annotated[dict[str, str], Depends(_sent)],
) -> Response:
    """Run it, or show the price of these values: `action` is `run` or `price`."""
    subject = _subject(site, visitor, project, analysis)
    typed = _typed(subject, sent)
    filled = parameters.fill(subject.analysis.header.parameters, typed)
    request_id = sent.get("request_id", "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = secrets.token_hex(16)
    if not site.sign_in.is_form_token(visitor.identity, sent.get("form_token", "")):
        expired = Text(
            "页面已过期，没有提交。请核对后再提交一次。",
            "This page had expired, so nothing was sent. Check, and send again.",
        )
        return _form(request, site, visitor, subject, filled, request_id, expired, status=403)
    if filled.errors:
        return _form(request, site, visitor, subject, filled, request_id, status=422)
    if not isinstance(site.sandboxes.bring_up(subject.place), Ready):
        # It went to sleep meanwhile. Back by GET, where it can be waited for; what was typed comes along.
        return RedirectResponse(f"{request.url.path}?{urlencode(typed)}", 303)
    if sent.get("action") == "price":
        return _form(request, site, visitor, subject, filled, request_id)
    return _run(request, site, visitor, subject, filled, request_id)


def _run(
    request: Request, site: Site, visitor: Visitor, subject: Subject, filled: Filled, request_id: str
) -> Response:
    try:
        answer = site.sandboxes.post(
            subject.place,
            f"analyses/{quote(subject.analysis.name)}",
            {"parameters": dict(filled.values), "request_id": request_id},
        )
    except Refused as refused:
        if refused.field is not None and any(f.name == refused.field for f in filled.fields):
            marked = filled.with_error(refused.field, refused.message)
            return _form(request, site, visitor, subject, marked, request_id, status=422)
        status = 403 if refused.code.startswith("access.") else 422
        return _form(request, site, visitor, subject, filled, request_id, _reason(refused), status=status)
    except Faulted as fault:
        return _form(
            request, site, visitor, subject, filled, request_id, fault.message, charged=True, status=502
        )
    path = _result_path(site, subject.project.name, answer["receipt"]["release_id"])
    return RedirectResponse(path + ("?again=1" if answer.get("free") else ""), 303)


def _reason(refused: Refused) -> Text:
    hint = refused.hint
    return (
        Text(f"{refused.message.zh}{hint.zh}", f"{refused.message.en} {hint.en}") if hint else refused.message
    )


def _typed(subject: Subject, sent: Mapping[str, str]) -> dict[str, str]:
    return {name: sent[name] for name in subject.analysis.header.parameters if name in sent}


def _form(
    request: Request,
    site: Site,
    visitor: Visitor,
    subject: Subject,
    filled: Filled,
    request_id: str,
    problem: Text | None = None,
    *,
    charged: bool = False,
    status: int = 200,
) -> Response:
    price, no_price = None, None
    if not filled.errors and status != 403:
        price, no_price = _price(site, subject, filled)
    context = {
        "project": subject.project,
        "analysis": subject.analysis,
        "filled": filled,
        "request_id": request_id,
        "problem": problem,
        "charged": charged,
        "price": price,
        "no_price": no_price,
        "headings": subject.analysis.header.columns,
        "invented": _invented(visitor, subject.project),
    }
    return page(request, visitor, "analysis.html", context, status=status)


def _price(site: Site, subject: Subject, filled: Filled) -> tuple[dict[str, Any] | None, Text | None]:
    """The estimate for these values, or why there is none."""
    try:
        body = {"parameters": dict(filled.values)}
        estimate = site.sandboxes.post(
            subject.place, f"analyses/{quote(subject.analysis.name)}/estimate", body
        )
    except Refused as refused:
        return None, _reason(refused)
    except Faulted as fault:
        return None, fault.message
    return dict(estimate), None


def _waiting(request: Request, visitor: Visitor, state: Starting | Failed) -> Response:
    """Asks again by itself until the sandbox is up; a failure stays, and says why."""
    if isinstance(state, Failed):
        return page(request, visitor, "not_started.html", {"failed": state}, status=503)
    again = {"Refresh": str(_REFRESH_SECONDS)}
    return page(request, visitor, "starting.html", {"starting": state}, headers=again)


# -------------------------------------------------------------------------------------- the result


def _result_path(site: Site, project: str, release_id: str) -> str:
    return f"{site.prefix}results/{quote(project)}/{quote(release_id)}"


@dataclass(frozen=True)
class Found:
    """One release of an analysis, with what was asked."""

    answer: Answer
    analysis: Analysis | None
    parameters: Text
    given: Mapping[str, str]
    asked_by: str

    def heading(self, name: str) -> Text:
        given = self.analysis.header.columns.get(name) if self.analysis else None
        return Text(given.zh, given.en) if given else Text(name, name)

    @property
    def title(self) -> Text:
        if self.analysis is None:
            return Text("查询结果", "Result of a query")
        return Text(self.analysis.header.title.zh, self.analysis.header.title.en)


def _found(site: Site, visitor: Visitor, project: Project, release_id: str) -> Found:
    """Raises 404 where this project has no such release, or not one this member may see."""
    try:
        history = site.sandboxes.get(_place(visitor, project), "history")
    except Refused as refused:
        raise Denied(_reason(refused)) from None
    for release in history["releases"]:
        if release["answer"]["receipt"]["release_id"] == release_id:
            answer = Answer.read(release["answer"])
            charges = site.ledger.about_charge(str(answer.receipt["charge_id"]))
            charge = next((e for e in charges if e.kind == "charge"), None)
            analysis = visitor.policies.analyses.get(_analysis_of(charge))
            words_ = _parameters_text(analysis, charge) if analysis else Text("", "")
            given = charge.facts.get("parameters") if charge else None
            return Found(answer, analysis, words_, given or {}, str(release["asked_by"]))
    raise HTTPException(404)


@router.get("/results/{project}/{release_id}")
def result(
    request: Request, site: TheSite, visitor: TheVisitor, project: str, release_id: str, again: bool = False
) -> Response:
    """Table, chart, price, receipt of one release; free, however often."""
    allowed = _project(site, visitor, project)
    state = site.sandboxes.bring_up(_place(visitor, allowed))
    if not isinstance(state, Ready):
        return _waiting(request, visitor, state)
    found = _found(site, visitor, allowed, release_id)
    headings = {c.name: visitor.say(found.heading(c.name)) for c in found.answer.columns}
    wanted = found.analysis.header.chart if found.analysis else None
    table = _rows(found.answer)
    context = {
        "project": allowed,
        "found": found,
        "answer": found.answer,
        "table": table,
        "chart": svg(found.answer, wanted, headings, visitor.language),
        "unbounded": sum(cell.unbounded for row in table for cell in row),
        "again": again,
        "release_id": release_id,
        "notes": [words.pair(note) for note in found.answer.notes],
        "guarantee": words.pair(found.answer.guarantee) if found.answer.guarantee else None,
        "invented": _invented(visitor, allowed),
    }
    return page(request, visitor, "result.html", context)


@router.get("/results/{project}/{release_id}/table.csv")
def result_csv(
    request: Request, site: TheSite, visitor: TheVisitor, project: str, release_id: str
) -> Response:
    """The table with its intervals as columns, headed by receipt, versions, cost and what was cut."""
    allowed = _project(site, visitor, project)
    state = site.sandboxes.bring_up(_place(visitor, allowed))
    if not isinstance(state, Ready):
        return _waiting(request, visitor, state)
    found = _found(site, visitor, allowed, release_id)
    text = Result.of(found.answer).to_csv()
    name = f"{found.analysis.name if found.analysis else 'result'}-{release_id[:8]}.csv"
    return Response(
        # A spreadsheet takes a file without this mark for the local code page, and Chinese for noise.
        "\ufeff" + _about(visitor, allowed, found) + str(text),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _about(visitor: Visitor, project: Project, found: Found) -> str:
    """What the file says of itself before the client's own lines: what was asked, and of which data."""
    said = {
        "project": project.name,
        "analysis": found.analysis.name if found.analysis else None,
        "parameters": dict(found.given),
        "invented_data": _invented(visitor, project),
    }
    return "".join(f"# {name}: {json.dumps(value, ensure_ascii=False)}\n" for name, value in said.items())


@dataclass(frozen=True)
class Cell:
    """One released value. `margin` is the half-width of its 95 % interval, None where it is not known."""

    value: str
    margin: str | None = None
    interval: str | None = None
    reliability: str | None = None
    number: bool = False
    unbounded: bool = False
    """A number with noise whose margin is not known: of no use."""


def _rows(answer: Answer) -> list[list[Cell]]:
    return [[_cell(column, row) for column in answer.columns] for row in range(answer.rows)]


def _cell(column: Any, row: int) -> Cell:
    value = column.values[row]
    number = column.type in ("integer", "real")
    low = column.low[row] if column.low is not None else None
    high = column.high[row] if column.high is not None else None
    reliability = column.reliability[row] if column.reliability else None
    if low is None or high is None or value is None:
        unbounded = column.noisy and value is not None
        shown = words.number(value, abs(value) / 10) if unbounded and value else words.number(value)
        return Cell(shown, reliability=reliability, number=number, unbounded=unbounded)
    half = (high - low) / 2
    shown = words.number(value, None if column.type == "integer" else half)
    width = words.margin(max(half, 1.0) if column.type == "integer" and half > 0 else half)
    return Cell(shown, width, f"{words.number(low, half)} – {words.number(high, half)}", reliability, number)


def _invented(visitor: Visitor, project: Project) -> bool:
    return any(visitor.policies.datasets[name].invented for name in project.datasets)
