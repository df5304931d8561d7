"""What every page shares: the parts it is made from, and how one is rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hub.language import COOKIE, language, translator
from hub.policies import CurrentPolicies
from hub.portal import words
from hub.portal.ledger import Ledger
from hub.portal.rights import Denied, Visitor
from hub.portal.sandboxes import Sandboxes
from hub.portal.signin import SignIn
from sandbox_guard.errors import Text
from sandbox_guard.policy.model import Office

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Site:
    policies: CurrentPolicies
    sign_in: SignIn
    ledger: Ledger
    sandboxes: Sandboxes
    backend: str

    @property
    def prefix(self) -> str:
        return self.sign_in.prefix


templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.globals["words"] = words


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


def visitor_of(request: Request) -> Visitor:
    """Whoever is signed in. Raises NotSignedIn, HubSilent; Denied for someone whom policy does not name."""
    site = site_of(request)
    identity = site.sign_in.whoever(request)
    policies = site.policies()
    person = policies.people.get(identity.name)
    if person is None:
        raise Denied(
            Text(
                "人员名单（people.yaml）中没有您的账号，请联系数据管理员。",
                "The list of people (people.yaml) does not name your account. Ask the steward.",
            )
        )
    chosen = language(request.cookies.get(COOKIE) or person.language)
    return Visitor(identity, person, policies, chosen)


TheSite = Annotated[Site, Depends(site_of)]
TheVisitor = Annotated[Visitor, Depends(visitor_of)]


def page(
    request: Request,
    visitor: Visitor | None,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One page in the visitor's language."""
    site = site_of(request)
    chosen = visitor.language if visitor else language(request.cookies.get(COOKIE))
    text = templates.get_template(template).render(
        lang=chosen,
        t=translator(chosen),
        say=words.sayer(chosen),
        visitor=visitor,
        prefix=site.prefix,
        hub_prefix="/hub/",
        backend=site.backend,
        here=request.url.path,
        form_token=site.sign_in.form_token(visitor.identity) if visitor else "",
        is_auditor=bool(visitor and visitor.holds(Office.AUDITOR)),
        is_steward=bool(visitor and visitor.holds(Office.STEWARD)),
        **(context or {}),
    )
    return HTMLResponse(text, status, headers)
