"""The ledger in process: every method is one transaction over state and log.

What a vault may do stands first and is the `Ledger` protocol of `wire`; then what the hub, stewards and
auditors do. Who may call what is decided by `service`, which has a token for each caller.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from sandbox_guard.errors import Fault, Refused
from sandbox_guard.ledger import access, accounts, allowance, lanes, log, releases, schema
from sandbox_guard.ledger.accounts import ToEpsilon
from sandbox_guard.ledger.database import open_database, reading
from sandbox_guard.ledger.log import Clock, Signer, stamp
from sandbox_guard.ledger.migrations import migrate
from sandbox_guard.ledger.report import Report, entries_between, report
from sandbox_guard.ledger.transaction import Transaction, Writer
from sandbox_guard.ledger.wire import (
    Act,
    Asker,
    Balance,
    Charge,
    ChargeRequest,
    Claim,
    Download,
    Entry,
    EntryFilter,
    EntryKind,
    EntryPage,
    Guarantee,
    Mark,
    ProjectTerms,
    Question,
    RefusalReport,
    Release,
    Reserved,
    Sandbox,
    Standing,
    Subject,
    Terms,
)

MOST_OVERRUNS = 20
"""On reserved cores an answer leaves at T, 2 T or 4 T; on others it may take its time, and nothing is promised."""


class LedgerStore:
    """Implements `wire.Ledger` on a database of its own.

    `url` is SQLAlchemy's (`sqlite:////…/ledger.sqlite`, `postgresql+psycopg://…`), `signing_key` a file that
    is made on first use, `to_epsilon` turns micro-units of rho and delta into what people are shown. Methods
    raise Refused (`budget.*`, `access.*`), Fault where the database fails, and ValueError for a message that
    no honest caller sends.
    """

    def __init__(
        self, url: str, *, signing_key: Path, to_epsilon: ToEpsilon, clock: Clock = log.utc_now
    ) -> None:
        self.engine = open_database(url)
        migrate(self.engine)
        self.signer = Signer.at(signing_key)
        self._to_epsilon = to_epsilon
        self._clock = clock
        self.writer = Writer(self.engine, self.signer, clock)

    def close(self) -> None:
        self.engine.dispose()

    # ----------------------------------------------------------------- for a vault: wire.Ledger

    def find(self, asker: Asker, question: Question) -> Release | None:
        with self._reading() as connection:
            access.authorise(connection, asker, question, self._now(connection))
            if releases.of_question(connection, asker, question) is None:
                return None
        with self.writer.transaction() as tx:
            access.authorise(tx.connection, asker, question, tx.now)
            release = releases.of_question(tx.settled, asker, question)
            if release is not None:
                _log_reuse(tx, asker, question, release.charge_id, release.release_id)
            return release

    def charge(self, asker: Asker, request: ChargeRequest) -> Charge:
        _check_amounts(request)
        with self.writer.transaction() as tx:
            terms = access.authorise(tx.connection, asker, request.question, tx.now)
            paid = _paid_already(tx, asker, request)
            if paid is not None:
                return self._handed_out_again(tx, asker, request, paid)
            if tx.restored is not None:
                raise Refused("budget.ledger_restored")
            if request.policy_digest != tx.policy_digest:
                raise Refused("access.policy_not_applied")
            reserved = self._reserved(tx, asker, request.claim)
            taken = accounts.take(tx.connection, asker, request.spends)
            charge_id = secrets.token_hex(16)
            facts = {
                **_who(asker, terms),
                **request.model_dump(mode="json"),
                "charge_id": charge_id,
                "accounts": taken,
                **_times(reserved),
            }
            position = tx.append(EntryKind.CHARGE, asker.member, asker.project, facts)
            tx.connection.execute(
                _INSERT_CHARGE,
                {
                    "charge_id": charge_id,
                    "position": position,
                    "project": asker.project,
                    "member": asker.member,
                    "request_id": request.request_id,
                    "question": releases.question_key(request.question),
                    "plan_digest": request.plan_digest,
                    "lost": False,
                },
            )
            if reserved is not None and request.claim is not None:
                lanes.kept(tx.connection, reserved, request.claim, charge_id, asker.member, position)
            return Charge(charge_id=charge_id, position=position, reserved=reserved)

    def _reserved(self, tx: Transaction, asker: Asker, claim: Claim | None) -> Reserved | None:
        if claim is None:
            return None
        allowance.check(tx.connection, asker, claim, tx.now)
        return lanes.reserve(tx.connection, claim, self._clock())

    def _handed_out_again(
        self, tx: Transaction, asker: Asker, request: ChargeRequest, paid: Charge
    ) -> Charge:
        """What was paid for and not released is tried again, in time of its own."""
        if paid.release is not None or request.claim is None:
            return paid
        reserved = self._reserved(tx, asker, request.claim)
        assert reserved is not None
        claim = {"claim": request.claim.model_dump(mode="json"), **_times(reserved)}
        facts = {"member": asker.member, "charge_id": paid.charge_id, **claim}
        position = tx.append(EntryKind.RESERVE, asker.member, asker.project, facts)
        lanes.kept(tx.connection, reserved, request.claim, paid.charge_id, asker.member, position)
        return paid.model_copy(update={"reserved": reserved})

    def publish(self, asker: Asker, charge_id: str, body: str, overruns: int = 0) -> Release:
        from_json(body)
        with self.writer.transaction() as tx:
            charge = _own_charge(tx.connection, asker, charge_id)
            release = releases.of_charge(tx.settled, asker, charge_id)
            if release is not None:
                return release
            if charge.lost:
                raise Refused("budget.release_lost")
            release_id = secrets.token_hex(16)
            facts = {
                "member": asker.member,
                "charge_id": charge_id,
                "release_id": release_id,
                "body_digest": releases.digest_of(body),
            }
            position = _leaves(tx, EntryKind.RELEASE, asker, facts, overruns)
            tx.connection.execute(
                _INSERT_RELEASE,
                {
                    "release_id": release_id,
                    "charge_id": charge_id,
                    "position": position,
                    "project": charge.project,
                    "question": charge.question,
                    "body": body,
                },
            )
            release = releases.of_charge(tx.settled, asker, charge_id)
            assert release is not None
            return release

    def mark_of(self, position: int) -> Mark:
        """What a vault keeps of an entry that it was acknowledged."""
        committed = self.writer.committed.get(position)
        if committed is not None:  # by this process, a moment ago: no need to ask the database
            return Mark(position=position, leaf_hash=committed)
        with self._reading() as connection:
            mark = self._mark(connection, position)
        if mark is None:
            raise ValueError("no such entry")
        return mark

    def fault(self, asker: Asker, charge_id: str, overruns: int = 0) -> None:
        with self.writer.transaction() as tx:
            _own_charge(tx.connection, asker, charge_id)
            facts = {"member": asker.member, "charge_id": charge_id}
            _leaves(tx, EntryKind.FAULT, asker, facts, overruns)

    def refuse(self, asker: Asker, report: RefusalReport) -> None:
        with self.writer.transaction() as tx:
            terms = access.terms_of(tx.connection, asker.project)
            facts = {**_who(asker, terms), **report.model_dump(mode="json")}
            tx.append(EntryKind.REFUSAL, asker.member, asker.project, facts)

    def balances(self, asker: Asker) -> tuple[Balance, ...]:
        with self._reading() as connection:
            terms = access.terms_of(connection, asker.project)
            if terms is None or asker.member not in terms.members:
                raise Refused("access.not_member", member=asker.member, project=asker.project)
            return self._balances(connection, asker, terms)

    def guarantees(self, asker: Asker) -> tuple[Guarantee, ...]:
        return tuple(accounts.guarantee_of(b, self._to_epsilon) for b in self.balances(asker))

    def history(self, asker: Asker) -> tuple[Release, ...]:
        with self._reading() as connection:
            terms = access.admit(connection, asker, self._now(connection))
            found = releases.of_project(connection, asker)
            if access.analyses_only(terms, asker.member):
                return tuple(release for release in found if access.approved(terms, release.question))
            return found

    # -------------------------------------------------------------------------- for the hub

    def open_sandbox(self, asker: Asker, actor: str) -> Sandbox:
        """A new right to speak for this member and project. Raises Refused where they may not work now."""
        sandbox_id, token = secrets.token_hex(8), f"sgl_{secrets.token_urlsafe(32)}"
        with self.writer.transaction() as tx:
            access.admit(tx.connection, asker, tx.now)
            tx.connection.execute(
                insert(schema.Sandbox),
                {
                    "sandbox_id": sandbox_id,
                    "member": asker.member,
                    "project": asker.project,
                    "token_hash": releases.digest_of(token),
                    "ended": False,
                },
            )
            facts = {"member": asker.member, "sandbox_id": sandbox_id, "state": "open"}
            position = tx.append(EntryKind.SANDBOX, actor, asker.project, facts)
        return Sandbox(sandbox_id=sandbox_id, token=token, position=position)

    def end_sandbox(self, sandbox_id: str, actor: str) -> None:
        """Its token is worth nothing from now on. Ending it twice, or one there never was, does nothing."""
        with self.writer.transaction() as tx:
            sandbox = tx.connection.execute(
                select(schema.Sandbox.__table__).where(
                    schema.Sandbox.sandbox_id == sandbox_id, schema.Sandbox.ended.is_(False)
                )
            ).one_or_none()
            if sandbox is None:
                return
            tx.connection.execute(
                update(schema.Sandbox).where(schema.Sandbox.sandbox_id == sandbox_id).values(ended=True)
            )
            facts = {"member": sandbox.member, "sandbox_id": sandbox_id, "state": "ended"}
            tx.append(EntryKind.SANDBOX, actor, sandbox.project, facts)

    def download(self, asker: Asker, seen: Download) -> int:
        """Log it; returns the position. Whether it may pass is the policy's, which the hub reads."""
        with self.writer.transaction() as tx:
            return tx.append(EntryKind.DOWNLOAD, asker.member, asker.project, seen.model_dump())

    def admitted(self, token: str, mark: Mark | None) -> Asker:
        """Whose sandbox holds this token. Raises Refused where none does, and where this ledger has not got, or no
        longer has, what the sandbox's vault was acknowledged: it was set back, and takes no charges until
        `backup.reopen`."""
        with self._reading() as connection:
            sandbox = connection.execute(
                select(schema.Sandbox.member, schema.Sandbox.project).where(
                    schema.Sandbox.token_hash == releases.digest_of(token), schema.Sandbox.ended.is_(False)
                )
            ).one_or_none()
            if sandbox is None:
                raise Refused("access.sandbox_ended")
            behind = mark is not None and mark != self._mark(connection, mark.position)
        if behind:
            assert mark is not None
            with self.writer.transaction() as tx:
                tx.restored = tx.restored or f"a vault was acknowledged entry {mark.position}"
            raise Refused("budget.ledger_behind")
        return Asker(member=sandbox.member, project=sandbox.project)

    # ------------------------------------------------------------------------ for the steward

    def apply(self, terms: Terms, act: Act) -> int:
        """Put a policy in force; returns the position of its entry. What was spent stays spent."""
        with self.writer.transaction() as tx:
            accounts.set_caps(tx.connection, terms.accounts)
            tx.connection.execute(delete(schema.Project))
            if terms.projects:
                tx.connection.execute(
                    insert(schema.Project),
                    [{"name": p.project, "terms": p.model_dump_json()} for p in terms.projects],
                )
            tx.policy_digest = terms.policy_digest
            caps = [
                {"account": accounts.account_of(cap), "rho": cap.cap.rho, "delta": cap.cap.delta}
                for cap in terms.accounts
            ]
            facts = {
                "reason": act.reason,
                "policy_digest": terms.policy_digest,
                "accounts": sorted(caps, key=lambda cap: str(cap["account"])),
                "projects": [project.model_dump(mode="json") for project in terms.projects],
                "files": terms.files,
            }
            return tx.append(EntryKind.POLICY, act.actor, None, facts)

    def suspend(self, subject: Subject, act: Act) -> int:
        """Takes effect on the next question, the free ones too."""
        return self._stand(EntryKind.SUSPEND, subject, "suspended", act)

    def resume(self, subject: Subject, act: Act) -> int:
        return self._stand(EntryKind.RESUME, subject, None, act)

    def close_project(self, project: str, act: Act) -> int:
        """For good: no later policy opens it again."""
        return self._stand(EntryKind.CLOSE, Subject(kind="project", name=project), "closed", act)

    def _stand(self, kind: EntryKind, subject: Subject, state: str | None, act: Act) -> int:
        with self.writer.transaction() as tx:
            standing = schema.Standing
            this = (standing.kind == subject.kind) & (standing.name == subject.name)
            if tx.connection.scalar(select(standing.state).where(this)) == "closed":
                raise Refused("access.project_closed", project=subject.name)
            facts = {"reason": act.reason, "subject": subject.model_dump()}
            project = subject.name if subject.kind == "project" else None
            position = tx.append(kind, act.actor, project, facts)
            tx.connection.execute(delete(standing).where(this))
            if subject.kind == "shape" and state is None:
                allowance.forgive(tx.connection, subject.name)
            if state is not None:
                row = {"kind": subject.kind, "name": subject.name, "state": state, "position": position}
                tx.connection.execute(insert(standing), row)
            return position

    def renew(self, account: str, act: Act) -> int:
        """Start a new term of one account (its key, such as `project/p1/firms`)."""
        with self.writer.transaction() as tx:
            spent = accounts.renew(tx.connection, account)
            facts = {"reason": act.reason, "account": account, "spent": spent.model_dump()}
            return tx.append(EntryKind.RENEW, act.actor, None, facts)

    def record_load(self, dataset: str, version: str, act: Act) -> int:
        """A new data version there is. Recording it again changes nothing."""
        load = schema.Load
        with self.writer.transaction() as tx:
            known = tx.connection.scalar(
                select(load.position).where(load.dataset == dataset, load.version == version)
            )
            if known is not None:
                return known
            facts = {"reason": act.reason, "dataset": dataset, "version": version}
            position = tx.append(EntryKind.LOAD, act.actor, None, facts)
            row = {"dataset": dataset, "version": version, "position": position}
            tx.connection.execute(insert(load), row)
            return position

    # ------------------------------------------------------------------------ for the auditor

    def standings(self) -> tuple[Standing, ...]:
        """Who and what is suspended or closed."""
        table = schema.Standing.__table__
        with self._reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.kind, table.c.name))
            return tuple(
                Standing(
                    subject=Subject(kind=row.kind, name=row.name), state=row.state, position=row.position
                )
                for row in rows
            )

    def all_guarantees(self) -> tuple[Guarantee, ...]:
        with self._reading() as connection:
            budgets = connection.execute(
                select(schema.Budget.__table__).order_by(schema.Budget.account)
            ).all()
        return tuple(accounts.guarantee_of(accounts.balance_of(b), self._to_epsilon) for b in budgets)

    def entries(self, wanted: EntryFilter) -> EntryPage:
        with self._reading() as connection:
            found = connection.execute(_matching(wanted).limit(wanted.limit + 1)).all()
        more = len(found) > wanted.limit
        page = found[: wanted.limit]
        return EntryPage(
            entries=tuple(_entry(row.leaf) for row in page), next_before=page[-1].position if more else None
        )

    def matching(self, wanted: EntryFilter) -> Iterator[Entry]:
        """All that match, newest first, whatever `limit` says."""
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=1000).execute(_matching(wanted))
            yield from (_entry(row.leaf) for row in rows)

    def report(self, project: str, since: dt.datetime, until: dt.datetime) -> Report:
        """What the project did from `since` on and before `until`; days are those of `since`'s zone."""
        with self._reading() as connection:
            return report(project, since, until, entries_between(connection, project, since, until))

    def export(self) -> Iterator[str]:
        """The lines of an export, for `verify`."""
        return log.export(self.engine, self.signer)

    def checkpoint(self, size: int | None = None) -> str:
        """A signed note of the log as it is, or as it was at `size` entries (ValueError where it never was)."""
        with self._reading() as connection:
            if size is not None and not 0 <= size <= _size(connection):
                raise ValueError("the log never had that size")
            return log.checkpoint(connection, self.signer, size)

    @property
    def size(self) -> int:
        """How many entries there are."""
        with self._reading() as connection:
            return _size(connection)

    @property
    def now(self) -> str:
        """The ledger's time in UTC, which never runs backwards."""
        with self._reading() as connection:
            return self._now(connection)

    @property
    def public_key(self) -> str:
        return str(self.signer.public)

    def inclusion_proof(self, position: int, size: int) -> list[str]:
        """Hashes in hex. Raises ValueError where the log has no such entry or size."""
        with self._reading() as connection:
            if not 0 <= position < size <= _size(connection):
                raise ValueError("no such entry in a log of that size")
            return [h.hex() for h in log.inclusion_proof(connection, position, size)]

    def consistency_proof(self, old: int, new: int) -> list[str]:
        with self._reading() as connection:
            if not 0 <= old <= new <= _size(connection):
                raise ValueError("no such sizes")
            return [h.hex() for h in log.consistency_proof(connection, old, new)]

    # ------------------------------------------------------------------------------- inside

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with reading(self.engine) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise Fault from error

    def _mark(self, connection: Connection, position: int) -> Mark | None:
        found = connection.scalar(_HASH_OF, {"position": position})
        return Mark(position=position, leaf_hash=bytes(found).hex()) if found is not None else None

    def _now(self, connection: Connection) -> str:
        return max(stamp(self._clock()), connection.scalar(select(schema.Head.at)) or "")

    def _balances(self, connection: Connection, asker: Asker, terms: ProjectTerms) -> tuple[Balance, ...]:
        """This member's accounts and those above: same project, or granted datasets and their populations."""
        budgets = connection.execute(select(schema.Budget.__table__).order_by(schema.Budget.account)).all()
        own = [b for b in budgets if b.project == asker.project and b.member in (None, asker.member)]
        populations = {budget.population for budget in own}
        shown = [
            *own,
            *(b for b in budgets if b.level == "dataset" and b.dataset in terms.datasets),
            *(b for b in budgets if b.level == "population" and b.population in populations),
        ]
        shown.sort(key=lambda b: (b.population, -accounts.LEVELS.index(b.level), b.account))
        return tuple(map(accounts.balance_of, shown))


_HASH_OF = select(schema.Entry.leaf_hash).where(schema.Entry.position == bindparam("position"))
_INSERT_CHARGE = insert(schema.table(schema.Charge))
_INSERT_RELEASE = insert(schema.table(schema.Release))


def _size(connection: Connection) -> int:
    return connection.scalar(select(func.max(schema.Entry.position) + 1)) or 0


def _check_amounts(request: ChargeRequest) -> None:
    """Raises ValueError for a cost that rounds to nothing or that its datasets do not account for."""
    seen = set()
    for spend in request.spends:
        parts = spend.datasets.values()
        if spend.population in seen:
            raise ValueError("a population stands in one spend")
        seen.add(spend.population)
        if spend.cost.rho < 1 or any(part.rho < 1 for part in parts):
            raise ValueError("every charge is at least one micro-unit of rho")
        if any(part.rho > spend.cost.rho or part.delta > spend.cost.delta for part in parts):
            raise ValueError("a dataset's part is above the whole cost")
        if sum(part.rho for part in parts) < spend.cost.rho or sum(p.delta for p in parts) < spend.cost.delta:
            raise ValueError("the datasets' parts do not cover the cost")
        if not spend.datasets.keys() <= request.question.versions.keys():
            raise ValueError("a dataset is charged whose version is not named")


def _who(asker: Asker, terms: ProjectTerms | None) -> dict[str, object]:
    """Person, organisation and purpose, as every logged request has them."""
    return {
        "member": asker.member,
        "role": terms.members.get(asker.member) if terms else None,
        "organisation": terms.organisation if terms else None,
        "purpose": terms.purpose if terms else None,
        "agreement": terms.agreement if terms else None,
    }


def _paid_already(tx: Transaction, asker: Asker, request: ChargeRequest) -> Charge | None:
    """The charge of this request, or that of the same question: its release, or the right to finish it."""
    earlier = releases.earlier_charges(tx.connection, asker, request)
    same_request = [c for c in earlier if (c.member, c.request_id) == (asker.member, request.request_id)]
    if same_request:
        charge = same_request[0]
        _check_same(charge, request)
        return _charge(tx, asker, charge)
    of_question = [charge for charge in earlier if charge.released is not None] or [
        charge for charge in earlier if charge.plan_digest == request.plan_digest and not charge.lost
    ]
    if not of_question:
        return None
    charge = of_question[0]
    _log_reuse(tx, asker, request.question, charge.charge_id, charge.released)
    return _charge(tx, asker, charge)


def _check_same(charge: Row[Any], request: ChargeRequest) -> None:
    """May a retry have this charge? A charge is finished by the plan that it paid for, or not at all."""
    if charge.question != releases.question_key(request.question):
        raise Refused("budget.request_reused", request_id=request.request_id)
    if charge.released is None and charge.lost:
        raise Refused("budget.release_lost")
    if charge.released is None and charge.plan_digest != request.plan_digest:
        raise Refused("budget.request_reused", request_id=request.request_id)


def _charge(tx: Transaction, asker: Asker, charge: Row[Any]) -> Charge:
    release = releases.of_charge(tx.settled, asker, charge.charge_id) if charge.released else None
    return Charge(charge_id=charge.charge_id, position=charge.position, release=release)


def _times(reserved: Reserved | None) -> dict[str, object]:
    """As an entry records them."""
    if reserved is None:
        return {}
    return {
        "starts_at": lanes.stamp(reserved.starts_at),
        "releases_at": lanes.stamp(reserved.releases_at),
    }


def _leaves(
    tx: Transaction, kind: EntryKind, asker: Asker, facts: Mapping[str, object], overruns: int
) -> int:
    """The entry of an answer or a Fault: when it left, which was fixed before anything was read but for the
    doublings, and what those told."""
    if not 0 <= overruns <= MOST_OVERRUNS:
        raise ValueError(f"an answer leaves after at most {MOST_OVERRUNS} doublings")
    reservation = lanes.reserved_for(tx.connection, str(facts["charge_id"]), asker.member)
    told = allowance.bits(reservation, overruns, fault=kind is EntryKind.FAULT)
    if reservation is not None:
        left = lanes.stamp(lanes.released_at(reservation, overruns))
        facts = {**facts, "released_at": left, "overruns": overruns, "told": told}
    position = tx.append(kind, asker.member, asker.project, facts)
    allowance.note(tx, asker, reservation, overruns, told, position)
    return position


def _log_reuse(
    tx: Transaction, asker: Asker, question: Question, charge_id: str, release_id: str | None
) -> None:
    facts = {
        **_who(asker, access.terms_of(tx.connection, asker.project)),
        "question": question.model_dump(mode="json"),
        "charge_id": charge_id,
        "release_id": release_id,
    }
    tx.append(EntryKind.REUSE, asker.member, asker.project, facts)


def _own_charge(connection: Connection, asker: Asker, charge_id: str) -> Row[Any]:
    table = schema.Charge.__table__
    charge = connection.execute(
        select(table).where(table.c.charge_id == charge_id, table.c.project == asker.project)
    ).one_or_none()
    if charge is None:
        raise Refused("access.not_yours")
    return charge


# ------------------------------------------------------------------------------------- search


def _entry(leaf: str) -> Entry:
    entry = json.loads(leaf)
    return Entry(
        position=entry["position"],
        at=entry["at"],
        kind=entry["kind"],
        actor=entry["actor"],
        project=entry["project"],
        facts=entry["facts"],
        leaf=leaf,
    )


def _matching(wanted: EntryFilter) -> Select[int, str]:
    entry = schema.Entry
    query = select(entry.position, entry.leaf).order_by(entry.position.desc())
    if wanted.before is not None:
        query = query.where(entry.position < wanted.before)
    if wanted.actor is not None:
        query = query.where(entry.actor == wanted.actor)
    if wanted.project is not None:
        query = query.where(entry.project == wanted.project)
    if wanted.kind is not None:
        query = query.where(entry.kind == wanted.kind.value)
    if wanted.code is not None:
        query = query.where(entry.code == wanted.code)
    if wanted.since is not None:
        query = query.where(entry.at >= stamp(wanted.since))
    if wanted.until is not None:
        query = query.where(entry.at <= stamp(wanted.until))
    if wanted.min_rho is not None:
        query = query.where(entry.rho >= wanted.min_rho)
    if wanted.text is not None:
        query = query.where(entry.leaf.icontains(json.dumps(wanted.text)[1:-1], autoescape=True))
    if wanted.dataset is not None:
        about = select(schema.EntryDataset.position).where(schema.EntryDataset.dataset == wanted.dataset)
        query = query.where(entry.position.in_(about))
    return query
