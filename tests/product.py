"""The real ledger and the real vault over real sockets, for one member; only the hub's word is stood in for.

    with serving(home, member="lin", project="credit-inclusion") as vault: …

`home` holds what `sandbox-guard load` or `demo` made.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from sandbox_guard.engines.duckdb import Limits
from sandbox_guard.ledger.service import HUB, create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.wire import Act, Asker, Terms
from sandbox_guard.policy.files import read_policies
from sandbox_guard.policy.terms import compile_terms
from sandbox_guard.privacy.account import to_epsilon
from sandbox_guard.release_time import write
from sandbox_guard.vault import ANALYSE, QUERY, Config, Listen, application
from tests.costs import COSTS
from tests.ports import free_port

TOKEN = "token-of-this-notebook"
POLICIES = Path("policies").absolute()


@dataclass(frozen=True)
class Running:
    url: str
    samples: Path
    ledger: LedgerStore


@contextmanager
def serving(home: Path, *, member: str, project: str, state: Path) -> Iterator[Running]:
    """`state`: an empty folder for the ledger and the socket, so that every test has a full budget."""
    policies = read_policies(POLICIES)
    ledger = LedgerStore(
        f"sqlite:///{state / 'ledger.sqlite'}",
        signing_key=state / "ledger.pem",
        to_epsilon=cache(partial(to_epsilon, at_delta=1e-6)),
    )
    ledger.apply(Terms.model_validate(compile_terms(policies)), Act(actor="test", reason="test"))
    token = ledger.open_sandbox(Asker(member=member, project=project), "hub").token
    with ExitStack() as stack:
        ledger_port, hub_port = free_port(), free_port()
        checkpoints = state / "checkpoints"
        checkpoints.mkdir()
        stack.enter_context(_running(create_app(ledger, {HUB: "hub"}, checkpoints), port=ledger_port))
        stack.enter_context(_running(_hub(member), port=hub_port))
        rates = state / "rates.json"
        write(rates, Limits(), COSTS)
        config = Config(
            member=member,
            project=project,
            policies=POLICIES,
            home=home,
            datasets={n: home / "restricted" / n for n in policies.projects[project].datasets},
            ledger_url=f"http://127.0.0.1:{ledger_port}",
            ledger_token=token,
            hub_api=f"http://127.0.0.1:{hub_port}/hub/api",
            listen=Listen(socket=str(state / "vault.sock")),
            backend="process",
            workers=1,
            rates=rates,
        )
        stack.enter_context(_running(application(config), uds=state / "vault.sock"))
        yield Running(f"unix:{state / 'vault.sock'}", home / "samples", ledger)


def _hub(member: str) -> FastAPI:
    hub = FastAPI()

    @hub.get("/hub/api/user")
    def user(request: Request) -> dict[str, object]:
        known = request.headers.get("authorization") == f"token {TOKEN}"
        return {"kind": "user", "name": member, "scopes": [QUERY, ANALYSE]} if known else {}

    return hub


@contextmanager
def _running(app: FastAPI, *, port: int = 0, uds: Path | None = None) -> Iterator[None]:
    where = uvicorn.Config(app, port=port, uds=str(uds) if uds else None, log_level="warning")
    server = uvicorn.Server(where)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("a service did not start")
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)
