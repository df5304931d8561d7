"""Signing in, opening a project, and what the notebook's process is given: on the product as it runs."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.conftest import PATIENCE, Product, SignIn, new_context

pytestmark = pytest.mark.timeout(600)

READY = 120_000
"""Milliseconds that a notebook may take to open on a busy machine."""


def opened(page: Page, project: str = "credit-inclusion") -> str:
    """Open the project from the home page; the path of its server."""
    page.click(f"section[aria-labelledby=project-{project}] .open-project")
    page.wait_for_url("**/lab/**", timeout=READY)
    found = re.search(r"/user/[^/]+/[^/]+/", page.url)
    assert found
    return found[0]


def environment_of(mark: str) -> dict[str, str]:
    """The environment of the running notebook server whose own contains `mark`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            environment = (folder / "environ").read_bytes().decode()
        except OSError:
            continue
        if b"jupyterhub.singleuser" in command and mark in environment:
            return dict(part.split("=", 1) for part in environment.split("\0") if "=" in part)
    raise AssertionError(f"no notebook with {mark}")


def eventually(holds: Callable[[], object], patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.3)
    return False


# -------------------------------------------------------------------------------------- signing in


def test_chinese_comes_first_and_english_is_kept_over_sign_ins(sign_in: SignIn) -> None:
    page = sign_in("chen")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.locator("h1")).to_have_text("我的项目")
    page.click("text=English")
    expect(page.locator("h1")).to_have_text("My projects")
    again = sign_in("chen")
    expect(again.locator("h1")).to_have_text("My projects")
    again.click("text=中文")
    expect(again.locator("h1")).to_have_text("我的项目")


def test_english_chosen_before_signing_in_is_kept(product: Product, browser: Browser) -> None:
    context = new_context(browser)
    page = context.new_page()
    page.goto(product.address)
    page.click("text=English")
    page.fill("#username_input", "chen")
    page.fill("#password_input", product.passwords["chen"])
    page.click("#login_submit")
    expect(page.locator("h1")).to_have_text("My projects")
    page.click("text=中文")
    expect(page.locator("h1")).to_have_text("我的项目")
    context.close()


@pytest.mark.parametrize("name", ["lin", "bank1", "zhou", "wu"])
def test_every_page_says_that_processes_isolate_little(sign_in: SignIn, name: str) -> None:
    page = sign_in(name)
    for path in ("home", "password", "no-such-page"):
        page.goto(page.url.split("/hub/")[0] + f"/hub/{path}")
        expect(page.locator("[role=note]")).to_contain_text("几乎没有隔离")


def test_guessing_locks_the_name_for_everyone(product: Product, browser: Browser) -> None:
    context = new_context(browser)
    page = context.new_page()
    for _ in range(6):
        page.goto(product.address)
        page.fill("#username_input", "nobody-at-all")
        page.fill("#password_input", "guess")
        page.click("#login_submit")
        page.wait_for_selector("#login-error")
    expect(page.locator("#login-error")).to_contain_text("15 分钟")
    assert "guess" not in page.content()
    context.close()


def test_a_new_password_ends_other_sessions(sign_in: SignIn, product: Product) -> None:
    here, elsewhere = sign_in("wu"), sign_in("wu")
    here.click("text=修改密码")
    for present, new, again, message in (
        ("wrong", "long enough 1", "long enough 1", "当前密码不正确"),
        (product.passwords["wu"], "short", "short", "至少 10 个字符"),
        (product.passwords["wu"], "long enough 1", "long enough 2", "不一致"),
    ):
        here.fill("#old", present)
        here.fill("#new", new)
        here.fill("#again", again)
        with here.expect_navigation() as navigation:
            here.click("main button[type=submit]")
        assert navigation.value is not None
        assert navigation.value.status == 422
        expect(here.locator("#error-summary")).to_contain_text(message)
        expect(here.locator("#error-summary")).to_be_focused()
        assert here.title().startswith("有误")
    here.fill("#old", product.passwords["wu"])
    here.fill("#new", "long enough 1")
    here.fill("#again", "long enough 1")
    here.click("main button[type=submit]")
    expect(here.locator("[role=status]")).to_be_visible()
    product.passwords["wu"] = "long enough 1"
    elsewhere.reload()
    expect(elsewhere.locator("#login_submit")).to_be_visible()
    here.goto(f"{product.address}/hub/home")
    expect(here.locator("h1")).to_have_text("我的项目")


# --------------------------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hub/token", 404),
        ("/hub/admin", 403),
        ("/hub/accept-share", 404),
        ("/hub/spawn/lin/no-such-project", 403),
        ("/hub/spawn/chen/credit-inclusion", 404),
    ],
)
def test_pages_that_would_give_more_are_closed(
    sign_in: SignIn, product: Product, path: str, status: int
) -> None:
    page = sign_in("lin")
    answer = page.goto(product.address + path)
    assert answer is not None
    assert answer.status == status


def test_a_person_cannot_mint_a_token(sign_in: SignIn, product: Product) -> None:
    page = sign_in("lin")
    status = page.evaluate(
        """async () => {
            const xsrf = document.cookie.match(/_xsrf=([^;]+)/)?.[1] ?? "";
            const answer = await fetch("/hub/api/users/lin/tokens",
                {method: "POST", headers: {"X-XSRFToken": xsrf}, body: "{}"});
            return answer.status;
        }"""
    )
    assert status in (403, 404)


def test_there_is_no_server_but_projects(sign_in: SignIn, product: Product) -> None:
    page = sign_in("lin")
    page.goto(f"{product.address}/hub/spawn")
    assert page.url.endswith("/hub/home")


def test_who_is_no_member_sees_no_project(sign_in: SignIn) -> None:
    page = sign_in("zhou")
    expect(page.locator(".open-project")).to_have_count(0)


# -------------------------------------------------------------------------------- opening a project


def test_a_project_opens_in_chinese_and_its_token_is_worth_its_own_vault_only(
    sign_in: SignIn, product: Product
) -> None:
    page = sign_in("lin")
    path = opened(page)
    expect(page.locator(".lm-MenuBar-itemLabel").first).to_have_text("文件", timeout=READY)

    given = environment_of(f"JUPYTERHUB_SERVICE_PREFIX={path}")
    assert not [name for name in given if "LEDGER" in name or name in os.environ and "TOKEN" in name]
    assert given["SANDBOX_GUARD_BACKEND"] == "process"
    assert given["SANDBOX_GUARD_URL"].startswith("unix:")

    hub = f"http://127.0.0.1:{product.environment['SANDBOX_GUARD_HUB_PORT']}/hub/api"
    header = {"Authorization": f"token {given['JUPYTERHUB_API_TOKEN']}"}
    held = set(httpx.get(f"{hub}/user", headers=header, timeout=PATIENCE).json()["scopes"])
    own = "lin/credit-inclusion"
    assert {scope for scope in held if scope.startswith(("custom:", "access:"))} == {
        f"access:servers!server={own}",
        f"custom:sandbox-guard:query!server={own}",
        f"custom:sandbox-guard:analyse!server={own}",
    }
    for method, what in (
        ("POST", "users/lin/servers/health-cover"),
        ("DELETE", "users/lin/servers/credit-inclusion"),
        ("POST", "users/lin/tokens"),
        ("GET", "users/chen"),
        ("GET", "users"),
        ("POST", "shutdown"),
    ):
        answer = httpx.request(method, f"{hub}/{what}", headers=header, timeout=PATIENCE)
        assert answer.status_code in (403, 404), what


def test_a_neighbour_cannot_open_the_server(sign_in: SignIn, product: Product) -> None:
    path = opened(sign_in("lin"))
    page = sign_in("chen")
    answer = page.goto(product.address + path + "api/contents")
    assert answer is not None
    assert answer.status == 403


@pytest.mark.long
def test_when_the_vault_ends_the_notebook_does_and_opens_again(sign_in: SignIn, product: Product) -> None:
    page = sign_in("chen")
    opened(page)
    page.goto(f"{product.address}/hub/home")
    expect(page.locator(".stop-project")).to_have_count(1)
    (configuration,) = [
        path for path in product.home.glob("run/*/vault.json") if '"member": "chen"' in path.read_text()
    ]
    kill_holder(f"SANDBOX_GUARD_VAULT_CONFIG={configuration}")

    def none_left() -> bool:
        page.reload()
        return page.locator(".stop-project").count() == 0

    assert eventually(none_left)
    opened(page)


def test_stop_keeps_notebooks(sign_in: SignIn, product: Product) -> None:
    page = sign_in("chen")
    opened(page)
    mine = product.home / "homes" / "chen" / "credit-inclusion" / "mine.txt"
    mine.write_text("mine")
    page.goto(f"{product.address}/hub/home")
    page.click(".stop-project")
    expect(page.locator(".stop-project")).to_have_count(0)
    opened(page)
    assert mine.read_text() == "mine"


def test_notebooks_survive_a_hub_that_is_killed(sign_in: SignIn, product: Product) -> None:
    page = sign_in("lin")
    path = opened(page)
    before = environment_of(f"JUPYTERHUB_SERVICE_PREFIX={path}")
    kill_holder(f"SANDBOX_GUARD_HOME={product.home}", command="-m jupyterhub ")

    def back() -> bool:
        try:
            return httpx.get(f"{product.address}/hub/health").status_code == 200
        except httpx.TransportError:
            return False

    time.sleep(1)
    assert eventually(back)
    page.goto(f"{product.address}/hub/home")
    expect(page.locator(".stop-project").first).to_be_visible()
    assert environment_of(f"JUPYTERHUB_SERVICE_PREFIX={path}") == before


def kill_holder(mark: str, command: str = "") -> None:
    """SIGKILL to the one process with this environment variable and command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            holds = mark.encode() in (folder / "environ").read_bytes().split(b"\0")
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if holds and command in line:
            found.append((int(folder.name), line))
    assert found, mark
    os.kill(min(found)[0], signal.SIGKILL)
