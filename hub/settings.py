"""Where things are and on which ports: read from the environment once, in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.networks import POOL, Pool

LOOPBACK = "127.0.0.1"

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: policies, images and templates are found from here."""


@dataclass(frozen=True)
class Settings:
    home: Path
    """The state directory, `var/` unless SANDBOX_GUARD_HOME says otherwise."""
    policies: Path
    backend: str
    """How sandboxes are run, one of `hub.backends`; empty until the launcher has chosen."""
    home_gib: int
    """How large a member's folder of one project may grow."""
    life_hours: float
    """After how long a sandbox ends, though somebody works in it, unless they keep it."""
    idle_hours: float
    """After how long one ends in which nobody is and no kernel works."""
    download_mib: int
    """How large one download from a notebook may be. A gate may have to hold it whole, in its 128 MiB."""
    oidc_issuer: str
    """Address of the OpenID Connect provider at which people sign in; empty: on the hub's own form."""
    oidc_client_id: str
    """What the provider calls the hub. The secret beside it is the file `keys/oidc-client.secret`."""
    oidc_claim: str
    """Which of the provider's claims is the name in people.yaml."""
    subnet: str
    """The private addresses of sandboxes on Docker (hub.networks)."""
    hub_host: str
    ledger_host: str
    """The names or addresses at which hub and ledger listen: this machine's own unless each is a container."""
    port: int
    """The one port that people meet."""
    proxy_api_port: int
    hub_port: int
    ledger_port: int
    portal_port: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Raises ValueError naming what is not a port, or not a network."""

        def port(name: str, default: int) -> int:
            text = environ.get(name) or str(default)
            if not text.isdigit() or not 0 < int(text) < 65536:
                raise ValueError(f"{name}={text}: 不是端口号 / not a port number")
            return int(text)

        def whole(name: str, default: int) -> int:
            text = environ.get(name) or str(default)
            if not text.isdigit() or int(text) == 0:
                raise ValueError(f"{name}={text}: 不是正整数 / not a whole number above 0")
            return int(text)

        def hours(name: str, default: float) -> float:
            text = environ.get(name) or str(default)
            try:
                value = float(text)
            except ValueError:
                value = 0.0
            if not 0 < value < 24 * 366:
                raise ValueError(f"{name}={text}: 不是小时数 / not a number of hours")
            return value

        download_mib = whole("SANDBOX_GUARD_DOWNLOAD_MIB", 10)
        if download_mib > 32:
            raise ValueError(f"SANDBOX_GUARD_DOWNLOAD_MIB={download_mib}: 不超过 32 / at most 32")

        issuer = (environ.get("SANDBOX_GUARD_OIDC_ISSUER") or "").rstrip("/")
        client_id = environ.get("SANDBOX_GUARD_OIDC_CLIENT_ID") or ""
        if issuer and not re.match(r"https://|http://(127\.0\.0\.1|localhost)(:|/|$)", issuer):
            raise ValueError(
                f"SANDBOX_GUARD_OIDC_ISSUER={issuer}: 须以 https:// 开头 / must begin with https://"
            )
        if issuer and not client_id:
            raise ValueError("SANDBOX_GUARD_OIDC_CLIENT_ID: 未设置 / not set")

        return cls(
            home=Path(environ.get("SANDBOX_GUARD_HOME") or ROOT / "var").absolute(),
            policies=Path(environ.get("SANDBOX_GUARD_POLICIES") or ROOT / "policies").absolute(),
            backend=environ.get("SANDBOX_GUARD_BACKEND") or "",
            home_gib=whole("SANDBOX_GUARD_HOME_GIB", 10),
            life_hours=hours("SANDBOX_GUARD_LIFE_HOURS", 72),
            idle_hours=hours("SANDBOX_GUARD_IDLE_HOURS", 8),
            download_mib=download_mib,
            oidc_issuer=issuer,
            oidc_client_id=client_id,
            oidc_claim=environ.get("SANDBOX_GUARD_OIDC_CLAIM") or "preferred_username",
            subnet=str(Pool.of(environ.get("SANDBOX_GUARD_SUBNET") or POOL).network),
            hub_host=environ.get("SANDBOX_GUARD_HUB_HOST") or LOOPBACK,
            ledger_host=environ.get("SANDBOX_GUARD_LEDGER_HOST") or LOOPBACK,
            port=port("PORT", 8000),
            proxy_api_port=port("SANDBOX_GUARD_PROXY_API_PORT", 8001),
            hub_port=port("SANDBOX_GUARD_HUB_PORT", 8081),
            ledger_port=port("SANDBOX_GUARD_LEDGER_PORT", 8201),
            portal_port=port("SANDBOX_GUARD_PORTAL_PORT", 8202),
        )

    def environment(self) -> dict[str, str]:
        """The variables that give a child process these same settings."""
        return {
            "SANDBOX_GUARD_HOME": str(self.home),
            "SANDBOX_GUARD_POLICIES": str(self.policies),
            "SANDBOX_GUARD_BACKEND": self.backend,
            "SANDBOX_GUARD_HOME_GIB": str(self.home_gib),
            "SANDBOX_GUARD_LIFE_HOURS": str(self.life_hours),
            "SANDBOX_GUARD_IDLE_HOURS": str(self.idle_hours),
            "SANDBOX_GUARD_DOWNLOAD_MIB": str(self.download_mib),
            "SANDBOX_GUARD_OIDC_ISSUER": self.oidc_issuer,
            "SANDBOX_GUARD_OIDC_CLIENT_ID": self.oidc_client_id,
            "SANDBOX_GUARD_OIDC_CLAIM": self.oidc_claim,
            "SANDBOX_GUARD_SUBNET": self.subnet,
            "SANDBOX_GUARD_HUB_HOST": self.hub_host,
            "SANDBOX_GUARD_LEDGER_HOST": self.ledger_host,
            "PORT": str(self.port),
            "SANDBOX_GUARD_PROXY_API_PORT": str(self.proxy_api_port),
            "SANDBOX_GUARD_HUB_PORT": str(self.hub_port),
            "SANDBOX_GUARD_LEDGER_PORT": str(self.ledger_port),
            "SANDBOX_GUARD_PORTAL_PORT": str(self.portal_port),
        }

    @property
    def address(self) -> str:
        """What people type into their browser."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def hub_api(self) -> str:
        return f"http://{self.hub_host}:{self.hub_port}/hub/api"

    @property
    def ledger_url(self) -> str:
        return f"http://{self.ledger_host}:{self.ledger_port}"

    @property
    def pool(self) -> Pool:
        return Pool.of(self.subnet)

    def seen_from_sandbox(self, host: str) -> str:
        """Where a vault or a gate finds what listens on `host`. A container does not see this machine's
        127.0.0.1: the launcher relays to it from the one address of this machine that it does see."""
        return str(self.pool.services) if self.backend == "docker" and host == LOOPBACK else host

    @property
    def portal_url(self) -> str:
        return f"http://127.0.0.1:{self.portal_port}"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def rates(self) -> Path:
        """How fast this machine is, as the launcher had it measured: vaults read it."""
        return self.home / "rates.json"

    @property
    def oidc_secret(self) -> Path:
        return self.keys / "oidc-client.secret"

    @property
    def accounts(self) -> Path:
        return self.home / "hub" / "accounts.sqlite"

    def token(self, name: str) -> str:
        """A service token that the launcher made, such as the hub's at the ledger, `hub`."""
        return (self.keys / f"{name}.token").read_text("ascii").strip()
