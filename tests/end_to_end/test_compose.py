"""`compose.yaml`, as docs/operator.md has an operator bring it up: a sign-in, a sandbox, an answer."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.docker_pair import sweep, uplink_name
from tests.end_to_end.conftest import FIRMS, ROOT, Product, environment_of
from tests.sealed.sandboxes import Hub, docker_engine, left_behind, python_in, sandbox, subnet

PROJECT = "credit-inclusion"
ASK = (
    "import time; from sandbox_guard import client as guard\n"
    "for attempt in range(5):\n"
    "    try: print(guard.sql('SELECT count(*) AS firms FROM ent').iloc[0, 0]); break\n"
    # A machine that runs other tests beside may miss a release time.
    "    except Exception as error: print(error); time.sleep(5)\n"
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


class Composed:
    def __init__(self, folder: Path) -> None:
        self.home, policies = folder / "state", folder / "policies"
        shutil.copytree(ROOT / "policies", policies)
        self.environment = {
            **environment_of(self.home),
            "SANDBOX_GUARD_POLICIES": str(policies),
            "SANDBOX_GUARD_SUBNET": subnet(),
            "COMPOSE_PROJECT_NAME": f"sg-test-{uuid.uuid4().hex[:8]}",
            "DOCKER_BUILDKIT": "0",
            "COMPOSE_DOCKER_CLI_BUILD": "0",
        }
        del self.environment["SANDBOX_GUARD_BACKEND"]

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            ["docker-compose", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    client = docker_engine()
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose")
    subprocess.run([ROOT / "images" / "build.sh"], cwd=ROOT, check=True, stdin=subprocess.DEVNULL)
    # Not below a folder that only this user may enter: containers of other users mount parts of it.
    composed = Composed(tmp_path_factory.mktemp("compose"))
    try:
        composed("build")
        composed("up", "-d")
        yield composed
    finally:
        composed("down", "--volumes")
        sweep(client, composed.home)
        if composed.home.exists():
            shutil.rmtree(composed.home)


def test_a_member_signs_in_and_gets_an_answer(composed: Composed) -> None:
    client = docker_engine()
    composed("run", "--rm", "steward", "policy", "apply")
    composed("run", "--rm", "steward", "demo", "--firms", str(FIRMS))
    composed("run", "--rm", "steward", "calibrate")
    said = composed("exec", "-T", "hub", "python", "-m", "hub.launcher", "accounts")
    passwords = dict(re.findall(r"^.*\s(\S+)\s+(\w{4}(?:-\w{4}){3})\s*$", said, re.MULTILINE))
    address = f"http://127.0.0.1:{composed.environment['PORT']}"
    with subprocess.Popen(["true"], text=True) as none:
        hub = Hub(Product(address, composed.home, passwords, composed.environment, none, said))
    hub.sign_in("lin")
    hub.start("lin", PROJECT)
    assert ask(composed.home) > 0

    keys = f"{composed.home}/keys"
    assert composed("exec", "-T", "portal", "ls", keys).split() == ["portal-hub.token", "portal.token"]
    assert "ledger-signing.pem" not in composed("exec", "-T", "proxy", "ls", keys)

    # Hub and ledger may be made anew under a running sandbox.
    composed("restart", "ledger", "proxy", "portal")
    composed("kill", "-s", "KILL", "hub")
    composed("up", "-d")
    assert ask(composed.home) > 0

    assert "YES" in composed("run", "--rm", "steward", "audit", "verify")
    composed("stop", "hub")
    assert left_behind(client, composed.home) == []
    assert uplink_name(composed.home) in {each["Name"] for each in client.networks()}


def ask(home: Path) -> int:
    container = f"{sandbox(docker_engine(), home, 'lin', PROJECT).pair}-notebook"
    done = python_in(container, ASK, patience=180)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])
