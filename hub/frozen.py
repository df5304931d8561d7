"""`/hub/api/frozen/<pair>`: by which a vault has its project's notebooks stand still (hub.freezer)."""

from __future__ import annotations

import hmac
import json
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from tornado import web

from hub.deployment import deployment
from hub.docker_pair import freezer
from hub.freezer import LONGEST, key_of


class Frozen(BaseHandler):  # type: ignore[misc]
    """For vaults. A notebook, which reaches this address too, has no key."""

    def check_xsrf_cookie(self) -> None:
        """No cookie is looked at."""

    def prepare(self) -> None:
        """Nor who is signed in."""

    async def put(self, holder: str) -> None:
        project = self._allowed(holder)
        try:
            await freezer().freeze(project, holder, LONGEST)
        except Exception as error:
            self.log.exception("the notebooks of %s were not frozen", project)
            raise web.HTTPError(503) from error
        self.finish(json.dumps({"frozen": True}))

    async def delete(self, holder: str) -> None:
        project = self._allowed(holder)
        self.finish(json.dumps({"held": await freezer().thaw(project, holder)}))

    def _allowed(self, holder: str) -> str:
        given: dict[str, Any] = dict(self.request.headers)
        project, _, key = str(given.get("Authorization", "")).removeprefix("Bearer ").partition(":")
        if not hmac.compare_digest(key, key_of(deployment().settings.token("freeze"), project, holder)):
            raise web.HTTPError(403)
        return project

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(json.dumps({"status": status_code}))
