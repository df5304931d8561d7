"""The portal before a real ledger over HTTP; of the hub only its HTTP is stood in for, with the hub's own roles."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.testclient import TestClient
from jupyterhub.services.auth import HubOAuth

from hub import access
from hub.policies import CurrentPolicies
from hub.portal.app import create_app
from hub.portal.ledger import Ledger
from hub.portal.sandboxes import Sandboxes
from hub.portal.signin import SignIn
from hub.portal.site import Site
from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.ledger.service import HUB, PORTAL
from sandbox_guard.ledger.service import create_app as ledger_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Act, Asker, Terms
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.model import Policies
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.privacy.account import to_epsilon
from sandbox_guard.release_time import write
from sandbox_guard.vault import Config, Listen, application
from tests import city
from tests.costs import COSTS
from tests.ports import free_port
from tests.product import POLICIES, _running

PREFIX = "/services/portal/"
SERVICE_TOKEN = "the-portal-itself"
COOKIE = "service-portal"


def token_of(name: str) -> str:
    return f"token-of-{name}"


def scopes_of(policies: Policies, name: str) -> list[str]:
    """What the hub grants an OAuth token of the portal: the person's own roles, no more than the portal asks."""
    groups = set(access.groups_of(policies, name))
    held = {
        scope
        for role in access.ROLES
        if role["name"] == "user" or groups & set(role.get("groups", ()))
        for scope in role["scopes"]
    }
    asked = {"access:services!service=portal", *access.PORTAL_USER_SCOPES}
    return sorted(scope.replace("!user", f"!user={name}") for scope in held & asked)


@dataclass
class FakeHub:
    """Accounts, OAuth codes with their PKCE challenges, and servers that come up when told to."""

    policies: Policies
    ready: set[str] = field(default_factory=set)
    """`<name>/<server>` that run."""
    starting: set[str] = field(default_factory=set)
    fails: str | None = None
    """The message with which starts fail."""
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    signed_out: set[str] = field(default_factory=set)
    without: set[str] = field(default_factory=set)
    """Scopes that the hub does not grant, whatever policy says."""

    def app(self) -> FastAPI:
        app = FastAPI()

        def name_of(request: Request) -> str | None:
            token = request.headers.get("authorization", "").partition(" ")[2]
            known = {token_of(name): name for name in [*self.policies.people, "stranger"]}
            return None if token in self.signed_out else known.get(token)

        @app.post("/hub/api/oauth2/token")
        def token(code: str = Form(), code_verifier: str = Form(), client_secret: str = Form()) -> Response:
            name, challenge = self.codes.pop(code)
            digest = hashlib.sha256(code_verifier.encode()).digest()
            if base64.urlsafe_b64encode(digest).decode().rstrip("=") != challenge:
                return JSONResponse({"error": "invalid_grant"}, 400)
            return JSONResponse({"access_token": token_of(name)} if client_secret == SERVICE_TOKEN else {})

        @app.get("/hub/api/user")
        def user(request: Request) -> Response:
            name = name_of(request)
            if name is None:
                return JSONResponse({"status": 403}, 403)
            scopes = (
                scopes_of(self.policies, name)
                if name in self.policies.people
                else ["access:services!service=portal"]
            )
            return JSONResponse(
                {"kind": "user", "name": name, "scopes": [s for s in scopes if s not in self.without]}
            )

        @app.get("/hub/api/users/{name}")
        def servers(name: str, request: Request) -> dict[str, Any]:
            assert request.headers["authorization"] == f"token {SERVICE_TOKEN}"
            up = {s.partition("/")[2]: {"ready": True} for s in self.ready if s.startswith(name + "/")}
            return {"name": name, "servers": up}

        @app.post("/hub/api/users/{name}/servers/{server}")
        def start(name: str, server: str) -> Response:
            if self.fails is not None:
                return JSONResponse({"status": 500, "message": self.fails}, 500)
            self.starting.add(f"{name}/{server}")
            return Response(status_code=202)

        @app.get("/hub/api/users/{name}/servers/{server}/progress")
        def progress(name: str, server: str) -> StreamingResponse:
            return StreamingResponse(iter(['data: {"progress": 40, "message": "halfway"}\n\n']))

        return app


@dataclass
class Portal:
    """The portal's application with what it stands on."""

    site: Site
    app: FastAPI
    hub: FakeHub
    ledger: LedgerStore
    policies: Policies

    def as_(self, name: str | None, language: str = "zh") -> TestClient:
        """A browser in which that person has signed in."""
        client = TestClient(self.app, follow_redirects=False)
        if name is not None:
            client.cookies.set(COOKIE, token_of(name), path=PREFIX)
        client.cookies.set("sandbox-guard-language", language, path="/")
        return client


@pytest.fixture(scope="session")
def policies() -> Policies:
    """Those of the demonstration: lin and chen research, bank1 is an enterprise, zhou audits, wu stewards."""
    return read_policies(POLICIES)


@pytest.fixture
def portal(tmp_path: Path, policies: Policies) -> Iterator[Portal]:
    with ExitStack() as stack:
        yield _portal(stack, tmp_path, policies, address="http://127.0.0.1:9/")


def _portal(stack: ExitStack, state: Path, policies: Policies, *, address: str) -> Portal:
    ledger = LedgerStore(
        f"sqlite:///{state / 'ledger.sqlite'}",
        signing_key=state / "ledger.pem",
        to_epsilon=cache(partial(to_epsilon, at_delta=1e-6)),
    )
    ledger.apply(Terms.model_validate(compile_terms(policies)), Act(actor="wu", reason="test"))
    (state / "checkpoints").mkdir()
    hub = FakeHub(policies)
    hub_port, ledger_port = free_port(), free_port()
    tokens = {PORTAL: "portal", HUB: "hub"}
    stack.enter_context(_running(ledger_app(ledger, tokens, state / "checkpoints"), port=ledger_port))
    stack.enter_context(_running(hub.app(), port=hub_port))
    api = f"http://127.0.0.1:{hub_port}/hub/api"
    oauth = HubOAuth(
        api_url=api,
        api_token=SERVICE_TOKEN,
        base_url=PREFIX,
        hub_prefix="/hub/",
        oauth_client_id=COOKIE,
        oauth_redirect_uri=PREFIX + "oauth_callback",
        access_scopes={"access:services!service=portal"},
        cache_max_age=1,
    )
    site = Site(
        policies=CurrentPolicies(POLICIES),
        sign_in=SignIn(oauth),
        ledger=Ledger(f"http://127.0.0.1:{ledger_port}", "portal"),
        sandboxes=Sandboxes(api, SERVICE_TOKEN, address),
        backend="process",
    )
    stack.callback(site.sandboxes.close)
    stack.callback(site.ledger.close)
    return Portal(site, create_app(site), hub, ledger, policies)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return city.make(tmp_path_factory.mktemp("town"), firms=800)


@pytest.fixture
def answering(tmp_path: Path, policies: Policies, town: Path) -> Iterator[Portal]:
    """A portal behind which bank1's vault of the project green-credit runs: the real one."""
    vault_port = free_port()
    server = access.server_name("green-credit", access.Kind.ANALYSES)
    with ExitStack() as stack:
        portal = _portal(stack, tmp_path, policies, address=f"http://127.0.0.1:{vault_port}/")
        ledger_url = str(portal.site.ledger._http.base_url)
        rates = tmp_path / "rates.json"
        write(
            rates, Limits(), COSTS
        )  # else each vault would measure this machine for seconds, and busy ones wrongly
        config = Config(
            member="bank1",
            project="green-credit",
            server=server,
            policies=POLICIES,
            home=town,
            datasets={n: town / "restricted" / n for n in policies.projects["green-credit"].datasets},
            ledger_url=ledger_url,
            ledger_token=portal.ledger.open_sandbox(
                Asker(member="bank1", project="green-credit"), "hub"
            ).token,
            hub_api=str(portal.site.sandboxes._hub.base_url),
            listen=Listen(host="127.0.0.1", port=vault_port),
            prefix=f"/user/bank1/{server}/",
            backend="process",
            workers=1,
            rates=rates,
        )
        stack.enter_context(_running(application(config), port=vault_port))
        portal.hub.ready.add(f"bank1/{server}")
        yield portal


def challenge_of(location: str) -> dict[str, str]:
    """The query of a redirect to the hub."""
    return dict(httpx.URL(location).params)
