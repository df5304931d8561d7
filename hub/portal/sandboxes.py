"""The vault-only sandboxes in which approved analyses run: started through the hub, asked through the proxy.

Starting takes some seconds and is done in the background, so that a page can show how far it is.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from hub.access import Kind, server_name
from sandbox_guard.errors import Text

START_SECONDS = 150.0
"""A start that says nothing for longer is over; the hub itself gives up after two minutes."""

GONE = (502, 503, 504)
"""What the proxy says while there is no vault behind it."""


class Refused(Exception):
    """The vault's no, with the reason it gave; nothing was charged."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self.code = str(form.get("code", ""))
        self.message = _text(form.get("message"))
        self.hint = _text(form["hint"]) if form.get("hint") else None
        self.field: str | None = form.get("field")
        super().__init__(self.code)


class Faulted(Exception):
    """Charged and not answered; asking again is free."""

    def __init__(self, form: Mapping[str, Any]) -> None:
        self.message = _text(form.get("message"))
        super().__init__("fault")


class NotThere(Exception):
    """No vault answers."""


@dataclass(frozen=True)
class Place:
    """One member's vault-only sandbox of one project."""

    member: str
    project: str
    token: str
    """The member's own, as the vault wants it."""

    @property
    def server(self) -> str:
        return server_name(self.project, Kind.ANALYSES)

    @property
    def path(self) -> str:
        return f"{quote(self.member, safe='')}/{self.server}"


@dataclass(frozen=True)
class Starting:
    """How far a start is, in the hub's words."""

    percent: int
    message: str


@dataclass(frozen=True)
class Failed:
    message: str


@dataclass(frozen=True)
class Ready:
    """It answers."""


@dataclass(frozen=True)
class _Event:
    percent: int
    message: str
    failed: bool


State = Ready | Starting | Failed


class Sandboxes:
    def __init__(self, hub_api: str, hub_token: str, address: str) -> None:
        """`hub_token` may start servers; `address` is the proxy's, such as `http://127.0.0.1:8000/`."""
        self._hub = httpx.Client(
            base_url=hub_api, headers={"Authorization": f"token {hub_token}"}, trust_env=False, timeout=150.0
        )
        # A query holds its slot until its release time, which the vault decides; only dialling is timed.
        self._vaults = httpx.Client(
            base_url=address, trust_env=False, timeout=httpx.Timeout(None, connect=5.0)
        )
        self._pool = ThreadPoolExecutor(8, "starting")
        self._looking = threading.Lock()
        self._starts: dict[str, Future[str | None]] = {}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._hub.close()
        self._vaults.close()

    # --------------------------------------------------------------------------------- life

    def bring_up(self, place: Place) -> State:
        """Ready, or on its way: starts the sandbox if nobody has. A failure is told once; the next call
        tries again."""
        if self._is_ready(place):
            self._starts.pop(place.path, None)
            return Ready()
        with self._looking:
            start = self._starts.get(place.path)
            if start is None:
                start = self._starts[place.path] = self._pool.submit(self._start, place)
        if not start.done():
            return self._progress(place)
        self._starts.pop(place.path, None)
        failure = start.result()
        return Failed(failure) if failure else Starting(95, "")

    def _is_ready(self, place: Place) -> bool:
        answer = self._ask_hub("GET", f"/users/{quote(place.member, safe='')}")
        servers = answer.json().get("servers") or {} if answer.status_code == 200 else {}
        return bool(servers.get(place.server, {}).get("ready"))

    def _start(self, place: Place) -> str | None:
        """Ask the hub, and wait for the end of the start: None when it runs, else why not."""
        try:
            answer = self._ask_hub("POST", f"/users/{quote(place.member, safe='')}/servers/{place.server}")
        except NotThere:
            return "hub: –"
        if answer.status_code == 201:
            return None
        if answer.status_code in (202, 400):  # on its way, or somebody else started it
            return next((e.message for e in self._events(place, START_SECONDS) if e.failed), None)
        try:
            return str(answer.json().get("message") or answer.status_code)
        except ValueError:
            return str(answer.status_code)

    def _progress(self, place: Place) -> Starting:
        """The last thing that the spawner said, heard for a moment only."""
        last = Starting(5, "")
        for event in self._events(place, 0.4):
            if not event.failed:  # that is for `_start` to tell
                last = Starting(event.percent, event.message)
        return last

    def _events(self, place: Place, patience: float) -> Iterator[_Event]:
        """What the hub says of the start, from its beginning, until it ended or is quiet for so many seconds."""
        path = f"/users/{quote(place.member, safe='')}/servers/{place.server}/progress"
        try:
            with self._hub.stream("GET", path, timeout=patience) as events:
                for line in events.iter_lines():
                    if line.startswith("data:"):
                        event = json.loads(line.removeprefix("data:"))
                        yield _Event(
                            int(event.get("progress", 5)),
                            str(event.get("message", "")),
                            bool(event.get("failed")),
                        )
        except (httpx.TransportError, ValueError):
            return

    def _ask_hub(self, method: str, path: str) -> httpx.Response:
        try:
            return self._hub.request(method, path)
        except httpx.TransportError as error:
            raise NotThere from error

    # --------------------------------------------------------------------------------- questions

    def get(self, place: Place, path: str) -> Any:
        """Raises Refused, Faulted, NotThere."""
        return self._ask("GET", place, path, None)

    def post(self, place: Place, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", place, path, body)

    def _ask(self, method: str, place: Place, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            answer = self._vaults.request(
                method,
                f"/user/{place.path}/v1/{path}",
                json=body,
                headers={"Authorization": f"Bearer {place.token}"},
            )
        except httpx.TransportError as error:
            raise NotThere from error
        if answer.status_code in GONE:
            raise NotThere
        try:
            found = answer.json()
        except ValueError:
            raise NotThere from None
        if answer.is_success:
            return found
        if isinstance(found, dict) and "refused" in found:
            raise Refused(found["refused"])
        if isinstance(found, dict) and "fault" in found:
            raise Faulted(found["fault"])
        raise NotThere


def _text(form: Any) -> Text:
    return Text(str(form["zh"]), str(form["en"])) if isinstance(form, Mapping) else Text("", "")
