"""Without Docker: behind bubblewrap's walls no user code reads a restricted row or reaches more than vault and hub.

The attempts of test_sandbox_is_sealed.py, made behind the walls of a running sandbox's notebook. What they do not
close (`OPEN`, and docs/decisions/bubblewrap-pair.md) is shown to be open, so that nobody relies on it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hub.access import Kind, server_name
from tests.end_to_end.conftest import environment_of, launch, stop
from tests.sealed import walls
from tests.sealed.attempts import ATTEMPTS
from tests.sealed.sandboxes import LONG, Hub, Seen, host_services
from tests.sealed.walls import CONTROLS, HERE_ONLY, OPEN, Place, control, facts_of, need_bubblewrap, tried

PROJECT = "credit-inclusion"
pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    need_bubblewrap(tmp_path_factory.mktemp("filter"))
    home = tmp_path_factory.mktemp("var")
    product = launch({**environment_of(home), "SANDBOX_GUARD_BACKEND": "bubblewrap"})
    try:
        hub = Hub(product)
        for member in ("lin", "chen"):
            hub.sign_in(member)
            hub.start(member, PROJECT)
        hub.start("chen", server_name(PROJECT, Kind.ANALYSES))
        yield hub
    finally:
        stop(product)


@pytest.fixture(scope="module")
def own(hub: Hub) -> Place:
    return Place(hub.product.home, "lin", PROJECT)


@pytest.fixture(scope="module")
def facts(hub: Hub, own: Place) -> Iterator[dict[str, Any]]:
    with host_services("127.0.0.53") as services:
        yield {**facts_of(hub.product, hub, own, Place(own.home, "chen", PROJECT)), **services}


@pytest.fixture(scope="module")
def seen(own: Place, facts: dict[str, Any]) -> Seen:
    return tried(ATTEMPTS, facts, own.walls.command)


def test_there_are_attempts_of_every_kind_that_would_work() -> None:
    """Needs no bubblewrap, and so is never skipped."""
    kinds = Counter(attempt.kind for name, attempt in ATTEMPTS.items() if name not in {*HERE_ONLY, *OPEN})
    assert sum(kinds.values()) >= 60
    assert len(kinds) == 12
    assert min(kinds.values()) >= 5, kinds


@pytest.mark.parametrize("name", ATTEMPTS)
def test_they_hold(name: str, seen: Seen) -> None:
    outcome, evidence = seen[name]
    assert outcome == ("worked" if name in OPEN else "sealed"), evidence


@pytest.mark.parametrize("protection", CONTROLS)
def test_only_the_protection_holds(
    protection: str, own: Place, facts: dict[str, Any], tmp_path: Path
) -> None:
    names = [
        attempt.name
        for attempt in ATTEMPTS.values()
        if attempt.control == protection and attempt.name not in HERE_ONLY
    ]
    with control(own, protection, tmp_path) as command:
        seen = tried(names, facts, command, LONG)
    assert {name: evidence for name, (outcome, evidence) in seen.items() if outcome != "worked"} == {}


def test_the_way_to_the_vault_is_open(own: Place) -> None:
    """So that the walls are not those of a sandbox in which nothing works."""
    ask = "import httpx; t = httpx.HTTPTransport(uds='/run/guard/vault.sock'); print(httpx.Client(transport=t).get('http://vault/health').text)"
    assert walls.output(own.walls.command, ask) == '{"ok":true}'


def test_the_welcome_notebook_runs_to_its_end(own: Place) -> None:
    environment = walls.environment_of_notebook(own)
    words = [
        "-m",
        "nbconvert",
        "--execute",
        "--to",
        "notebook",
        "--stdout",
        "--log-level=ERROR",
        "welcome.ipynb",
    ]
    done = subprocess.run(
        own.walls.command([sys.executable, *words]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outputs = [each for cell in json.loads(done.stdout)["cells"] for each in cell.get("outputs", ())]
    assert any("text/html" in each.get("data", {}) for each in outputs)


def test_only_a_stronger_token_opens_the_hub(own: Place, facts: dict[str, Any], hub: Hub) -> None:
    """Last: with it, a member's server is stopped."""
    names = [attempt.name for attempt in ATTEMPTS.values() if attempt.control == "stronger token"]
    seen = tried(names, {**facts, "token": hub.token}, own.walls.command, LONG)
    assert {name: evidence for name, (outcome, evidence) in seen.items() if outcome != "worked"} == {}
