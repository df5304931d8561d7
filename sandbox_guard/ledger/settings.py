"""Where the ledger keeps what, and who may call it: read once, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from pkgutil import resolve_name

from sandbox_guard.ledger.accounts import ToEpsilon
from sandbox_guard.ledger.store import LedgerStore

TO_EPSILON = "sandbox_guard.privacy.account:to_epsilon"
"""`(rho units, delta units, at_delta) -> (epsilon, delta)`. Named, not imported: ledger and privacy are peers,
and which accountant to show figures by is the deployment's choice."""


@dataclass(frozen=True)
class Settings:
    """`SANDBOX_GUARD_HOME` moves all of it; `SANDBOX_GUARD_LEDGER_DATABASE` is a SQLAlchemy URL, such as
    `postgresql+psycopg://ledger@/ledger`; `SANDBOX_GUARD_LEDGER_HOST`, `…_PORT` and `…_EPSILON_DELTA` are numbers."""

    home: Path
    database: str
    host: str = "127.0.0.1"
    port: int = 8201
    epsilon_delta: float = 1e-6
    """The delta at which budgets are shown as epsilon."""
    to_epsilon: str = TO_EPSILON

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        home = Path(environment.get("SANDBOX_GUARD_HOME") or "var").absolute()
        return cls(
            home,
            environment.get("SANDBOX_GUARD_LEDGER_DATABASE", f"sqlite:///{home / 'ledger/ledger.sqlite'}"),
            host=environment.get("SANDBOX_GUARD_LEDGER_HOST", "127.0.0.1"),
            port=int(environment.get("SANDBOX_GUARD_LEDGER_PORT") or "8201"),
            epsilon_delta=float(environment.get("SANDBOX_GUARD_LEDGER_EPSILON_DELTA", "1e-6")),
            to_epsilon=environment.get("SANDBOX_GUARD_LEDGER_TO_EPSILON", TO_EPSILON),
        )

    @property
    def signing_key(self) -> Path:
        return self.home / "keys" / "ledger-signing.pem"

    @property
    def checkpoints(self) -> Path:
        return self.home / "ledger" / "checkpoints"

    @property
    def marks(self) -> Path:
        """Where the vaults of this host keep what they were acknowledged, as `<sandbox>.mark`."""
        return self.home / "marks"

    def token(self, caller: str) -> str | None:
        """The service token the launcher made for hub, portal or admin."""
        path = self.home / "keys" / f"{caller}.token"
        return path.read_text("utf-8").strip() if path.exists() else None

    def open_store(self) -> LedgerStore:
        (self.home / "ledger").mkdir(parents=True, exist_ok=True, mode=0o700)
        return LedgerStore(self.database, signing_key=self.signing_key, to_epsilon=self._to_epsilon())

    def _to_epsilon(self) -> ToEpsilon:
        return cache(partial(resolve_name(self.to_epsilon), at_delta=self.epsilon_delta))
