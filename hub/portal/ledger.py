"""What the portal reads of the ledger, over HTTP with its own token. It never writes there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

RHO_UNITS = 10**9
PAGE = 25


class LedgerSilent(Exception):
    """The ledger does not answer, or not as agreed."""


class Message(BaseModel):
    """Unknown fields are left alone, so that a newer ledger still works."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Amount(Message):
    rho: int
    delta: int


class AccountCap(Message):
    level: str
    population: str
    dataset: str | None = None
    project: str | None = None
    member: str | None = None
    cap: Amount


class Account(Message):
    """One budget: its cap, what is spent, and what all spending amounts to."""

    account: AccountCap
    spent: Amount
    renewed: Amount = Amount(rho=0, delta=0)
    epsilon: float
    epsilon_delta: float

    @property
    def level(self) -> str:
        return self.account.level

    @property
    def population(self) -> str:
        return self.account.population

    @property
    def dataset(self) -> str | None:
        return self.account.dataset

    @property
    def project(self) -> str | None:
        return self.account.project

    @property
    def member(self) -> str | None:
        return self.account.member

    @property
    def percent_left(self) -> float:
        """Of rho or of delta, whichever is scarcer."""
        cap, spent = self.account.cap, self.spent
        shares = [spent.rho / cap.rho if cap.rho else 1.0]
        if cap.delta:
            shares.append(spent.delta / cap.delta)
        return max(0.0, 100 * (1 - max(shares)))

    def typical_left(self, rho: int) -> int:
        """How many more questions of that price (in units of account) fit."""
        return max(0, (self.account.cap.rho - self.spent.rho) // max(1, rho))


class Subject(Message):
    kind: str
    name: str


class Standing(Message):
    """A member, project or dataset that is suspended or closed; `position` is the entry that says why."""

    subject: Subject
    state: str
    position: int

    @property
    def kind(self) -> str:
        return self.subject.kind

    @property
    def name(self) -> str:
        return self.subject.name


class Entry(Message):
    """One entry of the log."""

    position: int
    at: dt.datetime
    kind: str
    actor: str
    project: str | None
    facts: dict[str, Any]
    leaf: str

    @property
    def charge_id(self) -> str | None:
        found = self.facts.get("charge_id")
        return found if isinstance(found, str) else None


class Entries(Message):
    entries: tuple[Entry, ...]
    next_before: int | None


class Row(Message):
    """What one member, dataset or day comes to."""

    name: str
    questions: int
    free: int
    refused: int
    rho: int


class Decided(Message):
    position: int
    at: dt.datetime
    kind: str
    actor: str
    about: str
    reason: str


class MonthReport(Message):
    """What one project asked, spent and got."""

    project: str
    since: dt.datetime
    until: dt.datetime
    total: Row
    releases: int
    faults: int
    days: tuple[Row, ...]
    members: tuple[Row, ...]
    datasets: tuple[Row, ...]
    refusals: dict[str, int]
    decisions: tuple[Decided, ...]
    first: int | None
    last: int | None

    @property
    def active(self) -> tuple[Row, ...]:
        return tuple(day for day in self.days if day.questions or day.free or day.refused)

    @property
    def last_day(self) -> dt.date:
        return (self.until - dt.timedelta(seconds=1)).date()


class Ledger:
    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=10.0
        )

    def close(self) -> None:
        self._http.close()

    def accounts(self) -> tuple[Account, ...]:
        return tuple(Account.model_validate(each) for each in self._get("/v1/accounts").json())

    def standings(self) -> tuple[Standing, ...]:
        return tuple(Standing.model_validate(each) for each in self._get("/v1/standings").json())

    def entries(self, **wanted: str | int | None) -> Entries:
        """Newest first; `wanted` as the ledger's EntryFilter has it, without what is None or empty."""
        asked = {name: value for name, value in wanted.items() if value not in (None, "")}
        return Entries.model_validate(self._get("/v1/entries", {"limit": PAGE, **asked}).json())

    def entry(self, position: int) -> Entry | None:
        found = self.entries(before=position + 1, limit=1).entries
        return found[0] if found and found[0].position == position else None

    def about_charge(self, charge_id: str) -> tuple[Entry, ...]:
        """The entries of one charge, oldest first: before the data was read, and at the release."""
        found = self.entries(text=charge_id, limit=100).entries
        return tuple(sorted((e for e in found if e.charge_id == charge_id), key=lambda e: e.position))

    def checkpoint(self) -> str:
        return self._get("/v1/checkpoint").text

    def public_key(self) -> str:
        return self._get("/v1/public-key").text

    def report(self, project: str, since: dt.datetime, until: dt.datetime) -> MonthReport:
        span = {"project": project, "since": since.isoformat(), "until": until.isoformat()}
        return MonthReport.model_validate(self._get("/v1/report", span).json())

    def table(self, form: str, **wanted: str | int | None) -> bytes:
        """All entries that match, as `csv` or `parquet`."""
        asked = {name: value for name, value in wanted.items() if value not in (None, "")}
        return self._get(f"/v1/entries.{form}", asked).content

    def evidence(self, project: str) -> bytes:
        """One project's evidence bundle, a zip."""
        return self._get("/v1/evidence", {"project": project}).content

    def export(self) -> str:
        """The whole log as JSON lines."""
        return self._get("/v1/export").text

    def _get(self, path: str, query: Mapping[str, str | int | None] | None = None) -> httpx.Response:
        try:
            answer = self._http.get(path, params=query)
        except httpx.TransportError as error:
            raise LedgerSilent from error
        if answer.is_error:
            raise LedgerSilent(f"{path}: {answer.status_code}")
        return answer
