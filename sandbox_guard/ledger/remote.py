"""The ledger as a vault reaches it: `wire.Ledger` over HTTP."""

from __future__ import annotations

import time
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from sandbox_guard.errors import Fault, Refused
from sandbox_guard.ledger.wire import (
    Asker,
    Balance,
    Charge,
    ChargeRequest,
    Question,
    RefusalReport,
    Release,
)

PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
"""Seconds between tries where the service cannot be reached. Every call may be repeated: a request id buys one
charge, a charge one release. A restarted service is back within them."""

Answer = TypeVar("Answer")

_RELEASE: TypeAdapter[Release | None] = TypeAdapter(Release | None)
_CHARGE = TypeAdapter(Charge)
_PUBLISHED = TypeAdapter(Release)
_BALANCES: TypeAdapter[tuple[Balance, ...]] = TypeAdapter(tuple[Balance, ...])
_HISTORY: TypeAdapter[tuple[Release, ...]] = TypeAdapter(tuple[Release, ...])


class RemoteLedger:
    """`token` is the sandbox's: it decides for whom the calls are, and `asker` must agree with it.

    Raises Refused as the ledger did, and Fault for anything else that goes wrong.
    """

    def __init__(self, base_url: str, token: str, *, timeout: float = 30.0) -> None:
        self._http = httpx.Client(
            base_url=base_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def find(self, asker: Asker, question: Question) -> Release | None:
        return self._call(_RELEASE, "POST", "/v1/find", question)

    def charge(self, asker: Asker, request: ChargeRequest) -> Charge:
        return self._call(_CHARGE, "POST", "/v1/charges", request)

    def publish(self, asker: Asker, charge_id: str, body: str) -> Release:
        return self._call(_PUBLISHED, "POST", f"/v1/charges/{charge_id}/release", {"body": body})

    def fault(self, asker: Asker, charge_id: str) -> None:
        self._send("POST", f"/v1/charges/{charge_id}/fault", None)

    def refuse(self, asker: Asker, report: RefusalReport) -> None:
        self._send("POST", "/v1/refusals", report)

    def balances(self, asker: Asker) -> tuple[Balance, ...]:
        return self._call(_BALANCES, "GET", "/v1/balances", None)

    def history(self, asker: Asker) -> tuple[Release, ...]:
        return self._call(_HISTORY, "GET", "/v1/history", None)

    def _call(
        self, answer: TypeAdapter[Answer], method: str, path: str, body: BaseModel | dict[str, Any] | None
    ) -> Answer:
        response = self._send(method, path, body)
        try:
            return answer.validate_json(response.content)
        except ValidationError as error:
            raise Fault from error

    def _send(self, method: str, path: str, body: BaseModel | dict[str, Any] | None) -> httpx.Response:
        document = body.model_dump(mode="json") if isinstance(body, BaseModel) else body
        for pause in (*PAUSES, None):
            try:
                response = self._http.request(method, path, json=document)
                break
            except httpx.TransportError as error:
                if pause is None:
                    raise Fault from error
                time.sleep(pause)
        if response.is_success:
            return response
        raise _failure(response)


def _failure(response: httpx.Response) -> Refused | Fault:
    try:
        return Refused.from_dict(response.json()["refused"])
    except (ValueError, KeyError, TypeError):
        return Fault()
