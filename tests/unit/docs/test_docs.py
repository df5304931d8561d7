"""The documentation says what the code is: every command, target, variable, refusal, promise and link."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer
from fastapi.routing import APIRoute

from docs.make_refusals import AREAS, pages
from hub.portal import analyses, audit, budgets, catalogue, home, report, steward
from sandbox_guard import client
from sandbox_guard.cli import app
from sandbox_guard.errors import refusals

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/decisions", ROOT / "policies")
    for path in folder.glob("*.md")
)
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8")
IN_TWO_LANGUAGES = (
    "guarantees",
    "refusals",
    "researcher",
    "enterprise",
    "steward",
    "auditor",
    "operator",
    "manners",
    "glossary",
)


# --------------------------------------------------------------------------------------- reference


def commands(command: Any, name: str) -> Iterator[str]:
    """`command`: as typer makes it, a group or a command."""
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")
    if not hasattr(command, "commands"):
        yield name


def test_every_command_is_documented_and_no_other() -> None:
    there = set(commands(typer.main.get_command(app), "sandbox-guard"))
    written = set(re.findall(r"^\| `(sandbox-guard(?: [a-z]+)+)", REFERENCE, re.MULTILINE))
    assert written == there


def test_every_make_target_is_documented_and_no_other() -> None:
    there = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"^\| `make ([a-z-]+)`", REFERENCE, re.MULTILINE)) == there


def variables() -> set[str]:
    """As the code names them, in whole words of its own."""
    sources = [
        path
        for folder in ("sandbox_guard", "hub", "tests", "images", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in {"", ".py", ".sh", ".yaml"} and path != Path(__file__)
    ]
    sources += [ROOT / name for name in ("jupyterhub_config.py", "Makefile", "compose.yaml")]
    return {
        name
        for path in sources
        for name in re.findall(r"SANDBOX_GUARD_[A-Z_]*[A-Z]", path.read_text("utf-8", errors="replace"))
    }


def test_every_variable_is_documented_and_no_other() -> None:
    assert set(re.findall(r"^\| `(SANDBOX_GUARD_[A-Z_]+)`", REFERENCE, re.MULTILINE)) == variables()


def test_every_page_of_the_portal_is_documented_and_no_other() -> None:
    there = {
        route.path
        for part in (analyses, audit, budgets, catalogue, home, report, steward)
        for route in part.router.routes
        if isinstance(route, APIRoute)
    }
    assert set(re.findall(r"^\| `(/[^`]*)`", REFERENCE, re.MULTILINE)) == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_client_has_what_a_page_calls(page: Path) -> None:
    called = set(re.findall(r"\bguard\.([a-z_]+)\(", page.read_text("utf-8")))
    assert called <= set(client.__all__)


# ---------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.name))
def test_the_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text("utf-8") == pages()[path], "run `make docs`"


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.name))
def test_every_refusal_has_its_entry(path: Path) -> None:
    entries = re.findall(r"^### (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    assert sorted(entries) == sorted(refusals())


def test_every_area_of_refusals_has_its_chapter() -> None:
    assert {code.split(".")[0] for code in refusals()} == set(AREAS)


# ---------------------------------------------------------------------------------------- promises


@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "docs/guarantees.md", "docs/guarantees.zh.md"])
def test_every_promise_is_listed_with_its_test(page: str) -> None:
    linked = set(
        re.findall(r"\((?:\.\./)?tests/guarantees/(test_\w+\.py)\)", (ROOT / page).read_text("utf-8"))
    )
    assert linked == {path.name for path in (ROOT / "tests/guarantees").glob("test_*.py")}


@pytest.mark.parametrize("page", ["guarantees.md", "guarantees.zh.md"])
def test_every_promise_names_its_code_and_its_test(page: str) -> None:
    rows = re.findall(
        r"^\| (?!promise|承诺|-)(.+)\|$", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE
    )
    assert rows
    for row in rows:
        promise, code, test = row.split(" | ")
        assert promise and "](../" in code and "](../tests/" in test, row


# ------------------------------------------------------------------------------------------- links


def links(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    found = re.findall(r"\]\(([^()\s]+)\)", text) + re.findall(r'(?:src|href|srcset)="([^"]+)"', text)
    return [each for each in found if not each.startswith(("http://", "https://", "mailto:"))]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ["docs/manners.md", "docs/manners.zh.md"])
def test_each_of_the_manners_has_tests_that_exist(page: str) -> None:
    lines = re.findall(r"^\| (\d+) \| (.*)\|$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, 13))
    for number, line in lines:
        named = re.findall(r"\[`(\w+)`\]\(\.\./([\w/.]+)\)", line)
        assert named, f"line {number} has no test"
        for name, path in named:
            assert re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        place, _, anchor = unquote(link).partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = ((page.parent / unquote(link).partition("#")[0]).resolve() for link in links(page))
        ahead += [target for target in targets if target.suffix == ".md"]
    assert set(PAGES) <= seen


# ---------------------------------------------------------------------------------- both languages


@pytest.mark.parametrize("name", ["../README", *IN_TWO_LANGUAGES])
def test_both_languages_have_the_same_chapters(name: str) -> None:
    english, chinese = ((ROOT / "docs" / f"{name}{kind}.md").read_text("utf-8") for kind in ("", ".zh"))
    assert re.findall(r"^#+ ", english, re.MULTILINE) == re.findall(r"^#+ ", chinese, re.MULTILINE)
    assert english.count("```") == chinese.count("```")


def test_the_field_has_its_one_chinese_name() -> None:
    for page in PAGES:
        assert "差异隐私" not in page.read_text("utf-8").replace("（不称“差异隐私”）", ""), page
