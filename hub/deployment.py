"""What this process of the hub works with: its settings, the policies of today, the accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import httpx

from hub.accounts import Accounts
from hub.language import Language, language
from hub.policies import CurrentPolicies
from hub.settings import Settings
from sandbox_guard.errors import Text


@dataclass(frozen=True)
class Deployment:
    settings: Settings
    policies: CurrentPolicies
    accounts: Accounts
    endings: dict[tuple[str, str], Text] = field(default_factory=dict)
    """By member and server, why a sandbox that nobody stopped has ended since it was last started."""

    def language_of(self, name: str) -> Language:
        """What this person chose, else what people.yaml says, else Chinese."""
        person = self.policies().people.get(name)
        return language(self.accounts.language(name) or (person.language if person else None))

    def ledger(self) -> httpx.AsyncClient:
        """To call it as the hub."""
        return httpx.AsyncClient(
            base_url=self.settings.ledger_url,
            headers={"Authorization": f"Bearer {self.settings.token('hub')}"},
            trust_env=False,
        )


@cache
def deployment() -> Deployment:
    """Made from the environment once. The hub's configuration copies what passes through it, and neither a
    database nor a cache survives that; so its classes come here instead."""
    settings = Settings.from_environment()
    return Deployment(settings, CurrentPolicies(settings.policies), Accounts(settings.accounts))
