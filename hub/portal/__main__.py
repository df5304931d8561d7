"""`python -m hub.portal`: the portal as the launcher starts it, with JUPYTERHUB_* from its environment."""

from __future__ import annotations

import logging

import uvicorn

from hub.policies import CurrentPolicies
from hub.portal.app import create_app
from hub.portal.ledger import Ledger
from hub.portal.sandboxes import Sandboxes
from hub.portal.signin import SignIn, hub_oauth
from hub.portal.site import Site
from hub.settings import Settings


def main() -> None:
    settings = Settings.from_environment()
    hub = hub_oauth()
    site = Site(
        policies=CurrentPolicies(settings.policies),
        sign_in=SignIn(hub),
        ledger=Ledger(settings.ledger_url, settings.token("portal")),
        sandboxes=Sandboxes(settings.hub_api, hub.api_token, settings.address),
        backend=settings.backend,
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    uvicorn.run(
        create_app(site), host="127.0.0.1", port=settings.portal_port, access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
