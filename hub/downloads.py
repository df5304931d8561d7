"""`POST /hub/api/downloads/<member>/<server>`: by which a gate declares what is about to leave its notebook (hub.gate).

The hub decides by today's policy, has the ledger log it, and only then says that it may pass.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Literal

import httpx
from jupyterhub.handlers.base import BaseHandler
from pydantic import BaseModel, Field, ValidationError
from tornado import web

from hub import access
from hub.deployment import deployment


class Leaving(BaseModel):
    """What a gate says of it."""

    what: Literal["download", "opened"]
    """A file that is taken, or one that the lab shows."""
    path: str = Field(max_length=300)
    bytes: int = Field(ge=0, lt=2**62)
    """All of them, or as many as were read before it was too large."""
    too_large: bool


class Downloads(BaseHandler):  # type: ignore[misc]
    """For gates. A notebook, which reaches this address too, has no key."""

    def check_xsrf_cookie(self) -> None:
        """No cookie is looked at."""

    def prepare(self) -> None:
        """Nor who is signed in."""

    async def post(self, member: str, server: str) -> None:
        key = str(self.request.headers.get("Authorization", "")).removeprefix("Bearer ")
        if not hmac.compare_digest(key, key_of(deployment().settings.token("downloads"), member, server)):
            raise web.HTTPError(403)
        policies = deployment().policies()
        place = access.places(policies, member).get(server)
        if place is None:
            raise web.HTTPError(403)
        try:
            leaving = Leaving.model_validate_json(self.request.body)
        except ValidationError as error:
            raise web.HTTPError(400) from error
        if leaving.what == "download" and not policies.projects[place.project].downloads:
            outcome = "closed"
        else:
            outcome = "too_large" if leaving.too_large else "passed"
        facts = leaving.model_dump(exclude={"too_large"})
        entry = {"member": member, "project": place.project, **facts, "outcome": outcome}
        try:
            async with deployment().ledger() as ledger:
                (await ledger.post("/v1/downloads", json=entry)).raise_for_status()
        except httpx.HTTPError as error:
            raise web.HTTPError(503) from error
        self.finish(json.dumps({"outcome": outcome}))

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(json.dumps({"status": status_code}))


def key_of(secret: str, member: str, server: str) -> str:
    """What a gate shows: it may declare what leaves its own notebook."""
    return hmac.new(secret.encode(), f"{member}\0{server}".encode(), hashlib.sha256).hexdigest()
