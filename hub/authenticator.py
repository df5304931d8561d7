"""Who may come in, and with which rights: whatever says who somebody is, people.yaml and the projects decide.

`AccountAuthenticator` looks at the accounts of `hub.accounts`, on the hub's own form; `hub.oidc` asks a provider.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from jupyterhub.auth import Authenticator
from tornado import web

from hub import access
from hub.accounts import Outcome
from hub.deployment import deployment
from hub.language import translator
from hub.pages import PAGES


class ByPolicy:
    """Before an authenticator of JupyterHub: lets in whoever has an entry in people.yaml, with the groups that policy
    gives, and nobody longer than that."""

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> bool | dict[str, Any]:
        """Groups follow the policy files; whoever is no longer in them is signed out."""
        return self.model(user.name) if user.name in deployment().policies().people else False

    def check_allowed(self, username: str, authentication: Any = None) -> bool:
        return username in deployment().policies().people

    def normalize_username(self, username: str) -> str:
        """Names are as people.yaml writes them."""
        return username

    def model(self, name: str) -> dict[str, Any]:
        return {"name": name, "groups": access.groups_of(deployment().policies(), name)}


class AccountAuthenticator(ByPolicy, Authenticator):  # type: ignore[misc]
    """Lets in whoever has an account."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        name, password = data.get("username", ""), data.get("password", "")
        now = dt.datetime.now(dt.UTC)
        # scrypt takes a tenth of a second: not on the hub's one thread.
        outcome = await asyncio.to_thread(
            deployment().accounts.verify, name, password, handler.request.remote_ip, now
        )
        if outcome is Outcome.LOCKED:
            t = translator(handler.language)
            raise web.HTTPError(
                429,
                t(
                    "登录失败次数过多，请 15 分钟后再试，或请管理员重设密码。",
                    "Too many failed attempts. Try again in 15 minutes, or ask for a new password.",
                ),
            )
        if outcome is Outcome.WRONG or name not in deployment().policies().people:
            return None
        return self.model(name)

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """These come before the hub's own, and so replace pages of the same address."""
        return list(PAGES)
