"""Which of the notebooks that we hand out can run to their end in a member's project.

Each says so itself, in its metadata:

    {"sandbox_guard": {"needs": ["ent", "tax"], "free_queries": true}}

`needs`: tables that it asks about. `free_queries`: whether it asks in SQL, or runs approved analyses only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sandbox_guard.policy.model import Policies, Role


@dataclass(frozen=True)
class Notebook:
    path: Path
    needs: frozenset[str]
    free_queries: bool

    @classmethod
    def read(cls, path: Path) -> Self:
        metadata = json.loads(path.read_text("utf-8"))["metadata"]["sandbox_guard"]
        return cls(path, frozenset(metadata["needs"]), metadata["free_queries"])

    def fits(self, tables: frozenset[str], free_queries: bool) -> bool:
        return self.needs <= tables and self.free_queries is free_queries


def notebooks_for(folder: Path, policies: Policies, project: str, member: str) -> dict[str, Path]:
    """By the name that they get in the member's folder. Where several of one name fit, that which says most
    about this project: the one that needs most of its tables."""
    granted = policies.projects[project]
    tables = frozenset(table.lower() for name in granted.datasets for table in policies.datasets[name].tables)
    free_queries = granted.free_queries and granted.members[member] is Role.RESEARCHER
    return chosen(n for n in _all(folder) if n.fits(tables, free_queries))


def chosen(fitting: Iterable[Notebook]) -> dict[str, Path]:
    by_need = sorted(fitting, key=lambda notebook: (len(notebook.needs), notebook.path))
    return {notebook.path.name: notebook.path for notebook in by_need}


def _all(folder: Path) -> Iterable[Notebook]:
    return (Notebook.read(path) for path in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
