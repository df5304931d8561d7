"""The product as `make run` starts it: one launcher, a small city, free ports, a state directory of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FIRMS = 2_000
"""Enough for every query of the welcome notebook to find its groups."""
PATIENCE = 90.0
"""Seconds that a busy machine may take for one step: what happens at all happens sooner, and is not waited for."""
expect.set_options(timeout=1000 * PATIENCE)

VARIABLES = (
    "PORT",
    "SANDBOX_GUARD_PROXY_API_PORT",
    "SANDBOX_GUARD_HUB_PORT",
    "SANDBOX_GUARD_LEDGER_PORT",
    "SANDBOX_GUARD_PORTAL_PORT",
)


@dataclass(frozen=True)
class Product:
    address: str
    """Ends without a slash."""
    home: Path
    passwords: dict[str, str]
    """By account, as the first run printed them."""
    environment: dict[str, str]
    """With which further commands find this very product."""
    launcher: subprocess.Popen[str]
    said: str
    """What the launcher printed until all was up."""

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`sandbox-guard <words>` on this product's state and policies."""
        return subprocess.run(
            [Path(sys.executable).with_name("sandbox-guard"), *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def environment_of(home: Path) -> dict[str, str]:
    ports = {name: str(free_port()) for name in VARIABLES}
    return {
        **os.environ,
        **ports,
        "SANDBOX_GUARD_HOME": str(home),
        # Whatever this machine has: the fastest to start. What is meant for another backend says so.
        "SANDBOX_GUARD_BACKEND": "process",
        "FIRMS": str(FIRMS),
        "COLUMNS": "160",
    }


def launch(environment: dict[str, str], patience: float = 400.0) -> Product:
    """Start the launcher and read what it says until everything is up."""
    if not (ROOT / "node_modules").is_dir():
        subprocess.run([sys.executable, "hub/install.py"], cwd=ROOT, check=True)
    launcher = subprocess.Popen(
        [sys.executable, "-m", "hub.launcher", "run"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert launcher.stdout is not None
    deadline = time.monotonic() + patience
    said = ""
    for line in launcher.stdout:
        said += line
        if "make stop" in line:
            break
        if time.monotonic() > deadline:
            launcher.kill()
            raise AssertionError(f"it was not up in {patience:.0f} s:\n{said}")
    else:
        raise AssertionError(f"the launcher ended with {launcher.wait()}:\n{said}")
    passwords = dict(re.findall(r"^.*\s(\S+)\s+(\w{4}(?:-\w{4}){3})\s*$", said, re.MULTILINE))
    return Product(
        address=f"http://127.0.0.1:{environment['PORT']}",
        home=Path(environment["SANDBOX_GUARD_HOME"]),
        passwords=passwords,
        environment=environment,
        launcher=launcher,
        said=said,
    )


def stop(product: Product) -> float:
    """Ctrl-C; how many seconds it took."""
    started = time.monotonic()
    product.launcher.send_signal(signal.SIGINT)
    product.launcher.communicate(timeout=PATIENCE)
    return time.monotonic() - started


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """One for the whole run. Its policies are a copy, to which a steward may add."""
    home, policies = tmp_path_factory.mktemp("var"), tmp_path_factory.mktemp("policies")
    shutil.copytree(ROOT / "policies", policies, dirs_exist_ok=True)
    running = launch({**environment_of(home), "SANDBOX_GUARD_POLICIES": str(policies)})
    yield running
    stop(running)
    shutil.rmtree(home / "restricted", ignore_errors=True)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        message = f"{CHROMIUM} is not installed"
        if "chromium" in os.environ.get("SANDBOX_GUARD_REQUIRE", "").split(","):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not run as root; what it opens here is ours. In a container /dev/shm is small.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=arguments, timeout=1000 * PATIENCE
        )
        yield started
        started.close()


def new_context(browser: Browser) -> BrowserContext:
    """A fresh session of a browser that speaks Chinese."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    context.set_default_timeout(1000 * PATIENCE)
    return context


SignIn = Callable[[str], Page]


@contextmanager
def session(product: Product, browser: Browser, name: str) -> Iterator[Page]:
    """A page of a fresh browser session, at this person's projects."""
    context = new_context(browser)
    page = context.new_page()
    page.goto(product.address)
    page.fill("#username_input", name)
    page.fill("#password_input", product.passwords[name])
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    yield page
    context.close()


@pytest.fixture
def sign_in(product: Product, browser: Browser) -> Iterator[SignIn]:
    """`sign_in(name)`: see `session`; several may be open until the test ends."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(session(product, browser, name))
