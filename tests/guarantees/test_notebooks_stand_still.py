"""A project that says `freeze: true` has all its notebooks stand still while one of its vaults works.

On Docker, seen from the engine: not by clocks, which a busy machine would upset.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bench.machine import machine
from hub.access import server_name
from hub.containers import Role
from hub.spawner import sandbox_folder
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.test_run import processes
from tests.sealed.sandboxes import Hub, docker_engine, product_on_docker, python_in, sandbox
from tests.telling import told

PROJECT = "credit-inclusion"
MEMBERS = ("lin", "chen")
CHASE = Path(__file__).parents[1] / "sealed" / "chase.py"
ASK = (
    "from sandbox_guard import client as guard\n"
    "import time\n"
    "for attempt in range(8):\n"
    "    try:\n"
    "        print(guard.sql('SELECT count(*) AS firms FROM ent').iloc[0, 0]); break\n"
    # A machine that runs other tests beside may miss a release time, which is a Fault.
    "    except Exception as error: print(type(error)); time.sleep(3)\n"
)
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    docker_engine()
    policies = tmp_path_factory.mktemp("policies")
    shutil.copytree(ROOT / "policies", policies, dirs_exist_ok=True)
    with (policies / "projects" / f"{PROJECT}.yaml").open("a") as file:
        file.write("\nfreeze: true\n")
    with product_on_docker(
        tmp_path_factory.mktemp("var"), {"SANDBOX_GUARD_POLICIES": str(policies)}
    ) as product:
        hub = Hub(product)
        for member in MEMBERS:
            hub.sign_in(member)
        yield hub


@pytest.fixture
def notebooks(hub: Hub) -> dict[str, str]:
    """By member, the container of a notebook that runs."""
    for member in MEMBERS:
        if not hub.server(member, PROJECT).get("ready"):
            hub.start(member, PROJECT)
    home = hub.product.home
    return {m: sandbox(docker_engine(), home, m, PROJECT).container(Role.NOTEBOOK) for m in MEMBERS}


def test_both_stand_still_while_one_asks_and_go_on(hub: Hub, notebooks: dict[str, str]) -> None:
    client = docker_engine()
    since = int(time.time())
    done = python_in(notebooks["lin"], ASK, patience=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 0
    filters = {"event": ["pause", "unpause"]}
    seen = list(client.events(since=since, until=int(time.time()) + 1, decode=True, filters=filters))
    charge = [each for each in log(hub) if each.get("kind") == "charge"][-1]
    for member in MEMBERS:
        own = [e for e in seen if e["Actor"]["Attributes"]["name"] == notebooks[member]]
        assert [e["status"] for e in own][-2:] == ["pause", "unpause"], (member, own)
        still = (own[-1]["timeNano"] - own[-2]["timeNano"]) / 1e6
        assert still >= charge["facts"]["claim"]["milliseconds"], (member, still, charge)
        assert state(notebooks[member]) == "running"


def test_a_wrong_key_freezes_no_one(hub: Hub, notebooks: dict[str, str]) -> None:
    url, key = freeze(hub, "lin")
    _, other = freeze(hub, "chen")
    for wrong in ("none", key + "0", other):
        assert call("PUT", url, wrong).status_code == 403
    assert {state(each) for each in notebooks.values()} == {"running"}


def test_they_go_on_when_the_vault_that_froze_them_is_killed(hub: Hub, notebooks: dict[str, str]) -> None:
    url, key = freeze(hub, "lin")
    assert call("PUT", url, key).status_code == 200
    assert {state(each) for each in notebooks.values()} == {"paused"}
    vault = notebooks["lin"].replace("-notebook", "-vault")
    docker_engine().kill(vault)
    for member in MEMBERS:
        eventually(lambda m=member: state(notebooks[m]) == "running", f"{member}'s notebook was left frozen")  # type: ignore[misc]
    eventually(lambda: state(vault) == "running", "lin's vault did not start again")


def test_they_go_on_when_the_hub_is_killed(hub: Hub, notebooks: dict[str, str]) -> None:
    url, key = freeze(hub, "lin")
    assert call("PUT", url, key).status_code == 200
    for number, command in processes(hub.product.environment).items():
        if "jupyterhub " in command and "hub.launcher" not in command:
            os.kill(number, signal.SIGKILL)
    eventually(lambda: {state(each) for each in notebooks.values()} == {"running"}, "they were left frozen")

    def said() -> bool:
        try:
            return bool(call("DELETE", url, key).json().get("held") is False)
        except (httpx.TransportError, ValueError):
            return False

    eventually(said, "a vault whose hub was killed is told that they stood still")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_shared_caches_tell_of_a_vaults_work_unless_they_stand_still(
    hub: Hub, notebooks: dict[str, str]
) -> None:
    """Two sandboxes' worth of hardware: memory is gone through in a vault for 5 ms or for most of a window, while a
    notebook on its own core times reads of memory, in the window and after it."""
    url, key = freeze(hub, "lin")
    with felt_by(notebooks["chen"]) as trial:
        running = contention(lambda work: trial(work, lambda: None, lambda: None))
        frozen = contention(
            lambda work: trial(
                work,
                lambda: call("PUT", url, key).raise_for_status(),
                lambda: call("DELETE", url, key).raise_for_status(),
            )
        )
    print(
        f"\nAUC of cache contention, {TRIALS} trials each: running {running:.3f}, frozen {frozen:.3f}; {machine()}"
    )
    assert running >= 0.9, "the attack itself is too weak"
    assert frozen <= 0.6


WINDOW, SHORT_WORK, LONG_WORK = 0.3, 0.005, 0.27
TRIALS = 200
"""Of either kind: an AUC's standard error is 0.03 where nothing tells them apart."""

Steps = Callable[[], object]


@contextmanager
def felt_by(notebook: str) -> Iterator[Callable[[float, Steps, Steps], list[float]]]:
    """A trial: between `before` and `after` the vault beside it works; what the notebook's reads took from then until
    shortly after the window, while the one kind of work goes on, while neither does, and the first beside the second: a
    machine that is slower for a while is so in both."""

    def program(container: str, *words: str) -> subprocess.Popen[str]:
        python = "/opt/sandbox-guard/bin/python"
        return subprocess.Popen(
            ["docker", "exec", "-i", container, python, "-c", CHASE.read_text("utf-8"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(to: subprocess.Popen[str], line: str) -> None:
        assert to.stdin is not None
        to.stdin.write(f"{line}\n")
        to.stdin.flush()

    def heard(of: subprocess.Popen[str]) -> str:
        assert of.stdout is not None
        return of.stdout.readline()

    with (
        program(notebook) as sampler,
        program(notebook.replace("-notebook", "-vault"), "work") as worker,
    ):

        def trial(work: float, before: Steps, after: Steps) -> list[float]:
            begun = time.monotonic()
            # The notebook is asked once it may no longer run, so that it samples whenever it does.
            say(sampler, str(begun + 3 * WINDOW))
            before()
            start = time.monotonic()
            say(worker, str(work))
            heard(worker)
            time.sleep(max(0.0, start + WINDOW - time.monotonic()))
            after()
            samples = json.loads(heard(sampler))
            during, later = (
                described([took for when, took in samples if since <= when - start < until])
                for since, until in ((SHORT_WORK, LONG_WORK), (WINDOW, 1.5 * WINDOW))
            )
            return [*during, *later, *(a - b for a, b in zip(during, later, strict=True))]

        yield trial
        for each in (sampler, worker):
            assert each.stdin is not None
            each.stdin.close()


def described(nanoseconds: Sequence[float]) -> list[float]:
    """How many, their mean, least, tenth, middle and ninetieth of a hundred."""
    if not nanoseconds:
        return [0.0] * 6
    return [
        len(nanoseconds),
        float(np.mean(nanoseconds)),
        *map(float, np.quantile(nanoseconds, (0, 0.1, 0.5, 0.9))),
    ]


def contention(trial: Callable[[float], list[float]]) -> float:
    """The AUC of one long run in random order: no second try, which chance would pass in the end."""
    works = [SHORT_WORK, LONG_WORK] * TRIALS
    random.shuffle(works)
    felt = [(work, trial(work)) for work in works]
    short, long = ([seen for work, seen in felt if work == kind] for kind in (SHORT_WORK, LONG_WORK))
    return told(short, long, seed=1)


def test_a_frozen_sandbox_can_be_stopped(hub: Hub, notebooks: dict[str, str]) -> None:
    """Last: by its owner, or for any other reason."""
    url, key = freeze(hub, "lin")
    assert call("PUT", url, key).status_code == 200
    hub.stop("lin", PROJECT)
    eventually(lambda: state(notebooks["chen"]) == "running", "chen's notebook was left frozen")
    hub.stop("chen", PROJECT)


def freeze(hub: Hub, member: str) -> tuple[str, str]:
    """Where, and by what key, this member's vault freezes."""
    folder = sandbox_folder(hub.product.home, member, server_name(PROJECT))
    said = json.loads((folder / "vault.json").read_text("utf-8"))["freeze"]
    return said["url"], said["key"]


def call(method: str, url: str, key: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, url, headers=headers, trust_env=False, timeout=60)


def state(container: str) -> str:
    return str(docker_engine().inspect_container(container)["State"]["Status"])


def log(hub: Hub) -> list[dict[str, Any]]:
    done = hub.product.command("audit", "export")
    return [json.loads(line) for line in done.stdout.splitlines()]


def eventually(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.5)
