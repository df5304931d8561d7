"""The hub of Sandbox Guard: what is deployed, with a reason for each setting.

Read by `jupyterhub --config`, which the launcher starts; what the parts do stands in `hub/`.
"""

import sys
from typing import Any

from hub.access import ANALYSE, CUSTOM_SCOPES, PORTAL_USER_SCOPES, QUERY, ROLES
from hub.authenticator import AccountAuthenticator
from hub.bubblewrap_pair import BubblewrapPairSpawner
from hub.deployment import deployment
from hub.docker_pair import DockerPairSpawner
from hub.language import Language, language, translator
from hub.oidc import ProviderAuthenticator, service_name
from hub.process_pair import ProcessPairSpawner
from hub.settings import ROOT

c = get_config()  # type: ignore[name-defined]  # noqa: F821

settings = deployment().settings

# ------------------------------------------------------------------------------- where things are

c.JupyterHub.bind_url = settings.address
c.JupyterHub.hub_bind_url = f"http://{settings.hub_host}:{settings.hub_port}"
c.JupyterHub.db_url = f"sqlite:///{settings.home / 'hub' / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(settings.home / "hub" / "cookie_secret")
c.JupyterHub.pid_file = ""

# The launcher runs the proxy, so that a hub that is restarted does not cut anyone off.
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_api_port}"
c.ConfigurableHTTPProxy.auth_token = settings.token("proxy")

# --------------------------------------------------------------------------------- who may come in

c.JupyterHub.authenticator_class = ProviderAuthenticator if settings.oidc_issuer else AccountAuthenticator
# people.yaml decides, never what an earlier version of it let in.
c.Authenticator.allow_existing_users = False
c.Authenticator.any_allow_config = True
c.Authenticator.manage_groups = True
# So long may a person who was taken out of people.yaml still be signed in.
c.Authenticator.auth_refresh_age = 60
c.Authenticator.refresh_pre_spawn = True
if settings.oidc_issuer:
    c.ProviderAuthenticator.issuer = settings.oidc_issuer
    c.ProviderAuthenticator.login_service = service_name(settings.oidc_issuer)
    c.ProviderAuthenticator.client_id = settings.oidc_client_id
    c.ProviderAuthenticator.client_secret = settings.oidc_secret.read_text("utf-8").strip()
    c.ProviderAuthenticator.username_claim = settings.oidc_claim
    c.ProviderAuthenticator.scope = ["openid", "profile", "email"]
    # Whom the provider no longer knows is noticed when they sign in again: once a working day.
    c.JupyterHub.cookie_max_age_days = 0.5

# ---------------------------------------------------------------------------------- who may do what

c.JupyterHub.custom_scopes = CUSTOM_SCOPES
c.JupyterHub.load_roles = ROLES
# A shared server would let others query under the name of its owner.
c.Spawner.oauth_client_allowed_scopes = []
c.JupyterHub.admin_access = False

# ------------------------------------------------------------------------------------------ sandboxes

backends: dict[str, type] = {
    "docker": DockerPairSpawner,
    "bubblewrap": BubblewrapPairSpawner,
    "process": ProcessPairSpawner,
}
if settings.backend not in backends:
    sys.exit(f"SANDBOX_GUARD_BACKEND={settings.backend}: 可选 / choose one of: {', '.join(backends)}")
c.JupyterHub.spawner_class = backends[settings.backend]
# A named server is a project; there is no other server to start.
c.JupyterHub.allow_named_servers = True
c.JupyterHub.redirect_to_server = False
c.JupyterHub.default_url = "/hub/home"
# User code can read this token, so it opens this very server and queries its vault, and nothing else.
c.Spawner.server_token_scopes = [
    "users:activity!user",
    "access:servers!server",
    f"{QUERY}!server",
    f"{ANALYSE}!server",
]
c.Spawner.env_keep = []
# Several that start at once on few cores are slow, not broken.
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 60
c.Spawner.poll_interval = 10
# At each of these looks the hub also gives the proxy the routes that it lacks: a proxy that was restarted has none.
c.JupyterHub.last_activity_interval = 10
c.JupyterHub.concurrent_spawn_limit = 6
# Stopping the product stops the sandboxes; a hub that crashes finds them again by their process id.
c.JupyterHub.cleanup_servers = True

# -------------------------------------------------------------------------------------------- portal

c.JupyterHub.services = [
    {
        # Supervised by the launcher beside the hub: one that is managed here is orphaned with a killed hub.
        "name": "portal",
        "url": settings.portal_url,
        "api_token": settings.token("portal-hub"),
        "oauth_client_id": "service-portal",
        "oauth_redirect_uri": "/services/portal/oauth_callback",
        "oauth_client_allowed_scopes": PORTAL_USER_SCOPES,
        # It is part of the product: nobody need be asked whether it may know who they are.
        "oauth_no_confirm": True,
        "display": False,
    }
]

# --------------------------------------------------------------------------------------------- pages

c.JupyterHub.template_paths = [str(ROOT / "hub" / "templates")]


def language_of(user: Any) -> Language:
    """Of whoever looks at a page; pages before sign-in look at the cookie themselves."""
    return deployment().language_of(user.name) if user else language(None)


c.JupyterHub.template_vars = {
    "backend": settings.backend,
    "lang": language_of,
    # Of the server that a page names.
    "why_ended": lambda user: lambda server: deployment().endings.get((user.name if user else "", server)),
    "t": lambda user: translator(language_of(user)),
}
