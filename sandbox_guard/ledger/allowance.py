"""What time may tell: each doubling of a release time, and each Fault, tells a bit of the data, and a member and a
project have few of them. A plan whose shape overran again and again waits for a steward (DESIGN section 4).

Only reserved cores are counted: where vaults share a machine with whatever else runs there, an overrun says little of
the data, and nothing is promised.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from sandbox_guard.errors import Refused
from sandbox_guard.ledger.log import stamp
from sandbox_guard.ledger.schema import Leak, Reservation, Standing, table
from sandbox_guard.ledger.transaction import Transaction
from sandbox_guard.ledger.wire import Asker, Claim, EntryKind, Subject

MEMBER, PROJECT, DAYS = 20, 100, 30
"""Overruns and Faults of a member, and of a project, in so many days."""

SHAPE, SHAPE_DAYS = 3, 1
"""Answers with an overrun, of one shape, in so many days: then it is suspended."""

LEDGER = "ledger"
"""Who suspends a shape."""

_TOLD = select(func.coalesce(func.sum(Leak.bits), 0)).where(
    Leak.project == bindparam("project"), Leak.at > bindparam("since")
)
_TOLD_TO_MEMBER = _TOLD.where(Leak.member == bindparam("member"))
_SUSPENDED = select(Standing.state).where(Standing.kind == "shape", Standing.name == bindparam("shape"))
_LEAK = insert(table(Leak))
_STRIKES = select(func.count()).where(
    Leak.shape == bindparam("shape"), Leak.strike, Leak.at > bindparam("since")
)


def check(connection: Connection, asker: Asker, claim: Claim, now: str) -> None:
    """May this question take reserved time? Raises Refused where it may not."""
    if connection.scalar(_SUSPENDED, {"shape": claim.shape}) is not None:
        raise Refused("ask.shape_suspended", shape=claim.shape)
    wanted = {"project": asker.project, "member": asker.member, "since": _before(now, DAYS)}
    if connection.execute(_TOLD_TO_MEMBER, wanted).scalar_one() >= MEMBER:
        raise Refused("budget.time_member", name=asker.member, most=MEMBER, days=DAYS)
    if connection.execute(_TOLD, wanted).scalar_one() >= PROJECT:
        raise Refused("budget.time_project", name=asker.project, most=PROJECT, days=DAYS)


def bits(reservation: Reservation | None, overruns: int, *, fault: bool) -> int:
    """What an answer told by when it left."""
    return overruns + fault if reservation is not None and reservation.counted else 0


def note(
    tx: Transaction, asker: Asker, reservation: Reservation | None, overruns: int, told: int, position: int
) -> None:
    """Count what the entry at `position` told, and suspend a shape that overran once too often."""
    if reservation is None or told == 0:
        return
    keep(tx.connection, asker, reservation, overruns, told, position, tx.now)
    wanted = {"shape": reservation.shape, "since": _before(tx.now, SHAPE_DAYS)}
    if overruns > 0 and tx.connection.execute(_STRIKES, wanted).scalar_one() >= SHAPE:
        _suspend(tx, reservation.shape)


def keep(
    connection: Connection,
    asker: Asker,
    reservation: Reservation,
    overruns: int,
    told: int,
    position: int,
    at: str,
) -> None:
    leak = {
        "position": position,
        "member": asker.member,
        "project": asker.project,
        "shape": reservation.shape,
        "at": at,
        "bits": told,
        "strike": overruns > 0,
    }
    connection.execute(_LEAK, leak)


def forgive(connection: Connection, shape: str) -> None:
    """A steward lets it be asked again: what it did before is no strike any more. What it told stays counted."""
    connection.execute(update(Leak).where(Leak.shape == shape).values(strike=False))


def _suspend(tx: Transaction, shape: str) -> None:
    subject = Subject(kind="shape", name=shape)
    facts = {"reason": f"{SHAPE} overruns within a day", "subject": subject.model_dump()}
    position = tx.append(EntryKind.SUSPEND, LEDGER, None, facts)
    this = (Standing.kind == "shape") & (Standing.name == shape)
    tx.connection.execute(delete(Standing).where(this))
    row = {"kind": "shape", "name": shape, "state": "suspended", "position": position}
    tx.connection.execute(insert(Standing), row)


def _before(now: str, days: int) -> str:
    return stamp(dt.datetime.fromisoformat(now) - dt.timedelta(days=days))
