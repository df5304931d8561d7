"""Signing in through the hub: OAuth with state and PKCE, then a cookie that holds the hub's token.

`HubOAuth` speaks the protocol; its cookie helpers are tornado's, so cookies are set here. The hub's word on a
token is believed for `BELIEVED` seconds: so long may someone who signed out elsewhere still read pages.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from jupyterhub.services.auth import HubOAuth
from tornado.web import HTTPError

BELIEVED = 10
STATE_SECONDS = 600


class NotSignedIn(Exception):
    """The page needs someone; they are sent to the hub and come back to it."""


class HubSilent(Exception):
    """The hub does not answer."""


class StateLost(Exception):
    """A sign-in that was not begun in this browser, or too long ago."""


@dataclass(frozen=True)
class Identity:
    """Who the hub says is there."""

    name: str
    token: str
    """Theirs, with the scopes below: worth no more than they are."""
    scopes: frozenset[str]


def hub_oauth() -> Any:
    """From the environment that the launcher gives a hub service."""
    return HubOAuth(cache_max_age=BELIEVED)


class SignIn:
    def __init__(self, hub: Any) -> None:
        """`hub` is a `HubOAuth`."""
        self._hub = hub
        # Bound to the portal's own secret: a restart keeps the forms on people's screens valid.
        self._key = hashlib.sha256(b"sandbox-guard portal forms\0" + hub.api_token.encode()).digest()

    @property
    def prefix(self) -> str:
        """Where the portal lives, such as `/services/portal/`."""
        return str(self._hub.base_url)

    def whoever(self, request: Request) -> Identity:
        """Raises NotSignedIn, HubSilent."""
        token = request.cookies.get(self._hub.cookie_name, "")
        if not token:
            raise NotSignedIn
        session = request.cookies.get("jupyterhub-session-id", "")
        try:
            found = self._hub.user_for_token(token, session_id=session)
        except HTTPError as error:
            raise HubSilent from error
        if not found or found.get("kind", "user") != "user":
            raise NotSignedIn
        if not self._hub.check_scopes(self._hub.access_scopes, found):
            raise NotSignedIn
        return Identity(found["name"], token, frozenset(found["scopes"]))

    # ------------------------------------------------------------------------------------ the dance

    def begin(self, request: Request, back_to: str) -> Response:
        """To the hub; `back_to` is a path of the portal."""
        verifier, challenge, method = self._hub.generate_pkce_code_challenge()
        cookie = f"{self._hub.state_cookie_name}-{secrets.token_hex(4)}"
        state = self._hub.generate_state(back_to, cookie_name=cookie, code_verifier=verifier)
        query = {"state": state, "code_challenge": challenge, "code_challenge_method": method}
        answer = RedirectResponse(f"{self._hub.login_url}&{urlencode(query)}", 303)
        self._set(request, answer, cookie, state, STATE_SECONDS)
        return answer

    def finish(self, request: Request, code: str, state: str) -> Response:
        """Back from the hub. Raises StateLost, HubSilent."""
        cookie = self._hub.get_state_cookie_name(state)
        held = request.cookies.get(cookie, "")
        verifier, back_to = self._hub.get_code_verifier(state), self._hub.get_next_url(state)
        if not held or not hmac.compare_digest(held, state) or not verifier:
            raise StateLost
        self._hub.clear_oauth_state(state)
        try:
            token = self._hub.token_for_code(code, code_verifier=verifier)
        except HTTPError as error:
            raise HubSilent from error
        answer = RedirectResponse(back_to, 303)
        answer.delete_cookie(cookie, path=self.prefix)
        self._set(request, answer, self._hub.cookie_name, token, None)
        return answer

    def _set(self, request: Request, answer: Response, name: str, value: str, seconds: int | None) -> None:
        secure = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0] == "https"
        answer.set_cookie(
            name, value, max_age=seconds, path=self.prefix, secure=secure, httponly=True, samesite="lax"
        )

    # ------------------------------------------------------------------------------------ forms

    def form_token(self, identity: Identity) -> str:
        """What a form of this session carries, and no other site can know."""
        return hmac.new(self._key, identity.token.encode(), "sha256").hexdigest()

    def is_form_token(self, identity: Identity, given: str) -> bool:
        return hmac.compare_digest(self.form_token(identity).encode(), given.encode())
