"""A cell that waits for its answer tells when it is due, and says nothing more once it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from sandbox_guard.client import waiting, words
from tests.unit.client.seam import Vault

SQL = "SELECT reg_district, COUNT(*) AS n FROM ent GROUP BY 1 ORDER BY 1"


def run(cell: str, url: str, monkeypatch: pytest.MonkeyPatch, seen: list[str]) -> list[Any]:
    """The outputs that stay; `seen` are all lines that were shown meanwhile."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))

    class Watched(NotebookClient):
        def process_message(self, msg: dict[str, Any], *rest: Any) -> Any:
            seen.append(msg["content"].get("data", {}).get("text/plain", ""))
            return super().process_message(msg, *rest)

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])  # type: ignore[no-untyped-call]
    Watched(notebook, timeout=300, startup_timeout=300).execute()
    outputs: list[Any] = notebook.cells[0].outputs
    return outputs


def test_a_waiting_cell_tells_when_its_answer_is_due(
    url: str, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.slow = 2.2
    seen: list[str] = []
    cell = f"import sandbox_guard.client as guard\nprint('mine')\nguard.sql('{SQL}')"
    outputs = run(cell, url, monkeypatch, seen)
    assert [line for line in seen if "约" in line and "秒后返回" in line]
    shown = [output.get("data", {}).get("text/html") for output in outputs]
    assert [html for html in shown if html and 'role="status"' in html] == [], "it is taken back"
    assert [html for html in shown if html and "静安区" in html]
    assert "mine" in outputs[0]["text"], "and nothing else is"
    assert len(vault.charges) == 1


def test_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    words.language("en")
    assert "due in about 2 s" in waiting.said(1, 3.2)
    assert "queued" in waiting.said(4, 3.2)
    assert "3 s so far" in waiting.said(3, None)
    assert "lost or charged twice" in waiting.said(4, 3.2, lost=True)
