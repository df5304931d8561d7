"""The pictures of the documentation, taken from the product as it runs: `make pictures`.

Starts the product on free ports with a state of its own, signs in, asks, and keeps small PNGs in docs/images. It
takes some minutes, and needs Debian's Chromium with fonts for Chinese. Look at each before committing it.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright

from tests.end_to_end.conftest import CHROMIUM, Product, environment_of, launch, session, stop
from tests.end_to_end.test_four_people import open_notebook

IMAGES: Final = Path(__file__).parent / "images"
FIRMS: Final = "20000"
LANGUAGES: Final = {
    "zh": ("中文", "welcome.ipynb", "name_zh"),
    "en": ("English", "welcome.en.ipynb", "district"),
}

CELLS: Final = {
    "estimate": "%%guard --estimate\n{sql}",
    "answer": "%%guard --into districts\n{sql}",
    "chart": "districts.chart()",
    "comparison": "districts.compare(0, 1)",
    "refusal": "%%guard\nSELECT reg_distric, COUNT(*) AS firms\nFROM ent\nGROUP BY reg_distric",
}
"""What is asked in the notebook, one picture each."""

SQL: Final = """SELECT district.{name} AS district, COUNT(*) AS firms
FROM ent
JOIN district ON ent.reg_district = district.district
GROUP BY district.{name}
ORDER BY firms DESC
LIMIT 6"""

ASK: Final = """async source => {
    const {content, sessionContext} = jupyterapp.shell.currentWidget;
    await jupyterapp.commands.execute("notebook:insert-cell-below");
    const cell = content.activeCell;
    cell.model.sharedModel.setSource(source);
    await jupyterapp.commands.execute("notebook:run-cell").catch(() => null);
    await sessionContext.session.kernel.info;
}"""


@dataclass(frozen=True)
class Album:
    browser: Browser
    product: Product

    def take(self) -> None:
        for language in LANGUAGES:
            with session(self.product, self.browser, "lin") as page:
                choose(page, language)
                self.notebook(page, language)
            with session(self.product, self.browser, "bank1") as page:
                choose(page, language)
                self.portal(page, language)

    def notebook(self, page: Page, language: str) -> None:
        _, welcome, name = LANGUAGES[language]
        page.set_viewport_size({"width": 900, "height": 1100})
        open_notebook(page, "credit-inclusion", welcome)
        page.add_style_tag(content=".jp-cell-toolbar, .jp-Collapser { visibility: hidden !important }")
        page.evaluate("jupyterapp.shell.collapseLeft(); jupyterapp.commands.execute('notebook:delete-cell')")
        for picture, cell in CELLS.items():
            page.evaluate(ASK, cell.format(sql=SQL.format(name=name)))
            asked = page.locator(".jp-Notebook .jp-CodeCell.jp-mod-active")
            there = asked.locator(".jp-OutputArea-output:not(:has([role=status])) >> visible=true")
            there.first.wait_for(timeout=60_000)
            page.wait_for_timeout(500)
            page.evaluate("document.activeElement.blur()")
            asked.screenshot(path=image(picture, language))

    def portal(self, page: Page, language: str) -> None:
        portal = f"{self.product.address}/services/portal/"
        page.goto(f"{portal}analyses/green-credit/tax-by-district")
        page.locator("button[value=run]").wait_for(timeout=90_000)
        page.set_viewport_size({"width": 1080, "height": 760})
        page.screenshot(path=image("form", language), full_page=True)
        page.locator("button[value=run]").click()
        page.locator("dl.facts").wait_for(timeout=60_000)
        page.set_viewport_size({"width": 1180, "height": 900})
        page.screenshot(path=image("result", language))
        page.goto(f"{portal}budgets")
        page.screenshot(path=image("budgets", language))


def image(name: str, language: str) -> Path:
    return IMAGES / f"{name}{'.zh' if language == 'zh' else ''}.png"


def choose(page: Page, language: str) -> None:
    link: Any = page.locator(f"nav >> text={LANGUAGES[language][0]}")
    if link.count():
        link.click()
    running = page.locator(".stop-project:not([disabled])")
    if running.count():  # its lab speaks the other language
        running.first.click()
        page.locator(".stop-project").wait_for(state="detached", timeout=60_000)


def main() -> None:
    home = Path(tempfile.mkdtemp())
    environment = {**environment_of(home), "FIRMS": FIRMS, "SANDBOX_GUARD_BACKEND": "process"}
    product = launch(environment)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            Album(browser, product).take()
    finally:
        stop(product)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
