"""Each service of `compose.yaml` has the keys that it needs, and starts with those alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub import launcher
from hub.settings import ROOT, Settings
from hub.supervisor import Service
from sandbox_guard.ledger.log import Signer
from sandbox_guard.ledger.settings import Settings as LedgerSettings

HOME = "${SANDBOX_GUARD_HOME:-/var/lib/sandbox-guard}"
ALL = "all"
KEYS: dict[str, set[str]] = {
    "relay": set(),
    "postgres": set(),
    "proxy": {"proxy.token"},
    "portal": {"portal.token", "portal-hub.token"},
    "ledger": {"ledger-signing.pem", "hub.token", "portal.token", "admin.token"},
    # They make them, or hold the engine and with it the host; the steward is called, and runs beside nobody.
    "prepare": {ALL},
    "prepare-ledger": {ALL},
    "hub": {ALL},
    "steward": {ALL},
}


def mounted(service: dict[str, Any]) -> set[str]:
    """Names of the files of `keys/` that a service sees."""
    found = set()
    for volume in service.get("volumes", ()):
        source = volume["source"] if isinstance(volume, dict) else volume.rsplit(":" + HOME, 1)[0]
        if source in (HOME, f"{HOME}/keys"):
            found.add(ALL)
        elif source.startswith(f"{HOME}/keys/"):
            assert volume["read_only"] and volume["target"] == source
            found.add(source.rpartition("/")[2])
    return found


def test_every_service_sees_the_keys_that_it_needs_and_no_others() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    assert {name: mounted(service) for name, service in services.items()} == KEYS


@pytest.mark.parametrize(
    ("name", "build"), [("relay", launcher._relay), ("proxy", launcher._proxy), ("portal", launcher._portal)]
)
def test_it_starts_with_those(home: Path, name: str, build: Callable[[Settings], Service]) -> None:
    (home / "keys").mkdir()
    for key in KEYS[name]:
        (home / "keys" / key).write_text(f"secret of {key}")
    build(Settings.from_environment())


def test_the_ledger_starts_with_those(home: Path) -> None:
    settings = LedgerSettings.from_environment()
    Signer.at(settings.signing_key)
    for caller in ("hub", "portal", "admin"):
        (home / "keys" / f"{caller}.token").write_text(caller)
    assert {path.name for path in (home / "keys").iterdir()} == KEYS["ledger"]
    (home / "keys").chmod(0o500)
    settings.open_store().close()
    assert [settings.token(caller) for caller in ("hub", "portal", "admin")] == ["hub", "portal", "admin"]
