"""The ledger as a vault reaches it: `wire.Ledger` over HTTP."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from sandbox_guard.errors import Fault, Refused
from sandbox_guard.ledger.log import write_atomically
from sandbox_guard.ledger.wire import (
    Asker,
    Balance,
    Charge,
    ChargeRequest,
    Guarantee,
    Mark,
    Question,
    RefusalReport,
    Release,
)

MARK: Final = "Ledger-Mark"

PAUSES: Final = (0.1, 0.3, 1.0, 3.0, 6.0, 10.0)
"""Seconds between tries where the service cannot be reached. Every call may be repeated: a request id buys one
charge, a charge one release. A restarted service is back within them, on a busy machine too."""

Answer = TypeVar("Answer")

_RELEASE: TypeAdapter[Release | None] = TypeAdapter(Release | None)
_CHARGE = TypeAdapter(Charge)
_PUBLISHED = TypeAdapter(Release)
_BALANCES: TypeAdapter[tuple[Balance, ...]] = TypeAdapter(tuple[Balance, ...])
_GUARANTEES: TypeAdapter[tuple[Guarantee, ...]] = TypeAdapter(tuple[Guarantee, ...])
_HISTORY: TypeAdapter[tuple[Release, ...]] = TypeAdapter(tuple[Release, ...])


class RemoteLedger:
    """`token` is the sandbox's: it decides for whom the calls are, and `asker` must agree with it.

    `mark` is a file in which this vault keeps, outside the ledger, the highest entry it was acknowledged: a
    ledger that was set back is found out by it. Raises Refused as the ledger did, and Fault for anything else
    that goes wrong.
    """

    def __init__(self, base_url: str, token: str, *, mark: Path | None = None, timeout: float = 30.0) -> None:
        self._kept = KeptMark(mark)
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

    def publish(self, asker: Asker, charge_id: str, body: str, overruns: int = 0) -> Release:
        left = {"body": body, "overruns": overruns}
        return self._call(_PUBLISHED, "POST", f"/v1/charges/{charge_id}/release", left)

    def fault(self, asker: Asker, charge_id: str, overruns: int = 0) -> None:
        self._send("POST", f"/v1/charges/{charge_id}/fault", {"overruns": overruns})

    def refuse(self, asker: Asker, report: RefusalReport) -> None:
        self._send("POST", "/v1/refusals", report)

    def balances(self, asker: Asker) -> tuple[Balance, ...]:
        return self._call(_BALANCES, "GET", "/v1/balances", None)

    def guarantees(self, asker: Asker) -> tuple[Guarantee, ...]:
        return self._call(_GUARANTEES, "GET", "/v1/guarantees", None)

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
                response = self._http.request(method, path, json=document, headers=self._kept.headers())
                break
            except httpx.TransportError as error:
                if pause is None:
                    raise Fault from error
                time.sleep(pause)
        if response.is_success:
            self._kept.acknowledge(response.headers.get(MARK))
            return response
        raise _failure(response)


class KeptMark:
    """The highest entry that was acknowledged, in a file that survives the vault."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        if path is not None and path.exists():
            self._mark = Mark.model_validate_json(path.read_bytes())

    def headers(self) -> dict[str, str]:
        return {MARK: str(self._mark)} if self._mark is not None else {}

    def acknowledge(self, header: str | None) -> None:
        """Durable when this returns, so before anyone sees what was acknowledged."""
        if header is None:
            return
        mark = Mark.parse(header)
        with self._lock:
            if self._mark is not None and mark.position <= self._mark.position:
                return
            self._mark = mark
            if self._path is not None:
                write_atomically(self._path, mark.model_dump_json().encode())


def _failure(response: httpx.Response) -> Refused | Fault:
    try:
        return Refused.from_dict(response.json()["refused"])
    except (ValueError, KeyError, TypeError):
        return Fault()
