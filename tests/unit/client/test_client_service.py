"""One question, one request id: over retries, reconnects, faults and interrupts."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from sandbox_guard.client import service
from sandbox_guard.client.errors import Cancelled, Denied, Fault, InternalError, NoAddress, Unreachable
from sandbox_guard.client.service import Service
from sandbox_guard.client.session import Session
from tests.unit.client.seam import TOKEN, Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"


def ids(vault: Vault) -> list[str]:
    return [asked["request_id"] for asked in vault.asked]


def test_a_torn_connection_is_retried_under_the_same_request_id(guard: Session, vault: Vault) -> None:
    vault.die_after_charge = 2
    result = guard.sql(SQL)
    assert len(vault.asked) == 3
    assert len(set(ids(vault))) == 1
    assert len(vault.charges) == 1
    assert result.answer is not None
    assert result.answer.receipt["charge_id"] == "chg-1"


def test_a_proxy_without_vault_is_waited_for(guard: Session, vault: Vault) -> None:
    vault.unavailable = 2
    guard.sql(SQL)
    assert len(vault.charges) == 1


def test_a_fault_keeps_its_request_id_until_it_is_answered(guard: Session, vault: Vault) -> None:
    vault.fault = True
    with pytest.raises(Fault):
        guard.sql(SQL)
    with pytest.raises(Fault):
        guard.sql(SQL)
    assert len(set(ids(vault))) == 1
    assert len(vault.charges) == 1


def test_a_new_question_has_a_new_request_id(guard: Session, vault: Vault) -> None:
    guard.sql(SQL)
    guard.sql(SQL)
    guard.sql(SQL, margin=50)
    assert len(set(ids(vault))) == 3
    assert len(vault.charges) == 2, "the same question again is found, not charged"


def test_an_interrupted_question_is_finished_by_asking_again(vault: Vault) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = __import__("json").loads(request.content)
        sent.append(body["request_id"])
        if len(sent) == 1:
            raise KeyboardInterrupt
        return httpx.Response(200, json=vault.answer(body))

    session = Session(Service("http://vault", transport=httpx.MockTransport(answer)))
    with pytest.raises(Cancelled):
        session.sql(SQL)
    session.sql(SQL)
    assert sent[0] == sent[1]


def test_a_vault_that_stays_away_is_named_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAUSES", (0.0,))
    with pytest.raises(Unreachable) as caught:
        Session(Service(f"unix:{tmp_path}/nobody.sock")).sql(SQL)
    assert len(caught.value.lines()) <= 8
    assert "Hub" in str(caught.value)


def test_without_address_it_says_where_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_GUARD_URL", raising=False)
    with pytest.raises(NoAddress):
        Session().sql(SQL)


def test_a_wrong_token_is_denied(url: str) -> None:
    with pytest.raises(Denied):
        Session(Service(url, "wrong")).sql(SQL)


def test_an_answer_outside_the_contract_is_not_taken_for_one() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>"))
    with pytest.raises(InternalError, match="404"):
        Session(Service("http://vault", TOKEN, transport=transport)).budget()
