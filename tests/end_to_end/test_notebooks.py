"""Every notebook that we hand out runs top to bottom against the real vault, ledger and samples: all of one
project by one member, within that member's budget."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from hub.notebooks import notebooks_for
from hub.spawner import NOTEBOOK_IMAGE, NOTEBOOKS
from sandbox_guard.policy.files import read_policies
from tests import city
from tests.product import POLICIES, TOKEN, Running, serving

MEMBER = "lin"
FALLBACK = "any"
"""Notebooks for projects whose tables ours do not know; they fit every other project too."""


def _handed_out() -> list[tuple[str, str]]:
    """(project, notebook)"""
    policies = read_policies(POLICIES)
    found = [
        (project, str(path.relative_to(NOTEBOOKS)))
        for project in policies.projects
        for path in notebooks_for(NOTEBOOKS, policies, project, MEMBER).values()
    ]
    fallback = [str(path.relative_to(NOTEBOOKS)) for path in (NOTEBOOKS / FALLBACK).glob("*.ipynb")]
    return sorted([*found, *(("credit-inclusion", name) for name in fallback)])


HANDED_OUT = _handed_out()


def _each() -> Iterator[object]:
    """A notebook in English asks what its Chinese one asks: one of them is enough each time."""
    for project, name in HANDED_OUT:
        english = name.endswith(".en.ipynb") and name != "welcome.en.ipynb"
        yield pytest.param(project, name, marks=[pytest.mark.long] if english else [], id=f"{project}/{name}")


@pytest.fixture(scope="module")
def vault_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Running]]:
    """By project, a vault that stays for all its notebooks."""
    home = city.make(tmp_path_factory.mktemp("city"))
    with ExitStack() as stack:

        @cache
        def vault(project: str) -> Running:
            state = tmp_path_factory.mktemp("state")
            return stack.enter_context(serving(home, member=MEMBER, project=project, state=state))

        yield vault


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A member's folder, with the kernel's configuration where the hub puts it."""
    profile = tmp_path / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    shutil.copy(NOTEBOOK_IMAGE / "etc" / "ipython" / "ipython_kernel_config.py", profile)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / ".ipython"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("SANDBOX_GUARD_BACKEND", "process")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
    return tmp_path


def test_every_notebook_is_handed_out_to_someone() -> None:
    written = {str(path.relative_to(NOTEBOOKS)) for path in NOTEBOOKS.rglob("*.ipynb")}
    assert written == {name for _, name in HANDED_OUT}


@pytest.mark.parametrize(("project", "name"), list(_each()))
def test_a_notebook_runs_to_its_end(
    project: str,
    name: str,
    vault_of: Callable[[str], Running],
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vault = vault_of(project)
    monkeypatch.setenv("SANDBOX_GUARD_URL", vault.url)
    monkeypatch.setenv("SANDBOX_GUARD_SAMPLES", str(vault.samples))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are handed out without outputs"
    NotebookClient(
        notebook, timeout=300, startup_timeout=300, resources={"metadata": {"path": str(desk)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    shown = "\n".join(o.data.get("text/html", "") for o in outputs if "data" in o)
    assert "±" in shown, "numbers with margins are seen"
    assert ("剩余" in shown) or ("Remaining" in shown)
    if keep := os.environ.get("SANDBOX_GUARD_KEEP_NOTEBOOKS"):
        nbformat.write(notebook, Path(keep) / name.replace("/", "-"))  # type: ignore[no-untyped-call]
