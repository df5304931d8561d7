"""Accounts of the hub's own sign-in form: who has which password, and who has guessed too often.

Passwords are kept as scrypt (n = 2^15, r = 8, p = 1) with a salt each. Failures are kept in the same
database, so a restart forgives nothing; an attempt is written down *before* the password is looked at, so
that guesses sent at once count as guesses.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

from sqlalchemy import URL, create_engine, delete, event, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PASSWORD_LENGTH = 10
"""The least length of a password that a person chooses."""

LOCKOUT = dt.timedelta(minutes=15)
FAILURES_PER_NAME = 5
FAILURES_PER_ADDRESS = 20
"""More than this within LOCKOUT, and no password is looked at until the oldest has passed."""

# No 0, O, 1, l, I: passwords are read off a terminal once.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


class Outcome(Enum):
    VERIFIED = "verified"
    WRONG = "wrong"
    LOCKED = "locked"


class _Base(DeclarativeBase):
    pass


class _Account(_Base):
    __tablename__ = "accounts"
    name: Mapped[str] = mapped_column(primary_key=True)
    salt: Mapped[bytes]
    key: Mapped[bytes]
    language: Mapped[str | None] = mapped_column(default=None)


class _Attempt(_Base):
    """A sign-in that has not succeeded (yet)."""

    __tablename__ = "attempts"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(index=True)
    at: Mapped[dt.datetime]


class Accounts:
    """The accounts in one SQLite file, made if absent (mode 0600)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        self._engine = create_engine(URL.create("sqlite", database=str(path)))

        @event.listens_for(self._engine, "begin")
        def _take_the_write_lock_first(connection: object) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # type: ignore[attr-defined]

        @event.listens_for(self._engine, "connect")
        def _leave_transactions_to_us(connection: object, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined]

        _Base.metadata.create_all(self._engine)

    def names(self) -> set[str]:
        """Of those with a password."""
        with Session(self._engine) as session:
            return set(session.scalars(select(_Account.name).where(_Account.key != b"")))

    def ensure(self, names: Iterable[str]) -> dict[str, str]:
        """Make the accounts that are missing; their generated passwords by name, told only now."""
        missing = sorted(set(names) - self.names())
        made = {name: generated_password() for name in missing}
        for name, password in made.items():
            self.set_password(name, password)
        return made

    def set_password(self, name: str, password: str) -> None:
        salt = secrets.token_bytes(16)
        key = _scrypt(password, salt)
        with Session(self._engine) as session, session.begin():
            account = session.get(_Account, name)
            if account is None:
                session.add(_Account(name=name, salt=salt, key=key))
            else:
                account.salt, account.key = salt, key
            session.execute(delete(_Attempt).where(_Attempt.name == name))

    def verify(self, name: str, password: str, address: str, now: dt.datetime) -> Outcome:
        """One attempt to sign in from an address, at a time in UTC. Takes as long for a name that is not
        there as for one that is."""
        recently = now.replace(tzinfo=None) - LOCKOUT
        with Session(self._engine) as session, session.begin():
            session.execute(delete(_Attempt).where(_Attempt.at <= recently))
            by_name = session.scalar(select(func.count()).where(_Attempt.name == name)) or 0
            by_address = session.scalar(select(func.count()).where(_Attempt.address == address)) or 0
            if by_name >= FAILURES_PER_NAME or by_address >= FAILURES_PER_ADDRESS:
                return Outcome.LOCKED
            session.add(_Attempt(name=name, address=address, at=now.replace(tzinfo=None)))
            account = session.get(_Account, name)
            salt, key = (account.salt, account.key) if account else (b"\0" * 16, b"")
        if not hmac.compare_digest(_scrypt(password, salt), key):
            return Outcome.WRONG
        with Session(self._engine) as session, session.begin():
            session.execute(delete(_Attempt).where(_Attempt.name == name))
        return Outcome.VERIFIED

    def language(self, name: str) -> str | None:
        """The language this person chose, if they did."""
        with Session(self._engine) as session:
            return session.scalar(select(_Account.language).where(_Account.name == name))

    def set_language(self, name: str, language: str) -> None:
        with Session(self._engine) as session, session.begin():
            account = session.get(_Account, name)
            if account is None:
                # Signed in elsewhere: an empty key is no password's.
                account = _Account(name=name, salt=b"", key=b"")
                session.add(account)
            account.language = language


def generated_password() -> str:
    """Some 93 bits, in groups that can be typed."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**15, r=8, p=1, maxmem=64 * 2**20, dklen=32)
