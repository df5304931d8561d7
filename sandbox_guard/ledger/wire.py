"""What crosses between the ledger and those who ask it: the one contract of `Ledger` and its HTTP form.

Amounts are integers: rho in 1e-9, delta in 1e-15 (DESIGN section 9). No message holds a row count, a
pre-noise number or a duration that was measured.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated, Literal, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Units = Annotated[int, Field(ge=0, lt=2**62)]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Amount(Message):
    rho: Units
    delta: Units


# ----------------------------------------------------------------- what policy apply sends


class AccountCap(Message):
    """One budget. Levels nest: population, dataset, project, member (DESIGN section 5)."""

    level: Literal["population", "dataset", "project", "member"]
    population: str
    dataset: str | None = None
    project: str | None = None
    member: str | None = None
    cap: Amount


class ProjectTerms(Message):
    """What authorises a member's query, beside suspension."""

    project: str
    organisation: str
    purpose: str
    members: dict[str, str]
    """Member to role."""
    datasets: tuple[str, ...]
    agreement: str
    expires: dt.date
    free_queries: bool
    analyses: dict[str, Digest]
    """Approved analyses, by name, pinned to the digest of the file."""


class Terms(Message):
    """All that the ledger knows of policy. Applying it is one log entry that holds the digest."""

    policy_digest: Digest
    accounts: tuple[AccountCap, ...]
    projects: tuple[ProjectTerms, ...]
    files: dict[str, str] = {}
    """The policy files themselves, by path: whoever has the log can plan each of its queries again."""

    @model_validator(mode="after")
    def _name_each_once(self) -> Self:
        accounts = [account.model_dump_json(exclude={"cap"}) for account in self.accounts]
        for what, names in (("account", accounts), ("project", [each.project for each in self.projects])):
            if len(set(names)) < len(names):
                raise ValueError(f"each {what} is named once")
        return self


# ----------------------------------------------------------------------- a sandbox's own calls


class Asker(Message):
    """Whose sandbox speaks. Over HTTP it follows from the sandbox's token, never from the body."""

    member: str
    project: str


class Question(Message):
    """What makes two requests the same question."""

    digest: Digest
    """Over bound tree, epsilon or margin, asked K, now() and policy digest."""
    versions: dict[str, str]
    """Data version by dataset: 'serial-randomid'."""
    analysis: str | None = None
    analysis_digest: Digest | None = None


class Spend(Message):
    """The cost of all blocks over one population."""

    population: str
    cost: Amount
    datasets: dict[str, Amount]


class Claim(Message):
    """The time that a question needs at worst, of the vault cores of one host."""

    lane: Annotated[str, Field(min_length=1, max_length=200)]
    milliseconds: Annotated[int, Field(ge=1, lt=10**9)]
    """T: from policy, SQL and measured rates, never from the data."""
    shape: Digest
    """The plan without its literals."""
    counted: bool
    """Are these cores for vaults alone, so that an overrun counts against the allowance?"""


class ChargeRequest(Message):
    request_id: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{8,64}$")]
    """Double clicks, reconnects and retries carry the same one and buy one charge."""
    question: Question
    spends: tuple[Spend, ...]
    sql: str
    parameters: dict[str, str] = {}
    parameter_types: dict[str, str] = {}
    ask: str = ""
    """The price that was asked for, as text: with `today`, what `audit replan` needs to plan it again."""
    rows_per_unit: int | None = None
    today: dt.date | None = None
    plan_digest: Digest
    policy_digest: Digest
    releases_used: tuple[str, ...] = ()
    claim: Claim | None = None
    """None where nothing private is read."""
    guard_version: str
    opendp_version: str


class Reserved(Message):
    """When work on a question starts and when its answer leaves, fixed before anything is read."""

    lane: str
    starts_at: dt.datetime
    releases_at: dt.datetime
    wait: int
    """Milliseconds from this answer to the start, so that the two clocks need not agree."""
    milliseconds: int


class Release(Message):
    """Stored once per charge, shown only after it is stored."""

    release_id: str
    charge_id: str
    position: int
    """Of its entry in the log."""
    question: Question
    spends: tuple[Spend, ...]
    sql: str
    body: str
    """Canonical JSON of the released table, as the vault made it."""
    body_digest: Digest
    member: str
    project: str
    released_at: dt.datetime
    """As it was reserved, and not when the answer was ready."""
    overruns: int = 0
    """How often the reserved time doubled: the answer left after T, 2 T or 4 T."""


class Charge(Message):
    charge_id: str
    position: int
    reserved: Reserved | None = None
    """The time claimed; each time that a charge is handed out, another."""
    release: Release | None = None
    """Set when this request, or this question of this project, has been released already."""


class Mark(Message):
    """The highest entry that a vault was acknowledged, which it keeps outside the ledger: a ledger that no
    longer has it was set back."""

    position: int
    leaf_hash: Digest

    def __str__(self) -> str:
        return f"{self.position}:{self.leaf_hash}"

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Raises ValueError."""
        position, _, leaf_hash = text.partition(":")
        return cls(position=int(position), leaf_hash=leaf_hash)


class RefusalReport(Message):
    request_id: str
    sql: str
    parameters: dict[str, str] = {}
    parameter_types: dict[str, str] = {}
    rows_per_unit: int | None = None
    today: dt.date | None = None
    code: str
    policy_digest: Digest
    analysis: str | None = None
    guard_version: str = ""


# ------------------------------------------------------------------------------ budgets, log


class Balance(Message):
    account: AccountCap
    spent: Amount
    renewed: Amount = Amount(rho=0, delta=0)
    """Spent in earlier terms: stays in the displayed (epsilon, delta)."""


class Guarantee(Balance):
    """What all spending of this account amounts to, earlier terms included: (epsilon, epsilon_delta)-DP. Finding it
    takes milliseconds, so it is not with every balance."""

    epsilon: float
    epsilon_delta: float


class EntryKind(StrEnum):
    POLICY = "policy"
    CHARGE = "charge"
    RELEASE = "release"
    FAULT = "fault"
    REFUSAL = "refusal"
    REUSE = "reuse"
    """The same question answered again, free."""
    SUSPEND = "suspend"
    RESUME = "resume"
    RENEW = "renew"
    CLOSE = "close"
    SANDBOX = "sandbox"
    DOWNLOAD = "download"
    """A file leaves a notebook, or was not let."""
    LOAD = "load"
    """A new data version: dataset, serial and random id."""
    RESERVE = "reserve"
    """A charge is tried again, in time of its own."""
    RESTORE = "restore"
    """The ledger was restored from a backup, and what became of the gap."""


class Entry(Message):
    """One leaf of the log, as shown; `leaf` is the canonical encoding that is hashed."""

    position: int
    at: dt.datetime
    kind: EntryKind
    actor: str
    project: str | None
    facts: dict[str, object]
    leaf: str


class Download(Message):
    """What a gate saw leave a notebook, or did not let out."""

    what: Literal["download", "opened"]
    path: Annotated[str, Field(max_length=300)]
    bytes: Units
    outcome: Literal["passed", "closed", "too_large"]


class Sandbox(Message):
    """A vault's right to charge, publish and log for one member and project."""

    sandbox_id: str
    token: str
    """Shown once, to the hub, which hands it to the vault; the ledger keeps its hash."""
    position: int
    """Of the entry that registered it: what was suspended after it ends it."""


# ------------------------------------------------------------------- what stewards and auditors send


class Subject(Message):
    """What a suspension is about."""

    kind: Literal["member", "project", "dataset", "shape"]
    """A shape is a plan without its literals, by its digest."""
    name: str


class Standing(Message):
    """A subject that is suspended or closed."""

    subject: Subject
    state: Literal["suspended", "closed"]
    position: int


class Act(Message):
    """Who decides, and why: every change by a person is an entry with both."""

    actor: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]


class EntryFilter(Message):
    """Which entries; those left out do not narrow. Newest first, at most `limit`, before position `before`."""

    actor: str | None = None
    project: str | None = None
    dataset: str | None = None
    kind: EntryKind | None = None
    code: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    min_rho: Units | None = None
    text: str | None = None
    """Occurs in the SQL or the facts, as the entry encodes it."""
    before: Units | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class EntryPage(Message):
    entries: tuple[Entry, ...]
    next_before: int | None
    """Give it as `before` for the next page; None on the last."""


class Ledger(Protocol):
    """In process (`sandbox_guard.ledger.store.LedgerStore`) and over HTTP
    (`sandbox_guard.ledger.remote.RemoteLedger`) alike. Budget and access failures are `Refused`
    with codes `budget.*` and `access.*`."""

    def find(self, asker: Asker, question: Question) -> Release | None:
        """Authorise (member, agreement, suspension, approved analyses), then look for a release of
        the same question over the same versions to the same project. Finding one logs REUSE."""

    def charge(self, asker: Asker, request: ChargeRequest) -> Charge:
        """Authorise, then take the cost from every account concerned, reserve the time claimed and append the
        entry, in one transaction. The same `request_id` gives the same charge."""

    def publish(self, asker: Asker, charge_id: str, body: str, overruns: int = 0) -> Release:
        """Store the one release of this charge; a second call returns the first one's. To be called at the
        release time, after so many doublings of it."""

    def fault(self, asker: Asker, charge_id: str, overruns: int = 0) -> None:
        """Log, at the release time, that the charge has no release yet. A later `publish` may still finish it."""

    def refuse(self, asker: Asker, report: RefusalReport) -> None:
        """Log a refused request."""

    def balances(self, asker: Asker) -> tuple[Balance, ...]:
        """The member's own accounts and those above them."""

    def guarantees(self, asker: Asker) -> tuple[Guarantee, ...]:
        """The same, with what they amount to."""

    def history(self, asker: Asker) -> tuple[Release, ...]:
        """What this project has been released, newest first."""
