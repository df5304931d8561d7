"""The ledger over HTTP, on 127.0.0.1 only: `python -m sandbox_guard.ledger.service`.

A vault speaks with its sandbox's token, which the hub obtained for it; hub, portal and the stewards' and
auditors' command line each hold a token of their own. `SCOPES` is all there is to know about who may do what.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import io
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    disable_created_metrics,
    generate_latest,
)
from pydantic import AwareDatetime
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as ASGIMessage

from sandbox_guard.errors import Fault, Refused
from sandbox_guard.ledger.checkpoints import CheckpointWriter
from sandbox_guard.ledger.evidence import write_bundle, write_csv, write_parquet
from sandbox_guard.ledger.report import Report
from sandbox_guard.ledger.settings import Settings
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import (
    Act,
    Asker,
    Balance,
    Charge,
    ChargeRequest,
    Download,
    EntryFilter,
    EntryPage,
    Guarantee,
    Mark,
    Message,
    Question,
    RefusalReport,
    Release,
    Sandbox,
    Standing,
    Subject,
    Terms,
)

MARK = "Ledger-Mark"
"""Header in which the ledger says what it acknowledges, and a vault what it was acknowledged last."""


class Caller(StrEnum):
    ANYONE = "anyone"
    VAULT = "vault"
    HUB = "hub"
    PORTAL = "portal"
    ADMIN = "admin"


ANYONE, VAULT, HUB, PORTAL, ADMIN = Caller

SCOPES: Mapping[str, frozenset[Caller]] = {
    endpoint: frozenset(callers)
    for endpoint, *callers in (
        ("GET /health", ANYONE),
        ("GET /metrics", ANYONE),
        ("GET /v1/public-key", ANYONE),
        # a vault, for the member and project of its own sandbox
        ("POST /v1/find", VAULT),
        ("POST /v1/charges", VAULT),
        ("POST /v1/charges/{charge_id}/release", VAULT),
        ("POST /v1/charges/{charge_id}/fault", VAULT),
        ("POST /v1/refusals", VAULT),
        ("GET /v1/balances", VAULT),
        ("GET /v1/guarantees", VAULT),
        ("GET /v1/history", VAULT),
        # sandboxes come and go
        ("POST /v1/sandboxes", HUB),
        ("DELETE /v1/sandboxes/{sandbox_id}", HUB),
        # what leaves a notebook
        ("POST /v1/downloads", HUB),
        ("GET /v1/standings", HUB, PORTAL, ADMIN),
        # what pages and auditors read
        ("GET /v1/accounts", PORTAL, ADMIN),
        ("GET /v1/entries", PORTAL, ADMIN),
        ("GET /v1/export", PORTAL, ADMIN),
        ("GET /v1/entries.csv", PORTAL, ADMIN),
        ("GET /v1/entries.parquet", PORTAL, ADMIN),
        ("GET /v1/evidence", PORTAL, ADMIN),
        ("GET /v1/report", PORTAL, ADMIN),
        ("GET /v1/checkpoint", PORTAL, ADMIN),
        ("GET /v1/proofs/inclusion", PORTAL, ADMIN),
        ("GET /v1/proofs/consistency", PORTAL, ADMIN),
        # what stewards decide
        ("PUT /v1/terms", ADMIN),
        ("POST /v1/suspensions", ADMIN),
        ("POST /v1/resumptions", ADMIN),
        ("POST /v1/renewals", ADMIN),
        ("POST /v1/closings", ADMIN),
        ("POST /v1/loads", ADMIN),
    )
}
"""Endpoint to those who may call it. One that is not here is open to nobody."""


class NewSandbox(Message):
    member: str
    project: str


class NewDownload(Download):
    member: str
    project: str


class Departure(Message):
    """When something leaves: after so many doublings of its time."""

    overruns: int = 0


class Publication(Departure):
    body: str


class NewTerms(Message):
    terms: Terms
    act: Act


class Decision(Message):
    subject: Subject
    act: Act


class Closing(Message):
    project: str
    act: Act


class Renewal(Message):
    account: str
    act: Act


class NewLoad(Message):
    dataset: str
    version: str
    act: Act


class Position(Message):
    position: int


class Proof(Message):
    hashes: tuple[str, ...]


class Problem(Message):
    """Why a call failed: `refused` as `Refused.as_dict`, `fault`, or `error` for a call that makes no sense."""

    refused: dict[str, Any] | None = None
    fault: dict[str, Any] | None = None
    error: str | None = None


PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"description": why, "content": {"application/json": {"schema": Problem.model_json_schema()}}}
    for code, why in {
        400: "A call that makes no sense",
        401: "No token",
        403: "Not with this token, or refused by a rule of access",
        422: "Refused by a budget",
        500: "Fault",
    }.items()
}
"""Written out, since a `model` would be described in the content type of the answer that succeeds."""


class NotAllowed(Exception):
    """No token, or one that is worth nothing here."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def create_app(store: LedgerStore, tokens: Mapping[Caller, str], checkpoints: Path) -> FastAPI:
    """`tokens` are those of hub, portal and admin; `checkpoints` is the folder they are written to."""
    app = FastAPI(
        title="Sandbox Guard ledger",
        version="1",
        responses=PROBLEMS,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.store, app.state.checkpoints = store, checkpoints
    app.state.callers = {_hash(token): caller for caller, token in tokens.items()}
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(ValueError, _malformed)
    app.add_exception_handler(Exception, _fault)
    _add_metrics(app, store)
    _add_public_calls(app, store)
    guarded = APIRouter(dependencies=[Depends(_permit)])
    _add_vault_calls(guarded, store)
    _add_hub_calls(guarded, store)
    _add_reading_calls(guarded, store)
    _add_steward_calls(guarded, store)
    app.include_router(guarded)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.enter_context(CheckpointWriter(app.state.store, app.state.checkpoints))
        yield
    app.state.store.close()


def _add_metrics(app: FastAPI, store: LedgerStore) -> None:
    """Calls by endpoint and status, and the size of the log. A histogram of durations, which such libraries
    offer first, would tell when a private query ran long."""
    app.state.registry = CollectorRegistry()
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the time of a first call is nobody's business
    calls = Counter("ledger_calls", "Calls answered", ("endpoint", "status"), registry=app.state.registry)
    Gauge("ledger_entries", "Entries in the log", registry=app.state.registry).set_function(
        lambda: store.size
    )

    app.add_middleware(_Counted, calls=calls)


class _Counted:
    """Plain ASGI: the usual middleware would run each call in a task of its own."""

    def __init__(self, app: ASGIApp, calls: Counter) -> None:
        self.app, self.calls = app, calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: ASGIMessage) -> None:
            if message["type"] == "http.response.start":
                route = scope.get("route")
                endpoint = f"{scope['method']} {route.path}" if route is not None else "unknown"
                self.calls.labels(endpoint, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, counting if scope["type"] == "http" else send)


# -------------------------------------------------------------------------------------- who calls


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


_bearer = HTTPBearer(auto_error=False, description="A service's or a sandbox's token")


def _permit(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Runs before every endpoint but the public ones; leaves the sandbox's member and project for those of a vault."""
    allowed = SCOPES.get(f"{request.method} {request.scope['route'].path}", frozenset())
    if credentials is None:
        raise NotAllowed(401, "a bearer token is needed")
    caller = _caller(request, credentials.credentials)
    if caller is None and VAULT in allowed:
        mark = Mark.parse(request.headers[MARK]) if MARK in request.headers else None
        request.state.asker = request.app.state.store.admitted(credentials.credentials, mark)
    elif caller not in allowed:
        raise NotAllowed(403, "this token may not do that")


def _caller(request: Request, token: str) -> Caller | None:
    """The service that holds this token, compared in constant time with each."""
    given, found = _hash(token), None
    for known, caller in request.app.state.callers.items():
        if hmac.compare_digest(known, given):
            found = caller
    return found


async def _asker(request: Request) -> Asker:  # async: runs at once, without waiting for a thread
    asker = request.state.asker
    assert isinstance(asker, Asker)
    return asker


Own = Annotated[Asker, Depends(_asker)]
Id = Annotated[str, InPath(pattern=r"^[0-9a-f]{16,64}$")]

# --------------------------------------------------------------------------------------- failures


def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    status = 403 if error.code.startswith("access.") else 422
    return JSONResponse({"refused": error.as_dict()}, status)


def _not_allowed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NotAllowed)
    challenge = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse({"error": str(error)}, error.status, headers=challenge)


def _malformed(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestValidationError):  # where and what, without repeating what was sent
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return JSONResponse({"error": what}, 400)
    return JSONResponse({"error": str(error)}, 400)


def _fault(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"fault": Fault().as_dict()}, 500)


# -------------------------------------------------------------------------------------- endpoints


def _add_vault_calls(app: APIRouter, store: LedgerStore) -> None:
    @app.post("/v1/find")
    def find(asker: Own, question: Question) -> Release | None:
        """Authorise the question and return this project's release of it, if there is one."""
        return store.find(asker, question)

    @app.post("/v1/charges")
    def charge(asker: Own, request: ChargeRequest, response: Response) -> Charge:
        """Take the cost from every budget concerned, or from none. The same request id buys once."""
        charge = store.charge(asker, request)
        response.headers[MARK] = str(store.mark_of(charge.position))
        return charge

    @app.post("/v1/charges/{charge_id}/release")
    def publish(asker: Own, charge_id: Id, publication: Publication, response: Response) -> Release:
        """Store the charge's one release; a second call returns the first."""
        release = store.publish(asker, charge_id, publication.body, publication.overruns)
        response.headers[MARK] = str(store.mark_of(release.position))
        return release

    @app.post("/v1/charges/{charge_id}/fault", status_code=204)
    def fault(asker: Own, charge_id: Id, departure: Departure) -> None:
        """Log that the charge has no release yet."""
        store.fault(asker, charge_id, departure.overruns)

    @app.post("/v1/refusals", status_code=204)
    def refuse(asker: Own, report: RefusalReport) -> None:
        """Log a refused request."""
        store.refuse(asker, report)

    @app.get("/v1/balances")
    def balances(asker: Own) -> tuple[Balance, ...]:
        """The member's own budgets and those above them."""
        return store.balances(asker)

    @app.get("/v1/guarantees")
    def guarantees(asker: Own) -> tuple[Guarantee, ...]:
        """The same, with what they amount to."""
        return store.guarantees(asker)

    @app.get("/v1/history")
    def history(asker: Own) -> tuple[Release, ...]:
        """What the project has been released, newest first."""
        return store.history(asker)


def _add_hub_calls(app: APIRouter, store: LedgerStore) -> None:
    @app.post("/v1/sandboxes", status_code=201)
    def open_sandbox(new: NewSandbox) -> Sandbox:
        """Register a sandbox; its token is shown this once."""
        return store.open_sandbox(Asker(member=new.member, project=new.project), "hub")

    @app.post("/v1/downloads", status_code=201)
    def download(new: NewDownload) -> Position:
        """A file is about to leave a notebook, or was not let."""
        seen = Download(what=new.what, path=new.path, bytes=new.bytes, outcome=new.outcome)
        return Position(position=store.download(Asker(member=new.member, project=new.project), seen))

    @app.delete("/v1/sandboxes/{sandbox_id}", status_code=204)
    def end_sandbox(sandbox_id: Id) -> None:
        """End a sandbox; its token is worth nothing any more."""
        store.end_sandbox(sandbox_id, "hub")


def _add_public_calls(app: FastAPI, store: LedgerStore) -> None:
    @app.get("/health")
    def health() -> dict[str, bool]:
        store.public_key  # noqa: B018 - the key is there
        return {"ok": store.size >= 0}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Counts of calls for Prometheus: no durations, and nothing that depends on restricted data."""
        return Response(generate_latest(app.state.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/public-key", response_class=PlainTextResponse)
    def public_key() -> str:
        """The key that signs checkpoints, as a note verification key."""
        return store.public_key


class Csv(PlainTextResponse):
    media_type = "text/csv"


class Parquet(Response):
    media_type = "application/vnd.apache.parquet"


class Zip(Response):
    media_type = "application/zip"


def _add_reading_calls(app: APIRouter, store: LedgerStore) -> None:
    @app.get("/v1/standings")
    def standings() -> tuple[Standing, ...]:
        """Who and what is suspended or closed."""
        return store.standings()

    @app.get("/v1/accounts")
    def accounts() -> tuple[Guarantee, ...]:
        """Every budget."""
        return store.all_guarantees()

    @app.get("/v1/entries")
    def entries(wanted: Annotated[EntryFilter, Query()]) -> EntryPage:
        """The log, newest first, filtered."""
        return store.entries(wanted)

    @app.get("/v1/entries.csv", response_class=Csv)
    def entries_csv(wanted: Annotated[EntryFilter, Query()]) -> Response:
        """All that match as a table; a spreadsheet finds no formula in it."""
        text = io.StringIO(newline="")
        write_csv(store.matching(wanted), text)
        return Csv("\ufeff" + text.getvalue())

    @app.get("/v1/entries.parquet", response_class=Parquet)
    def entries_parquet(wanted: Annotated[EntryFilter, Query()]) -> Response:
        """All that match, texts as they are."""
        return Parquet(_file(partial(write_parquet, store.matching(wanted))))

    @app.get("/v1/evidence", response_class=Zip)
    def evidence(project: Annotated[str, Query(min_length=1, max_length=100)]) -> Response:
        """One project's entries with proofs, as a zip that the verifier checks alone."""
        return Zip(_file(partial(write_bundle, store, project)))

    @app.get("/v1/report")
    def report(
        project: Annotated[str, Query(min_length=1, max_length=100)],
        since: AwareDatetime,
        until: AwareDatetime,
    ) -> Report:
        """What one project asked, spent and got, of at most 366 days."""
        if not dt.timedelta(0) < until - since <= dt.timedelta(days=366):
            raise ValueError("a report is of one day to 366")
        return store.report(project, since, until)

    @app.get("/v1/export", response_class=StreamingResponse)
    def export() -> StreamingResponse:
        """The whole log as JSON lines, for the verifier."""
        return StreamingResponse(store.export(), media_type="application/x-ndjson")

    @app.get("/v1/checkpoint", response_class=PlainTextResponse)
    def checkpoint(size: Annotated[int | None, Query(ge=0, lt=2**62)] = None) -> str:
        """A signed note of the log as it is, or was at `size` entries."""
        return store.checkpoint(size)

    @app.get("/v1/proofs/inclusion")
    def inclusion(
        position: Annotated[int, Query(ge=0, lt=2**62)], size: Annotated[int, Query(ge=1, lt=2**62)]
    ) -> Proof:
        """That an entry stands in the log of this size."""
        return Proof(hashes=tuple(store.inclusion_proof(position, size)))

    @app.get("/v1/proofs/consistency")
    def consistency(
        old: Annotated[int, Query(ge=0, lt=2**62)], new: Annotated[int, Query(ge=0, lt=2**62)]
    ) -> Proof:
        """That the log of size `new` begins with that of size `old`."""
        return Proof(hashes=tuple(store.consistency_proof(old, new)))


def _file(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "file")
        return (Path(folder) / "file").read_bytes()


def _add_steward_calls(app: APIRouter, store: LedgerStore) -> None:
    @app.put("/v1/terms")
    def apply(new: NewTerms) -> Position:
        """Put a policy in force."""
        return Position(position=store.apply(new.terms, new.act))

    @app.post("/v1/suspensions")
    def suspend(decision: Decision) -> Position:
        """Suspend a member, project or dataset from the next question on."""
        return Position(position=store.suspend(decision.subject, decision.act))

    @app.post("/v1/resumptions")
    def resume(decision: Decision) -> Position:
        """End a suspension."""
        return Position(position=store.resume(decision.subject, decision.act))

    @app.post("/v1/closings")
    def close(closing: Closing) -> Position:
        """Close a project for good."""
        return Position(position=store.close_project(closing.project, closing.act))

    @app.post("/v1/renewals")
    def renew(renewal: Renewal) -> Position:
        """Start a new term of one account."""
        return Position(position=store.renew(renewal.account, renewal.act))

    @app.post("/v1/loads")
    def load(new: NewLoad) -> Position:
        """Record a new data version."""
        return Position(position=store.record_load(new.dataset, new.version, new.act))


SWITCH = 0.0005
"""Seconds after which a thread that computes lets another go on. The one writer waits for the database a dozen times
a charge; after each wait it would queue 5 ms behind threads that read or write JSON."""


def main() -> None:
    sys.setswitchinterval(SWITCH)
    settings = Settings.from_environment()
    tokens = {caller: settings.token(caller) for caller in (HUB, PORTAL, ADMIN)}
    app = create_app(
        settings.open_store(),
        {caller: token for caller, token in tokens.items() if token},
        settings.checkpoints,
    )
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
