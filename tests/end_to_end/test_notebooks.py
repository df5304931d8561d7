"""Every notebook that we hand out runs top to bottom against the real vault, ledger and samples."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests import city
from tests.product import TOKEN, serving

NOTEBOOK = Path("images/notebook").absolute()
NOTEBOOKS = sorted(path.name for path in (NOTEBOOK / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return city.make(tmp_path_factory.mktemp("city"))


@pytest.fixture
def desk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A member's folder, with the kernel's configuration where the hub puts it."""
    desk = tmp_path / "desk"
    profile = desk / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    shutil.copy(NOTEBOOK / "etc" / "ipython" / "ipython_kernel_config.py", profile)
    state = tmp_path / "state"
    state.mkdir()
    with serving(home, member="lin", project="credit-inclusion", state=state) as vault:
        monkeypatch.setenv("HOME", str(desk))
        monkeypatch.setenv("IPYTHONDIR", str(desk / ".ipython"))
        monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
        monkeypatch.setenv("SANDBOX_GUARD_URL", vault.url)
        monkeypatch.setenv("SANDBOX_GUARD_SAMPLES", str(vault.samples))
        monkeypatch.setenv("SANDBOX_GUARD_BACKEND", "process")
        monkeypatch.setenv("JUPYTERHUB_API_TOKEN", TOKEN)
        yield desk


def test_there_are_notebooks_in_both_languages() -> None:
    assert {"welcome.ipynb", "welcome.en.ipynb"} <= set(NOTEBOOKS)
    assert all(name.replace(".en.ipynb", ".ipynb") in NOTEBOOKS for name in NOTEBOOKS)
    assert all(
        name.replace(".en.ipynb", ".ipynb").replace(".ipynb", ".en.ipynb") in NOTEBOOKS for name in NOTEBOOKS
    )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_to_its_end(name: str, desk: Path) -> None:
    notebook = nbformat.read(NOTEBOOK / "notebooks" / name, as_version=4)  # type: ignore[no-untyped-call]
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are handed out without outputs"
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(desk)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []
    shown = "\n".join(o.data.get("text/html", "") for o in outputs if "data" in o)
    assert "±" in shown, "numbers with margins are seen"
    assert ("剩余" in shown) or ("Remaining" in shown)
    if keep := os.environ.get("SANDBOX_GUARD_KEEP_NOTEBOOKS"):
        nbformat.write(notebook, Path(keep) / name)  # type: ignore[no-untyped-call]
