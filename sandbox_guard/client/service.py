"""The vault over HTTP: where it is, who asks, and that a retry never pays twice."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import httpx

from sandbox_guard.client.errors import (
    Cancelled,
    Fault,
    InternalError,
    NoAddress,
    Refused,
    Unreachable,
)
from sandbox_guard.client.words import say

PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries. A vault that the hub restarts is back within them."""

GONE: Final = (502, 503, 504)
"""What a proxy says while there is no vault behind it."""


class Service:
    """One vault. Threads may share it.

    `url` is `http://host:port/prefix`, or `unix:/path/to/socket`.
    """

    def __init__(self, url: str, token: str = "", *, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url
        base = url
        if url.startswith("unix:"):
            socket = "/" + url.removeprefix("unix:").lstrip("/")
            transport = transport or httpx.HTTPTransport(uds=socket)
            base = "http://vault"
        self._http = httpx.Client(
            base_url=base,
            headers={"Authorization": f"Bearer {token}"},
            transport=transport,
            # A query holds its slot until its release time, which the vault decides; only dialling is timed.
            timeout=httpx.Timeout(None, connect=5.0),
            # The vault is on this host: dialling is cheap, and a kept connection outlives a restarted vault.
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )
        self._unfinished: dict[str, str] = {}
        self.lost = False
        """Did the last try find no vault?"""

    @staticmethod
    def from_environment() -> Service:
        """The vault of this notebook: `SANDBOX_GUARD_URL` and `JUPYTERHUB_API_TOKEN`."""
        url = os.environ.get("SANDBOX_GUARD_URL")
        if not url:
            raise NoAddress()
        return service_at(url, os.environ.get("JUPYTERHUB_API_TOKEN", ""))

    def get(self, path: str) -> Any:
        return self._send("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """A call that spends nothing, and so needs no request id."""
        return self._send("POST", path, body)

    def glimpse(self, path: str, body: Mapping[str, Any]) -> Any:
        """Like `post`, tried once: None where it fails, for what is merely nice to know."""
        try:
            response = self._http.post(path, json=body)
            return response.json() if response.is_success else None
        except (httpx.TransportError, ValueError):
            return None

    def ask(self, path: str, body: Mapping[str, Any]) -> Any:
        """A call that may be charged.

        One request id per question, kept over retries, reconnects, interrupts and faults until the
        question is answered or refused: the ledger gives one charge per request id.
        """
        question = json.dumps([path, body], sort_keys=True)
        request_id = self._unfinished.setdefault(question, uuid.uuid4().hex)
        try:
            answer = self._send("POST", path, {**body, "request_id": request_id})
        except Refused:
            self._unfinished.pop(question, None)
            raise
        except KeyboardInterrupt:
            raise Cancelled() from None
        self._unfinished.pop(question, None)
        return answer

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        for pause in (*PAUSES, None):
            try:
                response = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                self.lost = True
                if pause is None:
                    raise Unreachable() from error
            else:
                self.lost = response.status_code in GONE
                if not self.lost:
                    return _read(response, (body or {}).get("sql"))
                if pause is None:
                    raise Unreachable()
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")


@cache
def service_at(url: str, token: str) -> Service:
    """One per address, so that a question asked again in another way keeps its request id."""
    return Service(url, token)


def _read(response: httpx.Response, sql: str | None) -> Any:
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and body is not None:
        return body
    if isinstance(body, dict):
        if "refused" in body:
            raise Refused.of(body["refused"], sql)
        if "fault" in body:
            fault = body["fault"]
            raise Fault(fault if isinstance(fault, dict) else {"message": str(fault)})
    raise InternalError(say("unexpected", status=response.status_code))
