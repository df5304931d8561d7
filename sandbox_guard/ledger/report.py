"""What one project asked, spent and got in a span of time: for the auditor's monthly report.

Worked out from the entries alone, so that anyone with an export gets the same.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, or_, select

from sandbox_guard.ledger import schema
from sandbox_guard.ledger.log import stamp
from sandbox_guard.ledger.verify import accounts_charged
from sandbox_guard.ledger.wire import Message

DECISIONS = ("suspend", "resume", "renew", "close", "policy", "load", "restore", "prune")


class Row(Message):
    """One member, dataset or day."""

    name: str
    questions: int = 0
    """Charged."""
    free: int = 0
    """The same question again."""
    refused: int = 0
    rho: int = 0
    delta: int = 0


class Decided(Message):
    """What someone decided about the project, or about all."""

    position: int
    at: dt.datetime
    kind: str
    actor: str
    about: str
    reason: str


class Report(Message):
    project: str
    since: dt.datetime
    until: dt.datetime
    total: Row
    releases: int
    faults: int
    days: tuple[Row, ...]
    """Every day of the span, in the zone of `since`."""
    members: tuple[Row, ...]
    datasets: tuple[Row, ...]
    refusals: dict[str, int]
    """By code."""
    decisions: tuple[Decided, ...]
    first: int | None
    last: int | None
    """Positions of the first and last entry that were counted."""


def entries_between(
    connection: Connection, project: str, since: dt.datetime, until: dt.datetime
) -> list[dict[str, Any]]:
    """The project's entries and the decisions, from `since` on and before `until`."""
    entry = schema.Entry
    leaves = connection.scalars(
        select(entry.leaf)
        .where(
            entry.at >= stamp(since),
            entry.at < stamp(until),
            or_(entry.project == project, entry.kind.in_(DECISIONS)),
        )
        .order_by(entry.position)
    )
    return [json.loads(leaf) for leaf in leaves]


def report(
    project: str, since: dt.datetime, until: dt.datetime, entries: Iterable[Mapping[str, Any]]
) -> Report:
    zone = since.tzinfo
    span = (until - since).days
    days = _Table([(since + dt.timedelta(days=n)).date().isoformat() for n in range(span)])
    members, datasets, total = _Table(), _Table(), _Table(["total"])
    kinds: Counter[str] = Counter()
    refusals: Counter[str] = Counter()
    decisions, counted = [], []
    for entry in entries:
        facts, kind = entry["facts"], entry["kind"]
        if kind in DECISIONS:
            if _concerns(entry, project):
                decisions.append(_decided(entry))
            continue
        counted.append(entry["position"])
        kinds[kind] += 1
        what = {"charge": "questions", "reuse": "free", "refusal": "refused"}.get(kind)
        if what is None:
            continue
        day = dt.datetime.fromisoformat(entry["at"]).astimezone(zone).date().isoformat()
        due = accounts_charged(facts["member"], project, facts.get("spends", ()))
        cost = [amount for account, amount in due.items() if account.startswith("project/")]
        for table, name in ((days, day), (members, facts["member"]), (total, "total")):
            table.add(name, what, cost)
        for name in facts.get("question", {}).get("versions", {}):
            part = [amount for account, amount in due.items() if account.startswith(f"dataset/{name}/")]
            datasets.add(name, what, part)
        if kind == "refusal":
            refusals[facts["code"]] += 1
    return Report(
        project=project,
        since=since,
        until=until,
        total=total.rows()[0],
        releases=kinds["release"],
        faults=kinds["fault"],
        days=days.rows(),
        members=members.rows(),
        datasets=datasets.rows(),
        refusals=dict(refusals.most_common()),
        decisions=tuple(decisions),
        first=counted[0] if counted else None,
        last=counted[-1] if counted else None,
    )


class _Table:
    """Counts by name, in the order in which the names came."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._rows: dict[str, Counter[str]] = {name: Counter() for name in names}

    def add(self, name: str, what: str, cost: Iterable[tuple[int, int]]) -> None:
        row = self._rows.setdefault(name, Counter())
        row[what] += 1
        for rho, delta in cost:
            row["rho"] += rho
            row["delta"] += delta

    def rows(self) -> tuple[Row, ...]:
        return tuple(Row(name=name, **row) for name, row in self._rows.items())


def _concerns(entry: Mapping[str, Any], project: str) -> bool:
    """Is a decision about this project, or about everyone?"""
    facts = entry["facts"]
    if entry["kind"] == "renew":
        level, *names = facts["account"].split("/")
        return level in ("population", "dataset") or project in names[:-1]
    subject = facts.get("subject")
    return subject is None or subject["kind"] != "project" or subject["name"] == project


def _decided(entry: Mapping[str, Any]) -> Decided:
    facts = entry["facts"]
    subject = facts.get("subject")
    about = facts.get("account") or facts.get("version") or facts.get("policy_digest", "")[:16]
    if subject is not None:
        about = f"{subject['kind']} {subject['name']}"
    elif entry["kind"] == "load":
        about = f"{facts['dataset']} {facts['version']}"
    return Decided(
        position=entry["position"],
        at=entry["at"],
        kind=entry["kind"],
        actor=entry["actor"],
        about=about,
        reason=facts.get("reason", ""),
    )


def month(text: str, zone: dt.tzinfo | None = None) -> tuple[dt.datetime, dt.datetime]:
    """The span of `2026-11`, in `zone` or this machine's. Raises ValueError."""
    first = dt.datetime.strptime(text, "%Y-%m")
    following = (first.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    return (
        (first.replace(tzinfo=zone), following.replace(tzinfo=zone))
        if zone is not None
        else (first.astimezone(), following.astimezone())
    )
