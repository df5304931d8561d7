"""Reserved time: the vault cores of one host, a lane, do one question after the other.

A reservation fixes, in the transaction of the charge and so before the first block reads, when work on a question
starts and when its answer leaves. Both follow from earlier reservations and from the question's T alone
(DESIGN section 4).

Times are milliseconds of the lane's own clock: this machine's, but never back before the lane's last reservation.
A clock that is set back moves it on from there, so that nothing overlaps and nobody waits out the difference.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Connection, bindparam, insert, select, update

from sandbox_guard.ledger.schema import Lane, Reservation, table
from sandbox_guard.ledger.wire import Claim, Reserved

PAUSE = 25
"""Milliseconds between two reservations: the one answer is on its way when the next question starts."""

_LANE = select(table(Lane)).where(Lane.name == bindparam("lane"))
_NEW = insert(table(Lane))
_MOVE = (
    update(table(Lane))
    .where(Lane.name == bindparam("lane"))
    .values({name: bindparam(f"new_{name}") for name in ("at", "ahead", "free_at")})
)
_RESERVE = insert(table(Reservation))
_OF_CHARGE = (
    select(table(Reservation))
    .where(Reservation.charge_id == bindparam("charge_id"), Reservation.member == bindparam("member"))
    .order_by(Reservation.position.desc())
    .limit(1)
)


def reserve(connection: Connection, claim: Claim, clock: dt.datetime) -> Reserved:
    """The next free time of the lane, for so long. `kept` stores it once the entry that records it has a position."""
    here = milliseconds(clock)
    lane = connection.execute(_LANE, {"lane": claim.lane}).one_or_none()
    now, free_at = here, here
    if lane is not None:
        now = here if here >= lane.at else max(here + lane.ahead, lane.at)
        free_at = lane.free_at
    start = max(now, free_at)
    moved = {"at": now, "ahead": now - here, "free_at": start + claim.milliseconds + PAUSE}
    if lane is None:
        connection.execute(_NEW, {"name": claim.lane, **moved})
    else:
        connection.execute(_MOVE, {"lane": claim.lane, **{f"new_{n}": value for n, value in moved.items()}})
    return Reserved(
        lane=claim.lane,
        starts_at=moment(start),
        releases_at=moment(start + claim.milliseconds),
        wait=start - now,
        milliseconds=claim.milliseconds,
    )


def kept(
    connection: Connection, reserved: Reserved, claim: Claim, charge_id: str, member: str, position: int
) -> None:
    connection.execute(
        _RESERVE,
        {
            "position": position,
            "charge_id": charge_id,
            "member": member,
            "lane": claim.lane,
            "starts_at": milliseconds(reserved.starts_at),
            "milliseconds": claim.milliseconds,
            "shape": claim.shape,
            "counted": claim.counted,
        },
    )


def reserved_for(connection: Connection, charge_id: str, member: str) -> Reservation | None:
    """The last time that this member's vault was given for this charge."""
    row = connection.execute(_OF_CHARGE, {"charge_id": charge_id, "member": member}).one_or_none()
    return Reservation(**row._mapping) if row is not None else None


def released_at(reservation: Reservation, overruns: int) -> dt.datetime:
    """When an answer left that came after so many doublings of its time."""
    return moment(reservation.starts_at + reservation.milliseconds * 2**overruns)


def milliseconds(at: dt.datetime) -> int:
    return int(at.timestamp() * 1000)


def moment(milliseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)


def stamp(at: dt.datetime) -> str:
    """UTC to the millisecond, as entries hold it."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
