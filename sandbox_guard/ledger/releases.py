"""Reads releases and the charges they belong to, as one asker may see them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select

from sandbox_guard.ledger.schema import Charge, Entry, table
from sandbox_guard.ledger.schema import Release as StoredRelease
from sandbox_guard.ledger.verify import canonical
from sandbox_guard.ledger.wire import Asker, ChargeRequest, Question, Release


def question_key(question: Question) -> str:
    """The same question over the same data has the same key."""
    return digest_of(canonical({"digest": question.digest, "versions": question.versions}).decode())


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_EARLIER = (
    select(table(Charge), StoredRelease.release_id.label("released"))
    .outerjoin(StoredRelease, StoredRelease.charge_id == Charge.charge_id)
    .where(
        Charge.project == bindparam("project"),
        or_(
            Charge.question == bindparam("question"),
            (Charge.member == bindparam("member")) & (Charge.request_id == bindparam("request_id")),
        ),
    )
    .order_by(Charge.position)
)


def earlier_charges(connection: Connection, asker: Asker, request: ChargeRequest) -> Sequence[Row[Any]]:
    """This project's charges for the same question, and the one with this request id, oldest first; `released`
    is the id of the charge's release, if it has one."""
    wanted = {
        "project": asker.project,
        "question": question_key(request.question),
        "member": asker.member,
        "request_id": request.request_id,
    }
    return connection.execute(_EARLIER, wanted).all()


_paid, _shown = table(Entry).alias("paid"), table(Entry).alias("shown")
_RELEASES = (
    # The leaf of the charge holds what was asked; that of the release, when it left.
    select(table(StoredRelease), _paid.c.leaf.label("charge_leaf"), _shown.c.leaf.label("release_leaf"))
    .join(Charge, Charge.charge_id == StoredRelease.charge_id)
    .join(_paid, _paid.c.position == Charge.position)
    .join(_shown, _shown.c.position == StoredRelease.position)
)
_OF_CHARGE = _RELEASES.where(StoredRelease.charge_id == bindparam("charge_id"))
_OF_PROJECT = _RELEASES.where(StoredRelease.project == bindparam("project")).order_by(
    StoredRelease.position.desc()
)
_OF_QUESTION = (
    _RELEASES.where(
        StoredRelease.project == bindparam("project"), StoredRelease.question == bindparam("question")
    )
    .order_by(StoredRelease.position)
    .limit(1)
)


def of_charge(connection: Connection, asker: Asker, charge_id: str) -> Release | None:
    row = connection.execute(_OF_CHARGE, {"charge_id": charge_id}).one_or_none()
    return _release(row, asker) if row is not None else None


def of_question(connection: Connection, asker: Asker, question: Question) -> Release | None:
    """The project's release of the same question over the same versions, the first if there are several."""
    wanted = {"project": asker.project, "question": question_key(question)}
    row = connection.execute(_OF_QUESTION, wanted).one_or_none()
    return _release(row, asker) if row is not None else None


def of_project(connection: Connection, asker: Asker) -> tuple[Release, ...]:
    """Newest first."""
    return tuple(_release(row, asker) for row in connection.execute(_OF_PROJECT, {"project": asker.project}))


def _release(row: Row[Any], asker: Asker) -> Release:
    """The text of a query is its author's and the auditors'."""
    facts, left = json.loads(row.charge_leaf)["facts"], json.loads(row.release_leaf)
    return Release(
        release_id=row.release_id,
        charge_id=row.charge_id,
        position=row.position,
        question=facts["question"],
        spends=facts["spends"],
        sql=facts["sql"] if facts["member"] == asker.member else "",
        body=row.body,
        body_digest=digest_of(row.body),
        member=facts["member"],
        project=row.project,
        released_at=left["facts"].get("released_at", left["at"]),
        overruns=left["facts"].get("overruns", 0),
    )
