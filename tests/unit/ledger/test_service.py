"""The ledger over HTTP: the same behaviour as in process, and nobody does more than the table says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sandbox_guard.errors import Fault, Refused
from sandbox_guard.ledger.checkpoints import LATEST, PUBLIC_KEY
from sandbox_guard.ledger.remote import RemoteLedger
from sandbox_guard.ledger.service import ADMIN, ANYONE, HUB, PORTAL, SCOPES, VAULT, Caller, create_app
from sandbox_guard.ledger.store import LedgerStore
from sandbox_guard.ledger.verify import verify
from sandbox_guard.ledger.wire import EntryFilter, Mark, RefusalReport
from tests.ledgers import ACT, ALICE, BOB, CAROL, open_ledger, question, request, terms

TOKENS = {HUB: "hub-token", PORTAL: "portal-token", ADMIN: "admin-token"}


@pytest.fixture
def address(ledger: LedgerStore, tmp_path: Path) -> Iterator[str]:
    """A real server on a free port."""
    app = create_app(ledger, TOKENS, tmp_path / "checkpoints")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def vault(ledger: LedgerStore, address: str) -> Iterator[RemoteLedger]:
    with closing(RemoteLedger(address, ledger.open_sandbox(ALICE, "hub").token)) as remote:
        yield remote


def call(address: str, endpoint: str, token: str | None, **extra: object) -> httpx.Response:
    method, path = endpoint.split(" ")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = address + path.replace("{charge_id}", "0" * 32).replace("{sandbox_id}", "0" * 16)
    return httpx.request(method, url, headers=headers, trust_env=False, **extra)  # type: ignore[arg-type]


def test_a_vault_does_its_work_over_http_as_in_process(ledger: LedgerStore, vault: RemoteLedger) -> None:
    asked = request(question("rate"))
    assert vault.find(ALICE, asked.question) is None
    charge = vault.charge(ALICE, asked)
    vault.fault(ALICE, charge.charge_id)
    release = vault.publish(ALICE, charge.charge_id, '{"城":1}')
    assert vault.charge(ALICE, asked).release == release
    assert vault.find(ALICE, asked.question) == release
    assert vault.history(ALICE) == ledger.history(ALICE) == (release,)
    assert vault.balances(ALICE) == ledger.balances(ALICE)
    assert vault.guarantees(ALICE) == ledger.guarantees(ALICE)
    vault.refuse(ALICE, RefusalReport(request_id="r", sql="x", code="sql.unknown", policy_digest="a" * 64))
    assert ledger.entries(EntryFilter(code="sql.unknown")).entries[0].actor == "alice"


def test_a_refusal_crosses_http_unchanged(ledger: LedgerStore, vault: RemoteLedger) -> None:
    with pytest.raises(Refused) as here:
        ledger.charge(ALICE, request(rho=251))
    with pytest.raises(Refused) as there:
        vault.charge(ALICE, request(rho=251))
    assert there.value.as_dict() == here.value.as_dict()
    assert there.value.code == "budget.member"


def test_whose_sandbox_it_is_follows_from_the_token_alone(ledger: LedgerStore, vault: RemoteLedger) -> None:
    charge = vault.charge(BOB, request())
    vault.publish(CAROL, charge.charge_id, "{}")
    assert {entry.actor for entry in ledger.entries(EntryFilter(project="credit")).entries} == {
        "alice",
        "hub",
    }


def test_an_ended_sandbox_can_do_nothing(ledger: LedgerStore, address: str) -> None:
    sandbox = ledger.open_sandbox(ALICE, "hub")
    ledger.end_sandbox(sandbox.sandbox_id, "hub")
    with (
        closing(RemoteLedger(address, sandbox.token)) as remote,
        pytest.raises(Refused, check=lambda error: error.code == "access.sandbox_ended"),
    ):
        remote.charge(ALICE, request())


def test_what_is_no_refusal_is_a_fault(ledger: LedgerStore, vault: RemoteLedger) -> None:
    with pytest.raises(Fault):
        vault.charge(ALICE, request(rho=0))
    with pytest.raises(Fault):
        vault.publish(ALICE, "not-a-charge", "{}")


def test_who_may_call_what(ledger: LedgerStore, address: str) -> None:
    """An empty call by those who may fails for its content, by others for its token."""
    tokens: dict[Caller, str] = {**TOKENS, VAULT: ledger.open_sandbox(ALICE, "hub").token}
    for endpoint, allowed in SCOPES.items():
        for caller, token in tokens.items():
            status = call(address, endpoint, token).status_code
            if caller in allowed or ANYONE in allowed:
                assert status != 403 or "{charge_id}" in endpoint, (endpoint, caller)
            else:
                assert status == 403, (endpoint, caller)
        if ANYONE not in allowed:
            assert call(address, endpoint, None).status_code == 401
            assert call(address, endpoint, "guessed").status_code == 403


def test_every_endpoint_stands_in_the_table(ledger: LedgerStore, tmp_path: Path) -> None:
    paths = create_app(ledger, TOKENS, tmp_path).openapi()["paths"]
    assert {f"{method.upper()} {path}" for path in paths for method in paths[path]} == set(SCOPES)


def test_hub_steward_and_auditor_do_theirs(ledger: LedgerStore, address: str, tmp_path: Path) -> None:
    act = ACT.model_dump()
    made = call(address, "POST /v1/sandboxes", "hub-token", json={"member": "bob", "project": "credit"})
    assert ledger.admitted(made.json()["token"], None) == BOB
    new = {"terms": terms(member=500).model_dump(mode="json"), "act": act}
    call(address, "PUT /v1/terms", "admin-token", json=new).raise_for_status()
    subject = {"kind": "member", "name": "bob"}
    call(
        address, "POST /v1/suspensions", "admin-token", json={"subject": subject, "act": act}
    ).raise_for_status()
    assert call(address, "GET /v1/standings", "hub-token").json()[0]["subject"] == subject
    call(
        address, "POST /v1/resumptions", "admin-token", json={"subject": subject, "act": act}
    ).raise_for_status()
    call(
        address, "POST /v1/loads", "admin-token", json={"dataset": "loan", "version": "2-a", "act": act}
    ).raise_for_status()
    call(
        address, "POST /v1/renewals", "admin-token", json={"account": "population/firms", "act": act}
    ).raise_for_status()
    call(
        address, "POST /v1/closings", "admin-token", json={"project": "credit", "act": act}
    ).raise_for_status()
    page = call(address, "GET /v1/entries", "portal-token", params={"kind": "policy", "limit": 1}).json()
    assert page["entries"][0]["position"] == 2
    assert call(address, "GET /v1/accounts", "portal-token").json()[0]["account"]["level"]
    export = call(address, "GET /v1/export", "admin-token").text.splitlines()
    note = call(address, "GET /v1/checkpoint", "admin-token").text
    assert verify(export, call(address, "GET /v1/public-key", None).text, [note]).good
    kept = tmp_path / "checkpoints"
    assert verify(export, (kept / PUBLIC_KEY).read_text(), [(kept / LATEST).read_text()]).good
    proof = call(address, "GET /v1/proofs/inclusion", "admin-token", params={"position": 0, "size": 4}).json()
    assert len(proof["hashes"]) == 2
    assert (
        call(address, "GET /v1/proofs/consistency", "admin-token", params={"old": 9, "new": 2}).status_code
        == 400
    )


@pytest.mark.parametrize("named", ["projects", "accounts"])
def test_terms_that_name_something_twice_are_the_asker_s_mistake(address: str, named: str) -> None:
    """Found by a draw of Schemathesis: the database's own rule, and so a fault."""
    twice = terms().model_dump(mode="json")
    twice[named].append(twice[named][0])
    sent = {"terms": twice, "act": ACT.model_dump()}
    assert call(address, "PUT /v1/terms", "admin-token", json=sent).status_code == 400


def test_a_position_that_no_log_reaches_is_the_asker_s_mistake(ledger: LedgerStore, address: str) -> None:
    """No database holds it in an integer."""
    far = {"before": 2**63}
    assert call(address, "GET /v1/entries", "portal-token", params=far).status_code == 400


def test_metrics_count_calls_and_tell_no_duration(
    ledger: LedgerStore, address: str, vault: RemoteLedger
) -> None:
    vault.charge(ALICE, request())
    text = call(address, "GET /metrics", None).text
    assert 'ledger_calls_total{endpoint="POST /v1/charges",status="200"} 1.0' in text
    assert "ledger_entries 3.0" in text
    assert not any(word in text for word in ("second", "duration", "bucket", "alice", "loan", "created"))


def test_a_vault_keeps_a_mark_and_a_ledger_without_it_takes_no_charge(
    ledger: LedgerStore, address: str, tmp_path: Path
) -> None:
    token = ledger.open_sandbox(ALICE, "hub").token
    with closing(RemoteLedger(address, token, mark=tmp_path / "alice.mark")) as remote:
        charge = remote.charge(ALICE, request())
    kept = Mark.model_validate_json((tmp_path / "alice.mark").read_bytes())
    assert kept == ledger.mark_of(charge.position)
    (tmp_path / "alice.mark").write_text(kept.model_copy(update={"position": 99}).model_dump_json())
    with (
        closing(RemoteLedger(address, token, mark=tmp_path / "alice.mark")) as remote,
        pytest.raises(Refused, check=lambda error: error.code == "budget.ledger_behind"),
    ):
        remote.charge(ALICE, request())


@pytest.mark.parametrize("caller", [VAULT, HUB, PORTAL, ADMIN, None])
def test_the_service_keeps_to_its_own_description(tmp_path: Path, caller: Caller | None) -> None:
    """Schemathesis sends what the description allows, and what it does not, and finds no answer that the
    description does not know."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite", tmp_path)
    ledger.apply(terms(), ACT)
    app = create_app(ledger, TOKENS, tmp_path)
    token = ledger.open_sandbox(ALICE, "hub").token if caller is VAULT else TOKENS.get(caller or VAULT)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)

    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case: schemathesis.Case[Any]) -> None:
            # "Valid" data that names no member, charge or entry there is gets a 4xx that the description has.
            case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])

        conforms()
