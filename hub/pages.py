"""The hub's pages that are ours: signing in, the projects of a person, their password, the language.

Pages of the stock hub that would let people do what they should not (mint tokens, accept shares, start
a server that is no project) are answered here with 404 or a way home.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from jupyterhub.handlers.pages import SpawnPendingHandler
from tornado import web

from hub import access
from hub.accounts import PASSWORD_LENGTH, Outcome
from hub.deployment import deployment
from hub.downloads import Downloads
from hub.frozen import Frozen
from hub.homes import GIB, size
from hub.language import CHOSEN, COOKIE, Language, Translate, language, translator
from hub.life import NEARLY_FULL, Life, ends_soon, nearly_full
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Dataset, Project, Role


class Page(BaseHandler):  # type: ignore[misc]
    """A page in the language of whoever looks at it."""

    @property
    def language(self) -> Language:
        if self.current_user:
            return deployment().language_of(self.current_user.name)
        return language(self.get_cookie(COOKIE))

    @property
    def t(self) -> Translate:
        return translator(self.language)

    @property
    def template_namespace(self) -> dict[str, Any]:
        return {**super().template_namespace, "lang": self.language, "t": self.t, "page": self.request.path}


class Entrance(Page):
    """Whoever comes in brings the language they chose before."""

    def set_login_cookie(self, user: Any) -> None:
        super().set_login_cookie(user)
        if chosen := self.get_cookie(CHOSEN):
            deployment().accounts.set_language(user.name, language(chosen))
            self.clear_cookie(CHOSEN, path="/")
        self.set_cookie(COOKIE, deployment().language_of(user.name), path="/", samesite="Lax")


class SignIn(Entrance, LoginHandler):  # type: ignore[misc]
    """The stock form and its safeguards, in two languages."""

    def _render(self, login_error: str | None = None, **context: Any) -> Any:
        known = {
            "Invalid username or password": self.t("用户名或密码不正确。", "Wrong user name or password."),
            "Login form invalid or expired. Try again.": self.t(
                "页面已过期，请再试一次。", "The form has expired. Try again."
            ),
        }
        return super()._render(login_error=known.get(login_error or "", login_error), **context)


class SignOut(Page, LogoutHandler):  # type: ignore[misc]
    pass


class SpawnPending(Page, SpawnPendingHandler):  # type: ignore[misc]
    pass


class ChooseLanguage(Page):
    async def get(self, chosen: str) -> None:
        if self.current_user:
            deployment().accounts.set_language(self.current_user.name, chosen)
        else:
            self.set_cookie(CHOSEN, chosen, path="/", samesite="Lax")
        self.set_cookie(COOKIE, chosen, path="/", samesite="Lax")
        self.redirect(self.get_next_url(default=self.hub.base_url))


@dataclass(frozen=True)
class Card:
    """One project as the home page shows it."""

    project: Project
    role: Role
    datasets: tuple[Dataset, ...]
    """Those that hold personal data; reference tables would only lengthen the list."""
    server: str
    state: str
    """stopped, pending or running."""
    expired: bool
    speaks: str | None
    """The language of a notebook that runs; a lab keeps the one it was started in."""
    life: Life | None
    """Of one that runs."""
    soon: bool
    """Does it end within minutes?"""
    ended: Text | None
    """Why one that nobody stopped has ended."""
    full: int
    """Percent of what the member's folder may hold."""


class Home(Page):
    """The person's projects, each with a button that opens it."""

    @web.authenticated
    async def get(self) -> None:
        user = self.current_user
        policies = deployment().policies()
        person = policies.people[user.name]
        now = dt.datetime.now(dt.UTC)
        cards = [
            Card(
                project=project,
                role=project.members[user.name],
                datasets=tuple(
                    dataset
                    for name in project.datasets
                    if (dataset := policies.datasets[name]).population is not None
                ),
                server=(server := access.server_name(project.name)),
                state=_state(user, server),
                expired=project.agreement.expires < dt.date.today(),
                speaks=user.spawners[server].speaks if server in user.spawners else None,
                life=(life := _life(user, server)),
                soon=life is not None and life.soon(now),
                ended=deployment().endings.get((user.name, server)),
                full=await fullness(user.name, project.name),
            )
            for project in policies.projects.values()
            if user.name in project.members
        ]
        self.finish(await self.render_template("home.html", person=person, cards=cards))


class Lifetime(Page):
    """For the notebook's own page (images/notebook/labextensions): what there is to say of a sandbox, and keeping it."""

    @web.authenticated
    async def get(self, server: str) -> None:
        life, project = self._of(server)
        now, notices = dt.datetime.now(dt.UTC), []
        if life.soon(now):
            message = ends_soon(life, now)
            notices.append(
                {
                    "key": f"ends {life.ends.isoformat()}",
                    "message": self.t(message.zh, message.en),
                    "keep": self.t("继续使用", "Keep it"),
                }
            )
        if (percent := await fullness(self.current_user.name, project)) >= NEARLY_FULL:
            message = nearly_full(percent)
            notices.append({"key": "nearly full", "message": self.t(message.zh, message.en), "keep": ""})
        self.finish({"notices": notices, "xsrf": self.xsrf_token.decode("ascii")})

    @web.authenticated
    async def post(self, server: str) -> None:
        self._of(server)
        self.current_user.spawners[server].keep()
        self.db.commit()
        life, _ = self._of(server)
        until = f"{life.ends.astimezone():%m-%d %H:%M}"
        self.finish(
            {
                "message": self.t(
                    f"已保留，最迟运行到 {until}。", f"Kept: it runs until {until} at the latest."
                )
            }
        )

    def _of(self, server: str) -> tuple[Life, str]:
        place = access.places(deployment().policies(), self.current_user.name).get(server)
        life = _life(self.current_user, server)
        if place is None or life is None:
            raise web.HTTPError(404)
        return life, place.project


def _life(user: Any, server: str) -> Life | None:
    ready = server in user.spawners and user.spawners[server].ready
    return user.spawners[server].life() if ready else None


async def fullness(member: str, project: str) -> int:
    settings = deployment().settings
    used = await asyncio.to_thread(size, settings.home / "homes" / member / project)
    return round(100 * used / (settings.home_gib * GIB))


def _state(user: Any, server: str) -> str:
    if server not in user.spawners:
        return "stopped"
    spawner = user.spawners[server]
    return "pending" if spawner.pending else "running" if spawner.ready else "stopped"


class Password(Page):
    """Choosing a new password ends every other session of the person."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(await self.render_template("password.html", errors={}))

    @web.authenticated
    async def post(self) -> None:
        name, accounts = self.current_user.name, deployment().accounts
        old, new, again = (
            self.get_body_argument(field, "", strip=False) for field in ("old", "new", "again")
        )
        errors = self._errors(new, again)
        if not errors:
            now, address = dt.datetime.now(dt.UTC), self.request.remote_ip
            outcome = await asyncio.to_thread(accounts.verify, name, old, address, now)
            if outcome is Outcome.LOCKED:
                errors["old"] = self.t(
                    "失败次数过多，请 15 分钟后再试。", "Too many failed attempts. Try again in 15 minutes."
                )
            elif outcome is Outcome.WRONG:
                errors["old"] = self.t("当前密码不正确。", "This is not your present password.")
        if errors:
            self.set_status(422)
            self.finish(await self.render_template("password.html", errors=errors))
            return
        await asyncio.to_thread(accounts.set_password, name, new)
        self.current_user.cookie_id = orm.new_token()
        self.db.commit()
        self.set_login_cookie(self.current_user)
        self.finish(await self.render_template("password.html", errors={}, changed=True))

    def _errors(self, new: str, again: str) -> dict[str, str]:
        if len(new) < PASSWORD_LENGTH:
            return {
                "new": self.t(
                    f"新密码至少 {PASSWORD_LENGTH} 个字符。",
                    f"At least {PASSWORD_LENGTH} characters, please.",
                )
            }
        if new != again:
            return {"again": self.t("两次输入的新密码不一致。", "The two new passwords differ.")}
        return {}


class WayHome(Page):
    """Only projects are servers: there is no default one to start."""

    @web.authenticated
    async def get(self, *_: str) -> None:
        self.redirect(self.hub.base_url + "home")

    post = get


class NotHere(Page):
    async def get(self, *_: str) -> None:
        raise web.HTTPError(404)

    post = get


PAGES: tuple[tuple[str, type], ...] = (
    (r"/login", SignIn),
    (r"/logout", SignOut),
    (r"/language/(zh|en)", ChooseLanguage),
    (r"/home", Home),
    (r"/password", Password),
    (r"/spawn-pending/([^/]+)/([^/]+)", SpawnPending),
    (r"/spawn", WayHome),
    (r"/spawn/([^/]+)/?", WayHome),
    (r"/spawn-pending/([^/]+)/?", WayHome),
    (r"/token", NotHere),
    (r"/accept-share", NotHere),
    (r"/life/([^/]+)", Lifetime),
    (r"/api/frozen/(sg-[0-9a-f]+)", Frozen),
    (r"/api/downloads/([^/]+)/([^/]+)", Downloads),
)
