"""The audit log for auditors: found by who, where, what and when; both entries of a charge; how to verify it."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from hub.portal import words
from hub.portal.ledger import RHO_UNITS, Entry
from hub.portal.site import TheSite, TheVisitor, page
from sandbox_guard.errors import Text, refusals
from sandbox_guard.policy.model import Office

router = APIRouter()

FILTERS = ("actor", "project", "dataset", "kind", "code", "since", "until", "cost", "text")


@dataclass(frozen=True)
class Line:
    """One entry in the list."""

    entry: Entry
    kind: Text
    at: str
    about: str
    cost: str
    code: str | None
    """Of a refusal."""
    reason: Text | None
    """What a refusal's code means."""


@router.get("/audit")
def audit(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """The newest entries that match, a page at a time."""
    visitor.require(Office.AUDITOR)
    asked = _asked(request)
    wanted, errors = _wanted(asked)
    before = request.query_params.get("before", "")
    lines: list[Line] = []
    kept = {name: value for name, value in asked.items() if value}
    older = None
    if not errors:
        position = int(before) if before.isdecimal() and len(before) < 16 else None
        found = site.ledger.entries(**{**wanted, "before": position})
        lines = [line(entry) for entry in found.entries]
        if found.next_before is not None:
            older = "?" + urlencode({**kept, "before": found.next_before})
    context = {
        "lines": lines,
        "asked": asked,
        "errors": errors,
        "older": older,
        "same": f"?{urlencode(kept)}" if kept else "",
        "newest": bool(before),
        "people": visitor.policies.people,
        "projects": visitor.policies.projects,
        "datasets": visitor.policies.datasets,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "audit.html", context, status=422 if errors else 200)


def _asked(request: Request) -> dict[str, str]:
    return {name: request.query_params.get(name, "").strip() for name in FILTERS}


def _wanted(asked: Mapping[str, str]) -> tuple[dict[str, str | int | None], dict[str, Text]]:
    """The ledger's filter of what a form sent: days as moments with a zone (`until` is the end of its day), cost in
    units of account."""
    wanted: dict[str, str | int | None] = {**asked, "min_rho": None}
    del wanted["cost"]
    errors: dict[str, Text] = {}
    wanted["kind"] = asked["kind"] if asked["kind"] in words.KIND else None
    for name in ("since", "until"):
        if asked[name]:
            try:
                day = dt.date.fromisoformat(asked[name])
                clock = dt.time.min if name == "since" else dt.time.max
                wanted[name] = dt.datetime.combine(day, clock).astimezone().isoformat()
            except (ValueError, OverflowError):
                errors[name] = Text("日期须形如 2026-01-31", "A date must look like 2026-01-31")
    if asked["cost"]:
        try:
            least = math.ceil(Decimal(asked["cost"]) * RHO_UNITS)
            if not 0 <= least < 2**62:
                raise ValueError
            wanted["min_rho"] = least
        except (ArithmeticError, ValueError):
            errors["cost"] = Text("花费须是数字，如 0.01", "A cost must be a number, such as 0.01")
    return wanted, errors


def line(entry: Entry) -> Line:
    facts = entry.facts
    code = facts.get("code")
    known = refusals().get(code) if isinstance(code, str) else None
    return Line(
        entry=entry,
        kind=words.KIND.get(entry.kind, Text(entry.kind, entry.kind)),
        at=words.when(entry.at),
        about=_about(entry.kind, facts),
        cost=_cost(facts),
        code=code if isinstance(code, str) else None,
        reason=_without_facts(known.message) if known else None,
    )


def _without_facts(text: Text) -> Text:
    """The template of a refusal, its facts left open: the entry holds the code, not the sentence."""
    return Text(re.sub(r"\{\w+\}", "…", text.zh), re.sub(r"\{\w+\}", "…", text.en))


def _about(kind: str, facts: Mapping[str, Any]) -> str:
    question = facts.get("question")
    analysis = facts.get("analysis") or (question.get("analysis") if isinstance(question, dict) else None)
    if analysis:
        given = facts.get("parameters") or {}
        what = f"({', '.join(f'{k}={v}' for k, v in given.items())})" if given else ""
        return f"{analysis}{what} {facts.get('release_id', '')}".strip()
    if kind == "download":
        return f"{facts['path']} ({facts['outcome']}, {facts['bytes']} bytes)"
    subject = facts.get("subject")
    if isinstance(subject, dict):
        return f"{subject.get('kind')} {subject.get('name')}: {facts.get('reason', '')}"
    for name in ("sql", "release_id", "version", "account", "reason", "charge_id", "sandbox_id"):
        if facts.get(name):
            return f"{facts['dataset']} {facts[name]}" if name == "version" else str(facts[name])
    return ""


def _cost(facts: Mapping[str, Any]) -> str:
    spends = facts.get("spends")
    if not isinstance(spends, list):
        return ""
    return words.rho(sum(int(spend["cost"]["rho"]) for spend in spends))


@router.get("/audit/entries/{position}")
def entry(request: Request, site: TheSite, visitor: TheVisitor, position: int) -> Response:
    """One entry in full, with the others of its charge."""
    visitor.require(Office.AUDITOR)
    found = site.ledger.entry(position) if 0 <= position < 2**53 else None
    if found is None:
        raise HTTPException(404)
    together = site.ledger.about_charge(found.charge_id) if found.charge_id else (found,)
    context = {
        "line": line(found),
        "together": [_detail(each) for each in together or (found,)],
        "canonical": found.leaf,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "entry.html", context)


@dataclass(frozen=True)
class Detail:
    line: Line
    facts: tuple[tuple[str, str, bool], ...]
    """Name, text, and whether it is long or laid out in lines."""
    files: tuple[tuple[str, str], ...]
    """Path and text of each policy file that was applied."""


def _detail(entry: Entry) -> Detail:
    files = entry.facts.get("files")
    named = files if isinstance(files, dict) else {}
    return Detail(line(entry), _facts(entry), tuple(sorted(named.items())))


def _facts(entry: Entry) -> tuple[tuple[str, str, bool], ...]:
    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)

    shown = [
        (name, text(value))
        for name, value in entry.facts.items()
        if name != "files" and value not in (None, [], {}, "")
    ]
    return tuple((name, value, "\n" in value or len(value) > 80) for name, value in shown)


@router.get("/audit/entries.csv")
def entries_csv(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """All entries that the filter matches; a spreadsheet finds no formula in it."""
    return _table(request, site, visitor, "csv", "text/csv; charset=utf-8")


@router.get("/audit/entries.parquet")
def entries_parquet(request: Request, site: TheSite, visitor: TheVisitor) -> Response:
    """The same, typed, with the texts as they are."""
    return _table(request, site, visitor, "parquet", "application/vnd.apache.parquet")


def _table(request: Request, site: TheSite, visitor: TheVisitor, form: str, media: str) -> Response:
    visitor.require(Office.AUDITOR)
    wanted, errors = _wanted(_asked(request))
    if errors:
        raise HTTPException(404)
    name = f"audit-entries-{dt.datetime.now():%Y%m%d-%H%M%S}.{form}"
    return _attached(site.ledger.table(form, **wanted), name, media)


@router.get("/audit/evidence/{project}.zip")
def evidence(site: TheSite, visitor: TheVisitor, project: str) -> Response:
    """One project's entries with proofs, policies, releases, key and verifier."""
    visitor.require(Office.AUDITOR)
    if project not in visitor.policies.projects:
        raise HTTPException(404)
    return _attached(site.ledger.evidence(project), f"evidence-{project}.zip", "application/zip")


@router.get("/audit/checkpoint.txt")
def checkpoint(site: TheSite, visitor: TheVisitor) -> Response:
    """A signed checkpoint of the log as it is now, for the auditor to keep elsewhere."""
    visitor.require(Office.AUDITOR)
    name = f"checkpoint-{dt.datetime.now():%Y%m%d-%H%M%S}.txt"
    return _download(site.ledger.checkpoint(), name)


@router.get("/audit/public-key.txt")
def public_key(site: TheSite, visitor: TheVisitor) -> Response:
    """The key that signs checkpoints, as a note verification key."""
    visitor.require(Office.AUDITOR)
    return _download(site.ledger.public_key(), "ledger-public-key.txt")


@router.get("/audit/log.jsonl")
def export(site: TheSite, visitor: TheVisitor) -> Response:
    """The whole log, as `sandbox-guard audit verify` reads it."""
    visitor.require(Office.AUDITOR)
    return _download(site.ledger.export(), f"audit-log-{dt.datetime.now():%Y%m%d-%H%M%S}.jsonl")


def _download(text: str, name: str) -> Response:
    return _attached(text.encode(), name, "text/plain; charset=utf-8")


def _attached(content: bytes, name: str, media: str) -> Response:
    return Response(
        content, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
