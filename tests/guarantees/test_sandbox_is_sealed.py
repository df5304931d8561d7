"""No process that runs user code reads a restricted row, and a notebook reaches its vault, the hub's API and nothing else.

Tried from inside the notebook of a running sandbox, beside a neighbour's, on a real engine. Each attempt is then
made again where the one protection against it is missing, and must work there: what fails everywhere shows nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hub.containers import Role
from tests.end_to_end.test_run import processes
from tests.sealed.attempts import ATTEMPTS
from tests.sealed.sandboxes import (
    CONTROLS,
    LONG,
    Hub,
    Sandbox,
    Seen,
    Setting,
    control,
    control_networks,
    docker_engine,
    facts_of,
    host_services,
    left_behind,
    product_on_docker,
    sandbox,
    tried,
)

PROJECT = "credit-inclusion"
pytestmark = pytest.mark.timeout(1200)

KINDS = {
    *("file", "process", "memory", "network", "host services", "neighbours"),
    *("dns", "tokens", "ledger", "kernel interfaces", "resources", "time"),
}
STRONGER_TOKEN = "stronger token"
"""The one control that is no container's: the same requests to the hub, with a token that may make them."""

TRIES = 3
"""A machine that runs other tests beside may miss a release time, which is a Fault: what was paid is not paid again."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    docker_engine()
    with product_on_docker(tmp_path_factory.mktemp("var")) as product:
        hub = Hub(product)
        for member in ("lin", "chen"):
            hub.sign_in(member)
        yield hub


@pytest.fixture(scope="module")
def setting(hub: Hub) -> Iterator[Setting]:
    client = docker_engine()
    home = hub.product.home
    for member in ("lin", "chen"):
        hub.start(member, PROJECT)
    own, neighbour = (sandbox(client, home, member, PROJECT) for member in ("lin", "chen"))
    with ExitStack() as stack:
        networks = stack.enter_context(control_networks(client))
        services = stack.enter_context(host_services(networks["resolver"]))
        facts = {**facts_of(home, hub.product, own, neighbour), **services, **networks}
        yield Setting(client, home, facts, own, neighbour)
        for member in ("lin", "chen"):
            hub.stop(member, PROJECT)


@pytest.fixture(scope="module")
def seen(setting: Setting) -> Seen:
    """Every attempt, made in the notebook itself."""
    return tried(setting.own.container(Role.NOTEBOOK), ATTEMPTS, setting.facts)


def run_welcome(sandbox: Sandbox) -> str:
    """In the notebook's container, as its user; empty, or why it did not reach its end."""
    words = ["-m", "nbconvert", "--execute", "--to", "notebook", "--stdout", "--log-level=ERROR"]
    done = subprocess.run(
        ["docker", "exec", "-w", "/home/guard", sandbox.container(Role.NOTEBOOK)]
        + ["/opt/sandbox-guard/bin/python", *words, "welcome.ipynb"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        return done.stderr[-2000:]
    outputs = [each for cell in json.loads(done.stdout)["cells"] for each in cell.get("outputs", ())]
    assert any("text/html" in each.get("data", {}) for each in outputs)
    return ""


def test_there_are_attempts_of_every_kind() -> None:
    """Needs no engine, and so is never skipped."""
    kinds = Counter(attempt.kind for attempt in ATTEMPTS.values())
    assert len(ATTEMPTS) >= 60
    assert set(kinds) == KINDS
    assert min(kinds.values()) >= 5, kinds


def test_every_attempt_has_a_positive_control() -> None:
    assert {attempt.control for attempt in ATTEMPTS.values()} == {*CONTROLS, STRONGER_TOKEN}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_it_is_sealed(name: str, seen: Seen) -> None:
    outcome, evidence = seen[name]
    assert outcome == "sealed", evidence


@pytest.mark.parametrize("protection", CONTROLS)
def test_only_the_protection_seals_it(protection: str, setting: Setting) -> None:
    names = [attempt.name for attempt in ATTEMPTS.values() if attempt.control == protection]
    assert names
    facts = setting.facts
    if protection == "host on the bridge":
        facts = {**facts, "gateway": facts["control_gateway"]}
    with control(setting, CONTROLS[protection]) as container:
        seen = tried(container, names, facts, LONG)
    assert {name: evidence for name, (outcome, evidence) in seen.items() if outcome != "worked"} == {}


def test_no_service_leaves_a_vaults_core_for_a_notebooks_when_the_vault_works(
    hub: Hub, setting: Setting
) -> None:
    """None runs on it in the first place."""
    launched = hub.product.launcher.pid
    services = [
        number
        for number, command in processes(hub.product.environment).items()
        if number != launched and "hub.launcher" not in command
    ]
    assert len(services) >= len(("proxy", "ledger", "hub", "portal", "relay"))
    for number in services:
        assert not os.sched_getaffinity(number) & set(setting.facts["vault_cores"]), number


def test_the_way_to_the_vault_is_open(setting: Setting) -> None:
    """So that the seal is not that of a sandbox in which nothing works."""
    facts = {**setting.facts, "their_vault": ["vault", 8080], "their_gate": ["gate", 8081]}
    names = ["connect_to_the_neighbours_vault", "connect_to_the_neighbours_gate"]
    seen = tried(setting.own.container(Role.NOTEBOOK), names, facts, LONG)
    assert {outcome for outcome, _ in seen.values()} == {"worked"}, seen


def test_the_welcome_notebook_runs_to_its_end(setting: Setting) -> None:
    """What the seal is for: a researcher who signed in gets answers, through gate, vault and ledger."""
    for _ in range(TRIES):
        failed = run_welcome(setting.own)
        if not failed:
            return
    pytest.fail(failed)


def test_a_disk_filler_is_ended_and_its_neighbour_is_not(setting: Setting, hub: Hub) -> None:
    def run(*words: str) -> None:
        container = setting.own.container(Role.NOTEBOOK)
        subprocess.run(["docker", "exec", container, *words], capture_output=True, timeout=400, check=False)

    run("dd", "if=/dev/zero", "of=/home/guard/junk", "bs=1M", "count=1200")
    deadline = time.monotonic() + 240
    while hub.server("lin", PROJECT):
        assert time.monotonic() < deadline, "its home is past the limit, and it still runs"
        time.sleep(0.5)
    assert hub.server("chen", PROJECT)["ready"]
    # A full home still starts, so that its owner can clean up.
    hub.start("lin", PROJECT)
    run("rm", "/home/guard/junk")


def test_only_a_stronger_token_opens_the_hub(setting: Setting, hub: Hub) -> None:
    """Last: with it, a member's server is stopped."""
    names = [attempt.name for attempt in ATTEMPTS.values() if attempt.control == STRONGER_TOKEN]
    stronger = replace(setting, facts={**setting.facts, "token": hub.token})
    seen = tried(setting.own.container(Role.NOTEBOOK), names, stronger.facts, LONG)
    assert {name: evidence for name, (outcome, evidence) in seen.items() if outcome != "worked"} == {}


def test_start_and_stop_leave_nothing_behind(hub: Hub) -> None:
    start_and_stop(hub, 10)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_starts_and_stops_leave_nothing_behind(hub: Hub) -> None:
    start_and_stop(hub, 50)


def start_and_stop(hub: Hub, cycles: int) -> None:
    """No container, network, process or file of a sandbox is there after its end."""
    client, home = docker_engine(), hub.product.home
    for member in ("lin", "chen"):
        if hub.server(member, PROJECT):
            hub.stop(member, PROJECT)
    assert left_behind(client, home) == []
    # What the first start makes once, such as a log, every further one finds there.
    known_processes: Counter[str] = Counter()
    known_files: set[str] = set()
    for cycle in range(cycles):
        hub.start("lin", PROJECT)
        assert len(left_behind(client, home)) == 4
        hub.stop("lin", PROJECT)
        assert left_behind(client, home) == []
        if cycle == 0:
            known_processes, known_files = Counter(processes(hub.product.environment).values()), files(home)
        deadline = time.monotonic() + 60
        while new := [
            *(Counter(processes(hub.product.environment).values()) - known_processes),
            *(files(home) - known_files),
        ]:
            assert time.monotonic() < deadline, f"cycle {cycle} left {new}"
            time.sleep(0.5)


def files(home: Path) -> set[str]:
    """But for members' own folders, which stay, and what a database has open."""
    return {
        str(path.relative_to(home))
        for path in home.rglob("*")
        if "homes" not in path.parts and not path.name.endswith(("-wal", "-shm", "-journal"))
    }
