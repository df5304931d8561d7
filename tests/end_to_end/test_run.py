"""`make run`: what it says, what it keeps, how it stops, and how it fails. On a state of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import PATIENCE, ROOT, environment_of, launch, stop

PASSWORD = re.compile(r"\b\w{4}(?:-\w{4}){3}\b")


def launcher(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hub.launcher", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_port_in_use_is_named_in_both_languages(tmp_path: Path) -> None:
    environment = environment_of(tmp_path / "var")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(environment["PORT"])))
        taken.listen()
        answer = launcher(environment, "run")
    assert answer.returncode == 1
    assert f"端口 {environment['PORT']} 被占用" in answer.stdout
    assert f"Port {environment['PORT']} is in use" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_a_port_that_is_none_is_named(tmp_path: Path) -> None:
    answer = launcher({**environment_of(tmp_path / "var"), "PORT": "eighty"}, "run")
    assert answer.returncode == 1
    assert "PORT=eighty" in answer.stdout
    assert "Traceback" not in answer.stdout + answer.stderr


def test_nobody_gets_a_password_who_is_not_in_people_yaml(tmp_path: Path) -> None:
    answer = launcher(environment_of(tmp_path / "var"), "reset-password", "mallory")
    assert answer.returncode == 1
    assert not PASSWORD.search(answer.stdout)


def test_life_of_a_deployment(tmp_path: Path) -> None:
    """First run, a second beside it, a service killed, Ctrl-C, a second run that keeps everything."""
    home = tmp_path / "var"
    environment = {**environment_of(home), "FIRMS": "200"}
    started = time.monotonic()
    first = launch(environment)
    everything = time.monotonic() - started
    assert set(first.passwords) == {"lin", "chen", "bank1", "zhou", "wu"}

    beside = launcher(environment, "run")
    assert beside.returncode == 0
    assert first.address in beside.stdout

    for path in (home / "keys").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path

    kill("hub.portal", environment)
    assert eventually(
        lambda: httpx.get(f"{first.address}/services/portal/health", timeout=PATIENCE).status_code == 200
    )

    assert stop(first) < 30, "ten seconds, and three times that on a busy machine"
    assert not processes(environment)

    started = time.monotonic()
    second = launch(environment)
    try:
        # It makes nothing anew, so it is no slower than the first, whatever the machine does beside.
        assert time.monotonic() - started < max(60, 2 * everything)
        assert second.passwords == {}
        assert not PASSWORD.search(second.said)
        assert all(name in second.said for name in first.passwords)
        versions = [path.name for path in (home / "restricted" / "tax").glob("[0-9]*")]
        assert versions == ["1"]
    finally:
        stopped = launcher(environment, "stop")
        second.launcher.communicate(timeout=PATIENCE)
    assert stopped.returncode == 0
    assert not processes(environment)


@pytest.mark.long
def test_a_killed_launcher_leaves_nothing_running_and_the_next_run_goes_on(tmp_path: Path) -> None:
    environment = {**environment_of(tmp_path / "var"), "FIRMS": "200"}
    first = launch(environment)
    os.kill(first.launcher.pid, signal.SIGKILL)
    first.launcher.communicate(timeout=PATIENCE)
    assert eventually(lambda: not processes(environment))
    again = launch(environment)
    assert stop(again) < 30


# ---------------------------------------------------------------------------------------------


def processes(environment: dict[str, str]) -> dict[int, str]:
    """Command lines of processes that were started with this state directory."""
    mark = f"SANDBOX_GUARD_HOME={environment['SANDBOX_GUARD_HOME']}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def kill(module: str, environment: dict[str, str]) -> None:
    (pid,) = [pid for pid, command in processes(environment).items() if f"-m {module} " in command]
    os.kill(pid, signal.SIGKILL)


def eventually(holds: object, patience: float = PATIENCE) -> bool:
    assert callable(holds)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if holds():
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    return False


pytestmark = pytest.mark.timeout(900)
