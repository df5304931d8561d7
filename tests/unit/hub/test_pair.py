"""The two halves live and die together: real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub.pair import NOTEBOOK_ENDED, VAULT_ENDED, Half, Order

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def half(directory: Path, name: str, code: str) -> Half:
    """A process that writes its id to `<name>.pid` and then runs `code`."""
    write = f"import os; open({str(directory / (name + '.pid'))!r}, 'w').write(str(os.getpid()))"
    return Half(
        command=[sys.executable, "-c", f"{write}\n{code}"],
        environment={"ONLY": "this"},
        directory=directory,
        log=directory / "log" / f"{name}.log",
    )


def started(directory: Path, vault: str, notebook: str | None) -> subprocess.Popen[bytes]:
    order = Order(
        vault=half(directory, "vault", vault),
        notebook=half(directory, "notebook", notebook) if notebook is not None else None,
    )
    pair = subprocess.Popen([sys.executable, "-m", "hub.pair"], stdin=subprocess.PIPE)
    assert pair.stdin is not None
    pair.stdin.write(order.model_dump_json().encode())
    pair.stdin.close()
    return pair


def pid(directory: Path, name: str) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = (directory / f"{name}.pid").read_text() if (directory / f"{name}.pid").exists() else ""
        if text:
            return int(text)
        time.sleep(0.02)
    raise AssertionError(f"{name} did not start")


def gone(process: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("dies", "other", "code"), [("vault", "notebook", VAULT_ENDED), ("notebook", "vault", NOTEBOOK_ENDED)]
)
def test_when_one_half_ends_so_does_the_other(tmp_path: Path, dies: str, other: str, code: int) -> None:
    pair = started(tmp_path, SLEEP, SLEEP)
    first, second = pid(tmp_path, dies), pid(tmp_path, other)
    os.kill(first, signal.SIGKILL)
    assert pair.wait(60) == code
    assert gone(second)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_when_the_pair_ends_both_halves_do(tmp_path: Path, number: signal.Signals) -> None:
    pair = started(tmp_path, SLEEP, SLEEP)
    halves = pid(tmp_path, "vault"), pid(tmp_path, "notebook")
    time.sleep(0.3)
    pair.send_signal(number)
    pair.wait(60)
    assert all(map(gone, halves))


def test_a_half_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    pair = started(tmp_path, STUBBORN, None)
    vault = pid(tmp_path, "vault")
    time.sleep(0.5)
    pair.terminate()
    pair.wait(60)
    assert gone(vault)


def test_a_half_inherits_nothing(tmp_path: Path) -> None:
    os.environ["SECRET_OF_THE_HUB"] = "x"
    try:
        pair = started(tmp_path, "import os; print(sorted(os.environ))", None)
    finally:
        del os.environ["SECRET_OF_THE_HUB"]
    assert pair.wait(60) == VAULT_ENDED
    said = (tmp_path / "log" / "vault.log").read_text()
    assert "ONLY" in said
    assert "SECRET" not in said
    assert "PATH" not in said
