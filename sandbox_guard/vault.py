"""The vault's HTTP service: `python -m sandbox_guard.vault`, one process for one member and project.

It holds the restricted data (read-only) and the guard, and runs no user code. Who asks is checked at the
hub: the bearer's name must be this sandbox's member. Nothing here says how long anything took: an answer leaves at
its release time, and meanwhile nothing else does.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox_guard import analyses
from sandbox_guard.engines.current import CurrentData
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.engines.finish import Finisher
from sandbox_guard.errors import Fault, Refused, Text
from sandbox_guard.guard import Guard
from sandbox_guard.ledger.remote import RemoteLedger
from sandbox_guard.ledger.wire import Asker
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Analysis, Column, Dataset, Policies, Project, Role, Table
from sandbox_guard.pricing import Asked, Pricing
from sandbox_guard.release_time import SHARED, VaultCores, known
from sandbox_guard.sql import functions
from sandbox_guard.stillness import RUNNING, Frozen, Notebooks
from sandbox_guard.window import Windows

QUERY = "custom:sandbox-guard:query"
ANALYSE = "custom:sandbox-guard:analyse"

BELIEVED = 10.0
"""Seconds for which the hub's word on a token is remembered: the delay of a revocation."""

PROCESS_WARNING = Text(
    "本沙箱以本机进程运行，隔离很弱，仅供试用；请勿放入真实的受限数据。答案若超过预定的发布时间，只记入日志。",
    "This sandbox runs as local processes and isolates little: for trying out, not for real restricted data. "
    "An answer that misses its release time is only logged.",
)


class Listen(BaseModel):
    socket: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None


class Freeze(BaseModel):
    url: str
    key: str


class Config(BaseModel):
    """The document named by SANDBOX_GUARD_VAULT_CONFIG."""

    member: str
    project: str
    server: str = ""
    """Name of the hub's server whose vault this is."""
    policies: Path
    home: Path
    datasets: dict[str, Path]
    """By dataset, the folder that holds its serials."""
    ledger_url: str
    ledger_token: str
    marks: Path | None = None
    """Where this vault keeps, outside the ledger, the highest entry it was acknowledged: a ledger that was
    set back is found out by it."""
    hub_api: str
    listen: Listen
    prefix: str = "/"
    backend: Literal["docker", "bubblewrap", "process"]
    workers: int = 2
    threads: int = 1
    memory: int = 2 * 2**30
    """Address space of a worker, in bytes."""
    timeout: float = 30.0
    """Seconds for a statement of a question that reads nothing private; any other has its T."""
    lane: str = "this host"
    """The cores of one host on which vaults work, one question after the other: vaults that share them name the
    same lane."""
    rates: Path | None = None
    """What `sandbox-guard calibrate` measured. Without it, or where it was measured for something else, the vault
    measures by itself, which takes some seconds."""

    freeze: Freeze | None = None
    """Where this project's notebooks are made to stand still; None where they cannot be."""


class Ask(BaseModel):
    """What a question may say beside its SQL (Architecture: Ask)."""

    model_config = ConfigDict(extra="forbid")

    sql: str
    parameters: dict[str, Any] = {}
    rho: float | None = None
    epsilon: float | None = None
    pure: bool = False
    share: float | None = None
    margin: float | dict[str, float] | None = None
    rows_per_unit: int | None = None
    request_id: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{8,64}$")] | None = None

    def asked(self) -> Asked:
        given = self.model_dump(exclude={"request_id"})
        return Asked(**given, request_id=self.request_id or secrets.token_hex(16))


class AskAnalysis(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any] = {}
    request_id: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{8,64}$")] | None = None


class Vault:
    """What one process keeps: policies, data, the ledger's line, and one question at a time."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._described_by(read_policies(config.policies))
        self.asker = Asker(member=config.member, project=config.project)
        limits = Limits(threads=config.threads, address_space=config.memory)
        self.data = CurrentData(self._granted(), config.datasets, workers=config.workers, limits=limits)
        self.finisher = Finisher(workers=1, limits=limits)
        mark = None
        if config.marks is not None:
            config.marks.mkdir(mode=0o700, exist_ok=True)
            mark = config.marks / f"{config.member}.{config.server or config.project}.mark"
        self.ledger = RemoteLedger(config.ledger_url, config.ledger_token, mark=mark)
        self.turn = threading.Lock()
        self.cores = VaultCores(
            config.lane,
            # Elsewhere its cores are shared with whatever else runs there.
            config.backend == "docker",
            known(config.rates, limits),
            SHARED,
        )
        self.windows = Windows(
            config.timeout, self.cores.reserved, config.threads if self.cores.reserved else 0
        )

    def _described_by(self, policies: Policies) -> None:
        self.policies = policies
        self.project: Project = policies.projects[self.config.project]
        self.pricing = Pricing.of(policies, self.config.project)

    def close(self) -> None:
        self.data.close()
        self.finisher.close()
        self.ledger.close()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self.close()

    # -------------------------------------------------------------------------------- asking

    def query(self, asked: Asked) -> dict[str, Any]:
        with self.turn:
            try:
                return self._answered(asked)
            except Refused as refused:
                if refused.code != "access.policy_not_applied" or not self._policies_changed():
                    raise
            return self._answered(asked)

    def _answered(self, asked: Asked) -> dict[str, Any]:
        with self.data.use() as engine:
            return self._guard(engine).answer(asked)

    def _policies_changed(self) -> bool:
        """Take up policies that were applied since this vault started."""
        read = read_policies(self.config.policies)
        if read.digest == self.policies.digest or self.config.project not in read.projects:
            return False
        self._described_by(read)
        self.data.described_by(self._granted())
        return True

    def _granted(self) -> dict[str, Dataset]:
        """The datasets that the agreement grants and that this vault was given."""
        return {n: self.policies.datasets[n] for n in self.project.datasets if n in self.config.datasets}

    def estimate(self, asked: Asked) -> dict[str, Any]:
        with self.data.use() as engine:
            return self._guard(engine).estimate(asked)

    def explain(self, asked: Asked) -> dict[str, Any]:
        with self.data.use() as engine:
            return self._guard(engine).explain(asked)

    def budget(self) -> dict[str, Any]:
        with self.data.use() as engine:
            return self._guard(engine).budget()

    def history(self) -> dict[str, Any]:
        with self.data.use() as engine:
            return self._guard(engine).history()

    def _guard(self, engine: Any) -> Guard:
        return Guard(
            self.pricing,
            self.asker,
            self.ledger,
            engine,
            self.finisher,
            self.cores,
            self.windows,
            notebooks=self._notebooks(),
            unavailable=self.data.why_not,
        )

    def _notebooks(self) -> Notebooks:
        if not self.project.freeze:
            return RUNNING
        freeze = self.config.freeze
        return Frozen(freeze.url, freeze.key) if freeze is not None else Frozen("", "")

    def analysis(self, name: str, given: AskAnalysis) -> Asked:
        """An approved analysis with its parameters checked. Refused: `access.analysis`, `parameter.*`."""
        if name not in self.project.analyses:
            raise Refused("access.analysis", analysis=name)
        analysis = self.policies.analyses[name]
        values = analyses.checked(analysis.header.parameters, given.parameters)
        return Asked(
            analysis.sql,
            given.request_id or secrets.token_hex(16),
            values,
            analysis=analysis,
        )

    # ----------------------------------------------------------------------------- describing

    def catalogue(self) -> dict[str, Any]:
        names = [n for n in self.project.datasets if n in self.policies.datasets]
        used = {self.policies.datasets[n].population for n in names}
        return {
            "project": {
                "name": self.project.name,
                "title": self.project.title.model_dump(),
                "purpose": self.project.purpose.model_dump(),
                "expires": self.project.agreement.expires.isoformat(),
                "free_queries": self.free_queries,
            },
            "datasets": [self._dataset(self.policies.datasets[n]) for n in names],
            "populations": [
                {"name": p.name, "title": p.title.model_dump(), "protects": p.protects.model_dump()}
                for p in self.policies.populations.values()
                if p.name in used
            ],
            "functions": sorted(functions.FUNCTIONS.keys() | functions.AGGREGATES),
            "backend": self.config.backend,
            "warning": PROCESS_WARNING.as_dict() if self.config.backend == "process" else None,
        }

    @property
    def free_queries(self) -> bool:
        return self.project.free_queries and self.project.members[self.config.member] is Role.RESEARCHER

    def _dataset(self, dataset: Dataset) -> dict[str, Any]:
        return {
            "name": dataset.name,
            "title": dataset.title.model_dump(),
            "description": dataset.description.model_dump() if dataset.description else None,
            "classification": dataset.classification.value,
            "department": dataset.department.model_dump(),
            "update_frequency": dataset.update_frequency.model_dump(),
            "population": dataset.population,
            "invented": dataset.invented,
            "tables": [_table(name, table) for name, table in dataset.tables.items()],
        }

    def analyses(self) -> list[dict[str, Any]]:
        found = [self.policies.analyses[n] for n in self.project.analyses]
        return [_analysis(a) for a in found]


def _table(name: str, table: Table) -> dict[str, Any]:
    unit = {u.lower() for u in table.unit or ()}
    return {
        "name": name,
        "title": table.title.model_dump(),
        "description": table.description.model_dump() if table.description else None,
        "private": table.private,
        "max_rows_per_unit": table.max_rows_per_unit,
        "columns": [_column(n, c, n.lower() in unit) for n, c in table.columns.items()],
    }


def _column(name: str, column: Column, is_unit: bool) -> dict[str, Any]:
    role = "unit" if is_unit else "identifier" if column.identifier else "other" if column.names else None
    return {
        "name": name,
        "role": role,
        "usable": column.usable,
        **column.model_dump(
            mode="json",
            include={"type", "title", "description", "measure", "bounds", "values", "nullable", "step"},
        ),
    }


def _analysis(analysis: Analysis) -> dict[str, Any]:
    return {
        "name": analysis.name,
        **analysis.header.model_dump(mode="json"),
        "sql": analysis.sql,
        "digest": analysis.digest,
    }


# ----------------------------------------------------------------------------------- who asks


class Bearers:
    """The hub's word on who bears a token, remembered for `BELIEVED` seconds."""

    def __init__(self, hub_api: str, member: str) -> None:
        self._client = httpx.Client(timeout=10)
        self._url = f"{hub_api.rstrip('/')}/user"
        self._member = member
        self._known: dict[str, tuple[float, frozenset[str]]] = {}

    def scopes(self, token: str) -> frozenset[str]:
        """The scopes of a token of this sandbox's member. Refused: `access.token`, `access.sandbox`."""
        now = time.monotonic()
        held = self._known.get(token)
        if held is not None and now - held[0] < BELIEVED:
            return held[1]
        try:
            response = self._client.get(self._url, headers={"Authorization": f"token {token}"})
            found = response.json() if response.status_code == 200 else {}
        except (httpx.HTTPError, ValueError):
            raise Refused("access.hub") from None
        if not found:
            raise Refused("access.token")
        if found.get("kind", "user") != "user" or found.get("name") != self._member:
            raise Refused("access.sandbox")
        scopes = frozenset(found.get("scopes", ()))
        self._known = {t: h for t, h in self._known.items() if now - h[0] < BELIEVED}
        self._known[token] = (now, scopes)
        return scopes


class Silence:
    """Nothing else leaves a vault while a question is measured, and nothing is begun: how long an estimate or a
    refusal takes meanwhile would tell how busy its cores are. The silence ends at the release time."""

    def __init__(self, app: ASGIApp, windows: Windows) -> None:
        self._app, self._windows = app, windows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def quietly(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._kept()
            await send(message)

        await self._kept()
        await self._app(scope, receive, quietly)

    async def _kept(self) -> None:
        while (left := self._windows.silence()) > 0:  # noqa: ASYNC110  its end is a moment, not an event
            await asyncio.sleep(left)


def application(config: Config) -> FastAPI:
    vault = Vault(config)
    bearers = Bearers(config.hub_api, config.member)
    app = FastAPI(title="Sandbox Guard vault", lifespan=vault.lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(Silence, windows=vault.windows)
    router = APIRouter()

    def bearer(request: Request, scope: str) -> None:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() not in ("bearer", "token") or not token:
            raise Refused("access.token")
        held = bearers.scopes(token)
        # A token narrowed to another server of the same member is worth nothing here.
        if not held & {
            scope,
            f"{scope}!user={config.member}",
            f"{scope}!server={config.member}/{config.server}",
        }:
            raise Refused("access.scope", scope=scope)

    def may_query(request: Request) -> None:
        bearer(request, QUERY)

    def may_analyse(request: Request) -> None:
        bearer(request, ANALYSE)

    @router.get("/health")
    def health() -> dict[str, bool]:
        return {"ok": True}

    @router.get("/v1/catalogue", dependencies=[Depends(may_analyse)])
    def catalogue() -> dict[str, Any]:
        return vault.catalogue()

    @router.get("/v1/budget", dependencies=[Depends(may_analyse)])
    def budget() -> dict[str, Any]:
        return vault.budget()

    @router.get("/v1/history", dependencies=[Depends(may_analyse)])
    def history() -> dict[str, Any]:
        return vault.history()

    @router.post("/v1/query", dependencies=[Depends(may_query)])
    def query(ask: Ask) -> dict[str, Any]:
        return vault.query(ask.asked())

    @router.post("/v1/estimate", dependencies=[Depends(may_query)])
    def estimate(ask: Ask) -> dict[str, Any]:
        return vault.estimate(ask.asked())

    @router.post("/v1/explain", dependencies=[Depends(may_query)])
    def explain(ask: Ask) -> dict[str, Any]:
        return vault.explain(ask.asked())

    @router.get("/v1/analyses", dependencies=[Depends(may_analyse)])
    def approved() -> list[dict[str, Any]]:
        return vault.analyses()

    @router.post("/v1/analyses/{name}", dependencies=[Depends(may_analyse)])
    def analyse(name: str, ask: AskAnalysis) -> dict[str, Any]:
        return vault.query(vault.analysis(name, ask))

    @router.post("/v1/analyses/{name}/estimate", dependencies=[Depends(may_analyse)])
    def estimate_analysis(name: str, ask: AskAnalysis) -> dict[str, Any]:
        return vault.estimate(vault.analysis(name, ask))

    app.include_router(router, prefix=config.prefix.rstrip("/"))
    if config.prefix.rstrip("/"):
        app.include_router(router)

    @app.exception_handler(Refused)
    def refused(_: Request, found: Refused) -> JSONResponse:
        status = 403 if found.code.startswith("access.") else 422
        return JSONResponse({"refused": found.as_dict()}, status)

    @app.exception_handler(Fault)
    def fault(_: Request, found: Fault) -> JSONResponse:
        return JSONResponse({"fault": found.as_dict()}, 500)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, found: RequestValidationError) -> JSONResponse:
        where = ", ".join(".".join(str(p) for p in e["loc"][1:]) for e in found.errors())
        return JSONResponse({"refused": Refused("ask.malformed", where=where or "body").as_dict()}, 422)

    @app.exception_handler(Exception)
    def failed(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse({"fault": Fault().as_dict()}, 500)

    return app


def main() -> None:
    config = Config.model_validate_json(Path(os.environ["SANDBOX_GUARD_VAULT_CONFIG"]).read_text("utf-8"))
    app = application(config)
    # No access log: its times and sizes would say what a release time must not.
    where: dict[str, Any] = (
        {"uds": config.listen.socket}
        if config.listen.socket
        else {"host": config.listen.host, "port": config.listen.port}
    )
    uvicorn.run(app, log_level="warning", access_log=False, **where)


if __name__ == "__main__":
    main()
