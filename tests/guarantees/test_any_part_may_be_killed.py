"""Whatever part is killed, and whenever: everything recovers or is cleaned up, no notebook is lost, no budget overspent.

On Docker, with two members' sandboxes. Parts are killed one after the other, at random, with SIGKILL; after each,
a question is asked again through what was killed.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from docker.errors import NotFound

from hub.containers import Role
from hub.docker_pair import RESTARTS
from tests.end_to_end.test_run import processes
from tests.sealed.sandboxes import Hub, docker_engine, left_behind, product_on_docker, python_in, sandbox

PROJECT = "credit-inclusion"
MEMBERS = ("lin", "chen")
SERVICES = {
    "hub": "jupyterhub ",
    "proxy": "configurable-http-proxy",
    "ledger": "sandbox_guard.ledger.service",
    "portal": "hub.portal",
    "relay": "hub/gate.py",
}
ASK = "from sandbox_guard import client as guard; print(guard.sql('SELECT count(*) AS firms FROM ent').iloc[0, 0])"
HOLDS = """
import os, sys
from sandbox_guard import client as guard
unsaved = os.urandom(16).hex()
for _ in sys.stdin:
    print(guard.sql('SELECT count(*) AS firms FROM ent').iloc[0, 0], unsaved)
"""
PATIENCE = 240.0


@pytest.mark.timeout(1500)
def test_everything_recovers(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "var", seconds=120)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_everything_recovers_for_ten_minutes(tmp_path: Path) -> None:
    kill_at_random(tmp_path / "var", seconds=600)


def kill_at_random(home: Path, seconds: float) -> None:
    client = docker_engine()
    seed = random.randrange(2**32)
    choose = random.Random(seed)
    killed: list[str] = []
    with product_on_docker(home) as product:
        hub = Hub(product)
        for member in MEMBERS:
            hub.sign_in(member)
            hub.start(member, PROJECT)
            (home / "homes" / member / PROJECT / "mine.ipynb").write_text(member, "utf-8")
        answer: dict[str, str] = {}

        def is_answered(member: str) -> bool:
            answer[member] = ask(home, member)
            return answer[member] != ""

        for member in MEMBERS:
            until(lambda m=member: is_answered(m), f"{member} gets no first answer")  # type: ignore[misc]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            victim = choose.choice([*SERVICES, *Role])
            member = choose.choice(MEMBERS)
            killed.append(f"{victim} ({member})")
            why = f"seed {seed}, killed {killed}"
            if victim in SERVICES:
                kill_service(victim, product.environment)
            else:
                client.kill(sandbox(client, home, member, PROJECT).container(Role(victim)))
            until(lambda: healthy(hub), f"the services did not come back: {why}")
            if victim in (Role.GATE, Role.NOTEBOOK):
                # Its pair goes as a whole, and is started anew as its owner would.
                until(lambda m=member: not running(hub, m), f"a half-dead pair was not noticed: {why}")  # type: ignore[misc]
                hub.start(member, PROJECT)

            def answered(each: str, victim: str = victim, killed_in: str = member) -> bool:
                if victim == Role.VAULT and not running(hub, killed_in):
                    # It has started again too often.
                    hub.start(killed_in, PROJECT)
                return ask(home, each) == answer[each]

            for each in MEMBERS:
                # The same release, free, as often as it is asked.
                until(lambda m=each: answered(m), f"{each} gets no answer: {why}")  # type: ignore[misc]
        for member in MEMBERS:
            assert (home / "homes" / member / PROJECT / "mine.ipynb").read_text("utf-8") == member
            hub.stop(member, PROJECT)
        assert left_behind(client, home) == []
        verified = product.command("audit", "verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    assert not processes(product.environment), killed


@pytest.mark.timeout(900)
def test_a_notebook_keeps_what_it_holds_when_its_vault_is_killed(tmp_path: Path) -> None:
    client = docker_engine()
    home = tmp_path / "var"
    with product_on_docker(home) as product:
        hub = Hub(product)
        hub.sign_in("lin")
        hub.start("lin", PROJECT)
        own = sandbox(client, home, "lin", PROJECT)
        with running_in(own.container(Role.NOTEBOOK), HOLDS) as ask_again:
            first = ask_again()
            for _ in range(RESTARTS):
                client.kill(own.container(Role.VAULT))
                # The same release, and what was only in memory is there.
                assert ask_again() == first
                until(lambda: vault_runs(home, "lin"), "it was answered by nobody")
            client.kill(own.container(Role.VAULT))
            until(lambda: not running(hub, "lin"), "a vault that ends over and over starts again for ever")
        assert left_behind(client, home) == []


def kill_service(name: str, environment: dict[str, str]) -> None:
    """By what its command says; not the launcher, and not what the test itself runs."""
    for number, command in processes(environment).items():
        if SERVICES[name] in command and "hub.launcher" not in command:
            os.kill(number, signal.SIGKILL)


def ask(home: Path, member: str) -> str:
    """In the member's own notebook; empty where it could not."""
    try:
        container = sandbox(docker_engine(), home, member, PROJECT).container(Role.NOTEBOOK)
    except ValueError:
        return ""
    try:
        done = python_in(container, ASK, patience=200)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def healthy(hub: Hub) -> bool:
    try:
        portal = httpx.get(f"{hub.product.address}/services/portal/health", trust_env=False, timeout=60)
        return portal.status_code == 200 and hub.api.get("users/lin").status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def running_in(container: str, script: str) -> Iterator[Callable[[], str]]:
    """A script in a notebook, that says a line whenever it is told to go on."""
    with subprocess.Popen(
        ["docker", "exec", "-i", container, "/opt/sandbox-guard/bin/python", "-uc", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def go_on() -> str:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return process.stdout.readline()

        yield go_on


def vault_runs(home: Path, member: str) -> bool:
    client = docker_engine()
    try:
        vault = sandbox(client, home, member, PROJECT).container(Role.VAULT)
        return bool(client.inspect_container(vault)["State"]["Running"])
    except (ValueError, NotFound):
        return False


def running(hub: Hub, member: str) -> bool:
    return bool(hub.server(member, PROJECT))


def until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            pytest.fail(otherwise)
        time.sleep(0.5)
