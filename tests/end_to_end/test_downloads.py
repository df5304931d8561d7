"""What leaves a notebook, in JupyterLab as people use it: logged before it passes, limited, closed by the policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.end_to_end.conftest import Product, SignIn
from tests.end_to_end.test_hub import READY, opened

pytestmark = pytest.mark.timeout(600)

PROJECT = "health-cover"
CLICK = """async (path) => {
    const link = document.createElement('a');
    link.href = await window.jupyterapp.serviceManager.contents.getDownloadUrl(path);
    link.download = '';
    link.click();
    return link.href;
}"""
"""As JupyterLab's own menu does it."""


def has(page: Page, command: str) -> object:
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored", timeout=READY)
    return page.evaluate(
        "async (name) => { await window.jupyterapp.restored; return window.jupyterapp.commands.hasCommand(name); }",
        command,
    )


def stop(page: Page, product: Product) -> None:
    page.goto(f"{product.address}/hub/home")
    page.click(".stop-project")
    expect(page.locator(".stop-project")).to_have_count(0, timeout=READY)


def test_a_download_is_logged_limited_and_closed_by_the_policy(sign_in: SignIn, product: Product) -> None:
    policy = Path(product.environment["SANDBOX_GUARD_POLICIES"]) / "projects" / f"{PROJECT}.yaml"
    as_it_was = policy.read_text("utf-8")
    page = sign_in("lin")
    opened(page, PROJECT)
    home = product.home / "homes" / "lin" / PROJECT
    (home / "table.csv").write_text("a,b\n1,2\n")
    (home / "huge.csv").write_bytes(b"x" * (10 * 2**20 + 1))
    assert has(page, "filebrowser:download")

    with page.expect_download() as download:
        url = page.evaluate(CLICK, "table.csv")
    assert Path(download.value.path()).read_text() == "a,b\n1,2\n"

    huge = page.request.get(url.replace("table.csv", "huge.csv"))
    assert huge.status == 413 and "above the limit of 10 MiB" in huge.text()

    policy.write_text(as_it_was + "downloads: false\n", "utf-8")
    try:
        closed = page.request.get(url)
        assert closed.status == 403 and "downloads" in closed.text()
        # What is shown may be read all the same.
        shown = page.request.get(f"{product.address}/user/lin/{PROJECT}/api/contents/table.csv")
        assert shown.ok and shown.json()["content"] == "a,b\n1,2\n"
        stop(page, product)
        opened(page, PROJECT)
        assert not has(page, "filebrowser:download")
        assert has(page, "filebrowser:open")
    finally:
        policy.write_text(as_it_was, "utf-8")
        stop(page, product)

    log = product.command("audit", "entries", "--kind", "download", "--person", "lin", "--project", PROJECT)
    lines = re.findall(r"files/(\w+\.csv) \((\w+), (\d+) bytes\)", log.stdout.replace("\n", " "))
    assert lines == [
        ("table.csv", "closed", "8"),
        ("huge.csv", "too_large", str(10 * 2**20 + 1)),
        ("table.csv", "passed", "8"),
    ]
