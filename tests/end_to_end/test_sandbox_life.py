"""The life of a sandbox without surprises: warned before the maximum, kept by a click, told why it ended or did not start,
and that its folder is nearly full. On a product of its own, whose sandboxes end after ten minutes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.end_to_end.conftest import Product, environment_of, launch, session, stop
from tests.end_to_end.test_hub import READY, eventually, kill_holder, opened

pytestmark = pytest.mark.timeout(600)

PROJECT = "credit-inclusion"


@pytest.fixture(scope="module")
def short(product: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """With the data of the common one, so that nothing is loaded again."""
    home = tmp_path_factory.mktemp("short")
    for name in ("restricted", "samples", "keys", "rates.json"):
        there = product.home / name
        if there.is_dir():
            shutil.copytree(there, home / name, copy_function=os.link)
        else:
            shutil.copy(there, home / name)
    running = launch(
        {
            **environment_of(home),
            "SANDBOX_GUARD_POLICIES": product.environment["SANDBOX_GUARD_POLICIES"],
            "SANDBOX_GUARD_LIFE_HOURS": "0.17",
            "SANDBOX_GUARD_HOME_GIB": "1",
        }
    )
    yield running
    stop(running)


@pytest.fixture(scope="module")
def page(short: Product, browser: Browser) -> Iterator[Page]:
    with session(short, browser, "lin") as page:
        yield page


def home_of(short: Product) -> Path:
    return short.home / "homes" / "lin" / PROJECT


def ends_soon(page: Page, short: Product) -> list[str]:
    """The notices of its end, as the hub gives them to the lab; each names the moment."""
    said = page.request.get(f"{short.address}/hub/life/{PROJECT}").json()
    return [each["key"] for each in said["notices"] if each["keep"]]


def test_the_lab_warns_before_the_maximum_and_a_click_keeps_the_sandbox(page: Page, short: Product) -> None:
    home_of(short).mkdir(parents=True, exist_ok=True)
    with (home_of(short) / "big.bin").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 900 * 2**20)
    opened(page, PROJECT)
    # The lab asks as it opens, and then once a minute. The maximum is 10.2 minutes after the start.
    notice = page.locator(".Toastify__toast", has_text="达到运行上限并停止")
    expect(notice).to_be_visible(timeout=READY)
    expect(page.locator(".Toastify__toast", has_text="您的目录已用 88 %")).to_be_visible()
    (before,) = ends_soon(page, short)
    notice.locator("button", has_text="继续使用").click()
    expect(page.locator(".Toastify__toast", has_text="已保留，最迟运行到")).to_be_visible()
    assert before not in ends_soon(page, short)


def test_the_home_page_says_how_full_the_folder_is_and_until_when_it_runs(page: Page, short: Product) -> None:
    page.goto(f"{short.address}/hub/home")
    expect(page.locator(".nearly-full")).to_contain_text("88 %")
    (home_of(short) / "big.bin").unlink()
    page.reload()
    expect(page.locator(".nearly-full")).to_have_count(0)
    # The maximum is published where the sandbox is.
    expect(page.get_by_text("最迟运行到")).to_be_visible()


def test_a_vault_that_crashed_is_explained_and_a_click_opens_the_notebook_again(
    page: Page, short: Product
) -> None:
    path = opened(page, PROJECT)
    (home_of(short) / "mine.txt").write_text("mine")
    (configuration,) = short.home.glob("run/*/vault.json")
    kill_holder(f"SANDBOX_GUARD_VAULT_CONFIG={configuration}")

    def told() -> bool:
        page.goto(f"{short.address}{path}lab")
        return page.locator(".why-ended", has_text="保险库意外退出").count() == 1

    assert eventually(told)
    page.goto(f"{short.address}/hub/home")
    expect(page.locator(".why-ended")).to_contain_text("免费得到答案")
    page.goto(f"{short.address}{path}lab")
    page.click("#start")
    page.wait_for_function("() => window.jupyterapp", timeout=READY)
    assert (home_of(short) / "mine.txt").read_text() == "mine"
    page.goto(f"{short.address}/hub/home")
    expect(page.locator(".why-ended")).to_have_count(0)


def test_a_start_that_fails_names_its_cause_within_five_seconds(page: Page, short: Product) -> None:
    page.goto(f"{short.address}/hub/home")
    page.click(".stop-project")
    expect(page.locator(".stop-project")).to_have_count(0)
    # A vault reads the policies when it starts; the hub goes on with those that were right.
    wrong = Path(short.environment["SANDBOX_GUARD_POLICIES"]) / "projects" / "wrong.yaml"
    wrong.write_text("title: [")
    try:
        page.click(f"section[aria-labelledby=project-{PROJECT}] .open-project")
        expect(page.get_by_text("保险库启动后随即退出").first).to_be_visible()
        seen = time.time()
        # Its last words stand in its log; how long a vault takes until then is this machine's matter.
        (log,) = (short.home / "log").glob(f"lin.{PROJECT}.vault.*.log")
        assert seen - log.stat().st_mtime < 5
    finally:
        wrong.unlink()
