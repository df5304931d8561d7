"""Signing in at an OpenID Connect provider, such as a bureau's own directory.

The provider says who somebody is, people.yaml whether they may come in and what they may: rights are reviewed text, and
a group of the provider's changes none. Its addresses are read from `<issuer>/.well-known/openid-configuration` when they are
first needed, so that a provider that is away keeps nobody out who is in.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from jupyterhub.utils import get_browser_protocol
from oauthenticator.generic import GenericOAuthenticator
from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.httputil import url_concat
from traitlets import Unicode

from hub.authenticator import ByPolicy
from hub.deployment import deployment
from hub.language import translator
from hub.pages import PAGES, Entrance, NotHere, Page, SignIn, SignOut

PATIENCE = 5.0
"""Seconds for a provider to say where its pages are."""


class SignInThere(SignIn):
    """A button in place of the form."""

    async def post(self) -> None:
        raise web.HTTPError(405)


class ToProvider(Page, OAuthLoginHandler):  # type: ignore[misc]
    async def get(self) -> None:
        try:
            await self.authenticator.discover()
        except (OSError, ValueError, KeyError, HTTPClientError, web.HTTPError) as error:
            self.log.error("%s is no provider: %r", self.authenticator.issuer, error)
            raise web.HTTPError(
                502,
                self.t(
                    "统一登录服务没有应答，请稍后再试；若仍不行，请联系管理员。",
                    "The sign-in service does not answer. Try again shortly; if that does not help, ask the administrator.",
                ),
            ) from error
        super().get()


class FromProvider(Entrance, OAuthCallbackHandler):  # type: ignore[misc]
    """Back with a code, or with an error."""

    def check_arguments(self) -> None:
        try:
            super().check_arguments()
        except web.HTTPError as error:
            self.log.warning("A sign-in was not finished: %s", error.log_message)
            raise web.HTTPError(
                400,
                self.t(
                    "登录没有完成：已取消，或页面已过期。请再试一次。",
                    "The sign-in was not finished: it was cancelled, or the page expired. Try again.",
                ),
            ) from error


class SignOutThere(SignOut):
    """There too: else the next person at this computer is signed in by a click."""

    async def render_logout_page(self) -> None:
        if not self.authenticator.end_session_url:
            await super().render_logout_page()
            return
        back = f"{seen_from_outside(self)}login"
        given = {"client_id": self.authenticator.client_id, "post_logout_redirect_uri": back}
        self.redirect(url_concat(self.authenticator.end_session_url, given))


class ProviderAuthenticator(ByPolicy, GenericOAuthenticator):  # type: ignore[misc]
    issuer = Unicode(config=True, help="Address of the provider.")
    end_session_url = Unicode(help="Where the provider signs people out; empty where it does not.")

    _discovered = False

    async def discover(self) -> None:
        """The provider's addresses, once. Raises OSError, ValueError, KeyError or an error of Tornado's where this is no
        provider."""
        if self._discovered:
            return
        there = await self.httpfetch(
            f"{self.issuer}/.well-known/openid-configuration",
            connect_timeout=PATIENCE,
            request_timeout=PATIENCE,
        )
        if there["issuer"].rstrip("/") != self.issuer:
            raise ValueError(f"it calls itself {there['issuer']}")
        # What a provider that does not say so takes.
        ways = there.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        self.basic_auth = "client_secret_basic" in ways
        self.token_url = there["token_endpoint"]
        self.userdata_url = there["userinfo_endpoint"]
        self.end_session_url = there.get("end_session_endpoint", "")
        self.authorize_url = there["authorization_endpoint"]
        self._discovered = True

    async def authenticate(self, handler: Any, data: Any = None, **kwargs: Any) -> dict[str, Any] | None:
        t = translator(handler.language)
        # The hub may have been restarted while somebody was at the provider.
        await self.discover()
        try:
            name = (await super().authenticate(handler, data, **kwargs))["name"]
        except ValueError as error:
            raise web.HTTPError(
                403,
                t(
                    f"登录服务没有提供用户名（{self.username_claim}），请联系管理员。",
                    f"The sign-in service gave no user name ({self.username_claim}). Ask the administrator.",
                ),
            ) from error
        if name not in deployment().policies().people:
            raise web.HTTPError(
                403,
                t(
                    f"您已登录为 {name}，但这个账号尚未在数据沙箱开通。请联系数据管理员，在 people.yaml 中登记。",
                    f"You are signed in as {name}, whom Sandbox Guard does not know. Ask the data steward for an entry in "
                    "people.yaml.",
                ),
            )
        return self.model(name)

    def get_callback_url(self, handler: Any = None) -> str:
        return f"{seen_from_outside(handler)}oauth_callback"

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        instead = {r"/login": SignInThere, r"/logout": SignOutThere, r"/password": NotHere}
        pages = [(path, instead.get(path, page)) for path, page in PAGES]
        return [*pages, (r"/oauth_login", ToProvider), (r"/oauth_callback", FromProvider)]


def seen_from_outside(handler: Any) -> str:
    """The hub's address as the browser has it, also behind a proxy that ends TLS."""
    return f"{get_browser_protocol(handler.request)}://{handler.request.host}{handler.hub.base_url}"


def service_name(issuer: str) -> str:
    """What the button calls it."""
    return urlsplit(issuer).hostname or issuer
