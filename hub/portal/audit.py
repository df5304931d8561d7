"""The audit log for auditors: found by who, where, what and when; both entries of a charge; how to verify it."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response

from hub.portal import words
from hub.portal.ledger import Entry
from hub.portal.site import TheSite, TheVisitor, page
from sandbox_guard.errors import Text, refusals
from sandbox_guard.policy.model import Office

router = APIRouter()

FILTERS = ("actor", "project", "dataset", "kind", "code", "since", "until", "text")


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
    asked = {name: request.query_params.get(name, "").strip() for name in FILTERS}
    times, errors = _times(asked)
    before = request.query_params.get("before", "")
    lines: list[Line] = []
    older = None
    if not errors:
        known = asked["kind"] if asked["kind"] in words.KIND else None
        position = int(before) if before.isdecimal() and len(before) < 16 else None
        found = site.ledger.entries(**{**asked, **times, "kind": known, "before": position})
        lines = [line(entry) for entry in found.entries]
        if found.next_before is not None:
            kept = {name: value for name, value in asked.items() if value}
            older = "?" + urlencode({**kept, "before": found.next_before})
    context = {
        "lines": lines,
        "asked": asked,
        "errors": errors,
        "older": older,
        "newest": bool(before),
        "people": visitor.policies.people,
        "projects": visitor.policies.projects,
        "datasets": visitor.policies.datasets,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "audit.html", context, status=422 if errors else 200)


def _times(asked: Mapping[str, str]) -> tuple[dict[str, str | None], dict[str, Text]]:
    """Days as the form sends them, to moments with a zone; `until` is the end of its day."""
    times: dict[str, str | None] = {}
    errors: dict[str, Text] = {}
    for name in ("since", "until"):
        times[name] = None
        if asked[name]:
            try:
                day = dt.date.fromisoformat(asked[name])
                clock = dt.time.min if name == "since" else dt.time.max
                times[name] = dt.datetime.combine(day, clock).astimezone().isoformat()
            except (ValueError, OverflowError):
                errors[name] = Text("日期须形如 2026-01-31", "A date must look like 2026-01-31")
    return times, errors


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
        "together": [Detail(line(each), _facts(each)) for each in together or (found,)],
        "canonical": found.leaf,
        "invented": all(d.invented for d in visitor.policies.datasets.values()),
    }
    return page(request, visitor, "entry.html", context)


@dataclass(frozen=True)
class Detail:
    line: Line
    facts: tuple[tuple[str, str, bool], ...]
    """Name, text, and whether it is long or laid out in lines."""


def _facts(entry: Entry) -> tuple[tuple[str, str, bool], ...]:
    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)

    shown = [(name, text(value)) for name, value in entry.facts.items() if value not in (None, [], {}, "")]
    return tuple((name, value, "\n" in value or len(value) > 80) for name, value in shown)


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
    return PlainTextResponse(text, headers={"Content-Disposition": f'attachment; filename="{name}"'})
